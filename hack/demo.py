"""`make demo`: a cluster, the chart, a live channel, an image update, and the proof.

Shows what a user would do by hand, with the commands' results, and ends with exit code 0 only if
the update completed and the probe found nothing lost, repeated or re-timed.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hack.lab import Lab, LabError, images, until  # noqa: E402 - needs the path above

NAMESPACE = "live"
CHANNEL = "first-channel"
EXAMPLE = ROOT / "examples" / "first-channel.yaml"
PROBE_SECONDS_MAX = 300
AFTER_SWITCH_SEGMENTS = 3
STALL_TOLERANCE_S = 10  # a small machine runs cluster, two encoders and the probe at once
HITLESS = ROOT / ".venv" / "bin" / "hitless"

_started = time.monotonic()


def say(text: str) -> None:
    """A line with the seconds since the start."""
    print(f"[{time.monotonic() - _started:6.1f} s] {text}", flush=True)


def channel_of(lab: Lab) -> dict[str, Any]:
    """The custom resource."""
    return lab.get("encoderdeployment", CHANNEL, "-n", NAMESPACE)


def status_of(lab: Lab) -> dict[str, Any]:
    """Its status, empty before the operator has written one."""
    found: dict[str, Any] = channel_of(lab).get("status", {})
    return found


def wait_until_live(lab: Lab) -> dict[str, Any]:
    """The status once the channel is on air."""

    def look() -> dict[str, Any] | None:
        status = status_of(lab)
        return status if status.get("phase") == "Live" else None

    return until(f"{CHANNEL} on air", look)


@contextmanager
def probing(url: str) -> Iterator[subprocess.Popen[str]]:
    """`hitless probe` beside the update, watching from before it to after it."""
    # A killed demo takes its probe along.
    leash = ["setpriv", "--pdeathsig", "TERM"]
    command = [*leash, str(HITLESS), "probe", url, "--seconds", str(PROBE_SECONDS_MAX), "--json"]
    command += ["--stall-tolerance", str(STALL_TOLERANCE_S)]
    probe = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield probe
    finally:
        if probe.poll() is None:
            probe.kill()
            probe.wait()


def finish(probe: subprocess.Popen[str]) -> dict[str, Any]:
    """End the probe's watch; its report."""
    probe.send_signal(signal.SIGINT)
    out, _ = probe.communicate(timeout=60)
    report: dict[str, Any] = json.loads(out)
    return report


def follow_handover(lab: Lab, since: str | None) -> dict[str, Any]:
    """Print each step of the update; the handover as the CR holds it at the end."""
    shown = ""

    def look() -> dict[str, Any] | None:
        nonlocal shown
        handover = status_of(lab).get("handover") or {}
        if not handover or handover.get("id") == since:
            return None
        line = handover_line(handover)
        if line != shown:
            shown = line
            say(f"  {line}")
        done = handover["phase"] in ("Completed", "Aborted", "RolledBack")
        return handover if done else None

    return until("the handover's end", look, deadline_s=180)


def handover_line(handover: dict[str, Any]) -> str:
    """Phase, frame, both pods, confirmations."""
    pods = f"{handover['from']['pod']} -> {handover['to']['pod']}"
    event = handover.get("event") or {}
    frame = f"frame {event['frame']}" if event.get("frame") is not None else "no frame yet"
    said = sorted((handover.get("confirmations") or {}).keys())
    confirmed = f", confirmed by {', '.join(said)}" if said else ""
    return f"{handover['phase']:<12} {pods}, {frame}{confirmed}"


def wait_past(lab: Lab, segment: int) -> None:
    """Until the origin has published some segments beyond the switch."""
    url = f"{lab.origin_url()}/api/v1/channels/{NAMESPACE}/{CHANNEL}"

    def look() -> bool | None:
        with urllib.request.urlopen(url, timeout=5) as answer:
            newest = json.load(answer)["lastSegment"]
        return True if newest >= segment + AFTER_SWITCH_SEGMENTS else None

    until("segments after the handover", look)


