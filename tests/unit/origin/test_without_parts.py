"""A channel without parts: its manifests are, byte for byte, what they were without the feature."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from decimal import Decimal

from tests.component.origin.cmaf_maker import FIRST, NTSC, PAL, describe

from hitless_origin.dash import Form
from hitless_origin.hls import date_ms
from hitless_origin.manifests import Manifests, Rendered
from hitless_origin.view import ChannelView
from hitless_origin.window import Window

# What the MPD has instead of the time itself, since it is the same for everybody.
TIMING = "".join(
    f'<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-{how}:2014" value="utc"/>\n'
    for how in ("xsdate", "iso", "head")
)
LONGEST = re.compile(r'maxSegmentDuration="PT([0-9.]+)S"')
# Made with the last version that knew no parts.
GOLDEN = "3fa9c4d029671092660ac9f86129e72baadd157cf57eab3af1d23a3030891bb6"


def test_manifests_without_parts() -> None:
    digest = hashlib.sha256()
    for timeline in (PAL, NTSC):
        description = describe(timeline)
        digest.update(description.model_dump_json(by_alias=True).encode())
        digest.update(description.fingerprint().encode())
        window = Window(first=FIRST, last=FIRST)
        for i in range(100):
            following = window.last + 1
            window = window.gap(following, following + i % 3) if i % 7 == 3 else window
            window = window.published(window.last + 1).trim(12)
            view = ChannelView(
                description=description, window=window, init_revision="0a", published_us=i
            )
            manifests = Manifests(view)
            media = [manifests.media(track.name) for track in description.tracks]
            for rendered in (manifests.master(), *media, as_before(manifests, i)):
                assert isinstance(rendered, Rendered)
                digest.update(rendered.body + rendered.etag.encode())
                digest.update(rendered.content_type.encode())
    assert digest.hexdigest() == GOLDEN


def as_before(manifests: Manifests, now_us: int) -> Rendered:
    rendered, now = manifests.mpd(Form.TIMELINE), date_ms(now_us)
    former = f'<UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="{now}"/>\n'
    assert rendered.etag
    assert TIMING in rendered.body.decode()
    body = LONGEST.sub(longest_before, rendered.body.decode().replace(TIMING, former))
    return replace(rendered, body=body.encode(), etag="")


def longest_before(found: re.Match[str]) -> str:
    """A tenth of a second more than a segment; now it is a frame of sound, in milliseconds."""
    return f'maxSegmentDuration="PT{(Decimal(found[1]) + Decimal("0.078")).normalize()}S"'
