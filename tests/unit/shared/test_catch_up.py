import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from cynthus.bus.memory import MemoryBus
from cynthus.bus.ports import Delivery
from cynthus.events import Event, RunFailed, RunQueued, RunSucceeded
from cynthus.store.catch_up import CatchUp, Rhythm
from cynthus.store.checkpoint import MemoryCheckpoint
from cynthus.store.consumer import Consumer
from cynthus.store.feed import Fact, FeedUnavailable, StoreFeed
from cynthus.store.inbox import MemoryInbox
from cynthus.store.memory import MemoryEventStore
from cynthus.store.ports import START, Page, Position, StoreUnavailable, Why

WHY = Why(actor="service:there")
TYPES: tuple[type[Event], ...] = (RunQueued, RunSucceeded)
QUICK = Rhythm(every_s=0.005, settle_s=0.0)


class CountedFeed(StoreFeed):
    """Counts what is asked, and can be away."""

    away = False
    pages = 0
    bodies = 0

    async def page(self, after: Position) -> Page:
        if self.away:
            raise FeedUnavailable("away")
        self.pages += 1
        return await super().page(after)

    async def facts(self, after: Position, ids: Sequence[str]) -> list[Fact]:
        self.bodies += len(ids)
        return await super().facts(after, ids)


class Here:
    """A consumer without a working bus, and the service it follows."""

    def __init__(self, *, limit: int = 500) -> None:
        self.there = MemoryEventStore(source="there")
        self.inbox = MemoryInbox()
        self.handled: list[str] = []
        self.poison: set[str] = set()
        self.error: Exception = ZeroDivisionError()
        self.checkpoint = MemoryCheckpoint()
        self.consumer = Consumer("here", self.inbox, MemoryBus(), dict.fromkeys(TYPES, self.handle))
        self.feed = CountedFeed(self.there, TYPES, limit=limit)
        self.catch_up = self.again(self.consumer)

    def again(self, consumer: Consumer) -> CatchUp:
        return CatchUp(consumer, self.inbox, self.feed, self.checkpoint, peer="there", rhythm=QUICK)

    async def handle(self, delivery: Delivery) -> None:
        fact = delivery.envelope
        if fact.id in self.poison:
            raise self.error
        self.handled.append(fact.id)
        self.inbox.mark("here", fact.id)

    async def happen(self, stream: str, *events: Event) -> list[str]:
        before = len(await self.there.read(stream))
        recorded = await self.there.append(stream, events, expected=before, why=WHY)
        return [fact.envelope.id for fact in recorded]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.handled) < count:
                await asyncio.sleep(0.001)


@pytest.fixture
def here() -> Here:
    return Here()


