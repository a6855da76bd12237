from __future__ import annotations

import json

import pytest

from hitless_cli.cluster.redaction import MASK, redacted, redacted_text, redacted_url

SECRET = "s3cr3t-v4lue"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"rtmp://user:{SECRET}@host/app", f"rtmp://{MASK}@host/app"),
        (f"srt://user:{SECRET}@x@host:9000", f"srt://{MASK}@host:9000"),
        (f"http://user:{SECRET}/more@host/a", f"http://{MASK}@host/a"),
        (f"https://{SECRET}@host/a", f"https://{MASK}@host/a"),
        (f"http://h/a?token={SECRET}&x=1", f"http://h/a?token={MASK}&x=1"),
        (f"srt://h:1?mode=caller&passphrase={SECRET}", f"srt://h:1?mode=caller&passphrase={MASK}"),
        (f"http://h/a?X-Amz-Signature={SECRET}&b=2", f"http://h/a?X-Amz-Signature={MASK}&b=2"),
        (f"http://h/a?b=2\\u0026sig={SECRET}", f"http://h/a?b=2\\u0026sig={MASK}"),
    ],
)
def test_urls(text: str, expected: str) -> None:
    assert redacted_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "testpattern:",
        "udp://239.1.2.3:5000?localaddr=10.0.0.1&reuse=1",
        "http://host:8080/live/a@b/master.m3u8",
        "file:///media/news.ts",
        "frame 53861664360, segment 897694406, timecode 23:06:52:00",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"password={SECRET}",
        f'{{"passphrase": "{SECRET} with blanks", "x": 1}}',
        f'{{\\"passphrase\\":\\"{SECRET}\\"}}',
        f"--api-key {SECRET}".replace(" ", "="),
        f"STREAM_KEY: '{SECRET}'",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
        f"opening srt://user:{SECRET}@host:9000?passphrase={SECRET}: timed out",
    ],
)
def test_texts(text: str) -> None:
    assert SECRET not in redacted_text(text)


def test_documents_at_any_depth() -> None:
    reference = {"secretKeyRef": {"name": "feed", "key": "pass"}}
    document = {
        "metadata": {
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": SECRET,
                "hitless.video/abort": "c0ff0655-8",
            }
        },
        "spec": {
            "source": {"url": f"udp://user:{SECRET}@239.1.1.1:5000", "passphrase": SECRET},
            "containers": [
                {
                    "env": [
                        {"name": "FEED_PASSWORD", "value": SECRET},
                        {"name": "CONFIG", "value": json.dumps({"token": SECRET, "a": "b"})},
                        {"name": "OTHER", "value": "plain"},
                        {"name": "FROM_SECRET", "valueFrom": reference},
                    ]
                }
            ],
            "volumes": [{"secret": {"secretName": "feed"}}],
        },
    }
    made = redacted(document)
    assert SECRET not in json.dumps(made)
    assert made["metadata"]["annotations"] == {"hitless.video/abort": "c0ff0655-8"}
    env = made["spec"]["containers"][0]["env"]
    assert env[0]["value"] == MASK
    assert env[2]["value"] == "plain"
    assert env[3]["valueFrom"] == reference
    assert made["spec"]["volumes"] == [{"secret": {"secretName": "feed"}}]


def test_a_document_is_not_changed_in_place() -> None:
    document = {"password": SECRET}
    assert redacted(document) == {"password": MASK}
    assert document == {"password": SECRET}
