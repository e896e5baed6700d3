"""What a relay does, with every store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from cynthus.events import Envelope, RunQueued, RunSucceeded
from cynthus.store.ports import Checkpoint, ConcurrentAppend, EventStore, Why
from cynthus.store.relay import Relay
from tests.fixtures.buses import RecordingBus

WHY = Why(actor="service:here")


def event(n: int) -> RunSucceeded:
    return RunSucceeded(run_id="run_1", epoch=n)


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


class RelayContract:
    """Inherited with fixtures `store` (source "here") and `checkpoint` (makes one, for one place)."""

    async def test_what_was_decided_before_and_after_the_start_is_published(
        self, store: EventStore, checkpoint: Callable[[], Checkpoint]
    ) -> None:
        bus = RecordingBus()
        before = await store.append("s", [event(n) for n in range(1200)], expected=0, why=WHY)
        async with running(Relay(store, bus, checkpoint())):
            await bus.until(lambda bus: len(bus.published) >= 1200)
            after = await store.append("s", [event(1)], expected=1200, why=WHY)
            await bus.until(lambda bus: len(bus.published) >= 1201)
        assert bus.published == [fact.envelope for fact in before + after]

    async def test_what_was_only_taken_over_is_not_published(
        self, store: EventStore, checkpoint: Callable[[], Checkpoint]
    ) -> None:
        bus = RecordingBus()
        cause = Envelope("evt_x", "there", datetime.now(UTC), RunQueued(run_id="run_1"), "run-1", 1, "a")
        async with running(Relay(store, bus, checkpoint())):
            _, decided = await store.append(
                "s", [cause.event, event(1)], expected=0, why=Why("service:here", cause, "here")
            )
            await bus.until(lambda bus: len(bus.published) >= 1)
        assert bus.ids() == [decided.envelope.id]

    async def test_what_was_refused_is_not_published(
        self, store: EventStore, checkpoint: Callable[[], Checkpoint]
    ) -> None:
        bus = RecordingBus()
        async with running(Relay(store, bus, checkpoint())):
            (first,) = await store.append("s", [event(0)], expected=0, why=WHY)
            await bus.until(lambda bus: len(bus.published) >= 1)
            for n in range(5):
                with pytest.raises(ConcurrentAppend):
                    await store.append("s", [event(n)], expected=0, why=WHY)
                await asyncio.sleep(0)
            (second,) = await store.append("s", [event(1)], expected=1, why=WHY)
            await bus.until(lambda bus: second.envelope.id in bus.ids())
        assert bus.ids() == [first.envelope.id, second.envelope.id]

    async def test_only_the_types_asked_for_are_published(
        self, store: EventStore, checkpoint: Callable[[], Checkpoint]
    ) -> None:
        bus = RecordingBus()
        async with running(Relay(store, bus, checkpoint(), types=[RunQueued])):
            await store.append("s", [event(1), RunQueued(run_id="run_1")], expected=0, why=WHY)
            await bus.until(lambda bus: len(bus.published) >= 1)
        assert [type(envelope.event) for envelope in bus.published] == [RunQueued]

    async def test_after_a_stop_it_goes_on_where_it_was(
        self, store: EventStore, checkpoint: Callable[[], Checkpoint]
    ) -> None:
        first, second = RecordingBus(), RecordingBus()
        await store.append("s", [event(0)], expected=0, why=WHY)
        async with running(Relay(store, first, checkpoint())):
            await first.until(lambda bus: len(bus.published) >= 1)
        [late] = await store.append("s", [event(1)], expected=1, why=WHY)
        async with running(Relay(store, second, checkpoint())):
            await second.until(lambda bus: late.envelope.id in bus.ids())
        assert second.ids() == [late.envelope.id]

    async def test_while_the_bus_is_away_nothing_is_lost(
        self, store: EventStore, checkpoint: Callable[[], Checkpoint]
    ) -> None:
        bus = RecordingBus()
        async with running(Relay(store, bus, checkpoint())):
            bus.away = True
            recorded = [
                fact for n in range(5) for fact in await store.append("s", [event(n)], expected=n, why=WHY)
            ]
            await bus.until(lambda bus: bus.refused >= 2)
            bus.away = False
            await bus.until(lambda bus: len(bus.published) >= 5)
        assert sorted(bus.ids()) == sorted(fact.envelope.id for fact in recorded)

    async def test_what_the_bus_lost_is_published_again_with_the_same_ids(
        self, store: EventStore, checkpoint: Callable[[], Checkpoint]
    ) -> None:
        bus = RecordingBus()
        async with running(Relay(store, bus, checkpoint())):
            await store.append("s", [event(n) for n in range(3)], expected=0, why=WHY)
            await bus.until(lambda bus: len(bus.published) >= 3)
            ids = bus.ids()
            bus.lose()
            await bus.until(lambda bus: len(bus.published) >= 3)
        assert bus.ids() == ids

    async def test_what_this_process_appends_is_not_published_twice(
        self, store: EventStore, checkpoint: Callable[[], Checkpoint]
    ) -> None:
        bus = RecordingBus()
        async with running(Relay(store, bus, checkpoint())):
            for n in range(300):
                await store.append("s", [event(n)], expected=n, why=WHY)
        async with running(Relay(store, bus, checkpoint())):
            await store.append("s", [event(300)], expected=300, why=WHY)
            await bus.until(lambda bus: len(bus.published) >= 301)
        assert len(bus.ids()) == len(set(bus.ids())) == 301

    async def test_after_a_loss_everything_is_repeated_until_late_subscribers_are_back(
        self, store: EventStore, checkpoint: Callable[[], Checkpoint]
    ) -> None:
        bus = RecordingBus()
        (fact,) = await store.append("s", [event(1)], expected=0, why=WHY)
        async with running(Relay(store, bus, checkpoint(), repeat_after_s=(0.01, 0.02))):
            await bus.until(lambda bus: len(bus.published) >= 1)
            bus.lose()
            await bus.until(lambda bus: len(bus.published) >= 3)
        assert set(bus.ids()) == {fact.envelope.id}
