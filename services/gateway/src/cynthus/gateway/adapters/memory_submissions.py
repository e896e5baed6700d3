"""Accepted runs in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cynthus.events import RunQueued, RunRequested
from cynthus.gateway.ports import Accepted, KeyTaken, RunFilter, Untaken
from cynthus.store.ports import Recorded

_MIN_PREFIX = 8


@dataclass(slots=True)
class _Submission:
    accepted: Accepted
    acknowledged: bool = False


class MemorySubmissions:
    """The Submissions port, and the projection that the gateway's history keeps up to date."""

    def __init__(self) -> None:
        self._runs: dict[str, _Submission] = {}

    async def by_key(self, owner: str, key: str) -> Accepted | None:
        """The run accepted under an idempotency key."""
        return next(
            (run for run in self._of(owner) if run.requested.idempotency_key == key),
            None,
        )

    async def next_number(self, owner: str, project: str, stem: str) -> int:
        """The first free number of a generated name."""
        numbers = [
            int(run.requested.name.rpartition("-")[2])
            for run in self._of(owner)
            if run.requested.project == project
            and run.requested.name_generated
            and run.requested.name.startswith(f"{stem}-")
        ]
        return 1 + max(numbers, default=0)

    async def pending(self, owner: str, reference: str) -> Accepted | None:
        """The newest run by id, prefix of an id, or name that history has not taken over."""
        by_prefix = len(reference) >= _MIN_PREFIX
        return next(
            (
                run
                for run in self._pending(owner)
                if run.requested.name == reference
                or (by_prefix and run.requested.run_id.startswith(reference))
            ),
            None,
        )

    async def list_pending(self, owner: str, wanted: RunFilter, *, limit: int) -> list[Accepted]:
        """Runs that history has not taken over, newest first."""
        if wanted.states and "QUEUED" not in wanted.states:
            return []
        labels = {tuple(label.partition(":")[::2]) for label in wanted.labels}
        found = [
            run
            for run in self._pending(owner)
            if wanted.project in {None, run.requested.project} and wanted.name in {None, run.requested.name}
        ]
        return [run for run in found[:limit] if labels <= set(run.requested.labels.items())]

    async def untaken(self, before: datetime, *, after: str, limit: int) -> list[Untaken]:
        """Anybody's runs accepted before then that history has not taken over, by id."""
        runs = sorted(self._runs.items())
        left = [run.accepted for run_id, run in runs if run_id > after and not run.acknowledged]
        return [_untaken(accepted.requested) for accepted in left if accepted.created_at < before][:limit]

    def check(self, recorded: Sequence[Recorded]) -> None:
        """Raises KeyTaken."""
        for fact in recorded:
            requested = fact.envelope.event
            if isinstance(requested, RunRequested) and self._is_taken(requested):
                raise KeyTaken(requested.run_id)

    def apply(self, recorded: Sequence[Recorded]) -> None:
        """Follow the history."""
        for fact in recorded:
            match fact.envelope.event:
                case RunRequested() as requested:
                    self._runs[requested.run_id] = _Submission(Accepted(requested, fact.envelope.time))
                case RunQueued(run_id=run_id) if run_id in self._runs:
                    self._runs[run_id].acknowledged = True
                case _:
                    continue

    def reset(self) -> None:
        """Forget everything."""
        self._runs.clear()

    def _is_taken(self, requested: RunRequested) -> bool:
        return any(_collide(requested, known.accepted.requested) for known in self._runs.values())

    def _of(self, owner: str) -> list[Accepted]:
        """Newest first."""
        mine = (run.accepted for run in self._runs.values() if run.accepted.requested.owner == owner)
        return sorted(mine, key=lambda run: run.requested.run_id, reverse=True)

    def _pending(self, owner: str) -> list[Accepted]:
        return [run for run in self._of(owner) if not self._runs[run.requested.run_id].acknowledged]


def _untaken(run: RunRequested) -> Untaken:
    return Untaken(run.run_id, run.owner, run.project, run.name, run.model_dump(mode="json"))


def _collide(one: RunRequested, other: RunRequested) -> bool:
    if one.owner != other.owner:
        return False
    if one.idempotency_key is not None and one.idempotency_key == other.idempotency_key:
        return True
    named = one.name_generated and other.name_generated
    return named and (one.project, one.name) == (other.project, other.name)
