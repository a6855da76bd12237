"""What a player drew, judged: every picture once, in order, at the time that is its own. Pure.

A picture that the browser composed without asking us to read it (a busy machine) is *unread*: its
count of composed pictures went on as far as the numbers did. Where the call came so late that the
next picture was up already, that one is read at the time of the one before: no fault of the media.
A picture that the browser decoded and had no time to draw is *late*: it says so itself. What none
of this explains is *missing*. A missing picture that the browser did not even decode is
*undecoded*: the media's or the player's fault, however slow the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hitless_handover import pattern

STEADY = 0.05  # of a picture: its number against its time on the media's clock
AHEAD_MAX = 3  # pictures that may be up by the time of the call
DECODED_AHEAD_MAX = 16  # pictures that the browser keeps decoded
LEAPS_MAX = 20  # that are told one by one


@dataclass(slots=True, kw_only=True)
class Watched:
    """One player. Times in seconds.

    numbers: of the first and the last picture. unsteady: pictures that were not at their time on
    the media's clock. longest_s: without a new picture, after the picture longest_at.
    segments_skipped: by the player's own count (hls.js). glass_ms: from the time in a picture's
    number to when it was read. leaps: where pictures were skipped. notes: what it got over by
    itself, such as a request that it asked again.
    """

    name: str
    fps: float
    first: int | None = None
    last: int | None = None
    read: int = 0
    unread: int = 0
    skipped: int = 0
    dropped: int = 0
    disordered: int = 0
    unreadable: int = 0
    unsteady: int = 0
    undecoded: int = 0
    stalls: int = 0
    longest_s: float = 0.0
    longest_at: int = 0
    segments_skipped: int = 0
    latencies_s: list[float] = field(default_factory=list)
    glass_ms: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    leaps: list[str] = field(default_factory=list)
    _base: int | None = None
    _ahead: int = 0
    _presented: int = 0
    _at_ms: float = 0.0
    _segment: int | None = None
    _dropped_before: int | None = None
    _decoded_ahead: int = 0

    def take(self, told: dict[str, object]) -> None:
        """One report of the page."""
        for picture in _list(told["pictures"]):
            bits, media, presented, at_ms = _list(picture)
            self._draw(str(bits), _real(media), int(_real(presented)), _real(at_ms))
        self.stalls = int(_real(told["stalls"]))
        self.errors = [str(error) for error in _list(told["errors"])]
        self.notes = [str(note) for note in _list(told["notes"])]
        dropped = int(_real(told["dropped"]))
        if self.read and self._dropped_before is None:
            self._dropped_before = dropped  # what was late before the first one counts not
        self.dropped = dropped - (self._dropped_before or 0)
        self._decoded(int(_real(told["total"])))
        if self.read and told["latency"] is not None:
            self.latencies_s.append(_real(told["latency"]))
        for number in _list(told["segments"]):
            segment = int(_real(number))
            if self._segment is not None and segment > self._segment + 1:
                self.segments_skipped += segment - self._segment - 1
            self._segment = max(segment, self._segment or 0)

    def _decoded(self, total: int) -> None:
        """So many so far: never fewer than the numbers went on by."""
        if self.first is not None and self.last is not None:
            ahead = total - (self.last - self.first)
            self._decoded_ahead = max(self._decoded_ahead, ahead)
            behind = self._decoded_ahead - ahead - DECODED_AHEAD_MAX
            self.undecoded = max(self.undecoded, behind)

    def _draw(self, bits: str, media: float, presented: int, at_ms: float) -> None:
        number = pattern.number(tuple(int(bit) for bit in bits))
        if number is None:
            self.unreadable += 1
            return
        ahead = self._ahead_of_its_time(number, media)
        if self.last is None:
            self.first = number
        else:
            step = number - self.last
            composed = presented - self._presented + ahead - self._ahead
            self.disordered += step < 0 or (step == 0 and ahead == self._ahead)
            self.unread += max(0, min(step, composed) - 1)
            skipped = max(0, step - max(1, composed))
            self.skipped += skipped
            if skipped and len(self.leaps) < LEAPS_MAX:
                self.leaps.append(
                    f"{skipped} skipped after the picture {self.last} of {self.first}…"
                )
            still_s = (at_ms - self._at_ms) / 1000
            if still_s > self.longest_s:
                self.longest_s, self.longest_at = still_s, self.last
        self.read += 1
        self.glass_ms.append(self._since_the_lens(number, at_ms))
        self.last, self._ahead, self._presented, self._at_ms = number, ahead, presented, at_ms

    def _since_the_lens(self, number: int, at_ms: float) -> int:
        """Milliseconds since the picture's own time: a test pattern numbers frames since 1970."""
        now = at_ms * self.fps / 1000
        return round((now - pattern.nearest(number, int(now))) * 1000 / self.fps)

    def _ahead_of_its_time(self, number: int, media: float) -> int:
        """How many pictures later than the one of this media time was read."""
        exact = number - media * self.fps
        whole = round(exact)
        self._base = whole if self._base is None else min(self._base, whole)
        ahead = whole - self._base
        if abs(exact - whole) > STEADY or ahead > AHEAD_MAX:
            self.unsteady += 1
        return min(ahead, AHEAD_MAX)

    @property
    def missing(self) -> int:
        """Pictures that neither were drawn nor, by the browser's own word, were late."""
        return max(0, self.skipped - self.dropped)

    def faults(self) -> list[str]:
        """What a viewer could have seen or heard; empty: nothing."""
        found = {
            "pictures missing": self.missing,
            "pictures not decoded": self.undecoded,
            "pictures out of order": self.disordered,
            "pictures unreadable": self.unreadable,
            "pictures off their time": self.unsteady,
            "stalls": self.stalls,
            "segments skipped": self.segments_skipped,
        }
        faults = [f"{self.name}: {count} {what}" for what, count in found.items() if count]
        faults += [f"{self.name}: {error}" for error in dict.fromkeys(self.errors)]
        if not self.read:
            faults.append(f"{self.name}: no picture")
        return faults

    def glass(self) -> tuple[int, int]:
        """Glass to glass in ms, in the later half: the median and the 99th of 100."""
        settled = sorted(self.glass_ms[len(self.glass_ms) // 2 :]) or [0]
        return settled[len(settled) // 2], settled[len(settled) * 99 // 100]

    def row(self) -> list[str]:
        """A line of the table; see HEAD."""
        latency = sorted(self.latencies_s)
        middle = f"{latency[len(latency) // 2]:.1f}" if latency else "–"
        figures = (self.read, self.unread, self.dropped, self.missing, self.disordered)
        more = (self.unsteady, self.stalls, self.segments_skipped)
        return [
            self.name,
            *(str(figure) for figure in (*figures, *more)),
            f"{self.longest_s:.2f}",
            middle,
            *(f"{ms / 1000:.1f}" for ms in self.glass()),
        ]


HEAD = [
    "player",
    "pictures read",
    "drawn unread",
    "late",
    "missing",
    "disordered",
    "off time",
    "stalls",
    "segments skipped",
    "longest still, s",
    "latency, s",
    "glass to glass, s",
    "its p99, s",
]


def table(watched: list[Watched]) -> str:
    """Of all players, in Markdown."""
    rows = [HEAD, ["---"] * len(HEAD), *(each.row() for each in watched)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _real(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
