"""Nonsense over HTTP: no answer but the documented ones, nothing outside the folder, no leak.

One origin process takes it all, while a neighbour channel is pushed and read. The examples are the
same in each run; FUZZ_EXAMPLES=10000 makes more of them.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hack.bench_origin.processes import origin, rss_kb
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, box, describe, init_segment, recipe

from hitless_origin import boxes
from hitless_wire.ingest import ChannelDescription

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
PURE_EXAMPLES = EXAMPLES * 3
RSS_GROWTH_KB_MAX = 64 * 1024
FILES_GROWTH_MAX = 16
NEIGHBOUR_EVERY = 20  # requests
SECRET = b"nobody may read this"
DOCUMENTED = frozenset(
    {200, 201, 202, 204, 206, 304, 400, 403, 404, 405, 408, 409, 410, 412, 413, 416, 417, 422, 503}
)
DESCRIPTION = describe(SHORT_GOPS, part_frames=5)
SINGLE = DESCRIPTION.model_copy(update={"tracks": DESCRIPTION.tracks[:1]})
VIDEO = DESCRIPTION.tracks[0]
RIGHT = recipe(DESCRIPTION, VIDEO, FIRST, b"filler").make()
INIT = init_segment(VIDEO)
FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"})
_BOX_NAMES = "ftyp styp moov moof trak traf mdia mdhd hdlr mvex trex mfhd tfhd tfdt trun mdat free"
fuzzed = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
pure = settings(max_examples=PURE_EXAMPLES, derandomize=True, deadline=None, database=None)


@dataclass(slots=True)
class Target:
    """An origin, its neighbour channel, and what was so before the nonsense."""

    url: str
    pid: int
    folder: Path
    asked: Iterator[int] = field(default_factory=itertools.count)
    neighbours: int = 0

    def send(
        self, method: bytes, target: bytes, headers: Mapping[bytes, bytes], body: bytes = b""
    ) -> tuple[int, bytes]:
        """Bytes as they are; the answer must be a documented one."""
        if next(self.asked) % NEIGHBOUR_EVERY == 0:
            self.neighbour()
        status, answer = self.exchange(method, target, headers, body)
        assert status in DOCUMENTED, (status, method, target, headers, answer[:500])
        assert SECRET not in answer
        return status, answer

    def exchange(
        self, method: bytes, target: bytes, headers: Mapping[bytes, bytes], body: bytes
    ) -> tuple[int, bytes]:
        lines = {b"Host": b"origin", b"Content-Length": b"%d" % len(body), b"Connection": b"close"}
        head = b"".join(b"%s: %s\r\n" % pair for pair in (lines | dict(headers)).items())
        at = urlsplit(self.url)
        with socket.create_connection((at.hostname, at.port or 0), timeout=60) as connection:
            try:
                connection.sendall(b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, target, head, body))
                if any(each.lower() in FRAMING for each in headers):
                    connection.shutdown(socket.SHUT_WR)  # it may wait for more than there is
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before it was read
            name = method.decode("latin-1")
            response = http.client.HTTPResponse(connection, method=name)
            try:
                response.begin()
                return response.status, response.read()
            except ConnectionResetError:
                return 400, b""  # closed with bytes unread: of a body that was refused

    def push(self, path: str, body: bytes) -> tuple[int, bytes]:
        headers = {
            b"Hitless-Encoder": b"a",
            b"Hitless-Priority": b"1",
            b"Hitless-Digest": hashlib.sha256(body).hexdigest().encode(),
        }
        return self.send(b"PUT", f"/ingest/demo/{path}".encode(), headers, body)

    def introduce(self, channel: str, description: ChannelDescription) -> None:
        body = description.model_dump_json(by_alias=True).encode()
        assert self.push(f"{channel}/description.json", body)[0] in (200, 201)
        for track in description.tracks:
            assert self.push(f"{channel}/{track.name}/init.mp4", init_segment(track))[0] < 300

    def neighbour(self) -> None:
        """The other channel gets its next segment, and shows it."""
        segment, self.neighbours = FIRST + self.neighbours, self.neighbours + 1
        body = recipe(SINGLE, VIDEO, segment).make()
        headers = {
            b"Hitless-Encoder": b"n",
            b"Hitless-Priority": b"1",
            b"Hitless-Digest": hashlib.sha256(body).hexdigest().encode(),
        }
        path = b"/ingest/demo/other/v0/%d.m4s" % segment
        assert self.exchange(b"PUT", path, headers, body)[0] == 201
        _, playlist = self.exchange(b"GET", b"/live/demo/other/v0/media.m3u8", {}, b"")
        assert b"%d.m4s\n" % segment in playlist
        path = b"/live/demo/other/v0/%d.m4s" % segment
        assert self.exchange(b"GET", path, {}, b"") == (200, body)

    def files(self) -> int:
        """How many the origin has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "secret").write_bytes(SECRET)
    with origin(folder / "data", "--channels-max", "8") as process:
        target = Target(url=process.url, pid=process.pid, folder=folder)
        target.neighbours = 0
        body = SINGLE.model_dump_json(by_alias=True).encode()
        headers = {b"Hitless-Encoder": b"n"}
        path = b"/ingest/demo/other/"
        assert target.exchange(b"PUT", path + b"description.json", headers, body)[0] == 201
        assert target.exchange(b"PUT", path + b"v0/init.mp4", headers, INIT)[0] == 201
        target.introduce("news", DESCRIPTION)
        assert target.push(f"news/v0/{FIRST}.m4s", RIGHT)[0] == 201
        rss, files = rss_kb(target.pid), target.files()
        yield target
        target.neighbour()
        assert rss_kb(target.pid) - rss < RSS_GROWTH_KB_MAX
        assert target.files() - files < FILES_GROWTH_MAX
        assert sorted(path.name for path in folder.iterdir()) == ["data", "data.log", "secret"]
        assert sorted(path.name for path in (folder / "data").iterdir()) == ["channels", "lock"]
        for kept in (folder / "data" / "channels").rglob("*"):
            assert re.fullmatch(r"[a-z0-9.-]+", kept.name), kept
        log = (folder / "data.log").read_text()
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]


