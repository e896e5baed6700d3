"""A broker that duplicates, reorders, delays, drops, and now and then loses everything."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from cynthus.bus.backoff import Backoff
from cynthus.bus.custody import Custody, ended
from cynthus.bus.pace import Pace
from cynthus.bus.ports import BusUnavailable, Delivery, Handler, Undecodable
from cynthus.events import Envelope, Event
from tests.simulation.world import World

_LEASE_S = 20.0
_NOTICED_S = 6.0
_PACE = Pace(lease_s=_LEASE_S, grace_s=1.0, pause_s=0.5, backoff=Backoff(first_s=0.1, most_s=20.0))


@dataclass(slots=True)
class Message:
    """What waits for one subscriber."""

    number: int
    arrival: Envelope | Undecodable
    type: str
    visible_at: float
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """One arrival of a message; a stale one counts for nothing."""

    number: int
    attempt: int


class Broker:
    """Subscriptions by name, with their messages. `published` is the tap that the invariants read."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.away = False
        self.generation = 0
        self.queues: dict[str, dict[int, Message]] = {}
        self.types: dict[str, set[str]] = {}
        self.wakes: dict[str, list[asyncio.Event]] = {}
        self.published: dict[str, Envelope] = {}
        self._numbers = 0

    def lose_everything(self) -> None:
        """Topics, subscriptions and messages are gone; clients find out sooner or later."""
        self.generation += 1
        self.queues.clear()
        self.types.clear()

    def ensure(self, subscriber: str, types: Sequence[type[Event]]) -> None:
        self.queues.setdefault(subscriber, {})
        self.types.setdefault(subscriber, set()).update(event.ce_type() for event in types)

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            self.published[envelope.id] = envelope
            self.world.trace("published", envelope.type, envelope.id)
            self.put(envelope.type, envelope)

    def put(self, event_type: str, arrival: Envelope | Undecodable) -> None:
        faults, chance = self.world.faults, self.world.chance
        for subscriber, types in self.types.items():
            if event_type not in types or faults.hit("message dropped"):
                continue
            for _ in range(1 + (2 if faults.hit("message duplicated") else 0)):
                delay = 20.0 * chance.random() if faults.hit("message delayed") else 0.0
                self._numbers += 1
                message = Message(self._numbers, arrival, event_type, self.world.now + delay)
                self.queues[subscriber][message.number] = message
                self._wake(subscriber, delay)

    def claim(self, subscriber: str, types: set[str], most: int) -> list[Message]:
        now = self.world.now
        ready = [
            message
            for message in self.queues.get(subscriber, {}).values()
            if message.visible_at <= now and message.type in types
        ]
        if len(ready) > 1 and self.world.faults.hit("messages reordered"):
            self.world.faults.chance.shuffle(ready)
        for message in ready[:most]:
            message.attempt += 1
            message.visible_at = now + _LEASE_S
            self._wake(subscriber, _LEASE_S)
        return ready[:most]

    def settle(self, subscriber: str, claim: Claim, visible_at: float | None) -> None:
        queue = self.queues.get(subscriber, {})
        message = queue.get(claim.number)
        if message is None or message.attempt != claim.attempt:
            return
        if visible_at is None or self.world.faults.hit("redelivery lost"):
            del queue[claim.number]
        else:
            message.visible_at = visible_at
            self._wake(subscriber, visible_at - self.world.now)

    def _wake(self, subscriber: str, delay: float) -> None:
        self.world.later(max(0.0, delay) + 0.001, self._ring, subscriber)

    def _ring(self, subscriber: str) -> None:
        for wake in self.wakes.get(subscriber, ()):
            wake.set()


