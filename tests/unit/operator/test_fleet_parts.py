"""The parts around a fleet update: fields, owners, marks, selection, index, status, spec."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hitless_handover.fleet_model import FleetDecision, FleetRecord, UpdatePhase
from hitless_operator.fleet.fields import all_fields, digest_of, partial_spec, values_at
from hitless_operator.fleet.index import ActiveUpdates
from hitless_operator.fleet.mark import MARK_ANNOTATION, ChannelMark, mark_of
from hitless_operator.fleet.ownership import foreign_owners, owned_by_fleet
from hitless_operator.fleet.select import selects
from hitless_operator.fleet.status import findings, record_of, status_of
from hitless_operator.fleet.status_model import OUTCOMES_MAX, EncoderUpdateStatus
from hitless_wire.fleet_resources import EncoderUpdateSpec, Selector

SPEC = {
    "image": "i:1",
    "profiles": [{"name": "high", "width": 64, "maxKbps": 800, "crf": 24}],
    "audio": [{"name": "audio", "kbps": 96}],
}
AT = "2026-05-01T00:00:00.000000Z"


def test_fields_there_and_back() -> None:
    assert partial_spec(all_fields(SPEC)) == SPEC
    assert values_at(SPEC, ["image", "profiles/high/crf", "profiles/low/crf"]) == {
        "image": "i:1",
        "profiles/high/crf": 24,
    }
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}) != digest_of({"a": 1})


def entry(manager: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As an API server of Kubernetes 1.37 writes it."""
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": fields}, **more}


ITEM: dict[str, Any] = {'k:{"name":"high"}': {".": {}, "f:name": {}, "f:crf": {}}}


@pytest.mark.parametrize(
    ("entries", "wanted", "owners"),
    [
        ([entry("kubectl-create", {"f:image": {}})], {"image": "i:2"}, {"kubectl-create"}),
        ([entry("kubectl-create", {"f:image": {}})], {"image": "i:1"}, set()),
        ([entry("argocd", {"f:profiles": ITEM})], {"profiles/high/crf": 20}, {"argocd"}),
        ([entry("argocd", {"f:profiles": ITEM})], {"profiles/high/maxKbps": 20}, set()),
        ([entry("x", {"f:image": {}}, subresource="status")], {"image": "i:2"}, set()),
        ([entry("hitless-fleet", {"f:image": {}}, operation="Apply")], {"image": "i:2"}, set()),
        ([entry("hitless-fleet", {"f:image": {}})], {"image": "i:2"}, {"hitless-fleet"}),
        ([], {"image": "i:2"}, set()),
    ],
)
def test_who_owns_what_would_change(
    entries: list[dict[str, Any]], wanted: dict[str, str | int], owners: set[str]
) -> None:
    body = {"metadata": {"managedFields": entries}, "spec": SPEC}
    assert foreign_owners(body, wanted) == owners


def test_what_was_applied_before_is_found_again() -> None:
    ours = entry("hitless-fleet", {"f:image": {}, "f:profiles": ITEM}, operation="Apply")
    theirs = entry("hitless-fleet", {"f:audio": {}})
    body = {"metadata": {"managedFields": [ours, theirs]}, "spec": SPEC}
    assert owned_by_fleet(body) == {"image": "i:1", "profiles/high/crf": 24}