PIECES = st.one_of(
    st.sampled_from(
        [
            *("..", ".", "", "%2e%2e", "%2E.", "..%2f..", "%2fetc%2fpasswd", "%00", "\\..", "%5c"),
            *("live", "ingest", "api", "v1", "channels", "demo", "news", "other", "v0", "audio"),
            *("secret", "lock", "journal.jsonl", "description.json", "init.mp4", "media.m3u8"),
            *("master.m3u8", "manifest.mpd", "0.m4s", f"{FIRST}.m4s", f"{FIRST + 1}.0.m4s"),
            *(
                f"t{FIRST * 50_000}.m4s",
                "9" * 16 + ".m4s",
                "9" * 5000 + ".m4s",
                "x" * 9000,
                "%c3%28",
            ),
        ]
    ),
    st.text(
        st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters="/?#"), max_size=12
    ),
)
QUERIES = st.one_of(
    st.just(""),
    st.builds(
        "?{}={}&{}".format,
        st.sampled_from(["_HLS_msn", "_HLS_part", "v", "comparison", "start", "CMCD", "%00"]),
        st.sampled_from(
            ["1", "-1", "9" * 30, "9" * 5000, "%00", "", "a", f"{FIRST}", "1e3", "%ff"]
        ),
        st.sampled_from(["", "_HLS_part=0", "_HLS_part=-1", "_HLS_msn=1&_HLS_msn=2", "=&=&&"]),
    ),
)
METHODS = st.sampled_from(
    [b"GET", b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"FOO"]
)


@fuzzed
@given(METHODS, st.lists(PIECES, min_size=1, max_size=7), QUERIES)
def test_paths(target: Target, method: bytes, pieces: list[str], query: str) -> None:
    path = "/" + "/".join(pieces) + query
    target.send(method, path.encode("latin-1", "replace"), {b"Hitless-Encoder": b"a"})


@fuzzed
@given(
    st.lists(st.sampled_from(["", "live", "demo", "news", "v0", "..", "%2e%2e"]), max_size=6),
    st.sampled_from(["secret", "lock", "description.json", "journal.jsonl", f"{FIRST}.m4s"]),
)
def test_no_path_leads_out(target: Target, pieces: list[str], name: str) -> None:
    target.send(b"GET", "/".join(["", "live", "demo", "news", *pieces, name]).encode(), {})
    status, _ = target.push("/".join(["news", *pieces, name]), b"x")
    assert status in (400, 403, 404, 409, 422, 200) or name.endswith(".m4s")


