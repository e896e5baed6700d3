"""Taking snapshots in: a manifest is stored once every blob it names is there."""

import asyncio
from collections.abc import AsyncIterator

from cynthus.blobs import keys
from cynthus.blobs.ports import BlobExists, Blobs
from cynthus.gateway.domain.problems import BlobsAbsent, SnapshotUnknown
from cynthus.gateway.handlers.manifest_check import ManifestCheck
from cynthus.gateway.ports import Snapshots, SnapshotSize

_MISSING_TOLD = 1000


class SnapshotHandler:
    """Stores and finds the snapshots of owners."""

    def __init__(self, blobs: Blobs, snapshots: Snapshots) -> None:
        self._blobs = blobs
        self._snapshots = snapshots

    async def require(self, owner: str, digest: str) -> SnapshotSize:
        """The size of a snapshot that must be complete. Raises SnapshotUnknown."""
        size = await self.size(owner, digest)
        if size is None:
            raise SnapshotUnknown(f"there is no snapshot {digest}")
        return size

    async def size(self, owner: str, digest: str) -> SnapshotSize | None:
        """The size of a complete snapshot; one that another service stored is counted now."""
        size = await self._snapshots.find(owner, digest)
        key = keys.manifest(owner, digest)
        if size is not None or await self._blobs.stat(key) is None:
            return size
        check = ManifestCheck()
        async for chunk in self._blobs.get(key):
            await asyncio.to_thread(check.feed, chunk)
        size = await asyncio.to_thread(check.finish)
        await self._snapshots.note(owner, digest, size)
        return size

    async def store(self, owner: str, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """Whether the snapshot is new. Raises ManifestInvalid, DigestMismatch or BlobsAbsent."""
        if await self.size(owner, digest) is not None:
            async for _ in chunks:
                pass
            return False
        check = ManifestCheck()
        try:
            await self._blobs.put(
                keys.manifest(owner, digest),
                self._checked(owner, chunks, check),
                sha256=digest.removeprefix("sha256:"),
                if_generation=0,
            )
            stored = True
        except BlobExists:
            stored = False
        if check.size is not None:
            await self._snapshots.note(owner, digest, check.size)
        return stored

    async def _checked(
        self, owner: str, chunks: AsyncIterator[bytes], check: ManifestCheck
    ) -> AsyncIterator[bytes]:
        """The same bytes, on their way into the store; what is wrong with them stops the put."""
        missing: list[str] = []
        async for chunk in chunks:
            named = await asyncio.to_thread(check.feed, chunk)
            if len(missing) < _MISSING_TOLD:
                missing += await self._missing(owner, named)
            yield chunk
        check.size = await asyncio.to_thread(check.finish)
        missing += await self._missing(owner, check.take())
        if missing:
            check.size = None
            raise BlobsAbsent(list(dict.fromkeys(missing))[:_MISSING_TOLD])

    async def _missing(self, owner: str, digests: list[str]) -> list[str]:
        if not digests:
            return []
        wanted = {keys.blob(owner, digest): digest for digest in digests}
        present = await self._blobs.stat_many(list(wanted))
        return [digest for key, digest in wanted.items() if key not in present]
