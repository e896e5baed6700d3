"""Blobs in memory, for tests and for what need not last."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Literal

from cynthus.blobs.ports import BlobExists, BlobMissing, BlobStat, DigestMismatch, SignedUrl


class MemoryBlobs:
    """A dictionary that keeps the promises of the Blobs port, except to outlive the process."""

    def __init__(self) -> None:
        self._blobs: dict[str, tuple[int, bytes]] = {}
        self._generation = 0

    async def put(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        sha256: str | None = None,
        if_generation: int | None = None,
    ) -> BlobStat:
        """Store bytes under a key."""
        data = b"".join([chunk async for chunk in chunks])
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise DigestMismatch(f"the bytes under {key} are not those of sha256:{sha256}")
        if if_generation is not None and if_generation != self._blobs.get(key, (0, b""))[0]:
            raise BlobExists(key)
        return self._store(key, data)

    async def put_many(self, items: dict[str, bytes]) -> None:
        """Store many small blobs."""
        for key, data in items.items():
            self._store(key, data)

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Bytes [start, end) of a blob."""
        if key not in self._blobs:
            raise BlobMissing(key)
        piece = self._blobs[key][1][start:end]
        if piece:
            yield piece

    async def get_many(self, keys: list[str]) -> dict[str, bytes]:
        """The bytes of those of the keys that exist."""
        return {key: self._blobs[key][1] for key in keys if key in self._blobs}

    async def stat(self, key: str) -> BlobStat | None:
        """What is under the key, or None."""
        found = self._blobs.get(key)
        return None if found is None else BlobStat(key, len(found[1]), found[0])

    async def stat_many(self, keys: list[str]) -> dict[str, BlobStat]:
        """Those of the keys that exist."""
        return {key: found for key in keys if (found := await self.stat(key)) is not None}

    async def list(self, prefix: str) -> AsyncIterator[BlobStat]:
        """Everything under a prefix, in key order."""
        for key in sorted(self._blobs):
            if key.startswith(prefix) and (found := await self.stat(key)) is not None:
                yield found

    async def delete(self, key: str) -> None:
        """Remove a blob."""
        self._blobs.pop(key, None)

    async def sign(self, key: str, *, method: Literal["GET", "PUT"], ttl: timedelta) -> SignedUrl:
        """A URL that nobody serves."""
        return SignedUrl(f"memory:///{key}?method={method}&seconds={ttl.total_seconds():.0f}", {})

    def _store(self, key: str, data: bytes) -> BlobStat:
        self._generation += 1
        self._blobs[key] = (self._generation, data)
        return BlobStat(key, len(data), self._generation)
