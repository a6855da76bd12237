"""What a bucket's index says, and when it is not believed."""

from __future__ import annotations

import pytest

from hitless_origin import index


def span(first: int, last: int) -> index.Span:
    return index.Span(first=first, last=last, objects={first: {"v0": (f"media/{first}", 3)}})


def body(first: int, last: int) -> bytes:
    return span(first, last).model_dump_json().encode()


@pytest.mark.parametrize(
    ("bodies", "read"),
    [
        ([], []),
        ([body(4, 9), body(10, 12)], [span(4, 9), span(10, 12)]),
        ([body(10, 12), body(4, 9)], [span(4, 9), span(10, 12)]),
        ([body(4, 8), body(10, 12)], [span(10, 12)]),
        ([body(4, 9), body(10, 12)[:-2]], [span(4, 9)]),
        ([body(4, 9), b"", body(13, 14)], [span(13, 14)]),
    ],
)
def test_spans_are_read_as_far_back_as_they_join(
    bodies: list[bytes], read: list[index.Span]
) -> None:
    assert index.read(bodies) == read


def test_names_are_in_order_where_numbers_have_as_many_digits() -> None:
    assert index.is_ordered(882_000_000, 882_002_000)
    assert not index.is_ordered(999_999_000, 1_000_000_100)
    assert not index.is_ordered(0, 5)
