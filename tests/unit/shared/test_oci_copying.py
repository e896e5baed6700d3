import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from cynthus.oci.copying import copy_image, opened
from cynthus.oci.descriptor import Descriptor, MediaType, NotAnImage
from cynthus.oci.folder_registry import FolderRegistry
from cynthus.oci.index import Entry
from cynthus.oci.manifest import digest_of
from cynthus.oci.ports import ContentDamaged, ContentUnknown
from cynthus.oci.pulling import choose, find_image
from tests.contracts.registry import as_descriptor, image, index_of


class Watched(FolderRegistry):
    """Notes what is moved."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: list[str] = []
        self.mounted: list[str] = []

    def write(self, repository: str, digest: str, size: int, source: Callable[[], BinaryIO]) -> None:
        self.written.append(digest)
        super().write(repository, digest, size, source)

    def mount(self, repository: str, digest: str, source_repository: str) -> bool:
        self.mounted.append(digest)
        return super().mount(repository, digest, source_repository)


@pytest.fixture
def here(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "there")


def two_platforms(registry: FolderRegistry) -> tuple[str, str]:
    """Digests of the images for arm64 and amd64, below the tag `both`."""
    arm, amd = (image(registry, "bases/python", layer) for layer in (b"arm", b"amd" * 1_000_000))
    for one in (arm, amd):
        registry.write_manifest("bases/python", one.encode(), MediaType.MANIFEST)
    body = index_of(as_descriptor(arm), as_descriptor(amd))
    registry.write_manifest("bases/python", body, MediaType.INDEX, tag="both")
    return as_descriptor(arm).digest, as_descriptor(amd).digest


def test_an_index_leads_to_the_image_of_the_platform(here: Watched) -> None:
    arm, amd = two_platforms(here)
    manifest, document = find_image(here, "bases/python", "both")
    assert (document.digest, document.media_type) == (amd, MediaType.MANIFEST)
    assert manifest.encode() == document.body
    assert find_image(here, "bases/python", "both", "linux/arm64")[1].digest == arm
    assert find_image(here, "bases/python", amd)[1].digest == amd


def test_a_platform_that_is_not_there_is_named_with_those_that_are(here: Watched) -> None:
    two_platforms(here)
    with pytest.raises(ContentUnknown, match=r"linux/s390x.*linux/amd64, linux/arm64"):
        find_image(here, "bases/python", "both", "linux/s390x")


def test_an_index_that_never_ends_is_no_image(here: Watched) -> None:
    _, amd = two_platforms(here)
    inner = Descriptor(MediaType.MANIFEST, amd, 1)
    for _ in range(5):
        body = index_of(inner, inner)
        digest = here.write_manifest("bases/python", body, MediaType.INDEX, tag="deep")
        inner = Descriptor(MediaType.INDEX, digest, len(body))
    with pytest.raises(NotAnImage, match="without end"):
        find_image(here, "bases/python", "deep")


@pytest.mark.parametrize(
    ("platforms", "wanted", "found"),
    [
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm", "linux/arm/v7"),
        (["linux/arm64/v9", "linux/arm64/v8"], "linux/arm64", "linux/arm64/v8"),
        (["linux/amd64/v3"], "linux/amd64", "linux/amd64/v3"),
        (["unknown/unknown", "linux/amd64"], "linux/amd64", "linux/amd64"),
        ([None], "linux/amd64", None),
    ],
)
def test_variants_of_a_platform_are_that_platform(
    platforms: list[str | None], wanted: str, found: str | None
) -> None:
    entries = tuple(Entry(Descriptor(MediaType.MANIFEST, digest_of(b""), 0), one) for one in platforms)
    assert choose(entries, wanted).platform == found


def test_an_image_is_copied_with_only_what_is_missing(here: Watched, there: Watched) -> None:
    _, amd = two_platforms(here)
    digest = copy_image(here, "bases/python", "both", there, "mirror/python", tag="3.11")
    assert digest == amd
    manifest, _ = find_image(there, "mirror/python", "3.11")
    blobs = {manifest.config.digest, *(layer.digest for layer in manifest.layers)}
    assert set(there.written) == blobs
    assert b"".join(there.read("mirror/python", manifest.layers[0].digest)) == b"amd" * 1_000_000
    there.written.clear()
    assert copy_image(here, "bases/python", "both", there, "mirror/python") == amd
    assert there.written == []


def test_within_a_registry_blobs_are_mounted(here: Watched) -> None:
    _, amd = two_platforms(here)
    here.written.clear()
    assert copy_image(here, "bases/python", amd, here, "ada/base", tag="latest") == amd
    assert here.written == []
    assert len(here.mounted) == 2
    assert find_image(here, "ada/base", "latest")[1].digest == amd


def test_a_damaged_source_leaves_no_image(here: Watched, there: Watched, tmp_path: Path) -> None:
    _, amd = two_platforms(here)
    manifest, _ = find_image(here, "bases/python", amd)
    hexadecimal = manifest.layers[0].digest.removeprefix("sha256:")
    (tmp_path / "here/bases/python/blobs/sha256" / hexadecimal).write_bytes(b"x" * 3_000_000)
    with pytest.raises(ContentDamaged):
        copy_image(here, "bases/python", amd, there, "mirror/python", tag="3.11")
    assert there.stat("mirror/python", manifest.layers[0].digest) is None
    with pytest.raises(ContentUnknown):
        there.manifest("mirror/python", "3.11")


def test_a_read_is_a_stream_that_can_go_back() -> None:
    begun: list[int] = []

    def read(offset: int) -> Iterator[bytes]:
        begun.append(offset)
        return iter([bytes(range(offset, 10)), b"", bytes(range(10, 20))])

    with opened(read) as stream:
        assert stream.read(4) == bytes(range(4))
        assert stream.tell() == 4
        stream.seek(4)
        assert io.BufferedReader(stream).read(3) == bytes(range(4, 7))  # type: ignore[type-var]
    assert begun == [0]
    with opened(read) as stream:
        stream.seek(7)
        assert stream.read(2) == bytes([7, 8])
    assert begun == [0, 0, 7]
