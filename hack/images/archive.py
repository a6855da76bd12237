"""Image archives: their format, their names in the cache, the list of what there is.

Owns the archives and images.json. An archive is a docker-archive (what `docker save` writes):
`ctr images import` of containerd, `kind load image-archive` and `docker load` all take it. build.py
calls this module.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hack.images.commands import ImageError, remove

VERSION_LABEL = "org.opencontainers.image.version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One image of an archive: its name, its version, and what it changes in the environment.

    files: added to the image, by absolute path. entrypoint: in place of the image's, if not empty.
    """

    reference: str
    env: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()

    @property
    def version(self) -> str:
        """The tag of the reference."""
        return self.reference.rpartition(":")[2]


def write_variants(source: Path, target: Path, variants: Iterable[Variant]) -> None:
    """Write `target`: the one image in `source` under each variant's name and with its environment.

    Variants share every layer, which is in the archive once: another version costs 2 kB and no
    build. (buildah 1.28 could not build it anyway: its cache takes ENV lines for equal whatever
    value an ARG in them has.)
    """
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        image = json.loads(_read(old, "manifest.json"))[0]
        config = json.loads(_read(old, image["Config"]))
        # Named by content, whatever the engine called them (Docker: blobs/sha256/…).
        layers = [f"{digest.partition(':')[2]}.tar" for digest in config["rootfs"]["diff_ids"]]
        for name, layer in dict(zip(layers, image["Layers"], strict=True)).items():
            _add(new, name, *_open(old, layer))
        added = dict[str, bytes]()
        entries = [_add_variant(new, config, layers, v, added) for v in variants]
        for name, content in added.items():
            _add(new, name, len(content), io.BytesIO(content))
        _add_json(new, "manifest.json", entries)


def _add_variant(
    new: tarfile.TarFile,
    config: dict[str, Any],
    layers: list[str],
    variant: Variant,
    added: dict[str, bytes],
) -> dict[str, Any]:
    """Add the variant's configuration; return its entry for the manifest.

    added: layers that variants have beyond `layers`, by name; this one's goes in.
    """
    if variant.files:
        content = _layer(variant.files)
        digest = hashlib.sha256(content).hexdigest()
        added[f"{digest}.tar"] = content
        layers = [*layers, f"{digest}.tar"]
        config = _with_layer(config, f"sha256:{digest}")
    inner = config["config"]
    kept = [pair for pair in inner.get("Env") or () if pair.partition("=")[0] not in variant.env]
    changed = {
        **inner,
        "Env": [*kept, *(f"{name}={value}" for name, value in variant.env.items())],
        "Labels": {**(inner.get("Labels") or {}), VERSION_LABEL: variant.version},
        "Entrypoint": list(variant.entrypoint) or inner.get("Entrypoint"),
    }
    content = json.dumps({**config, "config": changed}).encode()
    name = f"{hashlib.sha256(content).hexdigest()}.json"
    _add(new, name, len(content), io.BytesIO(content))
    return {"Config": name, "RepoTags": [variant.reference], "Layers": layers}


def _layer(files: Mapping[str, bytes]) -> bytes:
    """A layer of files that anybody may read; the same bytes for the same files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        for path in sorted(files):
            _add(layer, path.lstrip("/"), len(files[path]), io.BytesIO(files[path]))
    return content.getvalue()


def _with_layer(config: dict[str, Any], diff_id: str) -> dict[str, Any]:
    rootfs = config["rootfs"]
    changed = {**config, "rootfs": {**rootfs, "diff_ids": [*rootfs["diff_ids"], diff_id]}}
    if "history" in config:
        changed["history"] = [*config["history"], {"created_by": "files of a variant"}]
    return changed


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    return _open(archive, name)[1].read()


def _open(archive: tarfile.TarFile, name: str) -> tuple[int, IO[bytes]]:
    file = archive.extractfile(name)  # follows links, which some engines use for equal layers
    if file is None:
        raise ImageError(f"{archive.name!s}: {name} is no file. Remove the archive and try again.")
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size, file


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    archive.addfile(entry, content)


def _add_json(archive: tarfile.TarFile, name: str, value: object) -> None:
    content = json.dumps(value).encode()
    _add(archive, name, len(content), io.BytesIO(content))


class Listing:
    """images.json: which archive holds which of the roles' images."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "images.json"

    def read(self) -> dict[str, Path]:
        """Reference to archive, of those that are there."""
        try:
            entries = json.loads(self._path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return {name: Path(path) for name, path in entries.items() if Path(path).exists()}

    def add(self, found: Mapping[str, Path]) -> None:
        """Note which archives hold the references in `found`."""
        entries = {**self.read(), **found}
        arriving = self._path.with_suffix(".new")
        arriving.write_text(
            json.dumps({name: str(entries[name]) for name in sorted(entries)}, indent=2)
        )
        arriving.replace(self._path)


def prune(folder: Path, pattern: str, *, keep: int) -> None:
    """Remove what matches `pattern` in `folder`, but for the `keep` latest used."""
    found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[keep:]:
        if path.is_dir():
            remove(path)
        else:
            path.unlink()
