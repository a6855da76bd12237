"""The origin's selection rule: tables of deliveries and what goes on air, and a random drive.

Every test runs through `Channel`, which checks invariants I1 to I4 after each step.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from hitless_handover import selection, selection_model
from hitless_handover.part_selection import PartArrived, PartRules, Parts
from hitless_handover.selection_model import (
    Admission,
    Arrived,
    Effect,
    Publish,
    PublishFailed,
    RecordGap,
    RefusalReason,
    Refused,
    Rules,
    Selection,
    Switched,
    TermRaised,
    Tick,
)
from hitless_handover.timeline import Timeline

TRACKS = ("v0", "v1", "audio")
FRAMES = 60
SEGMENT_US = 2_000_000
DEADLINE_US = 3_000_000
GAP_US = 8_000_000
RULES = Rules(
    tracks=frozenset(TRACKS), segment_frames=FRAMES, deadline_us=DEADLINE_US, gap_us=GAP_US
)


class Channel:
    """One channel driven through `step`, and a witness that judges every effect."""

    def __init__(self) -> None:
        self.state = Selection(rules=RULES)
        self.now_us = 0
        self.wake_at_us: int | None = None
        self.air: list[Publish] = []
        self.gaps: list[RecordGap] = []
        self.effects: list[Effect] = []
        self._tracks: dict[tuple[int, str], dict[str, int]] = {}
        self._complete_us: dict[tuple[int, str], int] = {}
        self._dropped: set[tuple[int, str]] = set()

    def track(self, segment: int, track: str, encoder: str, priority: int) -> list[Effect]:
        key = (segment, encoder)
        held = self._tracks.setdefault(key, {})
        held[track] = max(priority, held.get(track, 0))
        if len(held) == len(TRACKS):
            self._complete_us.setdefault(key, self.now_us)
        return self._step(Arrived(segment=segment, track=track, encoder=encoder, priority=priority))

    def push(self, segment: int, encoder: str, priority: int = 0) -> list[Effect]:
        """All tracks of one segment."""
        return [effect for t in TRACKS for effect in self.track(segment, t, encoder, priority)]

    def wait(self, us: int) -> list[Effect]:
        """Let time pass, waking the core whenever it asked for it."""
        end_us, made = self.now_us + us, list[Effect]()
        while self.wake_at_us is not None and self.wake_at_us <= end_us:
            self.now_us = max(self.now_us, self.wake_at_us)
            made += self._step(Tick())
        self.now_us = end_us
        return made + self._step(Tick())

    def fail(self, segment: int) -> list[Effect]:
        return self._step(PublishFailed(segment=segment))

    def segments(self) -> list[int]:
        return [p.segment for p in self.air]

    def encoders(self) -> str:
        return "".join(p.encoder for p in self.air)

    def _step(self, event: selection_model.Event) -> list[Effect]:
        before = self.state
        result = selection.step(self.state, event, self.now_us)
        self.state, self.wake_at_us = result.state, result.wake_at_us
        for effect in result.effects:
            self._judge(effect)
        self.effects += result.effects
        self._check_bounds(before)
        return list(result.effects)

    def _judge(self, effect: Effect) -> None:
        match effect:
            case Publish():
                self._judge_publish(effect)
            case RecordGap():
                self._judge_gap(effect)
            case Refused():
                self._dropped.add((effect.segment, effect.encoder))

    def _judge_publish(self, publish: Publish) -> None:
        last = self._last()
        assert last is None or publish.segment == last + 1, "I2: not the next segment"
        chosen = self._tracks[publish.segment, publish.encoder]
        assert len(chosen) == len(TRACKS), "I3: the set is not complete from one encoder"
        assert publish.priority == min(chosen.values())
        rivals = [
            min(tracks.values())
            for (segment, encoder), tracks in self._tracks.items()
            if segment == publish.segment
            and len(tracks) == len(TRACKS)
            and (segment, encoder) not in self._dropped
        ]
        assert publish.priority == max(rivals), "not the highest priority"
        highest = max((p.priority for p in self.air), default=0)
        assert publish.fallback or publish.priority >= highest, "I4: back to a lower term"
        if publish.fallback:
            known_us = [us for key, us in self._complete_us.items() if key[0] >= publish.segment]
            assert self.now_us - min(known_us) >= DEADLINE_US, "a fallback before its deadline"
        self.air.append(publish)

    def _judge_gap(self, gap: RecordGap) -> None:
        if self.air and gap.first == gap.last == self.air[-1].segment:
            self.air.pop()  # PublishFailed
            self.gaps.append(gap)
            return
        last = self._last()
        assert last is not None
        assert gap.first == last + 1
        lost = {
            key
            for key, tracks in self._tracks.items()
            if gap.first <= key[0] <= gap.last and len(tracks) == len(TRACKS)
        }
        assert lost <= self._dropped, "I1: a gap where an encoder had delivered"
        self.gaps.append(gap)

    def _last(self) -> int | None:
        decided = [p.segment for p in self.air] + [g.last for g in self.gaps]
        return max(decided, default=None)

    def _check_bounds(self, before: Selection) -> None:
        state = self.state
        numbers = [slot.segment for slot in state.slots]
        assert numbers == sorted(set(numbers))
        waiting = [n for n in numbers if state.last is None or n > state.last]
        assert len(waiting) <= selection_model.PENDING_MAX
        assert len(numbers) - len(waiting) <= selection_model.HISTORY_MAX
        assert all(len(slot.deliveries) <= selection_model.DELIVERIES_MAX for slot in state.slots)
        assert len(state.switches) <= selection_model.SWITCHES_MAX
        assert state.term >= before.term
        made = sum(isinstance(e, Publish) and e.fallback for e in self.effects)
        assert state.fallbacks == made
        assert state.gaps == sum(g.last - g.first + 1 for g in self.gaps)
        assert self.wake_at_us is None or self.wake_at_us > self.now_us


@pytest.fixture
def channel() -> Iterator[Channel]:
    channel = Channel()
    yield channel
    decided = channel.segments() + [
        k for gap in channel.gaps for k in range(gap.first, gap.last + 1)
    ]
    assert len(decided) == len(set(decided)), "I2: a segment was decided twice"
    if decided:
        assert sorted(decided) == list(range(min(decided), max(decided) + 1))


def test_the_first_complete_segment_starts_the_timeline_at_once(channel: Channel) -> None:
    assert channel.track(100, "v0", "a", 0) == []
    assert channel.track(100, "v1", "a", 0) == []
    assert channel.track(100, "audio", "a", 0) == [
        Publish(segment=100, encoder="a", priority=0, fallback=False, term=0)
    ]
    assert channel.push(99, "b", 5)[-1] == Refused(
        segment=99, encoder="b", reason=RefusalReason.GONE
    )


def test_segments_are_published_in_order_as_they_complete(channel: Channel) -> None:
    for k in (5, 6, 8, 7, 9):
        channel.push(k, "a", 1)
    assert channel.segments() == [5, 6, 7, 8, 9]
    assert channel.wake_at_us is None


def test_a_delivery_needs_every_track_from_one_encoder(channel: Channel) -> None:
    channel.track(5, "v0", "a", 1)
    channel.track(5, "v1", "a", 1)
    channel.track(5, "audio", "b", 1)
    assert channel.wait(10 * DEADLINE_US) == []
    channel.track(5, "audio", "a", 1)
    assert channel.encoders() == "a"


def test_a_delivery_is_worth_its_lowest_track(channel: Channel) -> None:
    channel.push(5, "a", 1)
    channel.track(6, "v0", "b", 2)
    channel.track(6, "v1", "b", 2)
    channel.track(6, "v1", "b", 0)  # a resend takes nothing back
    assert channel.track(6, "audio", "b", 0) == []
    [publish, _] = channel.track(6, "audio", "b", 2)  # the resend carries the term
    assert publish == Publish(segment=6, encoder="b", priority=2, fallback=False, term=2)


@pytest.mark.parametrize("first", ["incumbent", "successor"])
def test_the_term_wins_whoever_is_faster(channel: Channel, first: str) -> None:
    def both(k: int, incumbent: int, successor: int) -> None:
        pair = [("i", incumbent), ("s", successor)]
        for encoder, priority in pair if first == "incumbent" else pair[::-1]:
            channel.push(k, encoder, priority)

    channel.push(9, "i", 1)
    for k in range(10, 14):
        both(k, 1, 0)
    for k in range(14, 18):
        both(k, 0, 2)
    assert channel.encoders() == "iiiiissss"
    assert channel.state.fallbacks == 0
    [switch] = channel.state.switches
    assert (switch.segment, switch.from_encoder, switch.to_encoder) == (14, "i", "s")
    assert (switch.from_priority, switch.to_priority, switch.fallback) == (1, 2, False)
    assert (switch.gap_frames, switch.overlap_frames) == (0, 8 * FRAMES)


def test_a_stale_incumbent_does_no_harm(channel: Channel) -> None:
    channel.push(10, "i", 1)
    channel.push(11, "s", 2)
    assert channel.push(11, "i", 1) == [Switched(switch=channel.state.switches[0])]
    assert channel.push(12, "i", 1) == []  # below the term: waits
    channel.push(12, "s", 2)
    assert channel.encoders() == "iss"


def test_a_late_higher_term_rules_from_the_next_segment(channel: Channel) -> None:
    channel.push(10, "i", 1)
    channel.push(11, "i", 1)
    assert channel.push(11, "s", 2) == [TermRaised(term=2)]
    assert channel.push(12, "i", 1) == []
    channel.push(12, "s", 2)
    assert channel.encoders() == "iis"


def test_a_later_segments_term_does_not_hold_up_an_earlier_one(channel: Channel) -> None:
    channel.push(10, "i", 1)
    channel.push(11, "s", 0)
    channel.push(12, "s", 2)
    assert channel.push(11, "i", 1) != []
    assert channel.encoders() == "iis"
    assert channel.state.fallbacks == 0


def test_a_fallback_waits_for_the_deadline_and_is_counted(channel: Channel) -> None:
    channel.push(10, "s", 2)
    assert channel.push(11, "i", 0) == []
    assert channel.wake_at_us == DEADLINE_US
    assert channel.wait(DEADLINE_US - 1) == []
    [publish, switched] = channel.wait(1)
    assert publish == Publish(segment=11, encoder="i", priority=0, fallback=True, term=2)
    assert isinstance(switched, Switched)
    assert switched.switch.fallback
    assert channel.state.fallbacks == 1
    channel.push(12, "s", 2)  # the leader is back: at once, and no fallback
    assert channel.encoders() == "sis"
    assert channel.state.fallbacks == 1


def test_a_better_fallback_that_came_later_wins(channel: Channel) -> None:
    channel.push(10, "s", 3)
    channel.push(11, "x", 0)
    channel.wait(SEGMENT_US)
    channel.push(11, "y", 2)
    channel.wait(SEGMENT_US)
    assert channel.encoders() == "sy"
    assert channel.air[-1].fallback


def test_rollback_is_a_higher_term_for_the_old_encoder(channel: Channel) -> None:
    channel.push(10, "i", 1)
    channel.push(11, "s", 2)
    channel.push(12, "i", 3)
    channel.push(12, "s", 0)
    channel.push(13, "i", 3)
    assert channel.encoders() == "isii"
    assert channel.state.fallbacks == 0


def test_published_is_published(channel: Channel) -> None:
    channel.push(10, "a", 1)
    assert channel.push(10, "a", 1) == []
    assert channel.push(10, "b", 9) == [TermRaised(term=9)]
    assert channel.segments() == [10]


def test_equal_priorities_stay_with_the_encoder_on_air(channel: Channel) -> None:
    channel.push(10, "a", 1)
    channel.push(12, "b", 1)
    channel.push(12, "a", 1)
    channel.push(11, "a", 1)
    assert channel.encoders() == "aaa"


def test_a_missing_segment_waits_and_becomes_a_gap(channel: Channel) -> None:
    channel.push(10, "a", 1)
    channel.wait(2 * SEGMENT_US)
    channel.push(12, "a", 1)
    assert channel.wait(DEADLINE_US - 1) == []
    [gap, publish] = channel.wait(1)
    assert gap == RecordGap(first=11, last=11)
    assert isinstance(publish, Publish)
    assert channel.push(11, "a", 1)[-1] == Refused(
        segment=11, encoder="a", reason=RefusalReason.GONE
    )
    assert selection.admission(channel.state, 11) is Admission.GONE
    assert channel.state.gaps == 1
    assert channel.state.switches == ()


def test_a_missing_segment_that_comes_in_time_is_no_gap(channel: Channel) -> None:
    channel.push(10, "a", 1)
    channel.push(12, "a", 1)
    channel.wait(DEADLINE_US - 1)
    channel.push(11, "a", 1)
    assert channel.segments() == [10, 11, 12]


def test_before_a_newcomers_first_segment_the_leader_may_be_later(channel: Channel) -> None:
    channel.push(10, "a", 2)
    channel.wait(SEGMENT_US)
    channel.push(12, "new", 1)
    channel.wait(GAP_US - SEGMENT_US - 1)
    channel.push(11, "a", 2)
    assert channel.segments() == [10, 11, 12]
    assert channel.gaps == []
    assert channel.state.fallbacks == 1  # 12, which has waited for its own deadline by now


def test_before_a_newcomers_first_segment_a_leader_that_is_gone_is_not_waited_for(
    channel: Channel,
) -> None:
    channel.push(10, "a", 2)
    channel.wait(SEGMENT_US)
    channel.push(12, "new", 1)
    assert channel.wait(GAP_US - SEGMENT_US - 1) == []
    [gap, publish, switched] = channel.wait(1)
    assert gap == RecordGap(first=11, last=11)
    assert isinstance(publish, Publish)
    assert publish.fallback
    assert isinstance(switched, Switched)


def test_a_leader_that_went_past_a_segment_is_not_waited_for_longer(channel: Channel) -> None:
    channel.push(10, "a", 2)
    channel.push(12, "new", 1)
    channel.push(12, "a", 2)
    assert channel.wait(DEADLINE_US)[0] == RecordGap(first=11, last=11)


def test_incomplete_segments_in_a_gap_are_dropped(channel: Channel) -> None:
    channel.push(10, "a", 1)
    channel.track(11, "v0", "a", 1)
    channel.push(12, "a", 1)
    assert channel.wait(DEADLINE_US)[:2] == [
        RecordGap(first=11, last=11),
        Refused(segment=11, encoder="a", reason=RefusalReason.GONE),
    ]


def test_a_long_outage_is_one_gap(channel: Channel) -> None:
    channel.push(10, "a", 1)
    channel.wait(3600 * 1_000_000)
    channel.push(1_000_010, "b", 2)
    [gap, publish, switched] = channel.wait(DEADLINE_US)
    assert gap == RecordGap(first=11, last=1_000_009)
    assert isinstance(publish, Publish)
    assert isinstance(switched, Switched)
    assert switched.switch.gap_frames == 999_999 * FRAMES
    assert channel.state.gaps == 999_999


def test_an_encoder_far_ahead_makes_no_gap_while_another_delivers(channel: Channel) -> None:
    channel.push(10, "a", 1)
    channel.push(5000, "mad", 0)
    for k in range(11, 40):
        channel.wait(SEGMENT_US)
        channel.push(k, "a", 1)
    assert channel.encoders() == "a" * 30
    assert channel.gaps == []


def test_a_switch_over_a_gap_reports_it(channel: Channel) -> None:
    channel.push(10, "i", 1)
    channel.push(13, "s", 2)
    channel.wait(DEADLINE_US)
    [switch] = channel.state.switches
    assert (switch.segment, switch.gap_frames, switch.overlap_frames) == (13, 2 * FRAMES, 0)


def test_overlap_counts_both_sides_up_to_its_reach(channel: Channel) -> None:
    for k in range(100, 140):
        channel.push(k, "i", 1 if k < 120 else 0)
        channel.push(k, "s", 2 if k >= 120 else 0)
    [switch] = channel.state.switches
    assert switch.overlap_frames == (2 * selection_model.OVERLAP_REACH + 1) * FRAMES
    grown = [e.switch.overlap_frames for e in channel.effects if isinstance(e, Switched)]
    assert grown == sorted(grown)
    assert grown[-1] == switch.overlap_frames


def test_a_failed_publication_becomes_a_gap(channel: Channel) -> None:
    channel.push(10, "a", 1)
    channel.push(11, "a", 1)
    assert channel.fail(11) == [RecordGap(first=11, last=11)]
    channel.push(12, "b", 2)
    assert channel.segments() == [10, 12]
    assert channel.state.switches[0].gap_frames == FRAMES
    assert channel.fail(13) == []  # was not published


def test_an_encoder_that_never_completes_does_not_block_another(channel: Channel) -> None:
    channel.push(0, "broken", 1)
    for k in range(1, 100):
        channel.track(k, "v0", "broken", 1)
        channel.wait(SEGMENT_US)
    for k in range(100, 110):
        channel.push(k, "b", 2)
        channel.track(k, "v0", "broken", 1)
        channel.wait(SEGMENT_US)
    assert channel.segments() == [0, *range(100, 110)]


def test_nobody_pushes_out_what_is_just_being_delivered(channel: Channel) -> None:
    channel.push(0, "a", 1)
    for k in range(1000, 1000 + selection_model.PENDING_MAX):
        channel.track(k, "v0", "mad", 9)
    channel.wait(1)
    channel.track(1, "v0", "a", 1)
    for k in range(2000, 2010):
        channel.track(k, "v0", "mad", 9)
    channel.track(1, "v1", "a", 1)
    channel.track(1, "audio", "a", 1)
    assert channel.segments() == [0, 1]


def test_too_many_undecided_segments_are_refused_or_replaced(channel: Channel) -> None:
    channel.push(0, "a", 1)
    for k in range(selection_model.PENDING_MAX):
        channel.push(100 + k, "mad", 0)
    assert selection.admission(channel.state, 9000) is Admission.TOO_FAR
    assert {type(e) for e in channel.push(9000, "mad", 0)} == {Refused}
    channel.push(1, "a", 1)
    assert channel.segments() == [0, 1]
    assert (
        Refused(
            segment=100 + selection_model.PENDING_MAX - 1,
            encoder="mad",
            reason=RefusalReason.TOO_FAR,
        )
        in channel.effects
    )


def test_too_many_encoders_are_refused(channel: Channel) -> None:
    channel.push(0, "a", 1)
    for i in range(selection_model.DELIVERIES_MAX + 1):
        channel.track(1, "v0", f"e{i}", 0)
    assert channel.effects[-1] == Refused(
        segment=1, encoder=f"e{selection_model.DELIVERIES_MAX}", reason=RefusalReason.CROWDED
    )


def test_switches_and_history_are_bounded(channel: Channel) -> None:
    for k in range(200):
        channel.push(k, "ab"[k % 2], k + 1)
    assert channel.state.switch_count == 199
    assert len(channel.state.switches) == selection_model.SWITCHES_MAX
    assert selection.admission(channel.state, 0) is Admission.GONE
    assert selection.admission(channel.state, 199) is Admission.LATE
    assert selection.admission(channel.state, 200) is Admission.OPEN


@pytest.mark.parametrize(
    ("rate_num", "rate_den", "frames", "deadline_us"),
    [(30, 1, 60, 3_000_000), (30_000, 1001, 60, 3_003_000), (25, 1, 25, 1_500_000)],
)
def test_the_default_deadline_is_one_and_a_half_segments(
    rate_num: int, rate_den: int, frames: int, deadline_us: int
) -> None:
    timeline = Timeline(
        rate_num=rate_num, rate_den=rate_den, segment_frames=frames, gop_frames=frames
    )
    assert selection_model.publish_deadline_us(timeline) == deadline_us


# --- random drive -----------------------------------------------------------------------------


def _deliveries(rng: random.Random) -> list[tuple[int, int, str, str, int]]:
    """A handover and rollback, ill delivered: (time, segment, track, encoder, priority)."""
    chances = {name: rng.choice((0.0, 0.02, 0.2)) for name in ("lost", "late", "twice")}
    out: list[tuple[int, int, str, str, int]] = []
    handover, rollback = rng.randrange(8, 20), rng.randrange(20, 36)
    for k in range(1000, 1040):
        terms = {"i": 1, "s": 0}
        if k - 1000 >= handover:
            terms = {"i": rng.choice((0, 1)), "s": 2}  # sometimes partitioned: still says 1
        if k - 1000 >= rollback:
            terms = {"i": 3, "s": rng.choice((0, 2))}
        for encoder, term in terms.items():
            for track in TRACKS:
                if rng.random() < chances["lost"]:
                    continue
                at_us = (k - 1000) * SEGMENT_US + rng.randrange(SEGMENT_US // 2)
                if rng.random() < chances["late"]:
                    at_us += rng.randrange(4 * SEGMENT_US)
                for _ in range(1 + (rng.random() < chances["twice"])):
                    out.append((at_us, k, track, encoder, term))
                    at_us += rng.randrange(SEGMENT_US)
    rng.shuffle(out)
    return sorted(out, key=lambda each: each[0])


@pytest.mark.parametrize("seed", range(150))
def test_random_deliveries_keep_the_invariants(channel: Channel, seed: int) -> None:
    for at_us, segment, track, encoder, term in _deliveries(random.Random(seed)):
        if at_us > channel.now_us:
            channel.wait(at_us - channel.now_us)
        channel.track(segment, track, encoder, term)
    channel.wait(10 * DEADLINE_US)
    assert channel.wake_at_us is None
    assert len(channel.air) >= 1


# --- editions ---------------------------------------------------------------------------------


def test_a_delivery_is_complete_with_the_tracks_of_its_edition() -> None:
    state = Selection(rules=RULES)
    for track in ("v0", "hd"):
        event = Arrived(
            segment=1,
            track=track,
            encoder="b",
            priority=1,
            edition=3,
            tracks=frozenset(("v0", "hd")),
        )
        result = selection.step(state, event, 0)
        state = result.state
    assert result.effects == (
        Publish(segment=1, encoder="b", priority=1, fallback=False, term=1, edition=3),
    )
    assert state.edition == 3


def test_parts_of_another_edition_are_forgotten_at_the_change() -> None:
    """A segment of which all parts have come in advance is no reason to go back to its encoder."""
    rules = PartRules(
        tracks=frozenset(TRACKS), per_segment=2, per_gop=2, deadline_us=10, patience_us=100
    )
    state = Selection(
        rules=RULES,
        last=4,
        published=4,
        encoder="a",
        term=1,
        priority=1,
        parts=Parts(rules=rules, segment=5, skipped=7),
    )
    events: list[selection_model.Event] = [
        PartArrived(segment=6, part=part, track=track, encoder="a", priority=0, digest="x")
        for part in range(2)
        for track in TRACKS
    ]
    events += [Arrived(segment=6, track=track, encoder="a", priority=0) for track in TRACKS]
    for event in events:
        state = selection.step(state, event, 0).state
    other = Arrived(
        segment=5,
        track="hd",
        encoder="b",
        priority=2,
        edition=1,
        tracks=frozenset(("hd",)),
    )
    result = selection.step(state, other, 1000)
    assert [type(effect) for effect in result.effects] == [Publish, Switched]
    assert result.state.last == 5
    assert result.state.parts == Parts(rules=rules, segment=6, advanced_us=1000, skipped=7)
