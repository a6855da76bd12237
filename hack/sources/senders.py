"""Real senders for live sources: ffmpeg, nginx with its RTMP module, an RTSP server, a fan-out.

`sent` starts one kind of them. The encoder's tests use it too.
"""

from __future__ import annotations

import http.server
import os
import random
import re
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

from hack.commands import free_port
from hack.sources.timed import timed_sender

KINDS = ("udp", "rtp", "tcp", "rtmp", "rtsp", "hls-ts", "hls-fmp4")
# What of a sender's stream says absolute time: source.timecode.
TIMECODES = {
    "udp-timecode": "PictureTiming",
    "rtsp-reports": "ProducerReferenceTime",
    "hls-ts-date": "ProgramDateTime",
    "hls-fmp4-date": "ProgramDateTime",
    "hls-fmp4-prft": "ProducerReferenceTime",
}
NGINX = Path(__file__).parents[2] / ".venv" / "nginx-rtmp"
RTSP_SERVER = Path(__file__).parents[2] / ".venv" / "rtsp-server"
PORTS_TRIES_MAX = 100
RTSP_MEDIA_PORTS = 32  # two for each stream of the publisher and of each client
START_S_MAX = 60
END_S_MAX = 10
_DATE_MS = re.compile(rb"(PROGRAM-DATE-TIME:[^.\n]*)\.\d+")
_NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
load_module {nginx}/ngx_rtmp_module.so;
events {{ worker_connections 64; }}
rtmp {{
  access_log off;
  server {{ listen 127.0.0.1:{port}; application live {{ live on; wait_key on; }} }}
}}
"""
# Clients that come before the publisher records would end this server.
_RTSP_JS = """
const {{ RtspServer }} = require("{package}/node_modules/rtsp-streaming-server");
const server = new RtspServer({{
  serverPort: {publish}, clientPort: {play}, rtpPortStart: {media}, rtpPortCount: {media_ports},
}});
server.PublishServer.start();
const waiting = setInterval(() => {{
  const streams = Object.values(server.Mounts.mounts["/film"]?.streams ?? {{}});
  if (streams.length < 2 || !streams.every((stream) => stream.listenerRtcp)) return;
  clearInterval(waiting);
  server.ClientServer.start();
}}, 50);
"""


def free_media_ports(count: int) -> int:
    """The first, an even one, of so many UDP ports in a row, below those that the kernel gives."""
    for _ in range(PORTS_TRIES_MAX):
        first = random.randrange(20_000, 32_000, count)
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    taken = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    taken.bind(("", port))
        except OSError:
            continue
        return first
    raise RuntimeError(f"no {count} free UDP ports in a row")


@contextmanager
def process(*command: str) -> Iterator[None]:
    """A process for as long as the context; its end, and that of its own processes, is ours."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as running:
        try:
            yield
        finally:
            running.terminate()  # nginx ends its workers then; killed, it would leave them
            try:
                running.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                running.kill()


@contextmanager
def sent(kind: str, film: Path, folder: Path) -> Iterator[str]:
    """A film as a live stream of one of KINDS or TIMECODES; its URL. folder: an empty one."""
    with ExitStack() as stack:
        if kind in ("udp", "rtp", "udp-timecode"):
            port = free_port(socket.SOCK_DGRAM)
            group = f"{kind[:3]}://239.255.77.79:{port}"
            target = f"{group}?localaddr=127.0.0.1&ttl=0&pkt_size=1316"
            if kind == "udp-timecode":
                stack.enter_context(timed_sender(film, target))
            else:
                form = "mpegts" if kind == "udp" else "rtp_mpegts"
                stack.enter_context(ffmpeg(film, "-f", form, target))
            yield f"{group}?localaddr=127.0.0.1"
        elif kind == "tcp":
            yield f"tcp://127.0.0.1:{stack.enter_context(tcp_fan_out(film))}"
        elif kind == "rtmp":
            url = f"rtmp://127.0.0.1:{stack.enter_context(rtmp_server(folder))}/live/film"
            stack.enter_context(ffmpeg(film, "-f", "flv", url))
            yield url
        elif kind in ("rtsp", "rtsp-reports"):
            yield stack.enter_context(rtsp_relay(film, folder))
        else:
            port = stack.enter_context(web_server(folder))
            pieces = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "20"]
            if kind.startswith("hls-fmp4"):
                pieces += ["-bsf:a", "aac_adtstoasc", "-hls_segment_type", "fmp4"]
            if kind.endswith("-date"):
                pieces += ["-hls_flags", "program_date_time"]
            if kind.endswith("-prft"):
                pieces += ["-output_ts_offset", str(int(time.time()))]
                pieces += ["-hls_segment_options", "write_prft=pts"]
            stack.enter_context(ffmpeg(film, *pieces, str(folder / "film.m3u8")))
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
        _wait_until_open(port, "nginx")
        yield port


@contextmanager
def rtsp_relay(film: Path, folder: Path) -> Iterator[str]:
    """A server that ffmpeg publishes to, over UDP, and that relays over UDP; the URL."""
    node, program = shutil.which("node"), shutil.which("ffmpeg")
    assert node, "no node: hack/setup senders"
    assert program, "no ffmpeg: hack/setup senders"
    assert (RTSP_SERVER / ".hitless").exists(), "no RTSP server: hack/setup senders"
    publish, play = free_port(), free_port()
    script = _RTSP_JS.format(
        package=RTSP_SERVER,
        publish=publish,
        play=play,
        media=free_media_ports(RTSP_MEDIA_PORTS),
        media_ports=RTSP_MEDIA_PORTS,
    )
    described = folder / "film.mp4"  # RTSP says at the start what sound it is; MPEG-TS does not
    copied = ("-i", str(film), "-c", "copy", "-bsf:a", "aac_adtstoasc", str(described))
    subprocess.run((program, "-v", "error", *copied), stdin=subprocess.DEVNULL, check=True)
    with process(node, "-e", script):
        _wait_until_open(publish, "the RTSP server")
        with ffmpeg(described, "-f", "rtsp", f"rtsp://127.0.0.1:{publish}/film"):
            _wait_until_open(play, "the RTSP server's port for players")
            yield f"rtsp://127.0.0.1:{play}/film"


def _wait_until_open(port: int, who: str) -> None:
    until_s = time.monotonic() + START_S_MAX
    while not _is_open(port):
        assert time.monotonic() < until_s, f"{who} does not listen after {START_S_MAX} s"
        time.sleep(0.05)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Gives files; the dates in playlists as if their first segment had begun at a whole second.

    ffmpeg begins when it likes, which may be in the middle between two frames of the timeline:
    then it would be chance which of them a date rounded to a millisecond means.
    """

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix != ".m3u8" or not path.exists():
            super().do_GET()
            return
        data = _DATE_MS.sub(rb"\g<1>.000", path.read_bytes())
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


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
