"""What the driver does to the machine: run programs, find and end processes, install packages.

Owns the rules for that: every wait has a deadline, every failure names a log and the next step,
and a process is only ended after its command line has been read and found to be one of ours.
Knows nothing of Kubernetes. Called by every other module here.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

HEARTBEAT_S = 30.0
"""A step that goes on says so this often."""
COMMAND_S_MAX = 60.0
"""The limit of a command that has no longer one of its own."""
END_S_MAX = 20.0
"""How long killed processes may take to be gone."""
PACKAGES_S_MAX = 600.0
Test = Callable[[], bool]
LOG_LINES_SHOWN = 15
APT_OPTIONS = ("-o", "DPkg::Lock::Timeout=120")

PACKAGE_OF_PROGRAM = {
    "conntrack": "conntrack",
    "ip": "iproute2",
    "iptables": "iptables",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "runc": "runc",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""What the embedded cluster runs besides its own tools, and the Debian package that has it."""


class ClusterError(Exception):
    """Something the person at the terminal has to act on; the message says how."""


def say(text: str) -> None:
    """Progress goes to stderr: stdout is for what scripts read."""
    print(f"cluster: {text}", file=sys.stderr, flush=True)


# --- programs ----------------------------------------------------------------------------------


def run(
    command: Sequence[str],
    *,
    limit_s: float = COMMAND_S_MAX,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a short command and return its stdout."""
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=limit_s,
            env=env,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(command)}` did not end within {limit_s:.0f} s") from error
    except OSError as error:
        raise ClusterError(f"`{command[0]}` can't be run: {error.strerror}") from error
    if done.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout


def run_logged(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    limit_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a long command into a log, with a line of progress now and then.

    The command dies with this process, however that ends (`setpriv --pdeathsig`).
    """
    start_s = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
    try:
        while not _ended(process, HEARTBEAT_S):
            elapsed_s = time.monotonic() - start_s
            if elapsed_s > limit_s:
                raise ClusterError(f"{name} did not end within {limit_s:.0f} s: see {log}")
            say(f"{name}: {elapsed_s:.0f} s so far")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        raise ClusterError(f"{name} failed: see {log}, which ends with\n{tail(log)}")


def _ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def tail(log: Path) -> str:
    """The last lines of a log, indented to stand inside a message."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "  (no such file)"
    return "\n".join(f"  {line[:400]}" for line in lines[-LOG_LINES_SHOWN:])


def wait_for(
    what: str, met: Test, *, limit_s: float, every_s: float = 0.05, log: Path | None = None
) -> None:
    """Poll until `met`; past the limit the error says what was waited for and where to look."""
    deadline_s = time.monotonic() + limit_s
    while not met():
        if time.monotonic() > deadline_s:
            where = f": see {log}\n{tail(log)}" if log else ""
            raise ClusterError(f"waited {limit_s:.0f} s for {what}{where}")
        time.sleep(every_s)


# --- processes ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A live process, as its command line tells."""

    pid: int
    argv: tuple[str, ...]

    @property
    def is_init(self) -> bool:
        """Whether it is PID 1 of a PID namespace; its forks have its command line, too."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return False
        pids = next(line.split() for line in status.splitlines() if line.startswith("NSpid:"))
        return pids[-1] == "1"


def processes_with(marker: str) -> list[Process]:
    """Every live process that has `marker` as a whole argument, but this one."""
    return [p for p in _processes() if marker in p.argv[1:] and p.pid != os.getpid()]


def _processes() -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            argv = _argv(int(entry.name))
            if argv:
                yield Process(pid=int(entry.name), argv=argv)


def _argv(pid: int) -> tuple[str, ...]:
    """A zombie has no arguments, so it counts as gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(raw.decode(errors="replace").rstrip("\0").split("\0")) if raw else ()


def end(find: Callable[[], list[Process]], what: str) -> None:
    """Kill what `find` finds until it finds nothing any more."""
    deadline_s = time.monotonic() + END_S_MAX
    while found := find():
        for process in found:
            _kill(process)
        if time.monotonic() > deadline_s:
            pids = ", ".join(str(process.pid) for process in found)
            raise ClusterError(
                f"{what}: processes {pids} are still there {END_S_MAX:.0f} s "
                "after SIGKILL: look at them with `ps`, then try again"
            )
        time.sleep(0.02)


def _kill(process: Process) -> None:
    """SIGKILL through a pidfd: its number can't have gone to another process meanwhile."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if _argv(process.pid) == process.argv:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


# --- packages ----------------------------------------------------------------------------------


def require_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError(
            "the embedded cluster needs root (namespaces, mounts, veths): run as root, or start a "
            "Docker engine and use CLUSTER=kind"
        )


def ensure_packages(log: Path) -> None:
    """Install the Debian packages of the programs that are not on PATH."""
    missing = sorted(name for name in PACKAGE_OF_PROGRAM if not _on_path(name))
    if not missing:
        return
    packages = sorted({PACKAGE_OF_PROGRAM[name] for name in missing})
    if not shutil.which("apt-get"):
        raise ClusterError(
            f"not found: {', '.join(missing)}; on Debian they are in the packages "
            f"{', '.join(packages)}: install them with this system's package manager"
        )
    say(f"installing Debian packages: {' '.join(packages)}")
    log.parent.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *APT_OPTIONS, *packages]
    try:
        run_logged("apt-get install", install, log=log, limit_s=PACKAGES_S_MAX, env=env)
    except ClusterError:
        update = ["apt-get", "update"]
        run_logged("apt-get update", update, log=log, limit_s=PACKAGES_S_MAX, env=env)
        run_logged("apt-get install", install, log=log, limit_s=PACKAGES_S_MAX, env=env)


def _on_path(program: str) -> bool:
    return shutil.which(program, path=system_path()) is not None


def system_path() -> str:
    """PATH with the sbin folders that an ordinary user's may lack."""
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
