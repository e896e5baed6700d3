"""Pins read from manifests in the object store and remembered in PostgreSQL."""

from collections.abc import AsyncIterator

from cynthus.blobs.ports import BlobMissing, Blobs
from cynthus.datasets.ports import Contents
from cynthus.snapshots.manifest import decode
from cynthus.store.database import Database

_FIND = "SELECT files, bytes FROM datasets.pins WHERE owner = $1 AND snapshot = $2"
_KEEP = """
    INSERT INTO datasets.pins (owner, snapshot, files, bytes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""


class BlobPins:
    """The Pins port."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    async def contents(self, owner: str, snapshot: str) -> Contents | None:
        """From memory of an earlier look, else by reading the manifest once."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND, owner, snapshot)
        if row is not None:
            return Contents(row["files"], row["bytes"])
        key = f"owners/{owner}/manifests/{snapshot.removeprefix('sha256:')}"
        try:
            lines = [line async for line in _lines(self._blobs.get(key))]
        except BlobMissing:
            return None
        sizes = [entry.size for entry in decode(lines) if entry.chunks or not (entry.link or entry.folder)]
        contents = Contents(len(sizes), sum(sizes))
        async with self._database.connection() as connection:
            await connection.execute(_KEEP, owner, snapshot, contents.files, contents.bytes)
        return contents


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
