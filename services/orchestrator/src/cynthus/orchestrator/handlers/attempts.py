"""What workers report on their attempts, and how they keep the right to do so."""

import asyncio
from dataclasses import dataclass, field

from cynthus.blobs import keys
from cynthus.blobs.ports import BlobMissing, Blobs
from cynthus.events import AttemptExited, AttemptStarted, CheckpointSaved
from cynthus.orchestrator.domain.messages import FinishAttempt, ReportCheckpoint, ReportExit
from cynthus.orchestrator.domain.rhythm import Beat
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.orchestrator.handlers.refusals import LogsIncomplete, ManifestMissing
from cynthus.orchestrator.handlers.runs import RunHandler
from cynthus.orchestrator.ports import LogIndex, LogTotals, Renewal
from cynthus.snapshots import manifest
from cynthus.store.ports import Why
from cynthus.web.tokens import AttemptClaims

_BIG_MANIFEST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Attempts:
    """Reports of workers. Everything raises Fenced for an attempt that does not count."""

    runs: RunHandler
    heartbeats: Heartbeats
    logs: LogIndex
    blobs: Blobs
    _empty: set[str] = field(default_factory=set)

    async def started(self, claims: AttemptClaims, pid: int, phases_ms: dict[str, float]) -> Beat:
        """The user's process runs."""
        event = AttemptStarted(
            run_id=claims.run_id,
            epoch=claims.epoch,
            machine=claims.machine,
            pid=pid,
            phases_ms=phases_ms,
        )
        await self.runs.tell(claims.run_id, event, _why(claims))
        # Said again it is no news and renews nothing by itself, and the answer promises a whole lease.
        return self.heartbeats.answer(await self.heartbeats.renew(Renewal(claims.run_id, claims.epoch)))

    async def heartbeat(self, claims: AttemptClaims, cpu_seconds: float, memory_bytes: int) -> Beat:
        """The worker is there."""
        return await self.heartbeats.beat(claims, cpu_seconds, memory_bytes)

    async def checkpoint(self, claims: AttemptClaims, digest: str) -> None:
        """A state is kept that another attempt can go on from. Raises ManifestMissing."""
        await self.runs.check(claims.run_id, claims.epoch, claims.machine)
        manifest_, files, size = await self._snapshot(claims.owner, digest)
        saved = CheckpointSaved(
            run_id=claims.run_id, epoch=claims.epoch, manifest=manifest_, files=files, bytes=size
        )
        await self.runs.tell(claims.run_id, ReportCheckpoint(saved, claims.machine), _why(claims))

    async def exited(self, claims: AttemptClaims, exited: AttemptExited) -> None:
        """The user's process ended."""
        await self.runs.tell(claims.run_id, ReportExit(exited, claims.machine), _why(claims))

    async def finished(
        self, claims: AttemptClaims, exited: AttemptExited, sent: LogTotals, outputs: str | None
    ) -> None:
        """Everything is delivered. Raises LogsIncomplete, ManifestMissing."""
        await self.runs.check(claims.run_id, claims.epoch, claims.machine)
        self._check_logs(await self.logs.totals(claims.run_id, claims.epoch), sent)
        digest, files, size = await self._snapshot(claims.owner, outputs)
        message = FinishAttempt(
            exited=exited,
            machine=claims.machine,
            manifest=digest,
            files=files,
            bytes=size,
            log_chunks=sent.chunks,
            log_bytes=sent.bytes_by_source,
        )
        await self.runs.tell(claims.run_id, message, _why(claims))

    def _check_logs(self, here: LogTotals, sent: LogTotals) -> None:
        if here.chunks != sent.chunks:
            raise LogsIncomplete(f"{here.chunks} chunks arrived, {sent.chunks} were sent")
        for source in sorted({*here.bytes_by_source, *sent.bytes_by_source}):
            arrived, said = here.bytes_by_source.get(source, 0), sent.bytes_by_source.get(source, 0)
            if arrived != said:
                raise LogsIncomplete(f"{arrived} bytes of {source} arrived, {said} were sent")

    async def _snapshot(self, owner: str, wanted: str | None) -> tuple[str, int, int]:
        if wanted is None:
            return await self._no_outputs(owner), 0, 0
        try:
            data = b"".join([part async for part in self.blobs.get(keys.manifest(owner, wanted))])
        except BlobMissing as error:
            raise ManifestMissing(f"there is no manifest {wanted}") from error
        try:
            if len(data) > _BIG_MANIFEST_BYTES:
                return wanted, *await asyncio.to_thread(_measure, data)
            return wanted, *_measure(data)
        except manifest.ManifestInvalid as error:
            raise ManifestMissing(f"{wanted} is no manifest: {error}") from error

    async def _no_outputs(self, owner: str) -> str:
        """Nothing is committed as the empty snapshot, so that it can be fetched like any other."""
        lines = list(manifest.encode([]))
        digest = manifest.digest(lines)
        if owner not in self._empty:
            await self.blobs.put_many({keys.manifest(owner, digest): b"".join(lines)})
            self._empty.add(owner)
        return digest


def _measure(data: bytes) -> tuple[int, int]:
    files = [entry for entry in manifest.decode(data.splitlines(keepends=True)) if not entry.folder]
    return len(files), sum(entry.size for entry in files)


def _why(claims: AttemptClaims) -> Why:
    return Why(actor=f"worker:{claims.machine}")
