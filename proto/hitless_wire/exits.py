"""How an encoder process ends, for whoever starts it again or does not. Values only.

A container's last words go where the kubelet reads them (its `terminationMessagePath`).
"""

from __future__ import annotations

# sysexits.h's EX_CONFIG: no start with this configuration can work. 2, which argparse, the shell
# and Go's panics use too, says less.
CONFIGURATION = 78
FAILED = 1
LAST_WORDS_VARIABLE = "HITLESS_TERMINATION_LOG"
LAST_WORDS_PATH = "/dev/termination-log"  # the kubelet's default, a file that it mounts
LAST_WORDS_MAX = 1024  # characters; the kubelet keeps 4096 bytes
