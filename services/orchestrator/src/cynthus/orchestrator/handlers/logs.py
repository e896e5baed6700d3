"""Logs: a chunk is stored, then indexed while its attempt counts; live and later they read the same."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from cynthus.blobs import keys
from cynthus.blobs.ports import BlobMissing, Blobs
from cynthus.orchestrator.domain.run import Run
from cynthus.orchestrator.handlers.refusals import LogGap
from cynthus.orchestrator.ports import Bell, LogChunk, LogIndex

_PAGE_BYTES = 4 * 1024 * 1024
_READS_AT_ONCE = 8


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


@dataclass(frozen=True, slots=True)
class Logs:
    """Takes chunks in and gives them out."""

    index: LogIndex
    blobs: Blobs
    bell: Bell

    async def accept(self, owner: str, chunk: LogChunk, data: bytes) -> int:
        """Store the next chunk, or see that it is there; the next sequence number. Raises Fenced, LogGap."""
        head = await self.index.head(chunk)
        if head.same is not None:
            return self._repeated(chunk, head.same, head.next_seq, head.next_offset)
        if chunk.seq != head.next_seq or chunk.offset != head.next_offset:
            raise LogGap(head.next_seq, head.next_offset)
        await self.blobs.put(keys.log_chunk(owner, chunk.run_id, chunk.epoch, chunk.seq), _once(data))
        if not await self.index.add(chunk):
            return await self.accept(owner, chunk, data)
        self.bell.ring([f"logs:{chunk.run_id}"])
        return chunk.seq + 1

    def _repeated(self, chunk: LogChunk, known: LogChunk, next_seq: int, next_offset: int) -> int:
        if (chunk.source, chunk.offset, chunk.size) != (known.source, known.offset, known.size):
            raise LogGap(next_seq, next_offset)
        return next_seq

    async def first_line_at(self, run: Run) -> datetime | None:
        """When the newest attempt first wrote something."""
        attempt = run.current
        started = attempt is not None and (attempt.started_at or attempt.exited_at) is not None
        return await self.index.first_at(run.id, run.epoch) if started else None

    async def read(
        self,
        owner: str,
        run_id: str,
        after: tuple[int, int],
        limit: int,
        *,
        source: str | None,
        epoch: int | None,
    ) -> tuple[list[tuple[LogChunk, bytes]], bool] | None:
        """Chunks after a cursor with their bytes, and whether there can be no more; None: no such run."""
        page = await self.index.watch(owner, run_id, after, limit + 1, source=source, epoch=epoch)
        if page is None:
            return None
        found = page.chunks
        chosen: list[LogChunk] = []
        size = 0
        for chunk in found[:limit]:
            size += chunk.size
            if chosen and size > _PAGE_BYTES:
                break
            chosen.append(chunk)
        turn = asyncio.Semaphore(_READS_AT_ONCE)
        bodies = await asyncio.gather(*(self._body(owner, chunk, turn) for chunk in chosen))
        return list(zip(chosen, bodies, strict=True)), page.over and len(found) == len(chosen)

    async def _body(self, owner: str, chunk: LogChunk, turn: asyncio.Semaphore) -> bytes:
        key = keys.log_chunk(owner, chunk.run_id, chunk.epoch, chunk.seq)
        async with turn:
            try:
                return b"".join([part async for part in self.blobs.get(key)])
            except BlobMissing:
                return b"[cynthus: this part of the log was deleted]\n"