class BusClient:
    """The event bus as one process sees it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._callbacks: list[Callable[[], None]] = []
        self._generation = broker.generation

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        await self._trip("publish refused")
        self._broker.publish(envelopes)
        if self._broker.world.faults.hit("publish reply lost"):
            await asyncio.sleep(0.5)
            raise BusUnavailable("simulated")

    async def ensure(self, subscriber: str, types: Sequence[type[Event]]) -> None:
        self._broker.ensure(subscriber, types)

    def on_loss(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def subscribe(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, *, concurrency: int = 16
    ) -> AbstractAsyncContextManager[None]:
        return self._subscribed(subscriber, types, handler, concurrency)

    @asynccontextmanager
    async def _subscribed(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, concurrency: int
    ) -> AsyncIterator[None]:
        await self._trip("publish refused")
        self._broker.ensure(subscriber, types)
        subscription = _Subscription(self, self._broker, subscriber, types, handler, concurrency)
        async with subscription.running():
            yield

    async def _trip(self, fault: str) -> None:
        await asyncio.sleep(self._broker.world.latency())
        if self._broker.away or self._broker.world.faults.hit(fault):
            raise BusUnavailable("simulated")

    def noticed(self) -> None:
        """A subscription found that the broker forgot everything."""
        if self._generation != self._broker.generation:
            self._generation = self._broker.generation
            for callback in self._callbacks:
                callback()


class _Subscription:
    def __init__(
        self,
        client: BusClient,
        broker: Broker,
        subscriber: str,
        types: Sequence[type[Event]],
        handler: Handler,
        concurrency: int,
    ) -> None:
        self._client = client
        self._broker = broker
        self._subscriber = subscriber
        self._types = tuple(types)
        self._names = {event.ce_type() for event in types}
        self._most = concurrency
        self._custody: Custody[Claim] = Custody(
            self, handler, concurrency=concurrency, pace=_PACE, name=subscriber
        )
        self._wake = asyncio.Event()
        self._closing = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        wakes = self._broker.wakes.setdefault(self._subscriber, [])
        wakes.append(self._wake)
        settling = asyncio.create_task(self._custody.settle())
        claiming = asyncio.create_task(self._claim())
        helping = [asyncio.create_task(self._custody.keep()), asyncio.create_task(self._watch())]
        try:
            yield
        finally:
            self._closing = True
            self._wake.set()
            self._custody.close()
            await ended(claiming, 1.0)
            await self._custody.drain(settling)
            for task in helping:
                task.cancel()
            await asyncio.wait(helping)
            wakes.remove(self._wake)

    async def acknowledge(self, leases: Sequence[Claim]) -> None:
        """The reply of a lost acknowledgement says that all is well."""
        await self._client._trip("publish refused")
        for claim in leases:
            if not self._broker.world.faults.hit("ack lost"):
                self._broker.settle(self._subscriber, claim, None)

    async def put_back(self, leases: Sequence[tuple[Claim, float]]) -> None:
        await self._client._trip("publish refused")
        for claim, delay in leases:
            self._broker.settle(self._subscriber, claim, self._broker.world.now + delay)

    async def extend(self, leases: Sequence[Claim]) -> None:
        await self._client._trip("publish refused")
        for claim in leases:
            self._broker.settle(self._subscriber, claim, self._broker.world.now + _LEASE_S)

    async def _claim(self) -> None:
        while await self._custody.room():
            self._wake.clear()
            if await self._custody.tried(self._start) and not self._closing:
                await self._wake.wait()

    async def _start(self) -> bool:
        wanted = self._custody.reserve(self._most)
        try:
            await self._client._trip("publish refused")
            claimed = self._broker.claim(self._subscriber, self._names, wanted)
        finally:
            self._custody.unreserve(wanted)
        for message in claimed:
            self._custody.start(Claim(message.number, message.attempt), _arrival(message))
        return len(claimed) < wanted

    async def _watch(self) -> None:
        """Find out, after a while, that the broker forgot us."""
        while True:
            await asyncio.sleep(_NOTICED_S)
            if self._subscriber not in self._broker.queues and not self._broker.away:
                self._broker.ensure(self._subscriber, self._types)
                self._client.noticed()
                self._wake.set()


def _arrival(message: Message) -> Delivery | Undecodable:
    if isinstance(message.arrival, Undecodable):
        return message.arrival
    return Delivery(message.arrival, message.attempt)
