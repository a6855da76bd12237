"""The OpenAPI document: it names every route, and schemathesis finds nothing against it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from hack.bench_origin.processes import origin
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.studio import Studio

from hitless_origin import openapi
from hitless_origin.names import parse_ingest

EXAMPLES_MAX = int(os.environ.get("FUZZ_EXAMPLES", "5"))
# What an origin may answer is in the document; whether it may refuse a good guess is not.
PHASES = "coverage,fuzzing" if "FUZZ_EXAMPLES" in os.environ else "coverage"
CHECKS = "not_a_server_error,status_code_conformance,unsupported_method"
FILLED = {
    "namespace": "demo",
    "channel": "news",
    "track": "v0",
    "segment": f"{FIRST}",
    "part": "0",
    "name": "page.css",
}
# Random names never meet a channel that is there: those are for test_fuzz.
KNOWN = "[parameters]\n" + "".join(f'{name} = "{value}"\n' for name, value in FILLED.items())


async def test_it_names_every_route(studio: Studio) -> None:
    document = json.loads((await studio.call("GET", openapi.PATH)).body)
    assert studio.runner is not None
    routes = {
        route.resource.canonical
        for route in studio.runner.app.router.routes()
        if route.method == "GET" and route.resource is not None
    }
    catches = {"/live/{path}", "/api/{path}", "/{path}"}
    gets = {path for path, row in document["paths"].items() if "get" in row}
    assert routes - catches == gets
    puts = {path for path, row in document["paths"].items() if "put" in row}
    assert all(parse_ingest(path.format(**FILLED)) for path in puts)
    assert len(puts) == 5


async def test_a_crawler_finds_no_fault(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.description = describe(SHORT_GOPS, part_frames=5)
    (tmp_path / "schemathesis.toml").write_text(KNOWN)
    with origin(tmp_path / "data") as process:
        studio.url = process.url
        await crawl(studio, tmp_path)
        assert "Traceback" not in (tmp_path / "data.log").read_text()


async def crawl(studio: Studio, folder: Path) -> None:
    async with studio.client():
        [a] = await studio.ready("a")
        await a.push(FIRST, 1)
        crawler = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("st")), "run", studio.url + openapi.PATH),
            *("--checks", CHECKS, "--phases", PHASES, "--seed", "7"),
            *("--max-examples", str(EXAMPLES_MAX), "--generation-deterministic", "--no-color"),
            *("--suppress-health-check", "all", "--request-timeout", "20", "--workers", "1"),
            *("--exclude-path-regex", "/events$"),  # they go on as long as somebody listens
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await crawler.communicate()
        assert crawler.returncode == 0, out.decode()[-8000:]
        tested = re.search(rb"(\d+) generated", out)
        assert tested is not None
        assert int(tested[1]) > 100
        assert await a.push(FIRST + 1, 1) == [201, 201, 201]
