"""Pictures of the origin's page at the widths of a desk and of a phone, by Chromium's protocol.

Also sees to it that the page asks nobody but the origin, and that nothing goes wrong in it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from hack.chromium import chromium

SIZES = {"desktop": (1280, 1000), "phone": (390, 844)}
PAGES = {"list": "/", "channel": "/channels/default/demo"}
READY_S_MAX = 120.0
POLL_S = 0.2
# The list has its rows, or the channel's picture moves and its latency is known.
READY = """(() => {
  const video = document.querySelector("video")
  if (!video) return document.querySelectorAll("#rows tr").length > 0
  return video.currentTime > 0 && /behind/.test(document.querySelector("#facts").textContent)
})()"""


class PageFault(Exception):
    """The page did not come to show what it should."""


class Devtools:
    """A connection to one page. log: what went wrong there; urls: what it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.log: list[str] = []
        self.urls: list[str] = []

    async def follow(self) -> None:
        """Read what the browser says, to the end."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Network.requestWillBeSent":
                self.urls.append(told["params"]["request"]["url"])
            elif told["method"] == "Log.entryAdded":
                entry = told["params"]["entry"]
                self.log.append(f"{entry['text']} {entry.get('url', '')}")
            elif told["method"] == "Runtime.exceptionThrown":
                self.log.append(json.dumps(told["params"]["exceptionDetails"])[:500])

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command and its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        told = await asyncio.wait_for(answer, READY_S_MAX)
        if "error" in told:
            raise PageFault(f"{method}: {told['error']}")
        result: dict[str, Any] = told["result"]
        return result

    async def until_true(self, script: str) -> None:
        """Poll until the page says so. Raises PageFault."""
        try:
            async with asyncio.timeout(READY_S_MAX):
                while True:
                    if await self.evaluate(script):
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise PageFault(f"the page is not ready; {self.log}") from error

    async def evaluate(self, script: str) -> Any:
        """What a script gives."""
        told = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return told["result"].get("value")


@asynccontextmanager
async def devtools(folder: Path) -> AsyncIterator[Devtools]:
    """A browser with an empty page, and the connection to it."""
    port_file = folder / "chromium" / "DevToolsActivePort"
    async with (
        chromium("about:blank", folder, "--remote-debugging-port=0"),
        aiohttp.ClientSession() as http,
    ):
        async with asyncio.timeout(READY_S_MAX):
            while True:
                if port_file.exists() and "\n" in port_file.read_text():
                    break
                await asyncio.sleep(POLL_S)
        port = port_file.read_text().splitlines()[0]
        async with http.get(f"http://127.0.0.1:{port}/json/list") as response:
            [page] = [each for each in await response.json() if each["type"] == "page"]
        async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tools = Devtools(socket)
            reader = asyncio.create_task(tools.follow())
            try:
                for domain in ("Network", "Log", "Runtime", "Page"):
                    await tools.call(f"{domain}.enable")
                yield tools
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)


async def screenshots(origin: str, to: Path, folder: Path) -> list[str]:
    """Look at each page in each size; what is wrong with them. Both folders are there."""
    faults = []
    async with devtools(folder) as tools:
        for page, path in PAGES.items():
            for size, (width, height) in SIZES.items():
                await tools.call(
                    "Emulation.setDeviceMetricsOverride",
                    width=width,
                    height=height,
                    deviceScaleFactor=1,
                    mobile=size == "phone",
                )
                await tools.call("Page.navigate", url=origin + path)
                await tools.until_true(READY)
                wide = await tools.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    faults.append(f"{page} at {size}: {wide} px wide on {width}")
                for name, whole in ((f"{page}-{size}", False), (f"{page}-{size}-whole", True)):
                    shot = await tools.call(
                        "Page.captureScreenshot", format="png", captureBeyondViewport=whole
                    )
                    (to / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
        own = (f"{origin}/", "blob:", "data:")  # Chromium draws its controls with data: of its own
        outside = [url for url in tools.urls if not url.startswith(own)]
        faults += [f"the page asked {url}" for url in outside]
        faults += [f"the page: {line}" for line in tools.log]
    return faults
