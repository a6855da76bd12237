"""What an end-to-end test does with a channel, through kubectl, the probe and the origin."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.lab import ROOT, Lab, run, until

CHANNEL = "ch"
ENCODER = "localhost/hitless/encoder"
HITLESS = ROOT / ".venv" / "bin" / "hitless"
PROBE_SECONDS_MAX = 1800
PROBE_END_DEADLINE_S = 120
STALL_TOLERANCE_S = 120  # speed is not what these tests judge
SEGMENT_FRAMES = 60

ANY_SPEED = {"speedMinPercent": 0, "lateMaxMs": 60_000}

SMALL_LADDER = [
    {"name": "v180", "width": 320, "height": 180, "maxKbps": 400},
    {"name": "v144", "width": 256, "height": 144, "maxKbps": 250},
]


def manifest(image: str, name: str = CHANNEL, **spec: Any) -> dict[str, Any]:
    """An EncoderDeployment with a small ladder, so that two encoders fit a small machine."""
    return {
        "apiVersion": "hitless.video/v1alpha1",
        "kind": "EncoderDeployment",
        "metadata": {"name": name},
        "spec": {
            "image": image,
            "source": {"url": "testpattern:"},
            "profiles": SMALL_LADDER,
            **spec,
            "handover": {"holdSegments": 2, "verify": ANY_SPEED, **spec.get("handover", {})},
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel of a test's namespace, the only one unless it has another name."""

    lab: Lab
    namespace: str
    name: str = CHANNEL

    def apply(self, image: str, **spec: Any) -> None:
        self.kubectl("apply", "-f", "-", text=json.dumps(manifest(image, self.name, **spec)))

    def set_image(self, image: str) -> None:
        self.patch({"image": image})

    def patch(self, spec: dict[str, Any]) -> None:
        body = json.dumps({"spec": spec})
        self.kubectl("patch", "encd", self.name, "--type", "merge", "-p", body)

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return self.lab.kubectl("-n", self.namespace, *arguments, text=text)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.lab.get("-n", self.namespace, "encd", self.name)
        status: dict[str, Any] = found.get("status", {})
        return status

    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = self.lab.get("-n", self.namespace, "encd", self.name)["spec"]
        return found

    def handover(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status().get("handover") or {}
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        rows = self.status().get("conditions") or []
        found: dict[str, Any] = next((row for row in rows if row["type"] == kind), {})
        return found

    def pods(self) -> list[str]:
        items = self.lab.get("-n", self.namespace, "pods")["items"]
        alive = [i for i in items if not i["metadata"].get("deletionTimestamp")]
        return sorted(str(item["metadata"]["name"]) for item in alive)

    def report(self) -> dict[str, Any]:
        """What the origin did with the channel."""
        url = f"{self.lab.origin_url()}/api/v1/channels/{self.namespace}/{self.name}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    # --- waiting ---

    def until_phase(self, phase: str, deadline_s: int = 180) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if status.get("phase") == phase else None

        return until(f"{self.namespace} {phase}", look, deadline_s=deadline_s)

    def until_handover(self, *phases: str, term: int = 0, deadline_s: int = 240) -> dict[str, Any]:
        """Until the handover with at least that term is in one of the phases."""

        def look() -> dict[str, Any] | None:
            handover = self.handover()
            reached = handover.get("phase") in phases and handover["term"] >= term
            return handover if reached else None

        return until(f"{self.namespace} handover {phases}", look, deadline_s=deadline_s)

    def update(self, image: str) -> dict[str, Any]:
        """Change the image and wait for the completed handover."""
        term = self.status()["term"]
        self.set_image(image)
        handover = self.until_handover("Completed", "Aborted", "RolledBack", term=term + 1)
        assert handover["phase"] == "Completed", handover
        return handover

    def until_observed(self) -> None:
        """Until the operator has seen the spec as it is: before, a fleet's update passes it by."""

        def look() -> bool | None:
            found = self.lab.get("-n", self.namespace, "encd", self.name)
            seen: bool = found["status"]["observedGeneration"] == found["metadata"]["generation"]
            return seen or None

        until(f"{self.namespace} {self.name} observed", look)

    def until_segment(self, segment: int) -> None:
        """Until the origin has published it."""

        def look() -> bool | None:
            return True if (self.report()["lastSegment"] or 0) >= segment else None

        until(f"{self.namespace} segment {segment}", look)

    def until_alone(self, pod: str) -> None:
        """Until that encoder is the only one left."""

        def look() -> bool | None:
            return True if self.pods() == [pod] else None

        until(f"{pod} alone", look)

    # --- watching ---

    @contextlib.contextmanager
    def watched(self, *options: str) -> Iterator[Probe]:
        """`hitless probe` for as long as the block lasts; its report is checked by the test."""
        url = self.status()["endpoints"]["hls"]
        command = [str(HITLESS), "probe", url, "--json", "--seconds", str(PROBE_SECONDS_MAX)]
        command += ["--stall-tolerance", str(STALL_TOLERANCE_S)]
        process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        probe = Probe(process=process)
        try:
            yield probe
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A running `hitless probe`."""

    process: subprocess.Popen[str]

    def end(self) -> dict[str, Any]:
        """Stop watching; the report."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=PROBE_END_DEADLINE_S)
        report: dict[str, Any] = json.loads(out)
        return report


def make_media(path: Path, seconds: int = 60) -> Path:
    """ffmpeg's test sources as a file: 320x180, 29.97 fps, 2 B-frames, AAC 48 kHz stereo."""
    run(
        [
            "ffmpeg", "-v", "error", "-y",
            "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30000/1001",
            "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
            "-t", str(seconds),
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "30",
            "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k", "-ac", "2",
            "-f", "mpegts", path,
        ],
        deadline_s=300,
    )  # fmt: skip
    return path


@contextlib.contextmanager
def multicast(media: Path, group: str, lab: Lab) -> Iterator[None]:
    """ffmpeg sends the file, over and over, in real time, from the host to a multicast group."""
    local = run(["ip", "-o", "route", "get", lab.node_address()]).split(" src ")[1].split()[0]
    sender = subprocess.Popen(
        [
            "ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(media),
            "-c", "copy", "-f", "mpegts",
            f"udp://{group}?pkt_size=1316&localaddr={local}&ttl=4",
        ],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        sender.terminate()
        sender.wait(timeout=10)


def operator_pids(lab: Lab) -> list[int]:
    """Process ids, as the host sees them, of the operators of an embedded cluster."""
    pids, ours = [], re.compile(rf"/hitless-\d+-{re.escape(lab.name)}/")
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                is_operator = b"hitless_operator" in words and b"-m" in words
            if is_operator and ours.search((folder / "cgroup").read_text()):
                pids.append(int(folder.name))
    return pids


def kill_operator(lab: Lab) -> None:
    """SIGKILL. The pod is deleted then, so that no restart back-off slows down the next one."""
    for pid in operator_pids(lab):
        os.kill(pid, signal.SIGKILL)
    selector = "app.kubernetes.io/name=hitless-operator"
    lab.kubectl(
        "delete", "pod", "-n", "hitless-system", "-l", selector, "--grace-period=0", "--force"
    )