def test_a_mark_is_read_as_it_was_written() -> None:
    mark = ChannelMark(
        uid="u", name="n", change="c", set={"image": "b"}, earlier={"image": "a"}, at=AT, term=3
    )
    body = {"metadata": {"annotations": {MARK_ANNOTATION: mark.text()}}}
    assert mark_of(body) == mark
    for text in ("", "{", '{"uid": "u"}'):
        assert mark_of({"metadata": {"annotations": {MARK_ANNOTATION: text}}}) is None
    assert mark_of({"metadata": {}}) is None


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({"names": ["a", "b"]}, True),
        ({"names": ["b"]}, False),
        ({"types": ["live"]}, True),
        ({"names": ["a"], "types": ["other"]}, False),
        ({"matchLabels": {"tier": "gold"}}, True),
        ({"matchLabels": {"tier": "gold", "site": "x"}}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}, False),
        ({"matchExpressions": [{"key": "site", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "site", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "site", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_selection(selector: dict[str, Any], selected: bool) -> None:
    found = Selector.model_validate(selector)
    assert selects(found, "a", "live", {"tier": "gold"}) is selected


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"selector": {}}, "names, types or labels"),
        ({"change": {}}, "nothing would change"),
        ({"change": {"image": "i", "configuration": {}}}, "nothing would change"),
        ({"change": {"configuration": {"profiles": [{"name": "a"}]}}}, "maxKbps or crf"),
        (
            {
                "change": {
                    "configuration": {"profiles": [{"name": "a", "crf": 20}]},
                    "configurationRef": {"name": "c"},
                }
            },
            "not both",
        ),
        ({"concurrency": "101%"}, "percentage"),
        ({"concurrency": -1}, "at least 0"),
        ({"failureBudget": "many"}, "percentage"),
        (
            {"schedule": {"windows": [{"cron": "0 2 * *", "durationMinutes": 1}]}},
            "schedule.windows.0.cron",
        ),
        (
            {"schedule": {"notBefore": "2026-01-02T00:00Z", "notAfter": "2026-01-01T00:00Z"}},
            "nothing lies between",
        ),
        (
            {
                "schedule": {
                    "windows": [
                        {"cron": "0 2 * * *", "durationMinutes": 1, "timeZone": "Mars/Olympus"}
                    ]
                }
            },
            "no IANA time zone",
        ),
    ],
)
def test_what_can_t_work_is_refused(spec: dict[str, Any], says: str) -> None:
    given = {"selector": {"names": ["a"]}, "change": {"image": "i"}, **spec}
    with pytest.raises(ValidationError) as refused:
        EncoderUpdateSpec.model_validate(given)
    rows = refused.value.errors()
    assert any(says in f"{'.'.join(map(str, row['loc']))} {row['msg']}" for row in rows)


# --- the index ---


def update(name: str, phase: str = "Progressing", seen: int = 1, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "live", "name": name, "uid": f"uid-{name}", "generation": 1, **metadata,
        },
        "spec": {"selector": {"types": ["live"]}},
        "status": {"phase": phase, "observedGeneration": seen},
    }  # fmt: skip


def channel(kind: str, mark: str = "") -> dict[str, Any]:
    metadata: dict[str, Any] = {"namespace": "live", "name": "a"}
    if mark:
        written = ChannelMark(uid=mark, name="n", change="c", set={}, earlier={}, at=AT)
        metadata["annotations"] = {MARK_ANNOTATION: written.text()}
    return {"metadata": metadata, "spec": {"type": kind}}


class Posted:
    """What the index posts into the queue."""

    def __init__(self) -> None:
        self.now: list[str] = []
        self.soon: list[str] = []
        self.told: list[str] = []
        self.index = ActiveUpdates(
            add=lambda key: self.now.append(key.name),
            add_in=lambda key, _: self.soon.append(key.name),
            shelf=self,
        )

    def channel_changed(self, body: dict[str, Any], *, gone: bool) -> None:
        """As a shelf."""
        self.told.append(f"{body['metadata']['name']} {'gone' if gone else 'changed'}")

    def forget_channels(self, namespace: str) -> None:
        """As a shelf."""
        self.told.append(f"forget {namespace}")


def test_a_channel_wakes_only_the_updates_that_it_concerns() -> None:
    posted = Posted()
    posted.index.channel_changed(channel("live"), gone=False)
    assert posted.soon == []
    posted.index.update_changed(update("one"), deleted=False)
    posted.index.channel_changed(channel("live"), gone=False)
    posted.index.channel_changed(channel("other"), gone=False)
    posted.index.channel_changed(channel("other", mark="uid-one"), gone=False)
    assert posted.soon == ["one", "one"]


