"""Project snapshots read from the object store."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence

from cynthus.blobs.ports import BlobMissing, Blobs
from cynthus.builder.adapters.recent_blobs import SMALL_BYTES, RecentBlobs
from cynthus.builder.ports import Project, SourceMissing
from cynthus.snapshots.manifest import Entry, decode

_AHEAD_BYTES = 8 * 1024 * 1024


class BlobSources:
    """The Sources port."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._recent = RecentBlobs(blobs)

    async def open(self, owner: str, snapshot: str) -> Project:
        """The snapshot's files; the first small ones are fetched already, the others as they are read."""
        key = f"owners/{owner}/manifests/{snapshot.removeprefix('sha256:')}"
        try:
            manifest = await _all(self._blobs.get(key))
        except BlobMissing as error:
            raise SourceMissing(snapshot) from error
        entries = tuple(decode(manifest.splitlines(keepends=True)))
        tree = SnapshotTree(self._blobs, self._recent, owner, entries)
        await tree.fetch_ahead()
        return tree

    async def keep(self, owner: str, text: str) -> str:
        """Store a text as a blob of the owner."""
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        key = blob_key(owner, digest)
        if await self._blobs.stat(key) is None:
            await self._blobs.put_many({key: data})
        return digest


class SnapshotTree:
    """A SourceTree over a snapshot; its reads are for other threads than the event loop's."""

    def __init__(self, blobs: Blobs, recent: RecentBlobs, owner: str, entries: Sequence[Entry]) -> None:
        self._blobs = blobs
        self._recent = recent
        self._owner = owner
        self._entries = entries
        self._files = {entry.path: entry for entry in entries if not entry.folder and entry.link is None}
        self._ahead: dict[str, bytes] = {}
        self._loop = asyncio.get_running_loop()

    async def fetch_ahead(self) -> None:
        """Have the first small files at hand, 8 MiB at most."""
        wanted, size = [], 0
        for entry in self._files.values():
            if size + entry.size <= _AHEAD_BYTES and entry.size <= SMALL_BYTES:
                wanted.append(entry)
                size += entry.size
        self._ahead = await self._fetched(wanted)

    def entries(self) -> Sequence[Entry]:
        """Files, links and empty folders, as the manifest has them."""
        return self._entries

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""
        return tuple(sorted(self._files))

    def read(self, path: str) -> bytes:
        """The whole content of one file. Raises SourceMissing."""
        content = self._ahead.get(path)
        return b"".join(self.stream(self._files[path])) if content is None else content

    def stream(self, entry: Entry) -> Iterator[bytes]:
        """A file's content, a chunk of at most 64 MiB at a time. Raises SourceMissing."""
        for chunk in entry.chunks:
            fetched = _all(self._blobs.get(blob_key(self._owner, chunk)))
            try:
                yield asyncio.run_coroutine_threadsafe(fetched, self._loop).result()
            except BlobMissing as error:
                raise SourceMissing(entry.path) from error

    def read_many(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        """Contents of small files by path, fetched at once. Raises SourceMissing."""
        left = [entry for entry in entries if entry.path not in self._ahead]
        contents = {entry.path: self._ahead[entry.path] for entry in entries if entry.path in self._ahead}
        if left:
            contents |= asyncio.run_coroutine_threadsafe(self._fetched(left), self._loop).result()
        return contents

    def size(self, path: str) -> int:
        """Bytes in one file."""
        return self._files[path].size

    async def _fetched(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        keys = {entry.path: [blob_key(self._owner, chunk) for chunk in entry.chunks] for entry in entries}
        found = await self._recent.get_many([key for chunks in keys.values() for key in chunks])
        try:
            return {path: b"".join([found[key] for key in chunks]) for path, chunks in keys.items()}
        except KeyError as error:
            raise SourceMissing(str(error)) from error


def blob_key(owner: str, digest: str) -> str:
    """Where a blob of an owner lies."""
    return f"owners/{owner}/blobs/{digest[:2]}/{digest}"


async def _all(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])