def prove(report: dict[str, Any]) -> bool:
    """Print the continuity proof; whether it holds."""
    frames, counts = report["frames"], report["fault_counts"]
    timestamps = sum(r["timestamps_wrong"] for r in report["renditions"])
    discontinuities = sum(r["playlist"]["discontinuities"] for r in report["renditions"])
    say("Continuity, as a player saw it:")
    rows = {
        "frames watched": frames["seen"],
        "lost": frames["lost"],
        "repeated": frames["repeated"],
        "out of order": frames["out_of_order"],
        "discontinuities": discontinuities,
        "timestamps": "exact" if timestamps == 0 else f"{timestamps} wrong",
        "faults": counts or "none",
    }
    for rendition in report["renditions"]:
        for kind in ("picture_marks", "tone_marks"):
            marks = rendition[kind]
            if marks is not None:
                right = marks["checked"] - marks["wrong"] - marks["unreadable"]
                rows[f"{kind.split('_')[0]} marks"] = f"{right} of {marks['checked']} right"
    for name, value in rows.items():
        print(f"             {name:<16} {value}", flush=True)
    return bool(report["ok"])


def farewell(lab: Lab, endpoints: dict[str, str]) -> None:
    """How to look, update again, and remove everything."""
    image = "localhost/hitless/encoder:v1"
    patch = json.dumps({"spec": {"image": image}})
    print(
        f"""
The channel is left running.
  watch it      {endpoints["hls"]}
                {endpoints["dash"]}
                {lab.origin_url()}/
  look          export KUBECONFIG={lab.kubeconfig} PATH={lab.path}:$PATH
                kubectl get encd,pods -n {NAMESPACE}
                kubectl describe encd {CHANNEL} -n {NAMESPACE}
  update again  kubectl patch encd {CHANNEL} -n {NAMESPACE} --type merge -p '{patch}'
  check         .venv/bin/hitless probe {endpoints["hls"]} --seconds 60
  remove all    make clean
"""
    )


def demo(kind: str, nodes: int) -> int:
    """The whole run; the exit code."""
    say("Building images (only what changed)")
    archives = images()
    say("Bringing up a cluster")
    lab = Lab.up("demo", kind=kind, nodes=nodes)
    say("Loading images and installing the chart")
    lab.load(*archives.values())
    lab.install()
    lab.namespace(NAMESPACE)
    say(f"kubectl apply -n {NAMESPACE} -f {EXAMPLE.relative_to(ROOT)}")
    lab.kubectl("apply", "-n", NAMESPACE, "-f", str(EXAMPLE))
    status = wait_until_live(lab)
    endpoints = status["endpoints"]
    say(f"{CHANNEL} is on air: {status['active']['pod']} ({status['active']['image']})")
    say(f"  HLS   {endpoints['hls']}")
    say(f"  DASH  {endpoints['dash']}")
    with probing(endpoints["hls"]) as probe:
        say("hitless probe watches; changing spec.image to localhost/hitless/encoder:v2")
        patch = json.dumps({"spec": {"image": "localhost/hitless/encoder:v2"}})
        lab.kubectl("patch", "encd", CHANNEL, "-n", NAMESPACE, "--type", "merge", "-p", patch)
        handover = follow_handover(lab, (status.get("handover") or {}).get("id"))
        if handover["phase"] != "Completed":
            say(f"The update ended as {handover['phase']}: {handover.get('message')}")
            return 1
        wait_past(lab, handover["event"]["segment"])
        report = finish(probe)
    held = prove(report)
    farewell(lab, endpoints)
    return 0 if held else 1


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", default="auto", choices=["auto", "embedded", "kind"])
    parser.add_argument("--nodes", type=int, default=1, choices=[1, 2])
    options = parser.parse_args()
    try:
        return demo(options.kind, options.nodes)
    except LabError as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        print("'make demo' starts over; 'make clean' removes everything.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