def test_what_is_kept_of_channels_follows_the_watch_and_goes_with_the_last_update() -> None:
    posted = Posted()
    for name in ("one", "two"):
        posted.index.update_changed(update(name), deleted=False)
    posted.index.channel_listed(channel("live"))
    posted.index.channel_changed(channel("live"), gone=True)
    assert posted.told == ["forget live", "a changed", "a gone"]
    posted.index.update_changed(update("one"), deleted=True)
    assert posted.told[3:] == []
    posted.index.update_changed(update("two", phase="Completed"), deleted=False)
    assert posted.told[3:] == ["forget live"]


def test_an_update_s_own_status_makes_no_look() -> None:
    posted = Posted()
    posted.index.update_changed(update("one", phase="Pending", seen=-1), deleted=False)
    posted.index.update_changed(update("one"), deleted=False)
    assert posted.now == ["one"]
    posted.index.update_changed(update("one", generation=2), deleted=False)
    approved = {"hitless.video/approve": "true"}
    posted.index.update_changed(update("one", generation=2, annotations=approved), deleted=False)
    assert posted.now == ["one", "one", "one"]


@pytest.mark.parametrize(
    ("last", "deleted"), [(update("one", phase="Completed"), False), (update("one"), True)]
)
def test_the_end_of_one_update_wakes_the_others(last: dict[str, Any], deleted: bool) -> None:
    posted = Posted()
    for name in ("one", "two"):
        posted.index.update_changed(update(name), deleted=False)
    posted.index.update_changed(last, deleted=deleted)
    assert posted.now == ["one", "two", "two"]
    posted.index.channel_changed(channel("live"), gone=False)
    assert posted.soon == ["two"]


# --- the status ---


def test_the_record_survives_the_status_and_the_list_is_bounded() -> None:
    record = FleetRecord(
        phase=UpdatePhase.BAKING,
        observed_generation=3,
        change="c",
        stops_passed=1,
        bake_since_us=1_795_388_861_234_567,
        admitted=("a",),
        started_us=1_795_388_861_000_001,
        reason="CanaryStep2",
        message="watching",
    )
    status = status_of(FleetDecision(record=record), EncoderUpdateStatus(), 1_795_388_861_234_567)
    assert record_of(status) == record
    schema = EncoderUpdateStatus.model_json_schema()["properties"]
    assert schema["outcomes"]["maxItems"] == OUTCOMES_MAX


@pytest.mark.parametrize(
    ("record", "true", "false"),
    [
        (FleetRecord(phase=UpdatePhase.COMPLETED), {"Ready"}, {"Progressing"}),
        (FleetRecord(), {"Reconciling"}, {"Ready", "Progressing"}),
        (FleetRecord(phase=UpdatePhase.WAITING), {"Reconciling"}, {"Ready", "Progressing"}),
        (FleetRecord(phase=UpdatePhase.PROGRESSING), {"Reconciling", "Progressing"}, {"Ready"}),
        (
            FleetRecord(phase=UpdatePhase.PAUSED, reason="FailureBudget"),
            {"Stalled"},
            {"Ready", "Progressing"},
        ),
        (
            FleetRecord(phase=UpdatePhase.PAUSED, reason="Requested"),
            {"Reconciling"},
            {"Ready", "Progressing"},
        ),
        (
            FleetRecord(phase=UpdatePhase.ROLLING_BACK, reason="FailureBudget"),
            {"Reconciling", "Progressing"},
            {"Ready"},
        ),
        (
            FleetRecord(phase=UpdatePhase.ROLLED_BACK, reason="FailureBudget"),
            {"Stalled"},
            {"Ready", "Progressing"},
        ),
    ],
)
def test_conditions(record: FleetRecord, true: set[str], false: set[str]) -> None:
    found = findings(record)
    assert {f.type for f in found if f.holds} == true
    assert {f.type for f in found if not f.holds} == false
