"""Several orchestrators over one history: each guesses from memory, none decides on a guess."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.bus.ports import Delivery
from cynthus.events import Envelope, RunCancelled, RunFailed, RunSucceeded, new_id
from cynthus.orchestrator.adapters.bell import ProcessBell
from cynthus.orchestrator.domain.messages import CheckTime, Fenced
from cynthus.orchestrator.domain.run import State
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.runs import RunHandler
from cynthus.store.memory import MemoryEventStore
from cynthus.store.ports import AlreadyHandled, StoreUnavailable, Why
from tests.unit.orchestrator.given import (
    BUILT,
    CANCEL,
    LIMITS,
    PINNED,
    RUN,
    UNBUILT,
    exited,
    finished,
    ready,
    requested,
    started,
    unavailable,
    vanished,
)

BY_WORKER = Why(actor="worker:m1")


def replicas(count: int, store: MemoryEventStore) -> list[RunHandler]:
    return [RunHandler(store, RecentRuns(), ProcessBell(), LIMITS) for _ in range(count)]


def delivery(fact) -> Delivery:
    envelope = Envelope(
        id=new_id("evt"),
        source="tests",
        time=datetime.now(UTC),
        event=fact,
        stream=f"run-{RUN}",
        sequence=1,
        actor="service:tests",
    )
    return Delivery(envelope, 1)


async def take(handler: RunHandler, message: Delivery) -> None:
    try:
        await handler.take(message)
    except AlreadyHandled:
        return


async def report(handler: RunHandler, message) -> bool:
    try:
        await handler.tell(RUN, message, BY_WORKER)
    except Fenced:
        return False
    return True


FACTS = [requested(retries=1), BUILT, PINNED, ready(), ready(2, "m2"), UNBUILT, CANCEL, vanished()]
REPORTS = [started(), exited(), finished(), finished(code=1), started(2, "m2"), finished(2, "m2")]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_replicas_that_hear_everything_several_times_write_one_end(data):
    steps = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 13)), max_size=60))

    async def play() -> None:
        store = MemoryEventStore(source="orchestrator")
        handlers = replicas(3, store)
        deliveries = [delivery(fact) for fact in FACTS]
        await take(handlers[0], deliveries[0])
        for replica, number in steps:
            if number < len(FACTS):
                await take(handlers[replica], deliveries[number])
            else:
                await report(handlers[replica], REPORTS[number - len(FACTS)])
        history = await store.read(f"run-{RUN}")
        ends = [
            fact
            for fact in history
            if isinstance(fact.envelope.event, RunSucceeded | RunFailed | RunCancelled)
        ]
        truth = await handlers[0].load(RUN)
        assert len(ends) == truth.over
        assert [fact.envelope.sequence for fact in history] == list(range(1, len(history) + 1))

    asyncio.run(play())


async def test_a_replica_with_an_old_memory_does_not_refuse_the_new_attempt():
    store = MemoryEventStore(source="orchestrator")
    here, there = replicas(2, store)
    for fact in (requested(), BUILT, PINNED, ready()):
        await here.take(delivery(fact))
    assert await report(there, started())
    await here.take(delivery(vanished()))
    await here.take(delivery(ready(2, "m2")))
    assert not await report(there, exited())
    assert await report(there, started(2, "m2"))
    await here.check(RUN, 2, "m2")
    with pytest.raises(Fenced):
        await there.check(RUN, 1, "m1")


async def test_a_replica_with_an_old_memory_sees_that_a_retry_is_due():
    store = MemoryEventStore(source="orchestrator")
    here, there = replicas(2, store)
    await here.take(delivery(requested()))
    await there.tell(RUN, CheckTime(), Why(actor="service:orchestrator"))
    await here.take(delivery(unavailable(transient=True)))
    later = datetime.now(UTC) + timedelta(seconds=60)
    run = await there.tell(RUN, CheckTime(), Why(actor="service:orchestrator"), now=later)
    assert (run.epoch, run.state) == (2, State.BUILDING)


class Unreachable(MemoryEventStore):
    """A store whose appends may get lost after they were made."""

    lost = False

    async def append(self, *arguments, **named):
        recorded = await super().append(*arguments, **named)
        if self.lost:
            self.lost = False
            raise StoreUnavailable
        return recorded


async def test_after_an_outage_the_truth_is_read_again():
    store = Unreachable(source="orchestrator")
    (handler,) = replicas(1, store)
    for fact in (requested(), BUILT, PINNED, ready()):
        await handler.take(delivery(fact))
    store.lost = True
    with pytest.raises(StoreUnavailable):
        await report(handler, started())
    assert await report(handler, started())
    assert await report(handler, finished())
    assert (await handler.load(RUN)).state is State.SUCCEEDED
