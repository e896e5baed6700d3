"""Questions about runs, answered from memory."""

from collections import Counter
from datetime import datetime

from cynthus.orchestrator.adapters.memory_tables import MemoryTables
from cynthus.orchestrator.domain.limits import deadline
from cynthus.orchestrator.domain.run import Run, State
from cynthus.orchestrator.handlers.refusals import RunAmbiguous, RunNotFound
from cynthus.orchestrator.ports import MachineWork, RunFilter

_PREFIX_CHARACTERS = 8
_DUE_AT_ONCE = 500


class MemoryRuns:
    """The Runs port."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def find(self, owner: str, key: str) -> Run:
        """By id, unambiguous prefix of at least 8 characters, or name. Raises RunNotFound, RunAmbiguous."""
        mine = self._of(owner)
        found = [run for run in mine if run.id == key]
        if not found and len(key) >= _PREFIX_CHARACTERS:
            found = [run for run in mine if run.id.startswith(key)]
        if not found:
            found = [run for run in mine if run.name == key][:1]
        if not found:
            raise RunNotFound(f"there is no run {key!r}")
        if len(found) > 1:
            raise RunAmbiguous(f"several runs begin with {key!r}")
        return found[0]

    async def page(self, wanted: RunFilter, limit: int) -> list[Run]:
        """Newest first."""
        found = [
            run
            for run in self._of(wanted.owner)
            if wanted.project in {None, run.project}
            and wanted.name in {None, run.name}
            and (not wanted.states or run.state in wanted.states)
            and wanted.labels.items() <= run.labels.items()
            and (wanted.before is None or run.id < wanted.before)
        ]
        return found[:limit]

    async def counts(self, owner: str) -> dict[str, int]:
        """Runs by state."""
        return dict(Counter(str(run.state) for run in self._of(owner)))

    async def hide(self, run_id: str) -> None:
        """Show a run no more."""
        self._tables.hidden.add(run_id)

    async def names_manifest(self, run: Run, manifest: str) -> bool:
        """Whether another run of the same owner needs this manifest."""
        others = (other for other in self._of(run.owner) if other.id != run.id)
        return any(manifest in other.model_dump_json() for other in others)

    async def due(self, now: datetime, *, only_retries: bool) -> list[str]:
        """Runs whose deadline has passed."""
        limits = self._tables.limits
        due = [
            (at, run.id)
            for run in self._tables.runs.values()
            if (at := deadline(run, limits)) is not None
            and at <= now
            and (run.state is State.RETRYING or not only_retries)
        ]
        return [run_id for _, run_id in sorted(due)[:_DUE_AT_ONCE]]

    async def now(self) -> datetime:
        """The clock of the tables."""
        return self._tables.clock()

    async def work_of(self, machine: str) -> MachineWork:
        """What a machine should do now."""
        mine = [
            (run, attempt)
            for _, run in sorted(self._tables.runs.items())
            for attempt in run.attempts.values()
            if attempt.machine == machine
        ]
        waiting = (run for run, attempt in mine if run.attempt_state(attempt) is State.STARTING)
        return MachineWork(next(waiting, None), any(attempt.gone for _, attempt in mine))

    def _of(self, owner: str) -> list[Run]:
        tables = self._tables
        mine = (run for run in tables.runs.values() if run.owner == owner and run.id not in tables.hidden)
        return sorted(mine, key=lambda run: run.id, reverse=True)
