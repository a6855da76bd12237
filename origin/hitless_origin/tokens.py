"""Who may push to which channel: asks for a channel's token where the origin has keys.

`ingest.py` asks before it reads a body or looks for the channel. `python -m hitless_origin.tokens
NAMESPACE/CHANNEL` prints a token, for encoders that no operator gives one to.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hitless_origin.errors import PushRefused, StartError
from hitless_origin.names import ChannelKey, is_label
from hitless_origin.refusals import no_token, token_of_another
from hitless_origin.settings import KEYS_VARIABLE, Settings
from hitless_wire.ingest_tokens import Admittance, KeyFile, KeysUnusable, admittance


class TokenCheck:
    """The check of each push. judged: pushes by what their credentials were worth."""

    def __init__(self, settings: Settings) -> None:
        """Raises StartError."""
        self.judged: Counter[Admittance] = Counter()
        self._required = settings.tokens_required
        self._keys: KeyFile | None = None
        if settings.ingest_keys is not None:
            self.judged.update(dict.fromkeys(Admittance, 0))
            try:
                self._keys = KeyFile(settings.ingest_keys)
            except KeysUnusable as error:
                raise StartError(f"--ingest-keys-file {error}") from error

    def refusal(
        self, authorization: str | None, key: ChannelKey, *, announced: bool = False
    ) -> PushRefused | None:
        """Why a push to the channel is not taken (401, 403).

        announced: it comes when there is no refusal, and is counted then.
        """
        if self._keys is None:
            return None
        verdict = admittance(authorization, self._keys.keys(), key.namespace, key.channel)
        taken = verdict is Admittance.GRANTED or not self._required
        self.judged[verdict] += not (taken and announced)
        if taken:
            return None
        return no_token() if verdict is Admittance.MISSING else token_of_another(key)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the token of a channel. The exit code: 0, or 2 with a reason."""
    parser = argparse.ArgumentParser(
        prog="python -m hitless_origin.tokens", description="Print the ingest token of a channel."
    )
    default = os.environ.get(KEYS_VARIABLE)
    parser.add_argument("channel", metavar="NAMESPACE/CHANNEL")
    parser.add_argument(
        "--ingest-keys-file",
        default=default,
        required=not default,
        help=f"a key a line, the first one signs ({KEYS_VARIABLE})",
    )
    parsed = parser.parse_args(arguments)
    namespace, _, channel = parsed.channel.partition("/")
    if not is_label(namespace) or not is_label(channel):
        parser.error(f"{parsed.channel}: give NAMESPACE/CHANNEL, as `live/news`")
    try:
        print(KeyFile(Path(parsed.ingest_keys_file)).sign(namespace, channel))
    except KeysUnusable as error:
        parser.error(f"--ingest-keys-file {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