@asynccontextmanager
async def running(catch_up: CatchUp) -> AsyncIterator[None]:
    task = asyncio.create_task(catch_up.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_what_never_came_is_handled_in_the_order_of_its_stream(here: Here) -> None:
    ids = await here.happen("a", *(RunSucceeded(run_id="run_1", epoch=n) for n in range(20)))
    async with running(here.catch_up):
        await here.until(20)
        later = await here.happen("a", RunQueued(run_id="run_1"))
        await here.until(21)
    assert here.handled == ids + later
    assert here.checkpoint.position == here.there.facts[-1].position


async def test_other_facts_are_not_asked_for(here: Here) -> None:
    await here.happen("a", RunFailed.model_construct(run_id="run_1"), RunQueued(run_id="run_1"))
    await here.catch_up.round()
    assert len(here.handled) == 1


async def test_what_the_bus_brought_is_not_handled_again_nor_even_read(here: Here) -> None:
    brought = await here.happen("a", RunQueued(run_id="run_1"), RunSucceeded(run_id="run_1", epoch=1))
    for fact in here.there.facts:
        await here.consumer.handle(Delivery(fact.envelope, 1))
    await here.catch_up.round()
    assert (here.handled, here.feed.bodies) == (brought, 0)


async def test_a_service_that_starts_anew_knows_by_its_inbox_what_it_handled(here: Here) -> None:
    brought = await here.happen("a", RunQueued(run_id="run_1"))
    await here.consumer.handle(Delivery(here.there.facts[0].envelope, 1))
    restarted = Consumer("here", here.inbox, MemoryBus(), dict.fromkeys(TYPES, here.handle))
    await here.again(restarted).round()
    assert (here.handled, here.feed.bodies) == (brought, 0)


async def test_what_had_no_effect_is_remembered_while_the_process_lives(here: Here) -> None:
    await here.happen("a", RunQueued(run_id="run_1"))
    calls: list[str] = []

    async def nothing(delivery: Delivery) -> None:
        calls.append(delivery.envelope.id)

    consumer = Consumer("here", here.inbox, MemoryBus(), dict.fromkeys(TYPES, nothing))
    await consumer.handle(Delivery(here.there.facts[0].envelope, 1))
    await here.again(consumer).round()
    assert len(calls) == 1


async def test_after_a_crash_of_the_database_memory_is_not_trusted(here: Here) -> None:
    await here.happen("a", RunQueued(run_id="run_1"))

    async def undone(delivery: Delivery) -> None:
        here.handled.append(delivery.envelope.id)

    lost = here.again(Consumer("here", here.inbox, MemoryBus(), dict.fromkeys(TYPES, undone)))
    await lost.round()
    here.checkpoint.position = START
    turns = iter([False, True])

    async def mine() -> bool:
        return next(turns, True)

    here.checkpoint.mine = mine  # type: ignore[method-assign]
    async with running(lost):
        await here.until(2)


async def test_a_fact_on_its_way_is_left_to_the_bus(here: Here) -> None:
    await here.happen("a", RunQueued(run_id="run_1"))
    slow = CatchUp(
        here.consumer, here.inbox, here.feed, here.checkpoint, peer="there", rhythm=Rhythm(settle_s=0.05)
    )
    looking = asyncio.create_task(slow.round())
    await asyncio.sleep(0)
    await here.consumer.handle(Delivery(here.there.facts[0].envelope, 1))
    await looking
    assert (len(here.handled), here.feed.bodies) == (1, 0)


async def test_a_fact_that_cannot_be_handled_is_parked_and_the_others_go_on(here: Here) -> None:
    first, poison, last = await here.happen("a", *(RunSucceeded(run_id="run_1", epoch=n) for n in range(3)))
    here.poison.add(poison)
    await here.catch_up.round()
    assert here.handled == [first, last]
    [parked] = await here.inbox.parked("here")
    assert (parked.message_id, parked.attempts) == (poison, 5)
    assert "ZeroDivisionError" in parked.reason
    await here.happen("b", RunQueued(run_id="run_2"))
    await here.catch_up.round()
    assert len(here.handled) == 3
    await here.again(Consumer("here", here.inbox, MemoryBus(), dict.fromkeys(TYPES, here.handle))).round()
    assert len(await here.inbox.parked("here")) == 1


async def test_a_fact_that_kills_the_process_each_time_is_parked_as_well(here: Here) -> None:
    [poison, good] = await here.happen("a", RunQueued(run_id="run_1"), RunSucceeded(run_id="run_1", epoch=1))
    here.poison.add(poison)
    here.error = asyncio.CancelledError()  # type: ignore[assignment]  # as abrupt as a process can be in a test
    for _ in range(5):
        with pytest.raises(asyncio.CancelledError):
            await here.catch_up.round()
    await here.catch_up.round()
    assert [parked.message_id for parked in await here.inbox.parked("here")] == [poison]
    assert here.handled == [good]


async def test_an_outage_of_the_own_store_blames_no_fact(here: Here) -> None:
    [fact] = await here.happen("a", RunQueued(run_id="run_1"))
    here.poison.add(fact)
    here.error = StoreUnavailable("away")
    for _ in range(10):
        with pytest.raises(StoreUnavailable):
            await here.catch_up.round()
    assert here.checkpoint.position == START
    here.poison.clear()
    await here.catch_up.round()
    assert here.handled == [fact]


async def test_a_peer_that_is_away_is_asked_again(here: Here) -> None:
    here.feed.away = True
    async with running(here.catch_up):
        await here.happen("a", RunQueued(run_id="run_1"))
        await asyncio.sleep(0.05)
        assert here.handled == []
        here.feed.away = False
        await here.until(1)


async def test_a_peer_whose_store_was_put_back_is_read_from_its_start(here: Here) -> None:
    await here.happen("a", *(RunSucceeded(run_id="run_1", epoch=n) for n in range(5)))
    await here.catch_up.round()
    earlier = MemoryEventStore(source="there")
    here.feed = CountedFeed(earlier, TYPES)
    restored = here.again(here.consumer)
    [fact] = await earlier.append("z", [RunQueued(run_id="run_9")], expected=0, why=WHY)
    await restored.round()
    assert here.handled[5:] == [fact.envelope.id]
    assert here.checkpoint.position == fact.position


async def test_a_long_history_that_was_handled_is_passed_over_page_by_page() -> None:
    here = Here(limit=100)
    await here.happen("a", *(RunSucceeded(run_id="run_1", epoch=n) for n in range(1000)))
    for fact in here.there.facts:
        here.inbox.mark("here", fact.envelope.id)
    slow = Rhythm(settle_s=3600)
    await CatchUp(here.consumer, here.inbox, here.feed, here.checkpoint, peer="x", rhythm=slow).round()
    assert (here.handled, here.feed.bodies) == ([], 0)
    assert here.checkpoint.position == here.there.facts[-1].position
    asked = here.feed.pages
    await here.catch_up.round()
    assert here.feed.pages == asked + 1
