"""Taking secrets out of texts and documents before people or archives get them.

Pure. It errs on the side of taking too much: passwords in URLs, query parameters and settings whose
names sound like a secret, bearer tokens, and values of environment variables with such names.
"""

from __future__ import annotations

import re
from typing import Any

MASK = "REDACTED"
_WORDS = (
    r"passphrase|password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|auth|authorization"
    r"|credentials?|signature|private[_-]?key|stream[_-]?key|streamid|session[_-]?id"
)
_QUERY_WORDS = _WORDS + r"|sig|key|hmac|hdnts|hdnea|policy|jwt|code|pass"
_USER_INFO = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)"
    r"(?:[^/?#\s\"'@:]+:(?!\d+[/?#])[^\s\"'@]*|[^/?#\s\"'@]+)(?:@[^/?#\s\"'@]*)*@"
)
_QUERY = re.compile(
    r"(?P<name>(?:[?&;]|\\u0026)(?:[\w.-]*[_.-])?(?:" + _QUERY_WORDS + r")[\w-]*=)[^&;\s\"'\\<>]+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(?P<kind>Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_SETTING = re.compile(
    r"(?P<name>[\w.-]*(?:" + _WORDS + r")[\w-]*\\*[\"']?\s*[=:]\s*)"
    r"(?:(?P<quote>\\*[\"'])(?:(?!(?P=quote)).)+|[^\s\"',;&}\]\\]+)",
    re.IGNORECASE,
)
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL)
_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
_REFERENCES = frozenset(
    {"secretName", "secretKeyRef", "secretRef", "imagePullSecrets", "automountServiceAccountToken",
     "tokenExpirationSeconds", "expirationSeconds", "serviceAccountToken", "secret"}
)  # fmt: skip
_DROPPED_ANNOTATIONS = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})


def redacted_text(text: str) -> str:
    """Free text, as of a log."""
    text = _PEM.sub(MASK, text)
    text = redacted_url(text)
    text = _SCHEME.sub(lambda found: f"{found['kind']} {MASK}", text)
    return _SETTING.sub(lambda found: found["name"] + (found["quote"] or "") + MASK, text)


def redacted_url(text: str) -> str:
    """A URL, or a text with URLs in it: user, password, and query parameters that are secrets."""
    text = _USER_INFO.sub(lambda found: f"{found['scheme']}{MASK}@", text)
    return _QUERY.sub(lambda found: found["name"] + MASK, text)


def redacted(value: Any) -> Any:
    """A document, at any depth. Names of Secrets stay, what is in them never gets here."""
    if isinstance(value, dict):
        return {
            key: _entry(key, inner, value)
            for key, inner in value.items()
            if key not in _DROPPED_ANNOTATIONS
        }
    if isinstance(value, list):
        return [redacted(inner) for inner in value]
    return redacted_text(value) if isinstance(value, str) else value


def _entry(key: str, inner: Any, beside: dict[str, Any]) -> Any:
    if key == "value" and isinstance(inner, str) and _is_secret(str(beside.get("name", ""))):
        return MASK
    if isinstance(inner, str) and key not in _REFERENCES and _is_secret(key):
        return MASK
    return redacted(inner)


def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None
