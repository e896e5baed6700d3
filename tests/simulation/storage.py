"""An object store that is now and then not there, and secrets that nobody has."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from cynthus.blobs.memory import MemoryBlobs
from tests.simulation.world import World


class StorageAway(Exception):
    """A 503 of the object store: whether a put happened is unknown."""


class FaultyBlobs:
    """The Blobs port, as far as the services use it. Chunks already stored stay."""

    def __init__(self, world: World, blobs: MemoryBlobs) -> None:
        self.world = world
        self.truth = blobs

    async def put(self, key: str, chunks: AsyncIterator[bytes], **named: Any) -> Any:
        await self._trip()
        stat = await self.truth.put(key, chunks, **named)
        if self.world.faults.hit("blob reply lost"):
            raise StorageAway("simulated")
        return stat

    async def put_many(self, items: dict[str, bytes]) -> None:
        await self._trip()
        await self.truth.put_many(items)

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        await self._trip()
        async for part in self.truth.get(key, start=start, end=end):
            yield part

    async def stat(self, key: str) -> Any:
        await self._trip()
        return await self.truth.stat(key)

    async def _trip(self) -> None:
        await asyncio.sleep(self.world.latency())
        if self.world.faults.hit("blobs 503"):
            raise StorageAway("simulated")


class NoSecrets:
    """No run here has any."""

    async def put(self, scope: str, values: dict[str, str]) -> None:
        return None

    async def get(self, scope: str) -> dict[str, str]:
        return {}

    async def delete(self, scope: str) -> None:
        return None
