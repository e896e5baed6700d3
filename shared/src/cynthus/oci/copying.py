"""Moving images between registries."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, cast

from cynthus.oci.descriptor import Descriptor
from cynthus.oci.ports import Registry
from cynthus.oci.pulling import find_image

_AT_ONCE = 4


def copy_image(
    source: Registry,
    source_repository: str,
    reference: str,
    target: Registry,
    target_repository: str,
    *,
    platform: str = "linux/amd64",
    tag: str | None = None,
) -> str:
    """Copy one platform's image and give its digest; what is there already is not moved.

    Within one registry blobs are mounted. Raises ContentUnknown, ContentDamaged, NotAnImage, StorageFull.
    """
    manifest, document = find_image(source, source_repository, reference, platform)
    blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
    copy = _Copy(source, source_repository, target, target_repository)
    with ThreadPoolExecutor(_AT_ONCE, "copy-image") as threads:
        for _ in threads.map(copy, blobs.values()):
            pass
    return target.write_manifest(target_repository, document.body, document.media_type, tag=tag)


def copy_blob(
    source: Registry, source_repository: str, target: Registry, target_repository: str, blob: Descriptor
) -> None:
    """Copy one blob unless it is there. Raises ContentUnknown, ContentDamaged, StorageFull."""
    _Copy(source, source_repository, target, target_repository)(blob)


class _Copy:
    def __init__(
        self, source: Registry, source_repository: str, target: Registry, target_repository: str
    ) -> None:
        self._source = source
        self._from = source_repository
        self._target = target
        self._to = target_repository

    def __call__(self, blob: Descriptor) -> None:
        if self._target.stat(self._to, blob.digest) is not None:
            return
        if self._source is self._target and self._target.mount(self._to, blob.digest, self._from):
            return
        self._target.write(self._to, blob.digest, blob.size, lambda: self._opened(blob.digest))

    def _opened(self, digest: str) -> BinaryIO:
        return opened(lambda offset: self._source.read(self._from, digest, offset=offset))


def opened(read: Callable[[int], Iterator[bytes]]) -> BinaryIO:
    """What `read(offset)` gives in pieces, as a stream to read or to read on from somewhere."""
    return cast("BinaryIO", _Stream(read))


class _Stream(io.RawIOBase):
    def __init__(self, read: Callable[[int], Iterator[bytes]]) -> None:
        self._read = read
        self._pieces = read(0)
        self._piece = memoryview(b"")
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        if offset != self._position:
            self._end()
            self._pieces, self._piece, self._position = self._read(offset), memoryview(b""), offset
        return offset

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if not self._piece:
            self._piece = memoryview(next((piece for piece in self._pieces if piece), b""))
        count = min(len(view), len(self._piece))
        view[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        self._position += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._end()
        super().close()

    def _end(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
