"""Project snapshots read from the object store."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence

from cynthus.blobs.ports import BlobMissing, Blobs
from cynthus.builder.ports import Project, SourceMissing
from cynthus.snapshots.manifest import Entry, decode


class BlobSources:
    """The Sources port."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def open(self, owner: str, snapshot: str) -> Project:
        """The snapshot's files; contents are fetched as they are read."""
        key = f"owners/{owner}/manifests/{snapshot.removeprefix('sha256:')}"
        try:
            manifest = await _all(self._blobs.get(key))
        except BlobMissing as error:
            raise SourceMissing(snapshot) from error
        entries = tuple(decode(manifest.splitlines(keepends=True)))
        return SnapshotTree(self._blobs, owner, entries, asyncio.get_running_loop())

    async def keep(self, owner: str, text: str) -> str:
        """Store a text as a blob of the owner."""
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        await self._blobs.put_many({blob_key(owner, digest): data})
        return digest


class SnapshotTree:
    """A SourceTree over a snapshot; `read` is for other threads than the event loop's."""

    def __init__(
        self, blobs: Blobs, owner: str, entries: Sequence[Entry], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._blobs = blobs
        self._owner = owner
        self._entries = entries
        self._files = {entry.path: entry for entry in entries if not entry.folder and entry.link is None}
        self._loop = loop

    def entries(self) -> Sequence[Entry]:
        """Files, links and empty folders, as the manifest has them."""
        return self._entries

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""
        return tuple(sorted(self._files))

    def read(self, path: str) -> bytes:
        """The whole content of one file."""
        return asyncio.run_coroutine_threadsafe(self._read(path), self._loop).result()

    def stream(self, entry: Entry) -> Iterator[bytes]:
        """A file's content, a chunk of at most 64 MiB at a time."""
        for chunk in entry.chunks:
            fetched = _all(self._blobs.get(blob_key(self._owner, chunk)))
            yield asyncio.run_coroutine_threadsafe(fetched, self._loop).result()

    def read_many(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        """Contents of small files by path, fetched side by side."""
        return asyncio.run_coroutine_threadsafe(self._read_many(entries), self._loop).result()

    async def _read_many(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        contents = await asyncio.gather(*(self._read(entry.path) for entry in entries))
        return dict(zip((entry.path for entry in entries), contents, strict=True))

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