WORDS = st.one_of(
    st.sampled_from(
        [b"", b"a", b"A", b"../x", b"a" * 64, b"a" * 5000, b"\xff", b"0", b"-1", b"01"]
    ),
    st.sampled_from([b"9" * 18, b"9" * 19, b"allowed", b"f" * 64, b"F" * 64, b"chunked", b"gzip"]),
    st.binary(max_size=20).map(lambda raw: bytes(b for b in raw if b > 32 and b != 127)),
)
NAMES = st.sampled_from(
    [
        *(b"Hitless-Encoder", b"Hitless-Priority", b"Hitless-Digest", b"Hitless-Discontinuity"),
        *(b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Content-Type", b"Expect"),
        *(b"Range", b"If-None-Match", b"If-Range", b"If-Modified-Since", b"Accept-Encoding"),
        *(b"Host", b"Connection", b"Upgrade", b"Origin", b"X-Forwarded-For", b"CMCD-Session"),
    ]
)
RANGES = [b"bytes=-0", b"bytes=5-1", b"bytes=0-0,2-3", b"bytes=" + b"9" * 40 + b"-", b"lines=1-2"]


@fuzzed
@given(
    st.sampled_from([b"GET", b"HEAD", b"PUT"]),
    st.sampled_from(
        [
            *("live/demo/news/master.m3u8", f"live/demo/news/v0/{FIRST}.m4s"),
            *(f"ingest/demo/news/v0/{FIRST + 2}.m4s", "ingest/demo/news/description.json"),
            *("api/v1/channels", "metrics", ""),
        ]
    ),
    st.dictionaries(NAMES, st.one_of(WORDS, st.sampled_from(RANGES)), max_size=6),
    st.binary(max_size=40),
)
def test_headers(
    target: Target, method: bytes, path: str, headers: dict[bytes, bytes], body: bytes
) -> None:
    target.send(method, b"/" + path.encode(), headers, body)


@st.composite
def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """A few bytes changed, left out, doubled or put in; fields' own sizes are likely hit."""
    made = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.one_of(st.integers(0, min(len(made), 200)), st.integers(0, len(made))))
        match draw(st.sampled_from(["byte", "word", "cut", "end", "double"])):
            case "byte":
                made[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "word":
                words = st.sampled_from([0, 1, 8, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
                made[at : at + 4] = struct.pack(">I", draw(words))
            case "cut":
                del made[at : at + draw(st.integers(1, 64))]
            case "end":
                del made[at:]
            case "double":
                made[at:at] = made[at : at + draw(st.integers(1, 600))]
    return bytes(made)


TREES = st.recursive(
    st.builds(box, st.sampled_from(_BOX_NAMES.split()).map(str.encode), st.binary(max_size=40)),
    lambda inner: st.builds(
        lambda kind, parts: box(kind, *parts),
        st.sampled_from(_BOX_NAMES.split()).map(str.encode),
        st.lists(inner, max_size=5),
    ),
    max_leaves=20,
)
BODIES = st.one_of(
    st.binary(max_size=64), mutated(RIGHT), mutated(INIT), st.lists(TREES, max_size=4).map(b"".join)
)


@fuzzed
@given(st.sampled_from(["v0/init.mp4", f"v0/{FIRST + 1}.m4s", f"v0/{FIRST + 2}.0.m4s"]), BODIES)
def test_bodies(target: Target, name: str, body: bytes) -> None:
    status, answer = target.push(f"news/{name}", body)
    if status >= 400:
        assert set(json.loads(answer)) == {"error", "expected", "got", "hint"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 1 << 64, 10**400])
    | st.floats()
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@fuzzed
@given(
    st.dictionaries(
        st.sampled_from([*DESCRIPTION.model_dump(by_alias=True), "more"]), JSON, max_size=3
    ),
    st.dictionaries(st.sampled_from([*VIDEO.model_dump(by_alias=True), "more"]), JSON, max_size=2),
    st.sampled_from(["news", "c0", "c1"]),
)
def test_descriptions(
    target: Target, changed: dict[str, object], track: dict[str, object], channel: str
) -> None:
    said = DESCRIPTION.model_dump(mode="json", by_alias=True)
    said["tracks"][0] |= track
    target.push(f"{channel}/description.json", json.dumps(said | changed).encode())


@pure
@given(BODIES)
def test_boxes_are_read_or_refused(body: bytes) -> None:
    facts = boxes.read_init(INIT)
    for read in (boxes.read_init, lambda data: boxes.read_fragments(data, facts)):
        try:
            read(body)
        except boxes.BoxError:
            continue
