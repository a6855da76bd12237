"""The encoder's machine: what it answers in which phase."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hitless_handover import peer as machine
from hitless_handover.leadership import NEVER_LED, SILENT, Lead, lead_at, lead_from, priority_of
from hitless_handover.messages import (
    ATTEMPTS_MAX,
    PROTOCOL_VERSION,
    ROUNDS_MAX,
    Confirmation,
    Criteria,
    Identity,
    PeerPhase,
    Refusal,
    SyncInfo,
)
from hitless_handover.peer_model import (
    Abort,
    Announce,
    Answered,
    Arm,
    Begin,
    CallFailed,
    Event,
    Judged,
    Peer,
    Propose,
    Pushed,
    Reanchored,
    Release,
    Reply,
    Resend,
    SendAbort,
    SendAnnounce,
    SendArm,
    SendPropose,
    Stamped,
    Step,
    Synchronise,
    Take,
    Tick,
)
from hitless_handover.peer_rules import earliest_segment, leading_term
from hitless_handover.timeline import Anchor, Timeline

NOW = 1_000_000
DEADLINE = NOW + 60_000_000
TIMELINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
CRITERIA = Criteria(lead_segments=2, verify_segments=2, psnr_min_db=26)
HEAD = 100


def identity(name: str, **change: str | int) -> Identity:
    base = Identity(namespace="n", channel="c", encoder_id=name, instance=name, version="v")
    return replace(base, **change)  # type: ignore[arg-type]


def sync(fingerprint: str = "f") -> SyncInfo:
    return SyncInfo(
        timeline=TIMELINE,
        fingerprint=fingerprint,
        anchor=None,
        init_digests=(),
        current_frame=HEAD * 60,
        head_segment=HEAD,
    )


def announce(**change: object) -> Announce:
    base = Announce(
        handover_id="h",
        term=2,
        successor=identity("b"),
        criteria=CRITERIA,
        deadline_us=DEADLINE,
    )
    return replace(base, **change)  # type: ignore[arg-type]


SYNC = Synchronise(handover_id="h", own=sync(), other=sync())
JUDGED = Judged(handover_id="h", ok=True, message="")
EARLIEST = (HEAD + 1 + CRITERIA.lead_segments) * 60
PROPOSE = Propose(handover_id="h", frame=EARLIEST)
ARM = Arm(handover_id="h", frame=EARLIEST)
STEPS: tuple[Event, ...] = (announce(), SYNC, JUDGED, PROPOSE, ARM)


def incumbent(steps: int = 0) -> Peer:
    peer = Peer(
        identity=identity("a"),
        timeline=TIMELINE,
        schedule=lead_from(NEVER_LED, 1, 1),
        known_term=1,
        head=HEAD,
    )
    for event in STEPS[:steps]:
        result = machine.step(peer, event, NOW)
        assert result.reply is not None
        assert result.reply.accepted
        peer = result.peer
    return peer


def successor(*replies: Reply) -> tuple[Peer, tuple[object, ...]]:
    peer = Peer(identity=identity("b"), timeline=TIMELINE, head=HEAD)
    begin = Begin(
        handover_id="h", term=2, incumbent_id="a", criteria=CRITERIA, deadline_us=DEADLINE
    )
    result = machine.step(peer, begin, NOW)
    for reply in replies:
        result = machine.step(result.peer, Answered(handover_id="h", reply=reply), NOW)
    return result.peer, result.effects


def refusal(peer: Peer, event: Event, now_us: int = NOW) -> Refusal | None:
    result = machine.step(peer, event, now_us)
    assert result.reply is not None
    assert not result.reply.accepted
    return result.reply.reason


OK = Reply(accepted=True)


def test_the_incumbent_walks_the_line() -> None:
    phases = []
    for count in range(1, len(STEPS) + 1):
        side = incumbent(count).side
        assert side is not None
        phases.append(side.phase)
    assert phases == [
        PeerPhase.ANNOUNCED,
        PeerPhase.SYNCHRONISED,
        PeerPhase.VERIFIED,
        PeerPhase.AGREED,
        PeerPhase.ARMED,
    ]


@pytest.mark.parametrize("steps", range(1, len(STEPS) + 1))
def test_every_call_may_be_repeated(steps: int) -> None:
    peer = incumbent(steps)
    for event in STEPS[:steps]:
        result = machine.step(peer, event, NOW)
        assert result.reply is not None
        assert result.reply.accepted
        assert result.peer == peer


@pytest.mark.parametrize(
    ("steps", "event", "reason"),
    [
        (0, SYNC, Refusal.UNKNOWN_HANDOVER),
        (1, JUDGED, Refusal.WRONG_PHASE),
        (2, PROPOSE, Refusal.WRONG_PHASE),
        (3, ARM, Refusal.WRONG_PHASE),
        (0, announce(term=1), Refusal.STALE_TERM),
        (
            0,
            announce(successor=identity("b", protocol=PROTOCOL_VERSION + 2)),
            Refusal.PROTOCOL_VERSION,
        ),
        (0, announce(successor=identity("b", channel="d")), Refusal.MISMATCH),
        (0, announce(deadline_us=NOW), Refusal.DEADLINE),
        (5, announce(handover_id="i", term=3), Refusal.BUSY),
        (5, announce(successor=identity("b", instance="new")), Refusal.BUSY),
        (4, replace(ARM, frame=EARLIEST + 60), Refusal.WRONG_PHASE),
    ],
)
def test_the_incumbent_refuses(steps: int, event: Event, reason: Refusal) -> None:
    peer = incumbent(steps)
    assert refusal(peer, event) is reason
    assert machine.step(peer, event, NOW).peer.schedule == peer.schedule


@pytest.mark.parametrize(
    ("steps", "event", "reason"),
    [
        (1, replace(SYNC, other=sync("g")), Refusal.MISMATCH),
        (2, replace(JUDGED, ok=False, message="12 dB"), Refusal.VERIFICATION),
    ],
)
def test_what_is_not_good_enough_ends_the_handover(
    steps: int, event: Event, reason: Refusal
) -> None:
    result = machine.step(incumbent(steps), event, NOW)
    assert result.peer.side is not None
    assert (result.peer.side.phase, result.peer.side.reason) == (PeerPhase.ABORTED, reason)
    assert leading_term(result.peer) == 1


OTHER_ANCHOR = Anchor(source_ticks=1, source_timescale=90_000, wrap_ticks=0, frame=1, wall_us=0)


def with_other_tracks(other: SyncInfo) -> Step:
    """The answer to Synchronise in a handover that may be a declared discontinuity."""
    criteria = replace(CRITERIA, allow_discontinuity=True)
    announced = machine.step(incumbent(), announce(criteria=criteria), NOW).peer
    return machine.step(announced, replace(SYNC, other=other), NOW)


def test_other_tracks_are_welcome_where_a_discontinuity_is_allowed() -> None:
    other = replace(sync("g"), timeline=replace(TIMELINE, gop_frames=20), init_digests=())
    result = with_other_tracks(other)
    assert result.reply == Reply(accepted=True)
    assert result.peer.side is not None
    assert result.peer.side.phase is PeerPhase.SYNCHRONISED


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timeline": replace(TIMELINE, rate_num=25)}, "timeline.rate_num"),
        (
            {"timeline": replace(TIMELINE, segment_frames=30, gop_frames=30)},
            "timeline.segment_frames",
        ),
        ({"anchor": OTHER_ANCHOR}, "anchor"),
    ],
)
def test_no_discontinuity_gives_frames_other_numbers(change: dict[str, Any], field: str) -> None:
    result = with_other_tracks(replace(sync("g"), **change))
    assert result.reply is not None
    assert result.reply.reason is Refusal.MISMATCH
    assert result.reply.message.startswith(field)


@pytest.mark.parametrize("frame", [0, EARLIEST - 60, EARLIEST - 1, EARLIEST + 1])
def test_a_frame_that_is_too_soon_or_inside_a_segment_is_countered(frame: int) -> None:
    result = machine.step(incumbent(3), Propose(handover_id="h", frame=frame), NOW)
    assert result.reply is not None
    assert not result.reply.accepted
    assert result.reply.reason is None
    assert result.reply.frame is not None
    assert result.reply.frame >= max(frame, EARLIEST)
    assert result.reply.frame % 60 == 0


def test_not_before_moves_the_event() -> None:
    late = replace(CRITERIA, not_before_frame=EARLIEST + 601)
    assert earliest_segment(incumbent(), late) == EARLIEST // 60 + 11


def test_rounds_are_bounded() -> None:
    peer = incumbent(3)
    for _ in range(ROUNDS_MAX):
        peer = machine.step(peer, Propose(handover_id="h", frame=0), NOW).peer
    assert refusal(peer, Propose(handover_id="h", frame=0)) is Refusal.ROUNDS_EXHAUSTED


def test_the_armed_incumbent_gives_up_its_priority_at_the_frame_only() -> None:
    schedule = incumbent(5).schedule
    event = EARLIEST // 60
    assert [priority_of(schedule, k) for k in (event - 1, event, event + 1)] == [1, 0, 0]


def test_the_successor_leads_from_the_frame_and_tells_the_incumbent_last() -> None:
    peer, effects = successor(OK, OK, OK, OK)
    assert effects == (SendArm(handover_id="h", frame=EARLIEST),)
    event = EARLIEST // 60
    assert [priority_of(peer.schedule, k) for k in (event - 1, event)] == [0, 2]


def test_the_successor_takes_a_counter_proposal() -> None:
    later = EARLIEST + 120
    _, effects = successor(OK, OK, OK, Reply(accepted=False, frame=later))
    assert effects == (SendPropose(handover_id="h", frame=later),)


def test_a_frame_that_passed_before_it_could_be_bound_is_given_up() -> None:
    peer, _ = successor(OK, OK, OK)
    peer = machine.step(peer, Stamped(segment=EARLIEST // 60), NOW).peer
    peer = machine.step(peer, Answered(handover_id="h", reply=OK), NOW).peer
    assert peer.side is not None
    assert (peer.side.phase, peer.side.reason) == (PeerPhase.ABORTED, Refusal.TOO_LATE)
    assert leading_term(peer) == 0


def test_unanswered_calls_are_repeated_and_bounded() -> None:
    peer, _ = successor()
    failed = CallFailed(handover_id="h", message="no route")
    for _ in range(ATTEMPTS_MAX - 1):
        result = machine.step(peer, failed, NOW)
        assert result.effects == (SendAnnounce(handover_id="h"),)
        peer = result.peer
    peer = machine.step(peer, failed, NOW).peer
    assert peer.side is not None
    assert peer.side.reason is Refusal.UNREACHABLE


@pytest.mark.parametrize("steps", range(1, len(STEPS) + 1))
def test_abort_leaves_the_incumbent_as_it_was(steps: int) -> None:
    peer = incumbent(steps)
    result = machine.step(peer, Abort(handover_id="h", reason="user"), NOW)
    assert result.reply is not None
    assert result.reply.accepted
    assert all(priority_of(result.peer.schedule, k) == 1 for k in range(HEAD, HEAD + 20))


def test_abort_is_too_late_once_the_event_has_been_given_out() -> None:
    peer = machine.step(incumbent(5), Stamped(segment=EARLIEST // 60), NOW).peer
    assert refusal(peer, Abort(handover_id="h", reason="user")) is Refusal.TOO_LATE


def test_an_incumbent_gives_up_at_the_deadline_unless_armed() -> None:
    for steps in range(1, 5):
        assert machine.step(incumbent(steps), JUDGED, NOW).wake_at_us == DEADLINE
        side = machine.step(incumbent(steps), Tick(), DEADLINE).peer.side
        assert side is not None
        assert side.reason is Refusal.DEADLINE
    armed = incumbent(5)
    assert machine.step(armed, Tick(), DEADLINE).peer == armed


def test_both_confirm_what_they_did() -> None:
    event = EARLIEST // 60
    old = machine.step(incumbent(5), Stamped(segment=event), NOW).peer
    assert old.side is not None
    assert old.side.confirmation is not None
    assert old.side.confirmation.segment == event - 1
    new, _ = successor(OK, OK, OK, OK)
    new = machine.step(new, Pushed(segment=event), NOW).peer
    assert new.side is not None
    assert new.side.confirmation is not None
    assert (new.side.confirmation.segment, new.side.confirmation.gap_frames) == (event, 0)


def test_release_retires_the_incumbent_only_after_the_event() -> None:
    assert refusal(incumbent(5), Release(handover_id="h")) is Refusal.WRONG_PHASE
    past = machine.step(incumbent(5), Stamped(segment=EARLIEST // 60), NOW).peer
    released = machine.step(past, Release(handover_id="h"), NOW)
    assert released.peer.retired
    assert len(released.effects) == 1


def test_a_term_is_taken_from_the_next_segment_and_never_lowered() -> None:
    peer = machine.step(incumbent(), Take(term=5), NOW).peer
    assert [priority_of(peer.schedule, k) for k in (HEAD, HEAD + 1)] == [1, 5]
    assert refusal(peer, Take(term=4)) is Refusal.STALE_TERM
    again = machine.step(peer, Take(term=5), NOW)
    assert again.reply is not None
    assert again.reply.accepted


def test_a_restarted_successor_starts_over_unless_armed() -> None:
    again = announce(successor=identity("b", instance="new"))
    side = machine.step(incumbent(4), again, NOW).peer.side
    assert side is not None
    assert side.phase is PeerPhase.ANNOUNCED


def test_a_newer_handover_replaces_one_that_is_not_armed() -> None:
    newer = announce(handover_id="i", term=3)
    side = machine.step(incumbent(4), newer, NOW).peer.side
    assert side is not None
    assert side.handover_id == "i"


def test_a_standby_hands_nothing_over() -> None:
    peer, _ = successor()
    peer = replace(peer, side=None)
    assert refusal(peer, announce(term=9)) is Refusal.NOT_LEADING


# --- fences: what comes late, or after somebody thought better of it ---


def begin(term: int = 2) -> Begin:
    return Begin(
        handover_id="h", term=term, incumbent_id="a", criteria=CRITERIA, deadline_us=DEADLINE
    )


def standby() -> Peer:
    return Peer(identity=identity("b"), timeline=TIMELINE, head=HEAD)


def test_what_was_called_off_before_it_began_never_begins() -> None:
    told = machine.step(standby(), Abort(handover_id="h", reason="user", term=2), NOW).peer
    assert refusal(told, begin()) is Refusal.ABORTED
    assert refusal(told, replace(begin(), handover_id="i")) is Refusal.STALE_TERM


def test_an_incumbent_that_was_told_first_takes_no_announce() -> None:
    told = machine.step(incumbent(), Abort(handover_id="h", reason="user", term=2), NOW).peer
    assert leading_term(told) == 1
    assert refusal(told, announce()) is Refusal.ABORTED


def test_an_order_to_begin_that_comes_after_its_deadline_is_refused() -> None:
    assert refusal(standby(), begin(), DEADLINE) is Refusal.DEADLINE


def test_taking_a_newer_term_ends_what_was_agreed() -> None:
    """Else the successor would fall back to its older term at the frame."""
    armed, _ = successor(OK, OK, OK, OK)
    assert armed.side is not None
    assert armed.side.phase is PeerPhase.ARMED
    taken = machine.step(armed, Take(term=3), NOW)
    assert taken.peer.side is not None
    assert taken.peer.side.phase is PeerPhase.ABORTED
    assert {priority_of(taken.peer.schedule, k) for k in range(HEAD + 1, HEAD + 50)} == {3}
    assert taken.effects == (SendAbort(handover_id="h", reason="Aborted"),)


def withholding() -> Peer:
    """A silent standby that has encoded ten segments up to HEAD."""
    peer = Peer(identity=identity("b"), timeline=TIMELINE, schedule=SILENT)
    for segment in range(HEAD - 9, HEAD + 1):
        peer = machine.step(peer, Stamped(segment=segment), NOW).peer
    return peer


def test_what_was_withheld_before_the_event_is_sent_also_after_it() -> None:
    """The incumbent dies with its last segments unsent; the successor leads already."""
    begun = machine.step(withholding(), begin(), NOW).peer
    peer = begun
    for _ in range(4):
        peer = machine.step(peer, Answered(handover_id="h", reply=OK), NOW).peer
    assert peer.side is not None
    assert peer.side.frame is not None
    event = TIMELINE.segment_of(peer.side.frame)
    for segment in range(HEAD + 1, event + 3):
        peer = machine.step(peer, Stamped(segment=segment), NOW).peer
    taken = machine.step(peer, Take(term=3, from_segment=event - 2), NOW)
    assert taken.effects == (Resend(first=event - 2, last=event - 1),)
    assert priority_of(taken.peer.schedule, event - 2) == 3


def test_a_silent_encoder_that_leads_sends_what_its_downstream_lacks() -> None:
    silent = withholding()
    taken = machine.step(silent, Take(term=2, from_segment=HEAD - 2), NOW)
    assert taken.effects == (Resend(first=HEAD - 2, last=HEAD),)
    assert lead_at(taken.peer.schedule, HEAD - 2) == Lead(HEAD - 2, 2)
    again = machine.step(taken.peer, Take(term=2, from_segment=HEAD - 2), NOW)
    assert again.effects == ()


@pytest.mark.parametrize("wanted", [None, HEAD + 1, HEAD + 9])
def test_a_silent_encoder_sends_nothing_twice(wanted: int | None) -> None:
    taken = machine.step(withholding(), Take(term=2, from_segment=wanted), NOW)
    assert taken.effects == ()
    assert lead_at(taken.peer.schedule, HEAD + 1) == Lead(HEAD + 1, 2)


def test_an_encoder_that_was_heard_sends_nothing_again() -> None:
    taken = machine.step(standby(), Take(term=2, from_segment=HEAD - 2), NOW)
    assert taken.effects == ()


def test_a_late_arm_is_confirmed_with_its_overlap() -> None:
    agreed = incumbent(4)
    assert agreed.side is not None
    assert agreed.side.frame is not None
    event = TIMELINE.segment_of(agreed.side.frame)
    late = machine.step(agreed, Stamped(segment=event + 1), NOW).peer
    armed = machine.step(late, Arm(handover_id="h", frame=agreed.side.frame), NOW).peer
    assert armed.side is not None
    assert armed.side.phase is PeerPhase.SWITCHED
    assert armed.side.confirmation == Confirmation(segment=event + 1, overlap_frames=120)
    assert leading_term(armed) == 0


def test_a_source_that_jumps_ends_what_was_found_interchangeable() -> None:
    for steps in range(2, len(STEPS) + 1):
        jumped = machine.step(incumbent(steps), Reanchored(), NOW).peer
        assert jumped.side is not None
        assert (jumped.side.phase, jumped.side.reason) == (PeerPhase.ABORTED, Refusal.MISMATCH)
        assert leading_term(jumped) == 1
    assert machine.step(incumbent(1), Reanchored(), NOW).peer == incumbent(1), "not compared yet"


def test_a_source_that_jumps_after_the_event_changes_nothing() -> None:
    armed = incumbent(len(STEPS))
    assert armed.side is not None
    assert armed.side.frame is not None
    past = machine.step(armed, Stamped(segment=TIMELINE.segment_of(armed.side.frame)), NOW).peer
    assert machine.step(past, Reanchored(), NOW).peer == past
