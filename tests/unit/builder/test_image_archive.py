"""Archives of engines as images of a registry, whatever their form."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.builder.adapters.build_log import BuildLog
from cynthus.builder.adapters.image_archive import ArchiveDamaged, ArchiveStore, ImageTooLarge
from cynthus.oci.folder_registry import FolderRegistry
from cynthus.oci.manifest import Config, Manifest

LABEL = "dev.example.build"


def layer(name: str, data: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def archive(layers: list[bytes], form: str = "docker", **changes) -> io.BytesIO:
    """As docker save writes it ("docker"), since version 25 ("blobs"), or with packed layers ("packed")."""
    diff_ids = ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]
    config = {
        "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["x"], "Image": "sha256:varies", "Labels": {LABEL: "1", "mine": "2"}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": "2026", "created_by": "RUN x"},
                    {"created": "2026", "created_by": f"LABEL {LABEL}=1", "empty_layer": True}],
        **changes,
    }  # fmt: skip
    names = [f"blobs/sha256/{one[7:]}" if form != "docker" else f"{one[7:20]}/layer.tar" for one in diff_ids]
    bodies = [gzip.compress(data) if form == "packed" else data for data in layers]
    files = dict(zip(names, bodies, strict=True)) | {"config.json": json.dumps(config).encode()}
    listed = [{"Config": "config.json", "RepoTags": None, "Layers": names}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in [*files.items(), ("manifest.json", json.dumps(listed).encode())]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return io.BytesIO(buffer.getvalue())


def store(folder: Path) -> tuple[ArchiveStore, FolderRegistry]:
    target = FolderRegistry(folder / "registry")
    kept = ArchiveStore(target, "ada/own", folder, known=lambda _: None, made=lambda _digest, _known: None)
    return kept, target


@pytest.mark.parametrize("form", ["docker", "blobs", "packed"])
def test_each_form_gives_the_same_image_without_what_varies(form: str, tmp_path: Path):
    kept, target = store(tmp_path)
    stored = kept.store(archive([layer("a"), layer("b")], form), 10**6, {}, LABEL)
    other, _ = store(tmp_path / "other") if (tmp_path / "other").mkdir() is None else (kept, target)
    again = other.store(archive([layer("a"), layer("b")], created="other"), 10**6, {}, LABEL)
    assert stored.digest == again.digest
    manifest = Manifest.decode(target.manifest("ada/own", stored.digest).body)
    config = Config.decode(b"".join(target.read("ada/own", manifest.config.digest)))
    assert config.execution == {"Cmd": ["x"], "Labels": {"mine": "2"}}
    assert len(config.history) == 2
    for diff_id, one in zip(config.diff_ids, manifest.layers, strict=True):
        plain = gzip.decompress(b"".join(target.read("ada/own", one.digest)))
        assert f"sha256:{hashlib.sha256(plain).hexdigest()}" == diff_id


def test_what_is_too_large_unpacked_is_not_stored(tmp_path: Path):
    kept, _ = store(tmp_path)
    with pytest.raises(ImageTooLarge):
        kept.store(archive([layer("zeros", bytes(5_000_000))], "packed"), 1_000_000, {}, LABEL)


def test_layers_that_are_not_those_of_the_configuration_are_refused(tmp_path: Path):
    kept, _ = store(tmp_path)
    wrong = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}
    with pytest.raises(ArchiveDamaged):
        kept.store(archive([layer("a")], rootfs=wrong), 10**6, {}, LABEL)


@settings(deadline=None, max_examples=40)
@given(at=st.integers(0, 9_000), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_archive_is_never_half_an_image(at: int, byte: int, cut: bool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    whole = archive([layer("a", b"content")]).getvalue()
    kept, target = store(folder)
    expected = kept.store(io.BytesIO(whole), 10**6, {}, LABEL)
    damaged = whole[:at] if cut else whole[:at] + bytes([byte]) + whole[at + 1 :]
    try:
        stored = kept.store(io.BytesIO(damaged), 10**6, {}, LABEL)
    except ArchiveDamaged:
        return
    layers = Manifest.decode(target.manifest("ada/own", stored.digest).body).layers
    assert layers == Manifest.decode(target.manifest("ada/own", expected.digest).body).layers


@given(st.lists(st.text(alphabet="ab\n\r\x1b[31m\x07é", max_size=30), max_size=20))
def test_what_a_build_says_arrives_clean_however_it_is_cut(pieces: list[str]):
    told: list[str] = []
    log = BuildLog(told.append)
    for piece in pieces:
        log.add(piece)
    log.end()
    whole: list[str] = []
    other = BuildLog(whole.append)
    other.add("".join(pieces))
    other.end()
    assert told == whole
    assert not any(character in line for line in told for character in "\n\r\x1b\x07")


def test_a_build_that_never_stops_talking_is_cut_short():
    told: list[str] = []
    log = BuildLog(told.append, most_lines=3, most_length=10)
    log.add("x" * 35 + "\n" + "line\n" * 100)
    assert len(told) == 4
    assert "more than is kept" in told[-1]
    assert all(len(line) <= 10 for line in told[:-1])
    assert log.tail()[-1] == "line"
