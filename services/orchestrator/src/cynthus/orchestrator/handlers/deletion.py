"""Deleting a run: it is seen no more; its results go too if its owner says so."""

from dataclasses import dataclass

from cynthus.blobs import keys
from cynthus.blobs.ports import Blobs
from cynthus.orchestrator.domain.run import Run
from cynthus.orchestrator.handlers.refusals import RunIsNotOver
from cynthus.orchestrator.ports import Bell, LogIndex, Runs
from cynthus.secrets.ports import Secrets

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Deletion:
    """History keeps every fact; what people can read, and the secrets, are removed."""

    runs: Runs
    index: LogIndex
    blobs: Blobs
    secrets: Secrets
    bell: Bell

    async def delete(self, run: Run, *, results: bool) -> None:
        """Hide a run that is over, and with `results` remove its log and outputs. Raises RunIsNotOver."""
        if not run.over:
            raise RunIsNotOver(f"{run.id} is {run.state}")
        if results:
            await self._delete_logs(run)
            await self._delete_outputs(run)
        await self.secrets.delete(run.id)
        await self.runs.hide(run.id)
        self.bell.ring([f"owner:{run.owner}"])

    async def _delete_logs(self, run: Run) -> None:
        after = (0, -1)
        while chunks := await self.index.page(run.id, after, _BATCH, None, None):
            for chunk in chunks:
                await self.blobs.delete(keys.log_chunk(run.owner, run.id, chunk.epoch, chunk.seq))
            after = (chunks[-1].epoch, chunks[-1].seq)

    async def _delete_outputs(self, run: Run) -> None:
        """The manifest alone: blobs may belong to other snapshots too, and are collected elsewhere."""
        for attempt in run.attempts.values():
            for kept in (attempt.outputs, attempt.checkpoint):
                if kept is None or not kept.files or await self.runs.names_manifest(run, kept.manifest):
                    continue
                await self.blobs.delete(keys.manifest(run.owner, kept.manifest))
