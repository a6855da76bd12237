"""Real senders for live sources: ffmpeg, nginx with its RTMP module, and what fans out bytes.

`sent` starts one kind of them. The encoder's tests use it too.
"""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

KINDS = ("udp", "rtp", "tcp", "rtmp", "hls-ts", "hls-fmp4")
NGINX = Path(__file__).parents[2] / ".venv" / "nginx-rtmp"
START_S_MAX = 60
_NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
load_module {nginx}/ngx_rtmp_module.so;
events {{ worker_connections 64; }}
rtmp {{
  access_log off;
  server {{ listen 127.0.0.1:{port}; application live {{ live on; wait_key on; }} }}
}}
"""


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
    return found


@contextmanager
def process(*command: str) -> Iterator[None]:
    """A process for as long as the context; its end is ours."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as running:
        try:
            yield
        finally:
            running.kill()


@contextmanager
def sent(kind: str, film: Path, folder: Path) -> Iterator[str]:
    """A film as a live stream of one of KINDS; its URL. folder: an empty one, for the sender."""
    with ExitStack() as stack:
        if kind in ("udp", "rtp"):
            port = free_port(socket.SOCK_DGRAM)
            form = "mpegts" if kind == "udp" else "rtp_mpegts"
            group = f"{kind}://239.255.77.79:{port}"
            stack.enter_context(
                ffmpeg(film, "-f", form, f"{group}?localaddr=127.0.0.1&ttl=0&pkt_size=1316")
            )
            yield f"{group}?localaddr=127.0.0.1"
        elif kind == "tcp":
            yield f"tcp://127.0.0.1:{stack.enter_context(tcp_fan_out(film))}"
        elif kind == "rtmp":
            url = f"rtmp://127.0.0.1:{stack.enter_context(rtmp_server(folder))}/live/film"
            stack.enter_context(ffmpeg(film, "-f", "flv", url))
            yield url
        else:
            port = stack.enter_context(web_server(folder))
            pieces = ("-f", "hls", "-hls_time", "1", "-hls_list_size", "20")
            fragments = (
                ("-bsf:a", "aac_adtstoasc", "-hls_segment_type", "fmp4")
                if kind == "hls-fmp4"
                else ()
            )
            target = str(folder / "film.m3u8")
            stack.enter_context(ffmpeg(film, *pieces, *fragments, target))
            yield f"http://127.0.0.1:{port}/film.m3u8"


def ffmpeg(film: Path, *output: str) -> AbstractContextManager[None]:
    """ffmpeg at the film's own pace."""
    program = shutil.which("ffmpeg")
    assert program, "no ffmpeg: hack/setup senders"
    paced = ("-v", "error", "-re", "-i", str(film), "-c", "copy")
    return process(program, *paced, *output)


@contextmanager
def rtmp_server(folder: Path) -> Iterator[int]:
    """nginx with its RTMP module; the port."""
    assert (NGINX / "nginx").exists(), "no nginx: hack/setup senders"
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(_NGINX_CONF.format(folder=folder, nginx=NGINX, port=port))
    (folder / "logs").mkdir()
    with process(str(NGINX / "nginx"), "-p", str(folder), "-c", str(conf)):
        until_s = time.monotonic() + START_S_MAX
        while not _is_open(port):
            assert time.monotonic() < until_s, f"nginx does not listen after {START_S_MAX} s"
            time.sleep(0.05)
        yield port


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@contextmanager
def web_server(folder: Path) -> Iterator[int]:
    """The files of a folder over HTTP; the port."""
    handler = partial(_Quiet, directory=os.fspath(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def tcp_fan_out(film: Path) -> Iterator[int]:
    """What ffmpeg sends, to all that are connected; the port."""
    clients: set[socket.socket] = set()
    lock = threading.Lock()
    ended = threading.Event()

    class Client(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with lock:
                clients.add(self.request)
            ended.wait()

    program = shutil.which("ffmpeg")
    assert program, "no ffmpeg: hack/setup senders"
    paced = ("-v", "error", "-re", "-i", str(film), "-c", "copy")
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Client) as server,
        subprocess.Popen((program, *paced, "-f", "mpegts", "-"), stdout=subprocess.PIPE) as sender,
    ):
        assert sender.stdout is not None

        def spread(data: bytes) -> None:
            with lock:
                for client in list(clients):
                    try:
                        client.sendall(data)
                    except OSError:
                        clients.discard(client)

        def copy() -> None:
            assert sender.stdout is not None
            while data := sender.stdout.read(7 * 188):
                spread(data)

        threads = [threading.Thread(target=server.serve_forever), threading.Thread(target=copy)]
        for thread in threads:
            thread.start()
        try:
            yield server.server_address[1]
        finally:
            sender.kill()
            ended.set()
            server.shutdown()
            for thread in threads:
                thread.join()
