"""Two versions of one image in one archive: the same layers, another environment."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

from hack.images.archive import Listing, Variant, prune, write_variants

LAYER = b"the bytes of a layer"
DIGEST = hashlib.sha256(LAYER).hexdigest()


def write_source(path: Path) -> None:
    """What an engine writes: one image, its files under names of its own."""
    config = {
        "config": {"Env": ["PATH=/bin", "HITLESS_VERSION=none"], "Labels": {"kept": "yes"}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{DIGEST}"]},
    }
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": ["somewhere/layer"]}]
    files = {
        "c.json": json.dumps(config).encode(),
        "somewhere/layer": LAYER,
        "manifest.json": json.dumps(manifest).encode(),
    }
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def test_versions_share_layers_and_differ_in_environment(tmp_path: Path) -> None:
    source, target = tmp_path / "source.tar", tmp_path / "target.tar"
    write_source(source)
    versions = ("v1", "v2")
    write_variants(
        source,
        target,
        [Variant(reference=f"localhost/x:{v}", env={"HITLESS_VERSION": v}) for v in versions],
    )
    with tarfile.open(target) as archive:
        files = {m.name: archive.extractfile(m) for m in archive.getmembers()}
        contents = {name: file.read() for name, file in files.items() if file is not None}
    manifest = json.loads(contents["manifest.json"])
    assert [entry["RepoTags"] for entry in manifest] == [["localhost/x:v1"], ["localhost/x:v2"]]
    assert [entry["Layers"] for entry in manifest] == [[f"{DIGEST}.tar"]] * 2
    assert contents[f"{DIGEST}.tar"] == LAYER
    for version, entry in zip(versions, manifest, strict=True):
        content = contents[entry["Config"]]
        assert entry["Config"] == f"{hashlib.sha256(content).hexdigest()}.json"
        inner = json.loads(content)["config"]
        assert inner["Env"] == ["PATH=/bin", f"HITLESS_VERSION={version}"]
        assert inner["Labels"] == {"kept": "yes", "org.opencontainers.image.version": version}


def test_a_variant_can_have_a_file_more_and_another_entrypoint(tmp_path: Path) -> None:
    source, target = tmp_path / "source.tar", tmp_path / "target.tar"
    write_source(source)
    plain = Variant(reference="localhost/x:good", env={})
    more = Variant(
        reference="localhost/x:bad",
        env={},
        files={"/opt/x/bad.py": b"print()"},
        entrypoint=("python3", "/opt/x/bad.py"),
    )
    write_variants(source, target, [plain, more])
    with tarfile.open(target) as archive:
        files = {m.name: archive.extractfile(m) for m in archive.getmembers()}
        contents = {name: file.read() for name, file in files.items() if file is not None}
    good, bad = json.loads(contents["manifest.json"])
    assert good["Layers"] == [f"{DIGEST}.tar"], "the product's image stays as it is"
    assert bad["Layers"][:-1] == good["Layers"]
    layer = contents[bad["Layers"][-1]]
    config = json.loads(contents[bad["Config"]])
    assert config["rootfs"]["diff_ids"][-1] == f"sha256:{hashlib.sha256(layer).hexdigest()}"
    assert config["config"]["Entrypoint"] == ["python3", "/opt/x/bad.py"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as inside:
        assert [(m.name, m.mode) for m in inside.getmembers()] == [("opt/x/bad.py", 0o644)]


def test_the_listing_forgets_archives_that_are_gone(tmp_path: Path) -> None:
    here, gone = tmp_path / "here.tar", tmp_path / "gone.tar"
    here.touch()
    listing = Listing(tmp_path)
    assert listing.read() == {}
    listing.add({"a:1": here, "b:1": gone})
    assert listing.read() == {"a:1": here}
    (tmp_path / "images.json").write_text("{half a fi")
    assert listing.read() == {}, "a listing that was cut short is made anew"


def test_prune_keeps_the_latest(tmp_path: Path) -> None:
    for age in range(5):
        path = tmp_path / f"role-{age}.tar"
        path.touch()
        stamp = 1_000_000 - age
        os.utime(path, (stamp, stamp))
    prune(tmp_path, "role-*.tar", keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["role-0.tar", "role-1.tar"]
