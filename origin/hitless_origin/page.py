"""The page at `/`: every channel, its state and its links. Plain HTML, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from hitless_origin import dash, hls
from hitless_origin.channel import Channel
from hitless_wire.ingest import COMPARISON_QUERY, live_path, report_path

# The page needs its own style and nothing else.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_COLUMNS = (
    "channel",
    "state",
    "on air",
    "term",
    "last segment",
    "fallbacks",
    "gaps",
    "identical",
    "interchangeable",
    "mismatches",
    "switches",
    "discontinuities",
    "links",
)
_STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:2rem}"
    "table{border-collapse:collapse}th,td{padding:.3rem .8rem;text-align:left;"
    "border-bottom:1px solid #8884}"
)


def render(channels: Iterable[Channel]) -> str:
    """The whole page."""
    ordered = sorted(channels, key=lambda channel: channel.key)
    head = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)
    rows = "\n".join(_row(channel) for channel in ordered)
    body = f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
    if not ordered:
        body = "<p>No encoder has pushed anything yet.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Hitless origin</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>Hitless origin</h1>\n{body}\n</body></html>\n"
    )


def _row(channel: Channel) -> str:
    state = channel.selection
    cells = [
        str(channel.key),
        _state(channel),
        state.encoder or "–",
        str(state.priority),
        "–" if state.last is None else str(state.last),
        str(state.fallbacks),
        str(state.gaps),
        str(channel.deliveries.comparison.identical),
        str(channel.deliveries.comparison.interchangeable),
        str(channel.mismatches),
        str(state.switch_count),
        str(channel.editions.aired.discontinuities),
    ]
    columns = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<tr>{columns}<td>{_links(channel)}</td></tr>"


def _state(channel: Channel) -> str:
    if channel.manifests is None:
        return "waiting for the first segment"
    return "silent" if channel.idle() else "on air"


def _links(channel: Channel) -> str:
    key = channel.key
    live = live_path(key.namespace, key.channel)
    links = (
        ("HLS", f"{live}/{hls.MASTER_NAME}"),
        ("DASH", f"{live}/{dash.NAME}"),
        ("report", f"{report_path(key.namespace, key.channel)}?{COMPARISON_QUERY}=1"),
    )
    return " ".join(f'<a href="{escape(url)}">{name}</a>' for name, url in links)
