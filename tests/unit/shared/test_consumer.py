import asyncio
from datetime import UTC, datetime

import pytest

from cynthus.bus.memory import MemoryBus
from cynthus.bus.ports import BusUnavailable, Delivery, Undecodable
from cynthus.events import BY_TYPE, Envelope, Event, RunQueued, RunSucceeded, new_id
from cynthus.events.codec import to_attributes, to_data
from cynthus.store.consumer import Consumer, Handle
from cynthus.store.inbox import MemoryInbox
from cynthus.store.memory import MemoryEventStore
from cynthus.store.parked import NotParked, Parked
from cynthus.store.ports import ConcurrentAppend, StoreUnavailable, Why


def arriving(event: Event | None = None) -> Envelope:
    return Envelope(
        id=new_id("evt"),
        source="there",
        time=datetime.now(UTC),
        event=event or RunQueued(run_id="run_1"),
        stream="run-run_1",
        sequence=1,
        actor="service:there",
    )


class Failing:
    """A handler that raises what it is given, one after the other, and then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.calls = 0
        self._errors = list(errors)

    async def __call__(self, delivery: Delivery) -> None:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)


class Bench:
    """A consumer called by hand, as a bus would."""

    def __init__(self, handle: Handle, *, attempts: int = 5) -> None:
        self.inbox = MemoryInbox()
        self.ends: list[Parked] = []
        self.consumer = Consumer(
            "here", self.inbox, MemoryBus(), {RunQueued: handle}, attempts=attempts, on_parked=self._on_parked
        )

    async def _on_parked(self, parked: Parked) -> None:
        self.ends.append(parked)

    async def deliver(self, envelope: Envelope, times: int) -> list[bool]:
        """Whether each delivery was acknowledged."""
        return [await self.acknowledged(Delivery(envelope, attempt)) for attempt in range(1, times + 1)]

    async def acknowledged(self, message: Delivery | Undecodable) -> bool:
        try:
            await self.consumer.handle(message)
        except Exception:  # noqa: BLE001 - what a bus does
            return False
        return True

    async def parked(self) -> list[str]:
        return [parked.message_id for parked in await self.inbox.parked("here")]


async def test_a_handled_message_is_acknowledged_and_leaves_no_trace() -> None:
    bench = Bench(Failing())
    assert await bench.deliver(arriving(), 1) == [True]
    assert await bench.parked() == []


async def test_a_message_that_keeps_failing_is_parked_with_its_reason() -> None:
    handle = Failing(*(ValueError(f"number {n}") for n in range(10)))
    bench = Bench(handle)
    envelope = arriving()
    assert await bench.deliver(envelope, 5) == [False, False, False, False, True]
    [parked] = await bench.inbox.parked("here")
    assert (parked.message_id, parked.reason, parked.attempts) == (envelope.id, "ValueError: number 4", 5)
    assert parked.envelope() == envelope
    assert bench.ends[0].message_id == envelope.id
    assert handle.calls == 5


async def test_a_message_is_counted_also_when_the_bus_does_not_count() -> None:
    bench = Bench(Failing(*[ValueError()] * 10))
    envelope = arriving()
    assert [await bench.acknowledged(Delivery(envelope, 1)) for _ in range(5)] == [False] * 4 + [True]


async def test_a_message_that_kills_its_process_each_time_is_parked() -> None:
    """The process dies in the handler: nothing after it runs, but the attempt was counted before."""

    class Killed(BaseException):
        pass

    bench = Bench(Failing(*(Killed() for _ in range(20))), attempts=3)
    envelope = arriving()
    for attempt in range(1, 5):
        with pytest.raises(Killed):
            await bench.consumer.handle(Delivery(envelope, attempt))
    assert await bench.acknowledged(Delivery(envelope, 5))
    [parked] = await bench.inbox.parked("here")
    assert "process ended" in parked.reason


@pytest.mark.parametrize("outage", [StoreUnavailable, BusUnavailable])
async def test_an_outage_is_not_the_fault_of_the_message(outage: type[Exception]) -> None:
    handle = Failing(*(outage("away") for _ in range(50)))
    bench = Bench(handle)
    envelope = arriving()
    assert await bench.deliver(envelope, 51) == [False] * 50 + [True]
    assert await bench.parked() == []


async def test_an_outage_is_not_the_fault_of_a_message_that_comes_several_times_at_once() -> None:
    async def away(_: Delivery) -> None:
        await asyncio.sleep(0)
        raise StoreUnavailable("away")

    bench = Bench(away)
    envelope = arriving()
    for attempt in range(2, 12):
        copies = (bench.acknowledged(Delivery(envelope, attempt)) for _ in range(3))
        assert await asyncio.gather(*copies) == [False] * 3
    assert await bench.parked() == []


async def test_a_stream_that_moved_on_is_tried_again_at_once() -> None:
    handle = Failing(*[ConcurrentAppend()] * 5)
    bench = Bench(handle)
    assert await bench.deliver(arriving(), 1) == [True]
    assert handle.calls == 6


async def test_a_stream_that_always_moves_on_counts_as_a_failure() -> None:
    bench = Bench(Failing(*[ConcurrentAppend()] * 1000), attempts=2)
    assert await bench.deliver(arriving(), 2) == [False, True]
    assert len(await bench.parked()) == 1


async def test_a_message_handled_before_is_acknowledged() -> None:
    inbox = MemoryInbox()
    store = MemoryEventStore(source="here", inbox=inbox)

    async def handle(delivery: Delivery) -> None:
        why = Why("service:here", delivery.envelope, "here")
        await store.append("s", [RunSucceeded(run_id="run_1", epoch=1)], expected=0, why=why)

    consumer = Consumer("here", inbox, MemoryBus(), {RunQueued: handle})
    envelope = arriving()
    for attempt in (1, 1, 2, 3):
        await consumer.handle(Delivery(envelope, attempt))
    assert len(await store.read("s")) == 1


async def test_what_cannot_be_decoded_is_parked_at_once_and_readable_after_an_upgrade(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = Failing()
    bench = Bench(handle)
    envelope = arriving()
    message = Undecodable("m1", to_attributes(envelope), to_data(envelope), "unknown type", 1)
    assert await bench.acknowledged(message)
    assert await bench.parked() == ["m1"]
    monkeypatch.delitem(BY_TYPE, envelope.type)
    with pytest.raises(Exception, match=r"run\.queued"):
        await bench.consumer.replay("m1")
    monkeypatch.undo()
    await bench.consumer.replay("m1")
    assert (handle.calls, await bench.parked()) == (1, [])


async def test_a_parked_message_can_be_replayed_until_it_works() -> None:
    handle = Failing(ValueError("first"), ValueError("second"))
    bench = Bench(handle, attempts=1)
    envelope = arriving()
    assert await bench.deliver(envelope, 1) == [True]
    with pytest.raises(ValueError, match="second"):
        await bench.consumer.replay(envelope.id)
    [parked] = await bench.inbox.parked("here")
    assert (parked.reason, parked.attempts) == ("ValueError: second", 2)
    await bench.consumer.replay(envelope.id)
    assert await bench.parked() == []
    with pytest.raises(NotParked):
        await bench.consumer.replay(envelope.id)


async def test_an_on_parked_that_fails_does_not_bring_the_message_back() -> None:
    async def on_parked(_: Parked) -> None:
        raise ValueError("no")

    inbox = MemoryInbox()
    handlers = {RunQueued: Failing(ValueError())}
    consumer = Consumer("here", inbox, MemoryBus(), handlers, attempts=1, on_parked=on_parked)
    await consumer.handle(Delivery(arriving(), 1))
    assert len(await inbox.parked("here")) == 1


async def test_an_on_parked_during_an_outage_is_called_again() -> None:
    called: list[str] = []

    async def on_parked(parked: Parked) -> None:
        called.append(parked.message_id)
        if len(called) == 1:
            raise StoreUnavailable("away")

    inbox = MemoryInbox()
    handlers = {RunQueued: Failing(*[ValueError()] * 9)}
    consumer = Consumer("here", inbox, MemoryBus(), handlers, attempts=1, on_parked=on_parked)
    envelope = arriving()
    with pytest.raises(StoreUnavailable):
        await consumer.handle(Delivery(envelope, 1))
    await consumer.handle(Delivery(envelope, 2))
    assert called == [envelope.id, envelope.id]


async def test_it_consumes_from_a_bus_until_it_is_cancelled() -> None:
    bus = MemoryBus()
    handled: asyncio.Queue[str] = asyncio.Queue()
    failing = Failing(ValueError())

    async def handle(delivery: Delivery) -> None:
        await failing(delivery)
        await handled.put(delivery.envelope.id)

    await bus.ensure("here", [RunQueued])
    consumer = Consumer("here", MemoryInbox(), bus, {RunQueued: handle})
    running = asyncio.create_task(consumer.run())
    envelope = arriving()
    await bus.publish([envelope])
    assert await asyncio.wait_for(handled.get(), 10) == envelope.id
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert failing.calls == 2
