"""An event bus inside one process: for tests and for reading the contract."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from cynthus.bus import arrivals
from cynthus.bus.crew import Crew, Outcome
from cynthus.bus.pace import Pace
from cynthus.bus.ports import Handler
from cynthus.events import Envelope, Event
from cynthus.events.codec import to_attributes, to_data


@dataclass(frozen=True, slots=True)
class Message:
    """What waits for a subscriber, as it would travel."""

    id: str
    type: str
    attributes: dict[str, str]
    data: bytes
    attempt: int = 1


class _Queue:
    """The messages of one subscriber and one type."""

    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        self.wakes: set[asyncio.Event] = set()

    def put(self, message: Message, *, first: bool = False) -> None:
        if first:
            self.ready.appendleft(message)
        else:
            self.ready.append(message)
        for wake in self.wakes:
            wake.set()


class MemoryBus:
    """Delivers within the process; nothing outlives it."""

    def __init__(self, *, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._queues: dict[tuple[str, str], _Queue] = {}
        self._numbers = itertools.count(1)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Hand facts over to the queues that exist now."""
        for envelope in envelopes:
            self.put(envelope.type, to_attributes(envelope), to_data(envelope))

    def put(self, event_type: str, attributes: dict[str, str], data: bytes) -> None:
        """Queue a raw message, as a publisher that is not ours could."""
        message = Message(str(next(self._numbers)), event_type, attributes, data)
        for (_, wanted), queue in self._queues.items():
            if wanted == event_type:
                queue.put(message)

    async def ensure(self, subscriber: str, types: Sequence[type[Event]]) -> None:
        """Make the subscriber's queues exist."""
        self._ensured(subscriber, types)

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Nothing is lost while the process lives, so the callback is never called."""

    def subscribe(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, *, concurrency: int = 16
    ) -> AbstractAsyncContextManager[None]:
        """Deliver while the context is open; leaving it waits for the handlers at work."""
        return self._subscribed(subscriber, types, handler, concurrency)

    def _ensured(self, subscriber: str, types: Sequence[type[Event]]) -> list[_Queue]:
        return [self._queues.setdefault((subscriber, event.ce_type()), _Queue()) for event in types]

    @asynccontextmanager
    async def _subscribed(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, concurrency: int
    ) -> AsyncIterator[None]:
        queues = self._ensured(subscriber, types)
        wake = asyncio.Event()
        crew: Crew[Message] = Crew(
            handler,
            concurrency,
            lambda message, outcome: self._settle(subscriber, message, outcome),
            subscriber,
        )
        for queue in queues:
            queue.wakes.add(wake)
        feeding = asyncio.create_task(_feed(queues, wake, crew))
        try:
            yield
        finally:
            for queue in queues:
                queue.wakes.discard(wake)
            feeding.cancel()
            await asyncio.wait([feeding])
            await crew.drain(self._pace.grace_s)

    def _settle(self, subscriber: str, message: Message, outcome: Outcome) -> None:
        queue = self._queues[subscriber, message.type]
        again = replace(message, attempt=message.attempt + 1)
        if outcome is Outcome.RELEASED:
            queue.put(again, first=True)
        elif outcome is Outcome.FAILED:
            asyncio.get_running_loop().call_later(
                self._pace.backoff.delay_s(message.attempt), queue.put, again
            )


async def _feed(queues: Sequence[_Queue], wake: asyncio.Event, crew: Crew[Message]) -> None:
    while True:
        await crew.room()
        wake.clear()
        queue = next((queue for queue in queues if queue.ready), None)
        if queue is None:
            await wake.wait()
            continue
        message = queue.ready.popleft()
        crew.start(message, arrivals.read(message.id, message.attributes, message.data, message.attempt))
