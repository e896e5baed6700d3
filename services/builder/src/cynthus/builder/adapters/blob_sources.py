"""Project snapshots read from the object store."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence

from cynthus.blobs.ports import BlobMissing, Blobs
from cynthus.builder.ports import SourceMissing
from cynthus.planning.tree import SourceTree
from cynthus.snapshots.manifest import Entry, decode


class BlobSources:
    """The Sources port."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def open(self, owner: str, snapshot: str) -> SourceTree:
        """The snapshot's files; contents are fetched as they are read."""
        key = f"owners/{owner}/manifests/{snapshot.removeprefix('sha256:')}"
        try:
            manifest = await _all(self._blobs.get(key))
        except BlobMissing as error:
            raise SourceMissing(snapshot) from error
        entries = [entry for entry in decode(manifest.splitlines(keepends=True)) if not entry.folder]
        files = {entry.path: entry for entry in entries if entry.link is None}
        return SnapshotTree(self._blobs, owner, files, asyncio.get_running_loop())

    async def keep(self, owner: str, text: str) -> str:
        """Store a text as a blob of the owner."""
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        await self._blobs.put_many({blob_key(owner, digest): data})
        return digest


class SnapshotTree:
    """A SourceTree over a snapshot; `read` is for other threads than the event loop's."""

    def __init__(
        self, blobs: Blobs, owner: str, files: dict[str, Entry], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._blobs = blobs
        self._owner = owner
        self._files = files
        self._loop = loop

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""
        return tuple(sorted(self._files))

    def read(self, path: str) -> bytes:
        """The whole content of one file."""
        return asyncio.run_coroutine_threadsafe(self._read(path), self._loop).result()

    def size(self, path: str) -> int:
        """Bytes in one file."""
        return self._files[path].size

    async def _read(self, path: str) -> bytes:
        keys = [blob_key(self._owner, chunk) for chunk in self._files[path].chunks]
        return b"".join([await _all(self._blobs.get(key)) for key in keys])


def blob_key(owner: str, digest: str) -> str:
    """Where a blob of an owner lies."""
    return f"owners/{owner}/blobs/{digest[:2]}/{digest}"


async def _all(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])
