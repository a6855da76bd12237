"""`helm test`: is what was installed there? Each check is tried until it holds or time is up."""

import json
import os
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

TRY_S_MAX = 60.0
PAUSE_S = 1.0
CALL_S = 5.0
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CRD = "encoderdeployments"


def get(url: str, token: str = "", authority: str | None = None) -> bytes:
    """The body of a 200. Raises OSError."""
    context = ssl.create_default_context(cafile=authority) if authority else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=CALL_S, context=context) as answer:
        body: bytes = answer.read()
    return body


def origin_is_healthy() -> None:
    """The Service leads to an origin that works."""
    get(f"{os.environ['ORIGIN_URL']}/healthz")


def operator_is_healthy() -> None:
    """It watches, and its looks end."""
    state = json.loads(get(f"{os.environ['OPERATOR_URL']}/healthz"))
    if not state["healthy"]:
        raise ValueError(f"the operator says {state['faults']}")


def operator_is_measured() -> None:
    """Metrics are served."""
    if b"hitless_frames_lost_total" not in get(f"{os.environ['OPERATOR_URL']}/metrics"):
        raise ValueError("no hitless_frames_lost_total in the operator's metrics")


def crd_is_served() -> None:
    """The API server knows EncoderDeployments."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    url = f"https://{host}:{port}/apis/hitless.video/v1alpha1"
    token = (ACCOUNT / "token").read_text()
    served = json.loads(get(url, token, str(ACCOUNT / "ca.crt")))
    if CRD not in [resource["name"] for resource in served["resources"]]:
        raise ValueError(f"{CRD} is not served: set crds.enabled or apply crds/")


def holds(check: Callable[[], None], until_s: float) -> bool:
    """Try until it holds; says how it went."""
    name = check.__name__.replace("_", " ")
    while True:
        try:
            check()
        except (OSError, ValueError, KeyError) as error:
            if time.monotonic() >= until_s:
                print(f"FAILED  {name}: {error}")
                return False
            time.sleep(PAUSE_S)
        else:
            print(f"ok      {name}")
            return True


def main() -> int:
    """All checks, also those after a failed one."""
    until_s = time.monotonic() + TRY_S_MAX
    checks = (crd_is_served, origin_is_healthy, operator_is_healthy, operator_is_measured)
    held = [holds(check, until_s) for check in checks]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
