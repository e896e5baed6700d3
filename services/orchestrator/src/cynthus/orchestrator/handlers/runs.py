"""Run history: load, decide, append. The only writer of it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cynthus.bus.ports import Delivery
from cynthus.events import (
    BuildFailed,
    DatasetFailed,
    DatasetReady,
    Event,
    ImageBuilt,
    MachineDelayed,
    RunCancelled,
    RunCancelRequested,
    RunFailed,
    RunRequested,
    RunSucceeded,
    VMDeleted,
    VMFailed,
    VMLost,
    VMReady,
)
from cynthus.orchestrator.domain.decide import counting, decide
from cynthus.orchestrator.domain.evolve import evolve, replay
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.messages import Fenced, Message, OtherServicesFact
from cynthus.orchestrator.domain.run import Run, State
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.ports import Bell
from cynthus.store.ports import ConcurrentAppend, EventStore, Recorded, StoreUnavailable, Why

SERVICE = "orchestrator"
ACTOR = f"service:{SERVICE}"
FACTS: tuple[type[Event], ...] = (
    RunRequested,
    RunCancelRequested,
    ImageBuilt,
    BuildFailed,
    DatasetReady,
    DatasetFailed,
    MachineDelayed,
    VMReady,
    VMFailed,
    VMLost,
    VMDeleted,
)


def stream_of(run_id: str) -> str:
    """The name of a run's stream."""
    return f"run-{run_id}"


@dataclass(frozen=True, slots=True)
class RunHandler:
    """Tells runs what happened; after each append whoever waits for it is woken."""

    store: EventStore
    recent: RecentRuns
    bell: Bell
    limits: Limits
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def take(self, delivery: Delivery) -> None:
        """A fact of another service."""
        fact = delivery.envelope.event
        assert isinstance(fact, OtherServicesFact)
        why = Why(actor=ACTOR, cause=delivery.envelope, consumer=SERVICE)
        await self.tell(fact.run_id, fact, why)

    async def tell(self, run_id: str, message: Message, why: Why, *, now: datetime | None = None) -> Run:
        """Decide on a message and append what follows; the run afterwards. Raises Fenced."""
        now = now or self.clock()
        known = self.recent.get(run_id)
        if known is None and isinstance(message, RunRequested):
            known = Run(id=run_id)  # nearly always the first word about it: no need to read
        while True:
            run = known or await self.load(run_id)
            try:
                return await self._decided(run, message, why, now)
            except ConcurrentAppend:
                self.recent.forget(run_id)
            except Fenced:
                self.recent.forget(run_id)
                if known is None:
                    raise
            except StoreUnavailable:
                self.recent.forget(run_id)
                raise
            known = None

    async def check(self, run_id: str, epoch: int, machine: str) -> None:
        """Raises Fenced when this attempt does not count; what is appended later is checked again."""
        known = self.recent.get(run_id)
        if known is not None:
            with suppress(Fenced):
                counting(known, epoch, machine)
                return
        counting(await self.load(run_id), epoch, machine)

    async def load(self, run_id: str) -> Run:
        """The run its history tells of."""
        history = await self.store.read(stream_of(run_id))
        return replay(run_id, ((fact.envelope.event, fact.envelope.time) for fact in history))

    async def _decided(self, run: Run, message: Message, why: Why, now: datetime) -> Run:
        events = decide(run, message, now=now, limits=self.limits)
        if not events and why.consumer is None:
            return await self._unchanged(run)
        if why.cause is not None and _is_relied_on(run, events, now):
            why = replace(why, durable=True)
        recorded = await self.store.append(stream_of(run.id), events, expected=run.version, why=why)
        after = _evolved(run, recorded)
        self.recent.put(after, recorded)
        if recorded:
            self.bell.ring(_interested(after))
        return after

    async def _unchanged(self, run: Run) -> Run:
        """That nothing follows must not rest on a guess that is out of date."""
        if run is self.recent.get(run.id) and await self.store.read(
            stream_of(run.id), after=run.version, limit=1
        ):
            raise ConcurrentAppend
        return run


def _evolved(run: Run, recorded: list[Recorded]) -> Run:
    for fact in recorded:
        run = evolve(run, fact.envelope.event, fact.envelope.time)
    return run


def _is_relied_on(run: Run, events: list[Event], now: datetime) -> bool:
    """A worker gets its order, or people are told how the run ended: no crash may undo that."""
    if any(isinstance(event, RunSucceeded | RunFailed | RunCancelled) for event in events):
        return True
    completes = bool(events) and isinstance(events[0], ImageBuilt | DatasetReady | VMReady)
    return completes and evolve(run, events[0], now).state is State.STARTING


def _interested(run: Run) -> list[str]:
    keys = [f"events:{run.id}", f"owner:{run.owner}"]
    if run.over:
        keys.append(f"logs:{run.id}")
    if run.state is State.STARTING and run.current is not None:
        keys.append(f"machine:{run.current.machine}")
    return keys
