"""Blobs: immutable bytes under keys."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol


class BlobMissing(Exception):
    """There is nothing under this key."""


class BlobExists(Exception):
    """A put's `if_generation` does not hold: something else is under the key."""


class DigestMismatch(Exception):
    """The bytes that arrived are not those that were announced; nothing was stored."""


class StorageFull(Exception):
    """There is no room; nothing was stored."""


@dataclass(frozen=True, slots=True)
class BlobStat:
    """Size in bytes and a generation that changes with every write (a precondition token)."""

    key: str
    size: int
    generation: int


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that works without other credentials, for one object and one method, until it expires."""

    url: str
    headers: dict[str, str]


class Blobs(Protocol):
    """An object store. A put is all or nothing, and durable when it returns."""

    async def put(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        sha256: str | None = None,
        if_generation: int | None = None,
    ) -> BlobStat:
        """Store bytes; checked against `sha256` (hex). `if_generation=0` means: only if absent."""
        ...

    async def put_many(self, items: dict[str, bytes]) -> None:
        """Store many small blobs, durable together when it returns."""
        ...

    def get(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Bytes [start, end) of a blob. Raises BlobMissing before the first chunk."""
        ...

    async def get_many(self, keys: list[str]) -> dict[str, bytes]:
        """The bytes of small blobs, held in memory together; absent keys are left out."""
        ...

    async def stat(self, key: str) -> BlobStat | None:
        """What is under the key, or None."""
        ...

    async def stat_many(self, keys: list[str]) -> dict[str, BlobStat]:
        """Those of the keys that exist."""
        ...

    def list(self, prefix: str) -> AsyncIterator[BlobStat]:
        """Everything under a prefix, in key order."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a blob; an absent one is not an error."""
        ...

    async def sign(self, key: str, *, method: Literal["GET", "PUT"], ttl: timedelta) -> SignedUrl:
        """A URL for one object and one method."""
        ...
