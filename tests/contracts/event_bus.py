"""What every event bus promises."""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

import pytest

from cynthus.bus.ports import Delivery, EventBus, Undecodable
from cynthus.events import AttemptExited, Cause, Envelope, Event, RunCancelled, RunFailed, RunQueued, new_id

PATIENCE_S = 40.0
_numbers = itertools.count(1)


class Broker(Protocol):
    """One broker and everything a test does to it."""

    def bus(self) -> EventBus:
        """A participant, as each process has one; all of them meet at the same broker."""
        ...

    async def put(self, event: type[Event], data: bytes) -> None:
        """Publish bytes that no publisher of ours would."""
        ...


class DurableBroker(Broker, Protocol):
    """A broker outside the process, that gives back what was held for `lease_s` without a word."""

    @property
    def lease_s(self) -> float: ...

    def holder(self, subscriber: str) -> str:
        """Python source of a process that takes one RunQueued, prints `taken` and never acknowledges it."""
        ...


class Inbox:
    """A handler that remembers what came, in the order it came."""

    def __init__(self, *, failures: int = 0) -> None:
        self.arrivals: list[Delivery | Undecodable] = []
        self._failures = failures
        self._came = asyncio.Condition()

    async def __call__(self, arrival: Delivery | Undecodable) -> None:
        async with self._came:
            self.arrivals.append(arrival)
            self._came.notify_all()
        if len(self.arrivals) <= self._failures:
            raise ValueError("not now")

    @property
    def ids(self) -> list[str]:
        return [arrival.envelope.id for arrival in self.arrivals if isinstance(arrival, Delivery)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(condition)

    async def count(self, number: int) -> None:
        await self.until(lambda: len(self.arrivals) >= number)

    async def all_of(self, envelopes: Iterable[Envelope]) -> None:
        wanted = {envelope.id for envelope in envelopes}
        await self.until(lambda: wanted <= set(self.ids))


def fact(event: Event | None = None) -> Envelope:
    number = next(_numbers)
    event = event or RunQueued(run_id=f"run_{number}")
    return Envelope(
        id=new_id("evt"),
        source="orchestrator",
        time=datetime.now(UTC),
        event=event,
        stream=f"run-run_{number}",
        sequence=number,
        actor="service:orchestrator",
        correlation_id=f"run_{number}",
        causation_id="evt_1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def failed(message: str) -> Envelope:
    return fact(RunFailed(run_id="run_1", cause=Cause(code="exit", message=message)))


class EventBusContract:
    async def test_a_fact_arrives_as_it_was_published(self, broker: Broker) -> None:
        bus, inbox = broker.bus(), Inbox()
        sent = fact(
            AttemptExited(run_id="run_1", epoch=2, exit_code=3, cause=Cause(code="exit", message="3"))
        )
        async with bus.subscribe("orchestrator", [AttemptExited], inbox):
            await bus.publish([sent])
            await inbox.count(1)
        assert inbox.arrivals == [Delivery(sent, 1)]

    async def test_every_subscriber_gets_every_fact_of_its_types(self, broker: Broker) -> None:
        bus, one, two = broker.bus(), Inbox(), Inbox()
        queued, cancelled = fact(), fact(RunCancelled(run_id="run_1"))
        async with (
            bus.subscribe("gateway", [RunQueued, RunCancelled], one),
            bus.subscribe("builder", [RunCancelled], two),
        ):
            await bus.publish([queued, cancelled])
            await one.all_of([queued, cancelled])
            await two.all_of([cancelled])
        assert sorted(one.ids) == sorted([queued.id, cancelled.id])
        assert two.ids == [cancelled.id]

    async def test_a_fact_nobody_wants_is_dropped(self, broker: Broker) -> None:
        bus = broker.bus()
        await bus.publish([fact()])
        await bus.publish([])

    async def test_what_was_published_before_subscribing_but_after_ensuring_is_kept(
        self, broker: Broker
    ) -> None:
        bus, inbox = broker.bus(), Inbox()
        await bus.ensure("gateway", [RunQueued, RunFailed])
        await bus.ensure("gateway", [RunQueued, RunFailed])
        sent = [fact(), failed("x")]
        await bus.publish(sent)
        async with bus.subscribe("gateway", [RunQueued, RunFailed], inbox):
            await inbox.all_of(sent)

    async def test_an_acknowledged_fact_does_not_come_again(self, broker: Broker) -> None:
        bus, first, second = broker.bus(), Inbox(), Inbox()
        sent, later = fact(), fact()
        async with bus.subscribe("gateway", [RunQueued], first):
            await bus.publish([sent])
            await first.all_of([sent])
        async with bus.subscribe("gateway", [RunQueued], second):
            await bus.publish([later])
            await second.all_of([later])
        assert second.ids == [later.id]

    async def test_a_handler_that_raises_sees_the_message_again(self, broker: Broker) -> None:
        bus, inbox = broker.bus(), Inbox(failures=3)
        async with bus.subscribe("gateway", [RunQueued], inbox):
            await bus.publish([fact()])
            await inbox.count(4)
        attempts = [arrival.attempt for arrival in inbox.arrivals]
        assert attempts == [1, 2, 3, 4]
        assert len(set(inbox.ids)) == 1

    async def test_a_failing_message_does_not_hold_up_the_others(self, broker: Broker) -> None:
        bus, fine = broker.bus(), Inbox()
        bad, good = failed("bad"), [failed("good") for _ in range(20)]

        async def handle(arrival: Delivery | Undecodable) -> None:
            if isinstance(arrival, Delivery) and arrival.envelope.id == bad.id:
                raise ValueError("always")
            await fine(arrival)

        async with bus.subscribe("gateway", [RunFailed], handle, concurrency=1):
            await bus.publish([bad, *good])
            await fine.all_of(good)

    async def test_replicas_share_the_work(self, broker: Broker) -> None:
        inbox, sent = Inbox(), [fact() for _ in range(200)]
        taken: Counter[str] = Counter()
        both_at_work = asyncio.Event()

        def replica(name: str) -> Callable[[Delivery | Undecodable], Awaitable[None]]:
            async def handle(arrival: Delivery | Undecodable) -> None:
                taken[name] += 1
                if len(taken) == 2:
                    both_at_work.set()
                await both_at_work.wait()
                await inbox(arrival)

            return handle

        async with (
            broker.bus().subscribe("gateway", [RunQueued], replica("one"), concurrency=4),
            broker.bus().subscribe("gateway", [RunQueued], replica("two"), concurrency=4),
        ):
            await broker.bus().publish(sent)
            await inbox.all_of(sent)
        assert sorted(inbox.ids) == sorted(envelope.id for envelope in sent)
        assert sum(taken.values()) == 200

    async def test_no_more_handlers_run_at_once_than_asked_for(self, broker: Broker) -> None:
        bus, inbox, sent = broker.bus(), Inbox(), [fact() for _ in range(30)]
        running, most = 0, 0
        full = asyncio.Event()

        async def handle(arrival: Delivery | Undecodable) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 3:
                full.set()
            await full.wait()
            await asyncio.sleep(0)
            running -= 1
            await inbox(arrival)

        async with bus.subscribe("gateway", [RunQueued], handle, concurrency=3):
            await bus.publish(sent)
            await inbox.all_of(sent)
        assert most == 3

    async def test_what_is_no_fact_arrives_as_it_is(self, broker: Broker) -> None:
        bus, inbox = broker.bus(), Inbox()
        async with bus.subscribe("gateway", [RunQueued], inbox):
            await broker.put(RunQueued, b"\xff\x00 not JSON")
            await inbox.count(1)
        (arrival,) = inbox.arrivals
        assert isinstance(arrival, Undecodable)
        assert arrival.data == b"\xff\x00 not JSON"
        assert arrival.attempt == 1
        assert arrival.message_id
        assert "not JSON" in arrival.reason

    async def test_text_of_any_language_and_a_megabyte_go_through(self, broker: Broker) -> None:
        bus, inbox = broker.bus(), Inbox()
        sent = [failed("naïve 模型 🚀 \u0000 \u2028"), failed("x" * 1_000_000), failed("")]
        async with bus.subscribe("gateway", [RunFailed], inbox):
            await bus.publish(sent)
            await inbox.all_of(sent)
        came = {a.envelope.id: a.envelope for a in inbox.arrivals if isinstance(a, Delivery)}
        assert came == {envelope.id: envelope for envelope in sent}

    async def test_of_many_messages_none_is_lost(self, broker: Broker) -> None:
        bus, inbox, sent = broker.bus(), Inbox(), [fact() for _ in range(2_000)]
        async with bus.subscribe("gateway", [RunQueued], inbox):
            await asyncio.gather(*(bus.publish(sent[start : start + 100]) for start in range(0, 2_000, 100)))
            await inbox.all_of(sent)

    async def test_leaving_waits_for_the_handlers_at_work(self, broker: Broker) -> None:
        bus, second = broker.bus(), Inbox()
        started, finished = asyncio.Event(), asyncio.Event()
        sent, later = fact(), fact()

        async def handle(arrival: Delivery | Undecodable) -> None:
            started.set()
            go_on = asyncio.Event()
            asyncio.get_running_loop().call_later(0.05, go_on.set)
            await go_on.wait()
            finished.set()

        async with asyncio.timeout(PATIENCE_S), bus.subscribe("gateway", [RunQueued], handle):
            await bus.publish([sent])
            await started.wait()
        assert finished.is_set()
        async with bus.subscribe("gateway", [RunQueued], second):
            await bus.publish([later])
            await second.all_of([later])
        assert second.ids == [later.id]

    async def test_a_handler_that_outlasts_the_grace_gives_its_message_back(self, broker: Broker) -> None:
        bus, inbox, started = broker.bus(), Inbox(), asyncio.Event()
        sent = fact()

        async def stuck(arrival: Delivery | Undecodable) -> None:
            started.set()
            await asyncio.Event().wait()

        async with asyncio.timeout(PATIENCE_S), bus.subscribe("gateway", [RunQueued], stuck):
            await bus.publish([sent])
            await started.wait()
        async with bus.subscribe("gateway", [RunQueued], inbox):
            await inbox.all_of([sent])
        assert inbox.arrivals[0].attempt == 2


class DurableEventBusContract(EventBusContract):
    async def test_what_a_dead_process_held_comes_again(self, broker: DurableBroker) -> None:
        bus, inbox, sent = broker.bus(), Inbox(), fact()
        await bus.ensure("gateway", [RunQueued])
        await bus.publish([sent])
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", broker.holder("gateway"), stdout=asyncio.subprocess.PIPE
        )
        assert holder.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            assert await holder.stdout.readline() == b"taken\n"
        holder.kill()
        await holder.wait()
        async with bus.subscribe("gateway", [RunQueued], inbox):
            await inbox.all_of([sent])
        assert inbox.arrivals[0].attempt == 2

    async def test_a_slow_handler_keeps_its_message(self, broker: DurableBroker) -> None:
        slow, other, sent = Inbox(), Inbox(), fact()
        go_on = asyncio.Event()

        async def handle(arrival: Delivery | Undecodable) -> None:
            await slow(arrival)
            await go_on.wait()

        async with broker.bus().subscribe("gateway", [RunQueued], handle):
            await broker.bus().publish([sent])
            await slow.all_of([sent])
            async with broker.bus().subscribe("gateway", [RunQueued], other):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(other.count(1), broker.lease_s * 1.5)
            go_on.set()
        assert other.ids == []
        assert len(slow.ids) == 1
