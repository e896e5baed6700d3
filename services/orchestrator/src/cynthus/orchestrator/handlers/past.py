"""What a run's history tells beside its present state: how it stood at a moment, and why it stands so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cynthus.events import (
    AttemptExited,
    AttemptLost,
    AttemptStarted,
    AttemptSuspected,
    BuildFailed,
    DatasetFailed,
    DatasetReady,
    Event,
    ImageBuilt,
    LogsSealed,
    MachineDelayed,
    MachineRequested,
    OutputsCommitted,
    RetryScheduled,
    RunCancelled,
    RunCancelRequested,
    RunFailed,
    RunQueued,
    RunRequested,
    RunSucceeded,
    VMDeleted,
    VMFailed,
    VMLost,
    VMReady,
)
from cynthus.orchestrator.domain.evolve import evolve, replay
from cynthus.orchestrator.domain.run import Run
from cynthus.orchestrator.handlers.refusals import RunNotFound
from cynthus.orchestrator.ports import Feed, Runs
from cynthus.store.ports import Recorded

_PAGE = 1000
_ENDED: tuple[type[Event], ...] = (AttemptLost, AttemptExited, VMFailed)
_BEFORE: dict[type[Event], tuple[tuple[type[Event], ...], ...]] = {
    RunQueued: ((RunRequested,),),
    MachineRequested: ((RetryScheduled, RunQueued), (ImageBuilt,)),
    MachineDelayed: ((MachineRequested,),),
    VMReady: ((MachineRequested,),),
    VMFailed: ((MachineDelayed, MachineRequested),),
    AttemptStarted: ((VMReady,), (ImageBuilt,), (DatasetReady,)),
    AttemptSuspected: ((AttemptStarted, VMReady),),
    VMLost: ((AttemptSuspected, AttemptStarted, VMReady),),
    VMDeleted: ((AttemptStarted, VMReady),),
    AttemptExited: ((AttemptStarted,), (RunCancelRequested,)),
    AttemptLost: ((VMLost, VMDeleted, AttemptSuspected, AttemptStarted, VMReady, MachineRequested),),
    LogsSealed: ((AttemptExited,),),
    OutputsCommitted: ((AttemptExited,),),
    RetryScheduled: (_ENDED,),
    RunSucceeded: ((LogsSealed,), (OutputsCommitted,)),
    RunFailed: ((*_ENDED, BuildFailed, DatasetFailed),),
    RunCancelled: ((RunCancelRequested,), (AttemptLost, AttemptExited)),
}
"""What leads to a fact: of each group the newest one before it."""


@dataclass(frozen=True, slots=True)
class Link:
    """A fact of the chain, and the versions of those that led to it."""

    fact: Recorded
    because: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """Answers from history alone."""

    runs: Runs
    feed: Feed

    async def run_at(self, owner: str, key: str, moment: datetime) -> Run:
        """The run as it stood. Raises RunNotFound when it was not asked for yet."""
        run, facts = await self._facts(owner, key)
        until = max((n for n, fact in enumerate(facts, 1) if fact.envelope.time <= moment), default=0)
        past = replay(run.id, ((fact.envelope.event, fact.envelope.time) for fact in facts[:until]))
        if not past.requested:
            raise RunNotFound(f"there was no run {key!r} then")
        return past

    async def why(self, owner: str, key: str) -> tuple[Run, list[Link]]:
        """The run and the facts that led to its present state, oldest first."""
        run, facts = await self._facts(owner, key)
        return run, chain(run.id, facts)

    async def _facts(self, owner: str, key: str) -> tuple[Run, list[Recorded]]:
        run = await self.runs.find(owner, key)
        facts: list[Recorded] = []
        while True:
            page = await self.feed.history(owner, run.id, len(facts), _PAGE)
            if page is None:
                raise RunNotFound(f"there is no run {key!r}")
            facts += page.facts
            if len(page.facts) < _PAGE:
                return run, facts


def chain(run_id: str, facts: Sequence[Recorded]) -> list[Link]:
    """From the fact that changed the state last, back along everything that led to it."""
    newest = _newest_change(run_id, facts)
    if newest is None:
        return []
    links: dict[int, Link] = {}
    open_ = [newest]
    while open_:
        version = open_.pop()
        if version not in links:
            because = tuple(sorted(set(_because(facts, version))))
            links[version] = Link(facts[version - 1], because)
            open_ += because
    return [links[version] for version in sorted(links)]


def _newest_change(run_id: str, facts: Sequence[Recorded]) -> int | None:
    run, newest = Run(id=run_id), None
    for version, fact in enumerate(facts, 1):
        after = evolve(run, fact.envelope.event, fact.envelope.time)
        if after.state is not run.state or version == 1:
            newest = version
        run = after
    return newest


def _because(facts: Sequence[Recorded], version: int) -> Iterator[int]:
    """What it names as its cause, and the newest of each group that leads to it."""
    fact, earlier = facts[version - 1].envelope, facts[: version - 1]
    yield from (n for n, other in enumerate(earlier, 1) if other.envelope.id == fact.causation_id)
    for group in _BEFORE.get(type(fact.event), ()):
        for number in range(version - 1, 0, -1):
            if _leads(earlier[number - 1].envelope.event, fact.event, group):
                yield number
                break


def _leads(earlier: Event, later: Event, group: tuple[type[Event], ...]) -> bool:
    if not isinstance(earlier, group):
        return False
    before, after = getattr(earlier, "epoch", None), getattr(later, "epoch", None)
    if isinstance(earlier, RetryScheduled):
        return before == (after or 0) - 1
    return None in (before, after) or before == after
