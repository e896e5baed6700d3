import io
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from cynthus.oci.descriptor import MediaType
from cynthus.oci.folder_registry import FolderRegistry
from cynthus.oci.http_registry import HttpRegistry
from cynthus.oci.manifest import digest_of
from cynthus.oci.ports import (
    BlobsUnknown,
    ContentDamaged,
    ContentUnknown,
    RegistryUnavailable,
    StorageFull,
)
from tests.contracts.registry import BIG, RegistryContract, as_descriptor, image, index_of, put, reading
from tests.fixtures.registry import RunningRegistry
from tests.fixtures.tiny_image import put_tiny_image

REPOSITORY = "ada/digits"


class TestFolderRegistry(RegistryContract):
    @pytest.fixture
    def images(self, tmp_path: Path) -> FolderRegistry:
        return FolderRegistry(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def images(root: Path) -> FolderRegistry:
    return FolderRegistry(root)


def blob_path(root: Path, digest: str, repository: str = REPOSITORY) -> Path:
    return root / repository / "blobs/sha256" / digest.removeprefix("sha256:")


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_blob_that_is_only_a_blob_is_no_manifest(images: FolderRegistry) -> None:
    blob = put(images, REPOSITORY, b"{}")
    with pytest.raises(ContentUnknown):
        images.manifest(REPOSITORY, blob.digest)


def test_a_repository_is_an_image_layout(images: FolderRegistry, root: Path) -> None:
    tiny = put_tiny_image(images, REPOSITORY, "v1")
    folder = root / REPOSITORY
    assert json.loads((folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    [entry] = json.loads((folder / "index.json").read_bytes())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "v1"}
    assert (entry["digest"], entry["mediaType"]) == (tiny.digest, MediaType.MANIFEST)
    blobs = {"oci-layout", "index.json", ".lock"}
    blobs |= {
        f"blobs/{one.replace(':', '/')}"
        for one in (tiny.digest, tiny.manifest.config.digest, tiny.manifest.layers[0].digest)
    }
    assert files(folder) == blobs


@pytest.mark.needs("skopeo", "docker-registry")
def test_skopeo_reads_it_and_copies_it_to_a_registry(
    images: FolderRegistry, root: Path, registry: RunningRegistry
) -> None:
    put_tiny_image(images, REPOSITORY, "v1", b"one")
    tiny = put_tiny_image(images, REPOSITORY, "v2", b"two")
    source = f"oci:{root / REPOSITORY}:v2"
    told = subprocess.run(["skopeo", "inspect", source], capture_output=True, check=True, timeout=60)
    assert json.loads(told.stdout)["Digest"] == tiny.digest
    target = f"docker://{registry.host}/skopeo/{root.parent.name}:v2"
    command = ["skopeo", "copy", "--preserve-digests", "--dest-tls-verify=false", source, target]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    copied = HttpRegistry(registry.url)
    assert copied.manifest(f"skopeo/{root.parent.name}", "v2").digest == tiny.digest
    copied.close()


@pytest.mark.needs("skopeo", "docker-registry")
def test_what_skopeo_wrote_is_read(images: FolderRegistry, root: Path, registry: RunningRegistry) -> None:
    there, name = HttpRegistry(registry.url), f"skopeo/{root.parent.name}"
    one, two = (put_tiny_image(there, name, text=text) for text in (b"one", b"two"))
    body = index_of(as_descriptor(one.manifest), as_descriptor(two.manifest))
    there.write_manifest(name, body, MediaType.INDEX, tag="both")
    there.close()
    (root / "bases").mkdir(parents=True)
    command = ["skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{registry.host}/{name}:both"]
    subprocess.run(
        [*command, f"oci:{root / 'bases/python'}:3.11"], capture_output=True, check=True, timeout=60
    )
    assert images.manifest("bases/python", "3.11").body == body
    assert images.manifest("bases/python", two.digest).media_type == MediaType.MANIFEST
    assert images.mount(REPOSITORY, two.manifest.layers[0].digest, "bases/python")


def test_a_mounted_blob_takes_no_room(images: FolderRegistry, root: Path) -> None:
    blob = put(images, "deps", BIG)
    assert images.mount(REPOSITORY, blob.digest, "deps")
    assert blob_path(root, blob.digest).samefile(blob_path(root, blob.digest, "deps"))


def test_a_blob_is_copied_where_links_are_impossible(
    images: FolderRegistry, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    blob = put(images, "deps", BIG)
    monkeypatch.setattr(os, "link", no_links)
    assert images.mount(REPOSITORY, blob.digest, "deps")
    assert blob_path(root, blob.digest).read_bytes() == BIG
    assert blob_path(root, blob.digest).stat().st_nlink == 1


def test_a_failing_source_leaves_nothing(images: FolderRegistry, root: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 1 << 20:
                raise ContentDamaged("elsewhere")
            return super().read(size)

    put(images, REPOSITORY, b"another")
    before = files(root)
    with pytest.raises(ContentDamaged, match="elsewhere"):
        images.write(REPOSITORY, digest_of(BIG), len(BIG), lambda: Failing(BIG))
    assert files(root) == before


def test_damage_on_the_disk_is_noticed(images: FolderRegistry, root: Path) -> None:
    blob = put(images, REPOSITORY, BIG)
    digest = images.write_manifest(REPOSITORY, image(images, REPOSITORY, b"x").encode(), MediaType.MANIFEST)
    blob_path(root, blob.digest).write_bytes(b"?" + BIG[1:])
    blob_path(root, digest).write_bytes(b"{}")
    with pytest.raises(ContentDamaged):
        list(images.read(REPOSITORY, blob.digest))
    with pytest.raises(ContentDamaged):
        images.manifest(REPOSITORY, digest)


def test_a_blob_of_the_wrong_size_is_replaced(images: FolderRegistry, root: Path) -> None:
    blob = put(images, REPOSITORY, BIG)
    blob_path(root, blob.digest).write_bytes(b"half")
    put(images, REPOSITORY, BIG)
    assert b"".join(images.read(REPOSITORY, blob.digest)) == BIG


def test_what_stands_in_the_way_is_told(images: FolderRegistry, root: Path) -> None:
    root.mkdir()
    (root / "ada").write_text("a file")
    with pytest.raises(RegistryUnavailable):
        put(images, REPOSITORY, b"layer")
    assert images.stat(REPOSITORY, digest_of(b"layer")) is None
    (root / "eve").mkdir()
    (root / "eve" / "index.json").write_text("{")
    with pytest.raises(RegistryUnavailable, match=r"index\.json"):
        images.tags("eve")


def test_what_a_killed_writer_left_is_removed_after_a_day(root: Path) -> None:
    put(FolderRegistry(root), REPOSITORY, b"first")
    folder = root / REPOSITORY / "blobs/sha256"
    old, new = folder / ".writing-old", folder / ".writing-new"
    for path in (old, new):
        path.write_bytes(b"half")
    day_ago = time.time() - 25 * 3600
    os.utime(old, (day_ago, day_ago))
    put(FolderRegistry(root), REPOSITORY, b"second")
    assert (old.exists(), new.exists()) == (False, True)


def _write_tags(root: Path, name: str) -> None:
    images = FolderRegistry(root)
    for number in range(15):
        body = image(images, REPOSITORY, b"layer", note=f"{name}{number}").encode()
        images.write_manifest(REPOSITORY, body, MediaType.MANIFEST, tag=f"{name}{number}")


def test_several_processes_lose_nothing_of_each_other(images: FolderRegistry, root: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_tags, args=(root, name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
        assert writer.exitcode == 0
    assert list(images.tags(REPOSITORY)) == sorted(
        f"{name}{number}" for name in "abc" for number in range(15)
    )


class _Stuck(io.RawIOBase):
    """Half of a blob; then a line on standard output, and nothing more."""

    def __init__(self) -> None:
        self._left = 1 << 20

    def read(self, size: int = -1, /) -> bytes:
        if not self._left:
            print("half", flush=True)
            signal.pause()
        piece = BIG[: min(self._left, size)]
        self._left -= len(piece)
        return piece


def _write_half(root: str) -> None:
    stuck: BinaryIO = _Stuck()  # type: ignore[assignment]
    FolderRegistry(Path(root)).write(REPOSITORY, digest_of(BIG), len(BIG), lambda: stuck)


def _write_beyond_the_limit(root: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    try:
        FolderRegistry(Path(root)).write(REPOSITORY, digest_of(BIG), len(BIG), reading(BIG))
    except StorageFull:
        print("full", flush=True)


_RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.unit.shared import test_oci_folder_registry as this
getattr(this, sys.argv[2])(sys.argv[3])
"""


@pytest.fixture
def here() -> list[str]:
    """The command that runs a function of this file."""
    return [sys.executable, "-c", _RUN, str(Path(__file__).parents[3])]


def test_nothing_is_visible_of_a_writer_that_was_killed(
    images: FolderRegistry, root: Path, here: list[str]
) -> None:
    with subprocess.Popen([*here, "_write_half", str(root)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half\n"
        writer.kill()
    assert images.stat(REPOSITORY, digest_of(BIG)) is None
    put(images, REPOSITORY, BIG)
    assert b"".join(images.read(REPOSITORY, digest_of(BIG))) == BIG


def test_a_full_disk_is_told_and_leaves_nothing(images: FolderRegistry, root: Path, here: list[str]) -> None:
    told = subprocess.run([*here, "_write_beyond_the_limit", str(root)], capture_output=True, check=True)
    assert told.stdout == b"full\n"
    assert images.stat(REPOSITORY, digest_of(BIG)) is None
    assert files(root) == {f"{REPOSITORY}/oci-layout"}


def test_what_no_manifest_names_is_collected(images: FolderRegistry) -> None:
    kept = put_tiny_image(images, REPOSITORY, "v1", b"kept")
    gone = put_tiny_image(images, REPOSITORY, "v2", b"gone", b"filler" * 1000)
    loose = put(images, REPOSITORY, BIG)
    assert images.collect(REPOSITORY) == 0
    images.remove_manifest(REPOSITORY, gone.digest)
    freed = images.collect(REPOSITORY, older_than_s=0)
    assert freed >= len(BIG) + len(gone.layer)
    for digest in (loose.digest, gone.digest, gone.manifest.config.digest, gone.manifest.layers[0].digest):
        assert images.stat(REPOSITORY, digest) is None
    assert b"".join(images.read(REPOSITORY, kept.manifest.layers[0].digest)) == kept.layer
    assert images.manifest(REPOSITORY, "v1").digest == kept.digest
    assert images.collect("never/written", older_than_s=0) == 0


def test_children_of_an_index_are_not_collected(images: FolderRegistry) -> None:
    one, two = (put_tiny_image(images, REPOSITORY, text=text) for text in (b"one", b"two"))
    body = index_of(as_descriptor(one.manifest), as_descriptor(two.manifest))
    images.write_manifest(REPOSITORY, body, MediaType.INDEX, tag="both")
    for digest in (one.digest, two.digest):
        images.remove_manifest(REPOSITORY, digest)
    assert images.collect(REPOSITORY, older_than_s=0) == 0
    assert images.manifest(REPOSITORY, two.digest).body == two.manifest.encode()


def test_a_manifest_after_its_blobs_were_collected_names_them(images: FolderRegistry) -> None:
    manifest = image(images, REPOSITORY, b"layer")
    images.write_manifest(REPOSITORY, manifest.encode(), MediaType.MANIFEST)
    images.remove_manifest(REPOSITORY, as_descriptor(manifest).digest)
    images.collect(REPOSITORY, older_than_s=0)
    with pytest.raises(BlobsUnknown) as unknown:
        images.write_manifest(REPOSITORY, manifest.encode(), MediaType.MANIFEST)
    assert set(unknown.value.digests) == {manifest.config.digest, manifest.layers[0].digest}
