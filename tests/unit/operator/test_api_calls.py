"""Requests as an authorizer sees them."""

from __future__ import annotations

import pytest

from hitless_operator.api_calls import ApiCall, api_call

OURS = "/apis/hitless.video/v1alpha1"


@pytest.mark.parametrize(
    ("method", "path", "watch", "call"),
    [
        ("GET", f"{OURS}", False, ("get", "", "")),
        ("GET", "/api", False, ("get", "", "")),
        ("GET", f"{OURS}/encoderdeployments", False,
         ("list", "hitless.video", "encoderdeployments")),
        ("GET", f"{OURS}/namespaces/live/encoderdeployments", True,
         ("watch", "hitless.video", "encoderdeployments")),
        ("GET", f"{OURS}/namespaces/live/encoderdeployments/first", False,
         ("get", "hitless.video", "encoderdeployments")),
        ("PUT", f"{OURS}/namespaces/live/encoderdeployments/first/status", False,
         ("update", "hitless.video", "encoderdeployments/status")),
        ("PATCH", f"{OURS}/namespaces/live/encoderdeployments/first", False,
         ("patch", "hitless.video", "encoderdeployments")),
        ("GET", "/api/v1/pods", True, ("watch", "", "pods")),
        ("POST", "/api/v1/namespaces/live/pods", False, ("create", "", "pods")),
        ("DELETE", "/api/v1/namespaces/live/pods/first-1", False, ("delete", "", "pods")),
        ("DELETE", "/api/v1/namespaces/live/pods", False, ("deletecollection", "", "pods")),
        ("GET", "/api/v1/namespaces/live", False, ("get", "", "namespaces")),
        ("POST", "/apis/events.k8s.io/v1/namespaces/live/events", False,
         ("create", "events.k8s.io", "events")),
    ],
)  # fmt: skip
def test_verb_group_and_resource(
    method: str, path: str, watch: bool, call: tuple[str, str, str]
) -> None:
    assert api_call(method, path, watch=watch) == ApiCall(*call)
