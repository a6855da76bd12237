"""The figures as an SVG: how cost grows with the number of channels, a panel for each figure."""

from __future__ import annotations

from html import escape

from hack.bench_operator.report import HOUR_S, Run

WIDTH, HEIGHT, MARGIN = 260, 190, 42
Series = list[tuple[str, str, list[tuple[int, float]]]]  # label, colour, (channels, value)
WATCH_S = 300.0  # then it is renewed
OURS, PEER = "#1f77b4", "#d62728"


def svg(runs: dict[int, Run]) -> str:
    """Panels side by side; axes begin at 0."""
    panels = [
        ("all on air from nothing, s", _series(runs, ("operator", OURS, "on air", "seconds"))),
        ("at rest: RSS, MB", _series(runs, ("operator", OURS, "rest", "rss_mb"))),
        ("at rest: API calls an hour", [("operator", OURS, _hourly(runs))]),
        ("update / what encoders (pods) need", _ratios(runs)),
    ]
    width = WIDTH * len(panels)
    body = "".join(_panel(n * WIDTH, title, rows) for n, (title, rows) in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">\n'
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>\n{body}</svg>\n'
    )


def _series(runs: dict[int, Run], *rows: tuple[str, str, str, str]) -> Series:
    return [
        (label, colour, [(n, r[s][key]) for n, r in runs.items()]) for label, colour, s, key in rows
    ]


def _hourly(runs: dict[int, Run]) -> list[tuple[int, float]]:
    """Of those that were watched for as long as a watch lasts."""
    rest = ((n, run["rest"]) for n, run in runs.items())
    return [
        (n, step["api_calls"] * HOUR_S / step["seconds"])
        for n, step in rest
        if step["seconds"] >= WATCH_S
    ]


def _ratios(runs: dict[int, Run]) -> Series:
    steps = (("operator", OURS, "fleet"), ("Deployment", PEER, "peer"))
    return [
        (label, colour, [(n, r[s]["more"]["ratio"]) for n, r in runs.items() if s in r])
        for label, colour, s in steps
    ]


def _panel(left: int, title: str, rows: Series) -> str:
    points = [point for _, _, line in rows for point in line] or [(1, 1.0)]
    across, up = max(n for n, _ in points), max(v for _, v in points) or 1.0
    x0, y0, w, h = left + MARGIN, HEIGHT - MARGIN, WIDTH - MARGIN - 18, HEIGHT - 2 * MARGIN

    def at(n: int, value: float) -> str:
        return f"{x0 + w * n / across:.1f},{y0 - h * value / up:.1f}"

    parts = [
        f'<text x="{x0}" y="18" font-weight="bold">{escape(title)}</text>',
        f'<path d="M{x0},{y0 - h}V{y0}H{x0 + w}" fill="none" stroke="#444"/>',
        f'<text x="{x0 - 4}" y="{y0 - h + 4}" text-anchor="end">{up:.3g}</text>',
        f'<text x="{x0 - 4}" y="{y0 + 4}" text-anchor="end">0</text>',
        f'<text x="{x0 + w}" y="{y0 + 16}" text-anchor="end">{across} channels</text>',
    ]
    for number, (label, colour, line) in enumerate(rows):
        dots = " ".join(at(n, value) for n, value in line)
        parts.append(f'<polyline points="{dots}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
                  for x, y in (dot.split(",") for dot in dots.split())]  # fmt: skip
        y = HEIGHT - 8 - 12 * number
        parts.append(f'<text x="{x0}" y="{y}" fill="{colour}">{escape(label)}</text>')
    return "\n".join(parts) + "\n"
