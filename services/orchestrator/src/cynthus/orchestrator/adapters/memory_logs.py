"""The index of log chunks in memory."""

from dataclasses import replace
from datetime import datetime

from cynthus.orchestrator.adapters.memory_tables import MemoryTables
from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.ports import LogChunk, LogHead, LogPage, LogTotals


class MemoryLogIndex:
    """The LogIndex port."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def head(self, chunk: LogChunk) -> LogHead:
        """Where the log stands before this chunk. Raises Fenced."""
        self._check(chunk)
        known = self._of(chunk.run_id, chunk.epoch)
        same = known[chunk.seq] if chunk.seq < len(known) else None
        return LogHead(len(known), self._offset(chunk), same and replace(same, at=None))

    async def add(self, chunk: LogChunk) -> bool:
        """Add the next chunk; False when it is not the next one. Raises Fenced."""
        self._check(chunk)
        known = self._of(chunk.run_id, chunk.epoch)
        if (chunk.seq, chunk.offset) != (len(known), self._offset(chunk)):
            return False
        self._tables.chunks.setdefault((chunk.run_id, chunk.epoch), []).append(
            replace(chunk, at=self._tables.clock())
        )
        return True

    async def totals(self, run_id: str, epoch: int) -> LogTotals:
        """All that is in the index."""
        known = self._of(run_id, epoch)
        return LogTotals(len(known), {chunk.source: chunk.offset + chunk.size for chunk in known})

    async def first_at(self, run_id: str, epoch: int) -> datetime | None:
        """When the first chunk of an attempt arrived."""
        known = self._of(run_id, epoch)
        return known[0].at if known else None

    async def page(
        self, run_id: str, after: tuple[int, int], limit: int, source: str | None, epoch: int | None
    ) -> list[LogChunk]:
        """Chunks after (epoch, seq), in that order."""
        found = [
            chunk
            for (run, number), chunks in sorted(self._tables.chunks.items())
            if run == run_id and epoch in {None, number}
            for chunk in chunks
            if (chunk.epoch, chunk.seq) > after and source in {None, chunk.source}
        ]
        return found[:limit]

    async def watch(
        self,
        owner: str,
        run_id: str,
        after: tuple[int, int],
        limit: int,
        *,
        source: str | None,
        epoch: int | None,
    ) -> LogPage | None:
        """Chunks and whether the run is over."""
        run = self._tables.visible(owner, run_id)
        if run is None:
            return None
        return LogPage(await self.page(run_id, after, limit, source, epoch), run.over)

    def _check(self, chunk: LogChunk) -> None:
        lease = self._tables.leases.get((chunk.run_id, chunk.epoch))
        if lease is None or lease.expired:
            raise Fenced(f"attempt {chunk.epoch} of {chunk.run_id} does not count")

    def _of(self, run_id: str, epoch: int) -> list[LogChunk]:
        return self._tables.chunks.get((run_id, epoch), [])

    def _offset(self, chunk: LogChunk) -> int:
        known = self._of(chunk.run_id, chunk.epoch)
        return max((one.offset + one.size for one in known if one.source == chunk.source), default=0)
