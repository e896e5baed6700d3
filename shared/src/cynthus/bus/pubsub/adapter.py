"""The event bus on Google Pub/Sub."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from google.pubsub_v1.types import PublishRequest, PubsubMessage

from cynthus.bus.batches import batches
from cynthus.bus.pace import Pace
from cynthus.bus.ports import BusUnavailable, Handler
from cynthus.bus.pubsub.clients import Clients, TopologyMissing, open_clients, translated
from cynthus.bus.pubsub.pulling import Pulling
from cynthus.bus.pubsub.topology import Topology
from cynthus.events import Envelope, Event
from cynthus.events.codec import STRUCTURED, to_attributes, to_data, to_json

_MOST_ITEMS = 1_000
_MOST_BYTES = 9_000_000
_LONGEST_ATTRIBUTE = 1024
_FIRST_PATIENCE_S, _MOST_PATIENCE_S = 3.0, 30.0
"""For the answer to a publish: twice as long after each that never came."""
_TRIES = 3
_Message = PubsubMessage.pb()
_Request = PublishRequest.pb()


@dataclass(frozen=True, slots=True)
class _Outgoing:
    message: object
    size: int


class PubSubBus:
    """One topic per fact, one subscription per subscriber and topic; neither order nor filters are used."""

    def __init__(self, clients: Clients, project: str, *, prefix: str = "", pace: Pace | None = None) -> None:
        self._clients = clients
        self._topology = Topology(clients, project, prefix)
        self._pace = pace or Pace(poll_s=10.0)
        self._patience_s = _FIRST_PATIENCE_S

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish each topic's facts in as few requests as it takes, all topics at once."""
        by_topic: dict[str, list[_Outgoing]] = defaultdict(list)
        for envelope in envelopes:
            by_topic[self._topology.topic(type(envelope.event))].append(_outgoing(envelope))
        requests = [
            _Request(topic=topic, messages=[outgoing.message for outgoing in group])
            for topic, waiting in by_topic.items()
            for group in batches(waiting, most_items=_MOST_ITEMS, most_bytes=_MOST_BYTES)
        ]
        if len(requests) == 1:
            await self._send(requests[0])
        else:
            await asyncio.gather(*map(self._send, requests))

    async def ensure(self, subscriber: str, types: Sequence[type[Event]]) -> None:
        """Make topics and subscriptions."""
        await self._topology.ensure_subscriptions(subscriber, types)

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Call back when topics or subscriptions that existed were gone and had to be made again."""
        self._topology.on_loss(callback)

    def subscribe(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, *, concurrency: int = 16
    ) -> AbstractAsyncContextManager[None]:
        """Deliver while the context is open; leaving it waits for the handlers at work."""
        return self._subscribed(subscriber, types, handler, concurrency)

    @asynccontextmanager
    async def _subscribed(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, concurrency: int
    ) -> AsyncIterator[None]:
        paths = await self._topology.ensure_subscriptions(subscriber, types)
        pulling = Pulling(
            self._clients.subscriber,
            self._topology,
            handler,
            concurrency=concurrency,
            pace=self._pace,
            name=subscriber,
        )
        async with pulling.running(paths):
            yield

    async def _send(self, request: Any) -> None:
        topic: str = request.topic
        for _ in range(_TRIES):
            generation = self._topology.generation
            try:
                with translated():
                    await self._clients.publisher.publish(
                        request=PublishRequest.wrap(request), retry=None, timeout=self._patience_s
                    )
            except TopologyMissing:
                if self._topology.knows(topic):
                    await self._topology.restore(generation)
                else:
                    await self._topology.ensure_topics([topic])
            except BusUnavailable:
                self._patience_s = min(2 * self._patience_s, _MOST_PATIENCE_S)
                raise
            else:
                self._patience_s = _FIRST_PATIENCE_S
                return
        raise BusUnavailable(f"Pub/Sub: {topic} is gone as often as it is made")


@asynccontextmanager
async def open_pubsub(
    project: str, *, prefix: str = "", emulator: str | None = None, pace: Pace | None = None
) -> AsyncIterator[PubSubBus]:
    """The bus in a project; at an emulator when `emulator` or PUBSUB_EMULATOR_HOST says where."""
    async with open_clients(emulator) as clients:
        yield PubSubBus(clients, project, prefix=prefix, pace=pace)


def _outgoing(envelope: Envelope) -> _Outgoing:
    attributes, data = to_attributes(envelope), to_data(envelope)
    if any(len(value) > _LONGEST_ATTRIBUTE // 4 for value in attributes.values()):
        attributes, data = {"content-type": STRUCTURED}, to_json(envelope)
    size = len(data) + sum(len(name) + len(value) + 8 for name, value in attributes.items())
    return _Outgoing(_Message(data=data, attributes=attributes), size)
