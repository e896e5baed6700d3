"""Blobs in a folder."""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Literal

from cynthus.blobs import layout
from cynthus.blobs.folder import Folder, Writer
from cynthus.blobs.ports import BlobMissing, BlobStat, SignedUrl, StorageFull
from cynthus.blobs.signing import UrlSigner

PIECE_BYTES = 1024 * 1024
_LIST_BATCH = 1000
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalBlobs:
    """An object store on a local file system; several processes may share the folder."""

    def __init__(self, root: Path, signer: UrlSigner | None = None) -> None:
        self._folder = Folder(root)
        self.signer = signer

    async def put(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        sha256: str | None = None,
        if_generation: int | None = None,
    ) -> BlobStat:
        """Store bytes under a key. Raises BlobExists, DigestMismatch or StorageFull."""
        writer = Writer(self._folder, key)
        try:
            with _room():
                buffer = bytearray()
                async for chunk in chunks:
                    buffer += chunk
                    if len(buffer) >= PIECE_BYTES:
                        await asyncio.to_thread(writer.write, buffer)
                        buffer = bytearray()
                return await asyncio.to_thread(writer.finish, buffer, sha256, if_generation)
        finally:
            if writer.open:
                await asyncio.shield(asyncio.to_thread(writer.abandon))

    async def put_many(self, items: dict[str, bytes]) -> None:
        """Store many small blobs with one synchronisation. Raises StorageFull."""
        with _room():
            await asyncio.to_thread(self._folder.write_many, items)

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Bytes [start, end) of a blob, read in pieces of 1 MiB."""
        stream, piece, left = await asyncio.to_thread(self._folder.open, key, start, end, PIECE_BYTES)
        try:
            while piece:
                yield piece
                left -= len(piece)
                piece = await asyncio.to_thread(stream.read, min(PIECE_BYTES, left)) if left > 0 else b""
        finally:
            stream.close()

    async def get_many(self, keys: list[str]) -> dict[str, bytes]:
        """The bytes of those of the keys that exist."""
        return await asyncio.to_thread(self._folder.read_many, keys)

    async def stat(self, key: str) -> BlobStat | None:
        """What is under the key, or None."""
        return await asyncio.to_thread(self._folder.stat, key)

    async def stat_many(self, keys: list[str]) -> dict[str, BlobStat]:
        """Those of the keys that exist."""
        return await asyncio.to_thread(self._folder.stat_many, keys)

    async def list(self, prefix: str) -> AsyncIterator[BlobStat]:
        """Everything under a prefix, in key order."""
        found = self._folder.walk(prefix)
        while batch := await asyncio.to_thread(lambda: list(islice(found, _LIST_BATCH))):
            for stat in batch:
                yield stat

    async def delete(self, key: str) -> None:
        """Remove a blob."""
        await asyncio.to_thread(self._folder.delete, key)

    async def sign(self, key: str, *, method: Literal["GET", "PUT"], ttl: timedelta) -> SignedUrl:
        """A URL that the gateway serves. Raises BlobMissing without a signer."""
        if self.signer is None:
            raise BlobMissing(f"no signed URLs here: {key}")
        layout.path_of(Path(), key)
        return SignedUrl(self.signer.sign(key, method=method, ttl_s=ttl.total_seconds()), {})


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull("the disk with the platform's blobs is full") from error
        raise
