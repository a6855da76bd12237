"""nginx as in the chart's nginx.conf before an origin, and nginx as a peer that serves a folder.

The program is Debian's, out of its package (hack/setup). The origin's tests use it too.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.commands import ROOT, free_port
from hack.sources.senders import NGINX, process

CONFIGURATION = ROOT / "charts" / "hitless" / "files" / "nginx.conf"
START_S_MAX = 20.0
_FILES = """
worker_processes 1;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
  client_body_temp_path {own}/client_body;
  proxy_temp_path {own}/proxy;
  fastcgi_temp_path {own}/fastcgi;
  uwsgi_temp_path {own}/uwsgi;
  scgi_temp_path {own}/scgi;
  types {{ video/mp4 m4s; }}
  server {{
    listen 8081;
    add_header Cache-Control "public, max-age=31536000, immutable";
    add_header Access-Control-Allow-Origin "*";
    location / {{ root {folder}; }}
  }}
}}
"""


@contextmanager
def before(origin: str, folder: Path, workers: int = 1) -> Iterator[str]:
    """What the chart runs, before an origin of this URL; nginx's own URL. folder: an empty one."""
    text = CONFIGURATION.read_text()
    text = _changed(text, " /tmp/", f" {folder}/")
    text = _changed(text, "127.0.0.1:8080", origin.removeprefix("http://"))
    text = _changed(text, "/var/cache/hitless", str(folder / "cache"))
    text = _changed(text, "worker_processes auto", f"worker_processes {workers}")
    with _running(text, folder) as url:
        yield url


@contextmanager
def files(served: Path, folder: Path) -> Iterator[str]:
    """nginx that serves a folder and does nothing else; its URL. folder: an empty one."""
    with _running(_FILES.format(folder=served, own=folder), folder) as url:
        yield url


def pid(folder: Path) -> int:
    """The master process of the nginx that was given this folder."""
    return int((folder / "pid").read_text())


@contextmanager
def _running(text: str, folder: Path) -> Iterator[str]:
    port = free_port()
    text = _changed(text, "listen 8081", f"listen 127.0.0.1:{port}")
    conf = folder / "nginx.conf"
    # A worker of root would be nobody, who can't read what the tests' folders hold.
    conf.write_text(f"user root;\ndaemon off;\npid {folder}/pid;\n{text}")
    with process(str(NGINX / "nginx"), "-c", str(conf), "-e", str(folder / "error.log")):
        _wait(port)
        yield f"http://127.0.0.1:{port}"


def _changed(text: str, old: str, new: str) -> str:
    if old not in text:
        raise RuntimeError(f"{CONFIGURATION.name} lacks {old!r}")
    return text.replace(old, new)


def _wait(port: int) -> None:
    until_s = time.monotonic() + START_S_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.02)
