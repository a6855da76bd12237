"""The far end of our encoder's pushes: takes all, keeps nothing.

Prints its address, ends with stdin.

python -m hack.bench_encode.receiver
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web


async def take(request: web.Request) -> web.Response:
    """Read it to its end."""
    async for _ in request.content.iter_any():
        pass
    return web.Response(status=201)


async def serve() -> None:
    """Until stdin is closed."""
    app = web.Application()
    app.router.add_put("/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
