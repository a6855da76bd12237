"""The floor of waiting reloads: sockets, and one loop that writes the same bytes to each.

    python -m hack.bench_origin.bare FILE

What is left when an origin does nothing else. It reads no HTTP: a connection waits for what is in
FILE from its first byte on, until another one sends a `P`.
"""

from __future__ import annotations

import selectors
import socket
import sys
from pathlib import Path

PUSH = b"P"


def main() -> None:
    """Serve until told to stop."""
    answer = Path(sys.argv[1]).read_bytes()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    waiting: list[socket.socket] = []
    with selectors.DefaultSelector() as ready:
        ready.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is listener:
                    made, _ = listener.accept()
                    made.setblocking(False)
                    ready.register(made, selectors.EVENT_READ)
                    continue
                assert isinstance(key.fileobj, socket.socket)
                got = key.fileobj.recv(1 << 16)
                if not got:
                    ready.unregister(key.fileobj)
                elif got.startswith(PUSH):
                    for each in waiting:
                        each.send(answer)
                    waiting.clear()
                else:
                    waiting.append(key.fileobj)


if __name__ == "__main__":
    main()
