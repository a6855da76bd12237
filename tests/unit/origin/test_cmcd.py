"""What players say of themselves, by the letter of CTA-5004, and nothing else."""

from __future__ import annotations

import pytest

from hitless_origin.cmcd import ClientData, CmcdError, parse

SESSION = "6e2fb550-c457-11e9-bb97-0800200c9a66"


def test_examples_of_the_specification() -> None:
    """Headers as in CTA-5004's chapter 3.2; keys of one's own as in 3.3."""
    assert parse(
        [
            'cid="faec5fc2-ac30-11eabb37-0242ac130002",br=3200,tb=6000,d=4004,ot=v',
            "mtp=25400,bl=21300,dl=18500,su",
            f'sid="{SESSION}",sf=h,st=l',
            "bs,rtp=15000",
        ]
    ) == ClientData(
        session=SESSION,
        object_type="v",
        buffer_ms=21300,
        starved=True,
        throughput_kbps=25400,
        asked_kbps=15000,
        streaming_format="h",
    )
    own = 'd=4004,com.example-myNumericKey=500,com.examplemyStringKey="my, \\"string\\""'
    assert parse([own]) == ClientData()


def test_lists_of_version_2_count_with_their_first_number() -> None:
    found = parse([f'bl=(2100;v 1900;a),bs=?0,sid="{SESSION}",v=2'])
    assert (found.buffer_ms, found.starved, found.session) == (2100, False, SESSION)


@pytest.mark.parametrize(
    "text",
    [
        ",",
        "bl=100,",
        "bl=100,,bs",
        "bl==100",
        "bl=-100",
        "bl=1e3",
        "bl=",
        "bl=99999999999",
        "bl=100,bl=200",
        "bl=\u0663",
        "bs=yes",
        "ot=x",
        "sf=q",
        "sid=abc",
        'sid=""',
        f'sid="{"x" * 65}"',
        'sid="abc',
        'sid="a\nb"',
        'sid="a\\n"',
        "x" * 65,
        "=1",
        "bl=100 bs",
        ",".join(f"k{n}" for n in range(65)),
        "k=" + "v" * 2048,
        "bl=(,)",
    ],
)
def test_what_is_not_to_the_letter_says_nothing(text: str) -> None:
    with pytest.raises(CmcdError):
        parse([text])
