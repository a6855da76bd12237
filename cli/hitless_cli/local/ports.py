"""TCP ports of this machine: picking free ones, and asking whether one is free.

Owns nothing lasting: between a port's choice and its use by a child another program may take it, so
whoever starts a child with it tries again with another when the child does not come up.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket


def reachable_host(host: str) -> str:
    """The address under which this machine reaches what listens on `host`."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return "::1" if address.version == 6 else "127.0.0.1"
    return host


def authority(host: str, port: int) -> str:
    """host:port as URLs and gRPC write it; IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def free_port(host: str, *, avoid: frozenset[int] = frozenset()) -> int:
    """A port that nobody listens on, chosen by the kernel, and none of `avoid`."""
    with contextlib.ExitStack() as stack:
        while True:  # each round holds its port, so that the kernel never offers it twice
            listener = stack.enter_context(_bound(host, 0, reuse=False))
            port: int = listener.getsockname()[1]
            if port not in avoid:
                return port


def why_not_free(host: str, port: int) -> str | None:
    """Why nothing can listen there now; None when it can."""
    try:
        _bound(host, port, reuse=True).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _bound(host: str, port: int, *, reuse: bool) -> socket.socket:
    """reuse: as servers do, so that connections of a former one don't count as in use."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
