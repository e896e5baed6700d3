"""One OCI image layout on disk: blobs, and an index.json that names manifests and their tags."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cynthus.oci import durable
from cynthus.oci.descriptor import Descriptor, NotAnImage
from cynthus.oci.index import INDEXES, decode_index, encode_index
from cynthus.oci.ports import ContentUnknown, RegistryUnavailable

TAG = "org.opencontainers.image.ref.name"
SUBJECT = "dev.cynthus.subject"
_MARKER = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout in `folder`, which need not be there yet."""

    folder: Path

    def blob(self, digest: str) -> Path:
        """Where a blob is."""
        return self.blobs / digest.removeprefix("sha256:")

    @property
    def blobs(self) -> Path:
        """The folder of all blobs."""
        return self.folder / "blobs" / "sha256"

    @property
    def is_there(self) -> bool:
        """Whether anything was ever written."""
        return (self.folder / "oci-layout").is_file()

    def create(self) -> None:
        """Make an empty layout, unless there is one."""
        if self.is_there:
            return
        durable.make_folder(self.blobs)
        durable.write(self.folder / "oci-layout", [_MARKER])

    def read_blob(self, digest: str) -> bytes:
        """A small blob. Raises ContentUnknown."""
        try:
            return self.blob(digest).read_bytes()
        except FileNotFoundError as error:
            raise ContentUnknown(digest) from error

    def listed(self) -> list[Descriptor]:
        """What index.json names: a manifest once for each tag, or once without one."""
        try:
            return [entry.descriptor for entry in decode_index((self.folder / "index.json").read_bytes())]
        except FileNotFoundError:
            return []
        except NotAnImage as error:
            raise RegistryUnavailable(f"{self.folder / 'index.json'}: {error}") from error

    @contextmanager
    def changing(self) -> Iterator[list[Descriptor]]:
        """The list to change; it is stored as the block ends. One at a time, of all processes."""
        self.create()
        with durable.locked(self.folder / ".lock"):
            before = self.listed()
            after = list(before)
            yield after
            if after != before or not (self.folder / "index.json").exists():
                durable.write(self.folder / "index.json", [encode_index(after)])

    def touch(self, digest: str) -> bool:
        """Whether a blob is there; if so it is as good as new to `collect`."""
        try:
            os.utime(self.blob(digest))
        except FileNotFoundError:
            return False
        return True


def tag_of(descriptor: Descriptor) -> str | None:
    """The tag of an entry of index.json."""
    return descriptor.annotations.get(TAG)


def tagged(listed: list[Descriptor], added: Descriptor, tag: str | None) -> list[Descriptor]:
    """The list with a manifest in it, under the tag if there is one; who had the tag stays without it."""
    kept = [_without_tag(one) if tag is not None and tag_of(one) == tag else one for one in listed]
    with_tag = added if tag is None else replace(added, annotations={**added.annotations, TAG: tag})
    return _tidy([*kept, with_tag])


def find(layout: Layout, listed: list[Descriptor], reference: str, *, is_tag: bool) -> Descriptor | None:
    """The manifest of a tag or digest, also one that an index names."""
    for one in listed:
        if (tag_of(one) if is_tag else one.digest) == reference:
            return one
    if is_tag:
        return None
    inner = (child for one in listed if one.media_type in INDEXES for child in children(layout, one.digest))
    return next((child for child in inner if child.digest == reference), None)


def children(layout: Layout, index: str) -> list[Descriptor]:
    """The manifests of an index that is here; none when it is damaged or gone."""
    try:
        return [entry.descriptor for entry in decode_index(layout.read_blob(index))]
    except (ContentUnknown, NotAnImage):
        return []


def _without_tag(descriptor: Descriptor) -> Descriptor:
    notes = {name: value for name, value in descriptor.annotations.items() if name != TAG}
    return replace(descriptor, annotations=notes)


def _tidy(listed: list[Descriptor]) -> list[Descriptor]:
    """Each manifest once for each tag; without a tag only when it has none."""
    with_tag = {one.digest for one in listed if tag_of(one) is not None}
    unique = {(one.digest, tag_of(one)): one for one in listed}
    return [one for (digest, tag), one in unique.items() if tag is not None or digest not in with_tag]
