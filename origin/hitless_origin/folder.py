"""The data folder: channels below `channels/{namespace}/{channel}`, one origin at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hitless_origin.errors import StartError
from hitless_origin.names import ChannelKey, is_label
from hitless_origin.store import ChannelStore


class FolderStorage:
    """A Storage in a folder, which a lock file guards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: int | None = None

    def open(self) -> None:
        """Lock the folder. Raises StartError."""
        try:
            self.channels.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StartError(f"the data folder {self.folder} can't be used: {error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            text = f"another origin uses the data folder {self.folder}: choose another"
            raise StartError(text) from error

    def close(self) -> None:
        """Give it free."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def found(self) -> list[ChannelKey]:
        """The channels that have a folder."""
        return [
            ChannelKey(namespace=root.parent.name, channel=root.name)
            for root in sorted(self.channels.glob("*/*"))
            if root.is_dir() and is_label(root.name) and is_label(root.parent.name)
        ]

    def channel(self, key: ChannelKey) -> ChannelStore:
        """A channel's store."""
        return ChannelStore(self.root(key))

    @property
    def channels(self) -> Path:
        """The folder of the channels' folders."""
        return self.folder / "channels"

    def root(self, key: ChannelKey) -> Path:
        """A channel's folder."""
        return self.channels / key.namespace / key.channel
