"""Topics and subscriptions: their names, making them, and making them again when they were lost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from google.api_core.exceptions import AlreadyExists
from google.pubsub_v1.types import DeadLetterPolicy, ExpirationPolicy, Subscription

from cynthus.bus.pubsub.clients import Clients, translated
from cynthus.events import Event

_log = logging.getLogger(__name__)
_CALL_S = 30.0
_ACK_DEADLINE_S = 10
# Consumers count and park by themselves after a few attempts; this is for one that cannot even park.
_MOST_DELIVERIES = 100
_Ends = tuple[str, str | None]
"""A subscription's topic and its dead-letter topic."""


class Topology:
    """What this process has seen to exist at the broker."""

    def __init__(self, clients: Clients, project: str, prefix: str) -> None:
        self._clients = clients
        self._project = project
        self._prefix = prefix
        self._topics: set[str] = set()
        self._subscriptions: dict[str, _Ends] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._turn = asyncio.Lock()
        self.generation = 0

    def topic(self, event: type[Event]) -> str:
        """The topic of a fact."""
        return self._topic(event.topic())

    def subscription(self, subscriber: str, event: type[Event]) -> str:
        """The subscription of one subscriber to one topic."""
        return f"projects/{self._project}/subscriptions/{self._prefix}{subscriber}.{event.topic()}"

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Call back after something known was found missing and was made again."""
        self._callbacks.append(callback)

    async def ensure_topics(self, topics: Iterable[str]) -> None:
        """Make topics that this process has not seen yet. Raises BusUnavailable."""
        new = set(topics) - self._topics
        await asyncio.gather(*map(self._make_topic, new))
        self._topics |= new

    async def ensure_subscriptions(self, subscriber: str, events: Iterable[type[Event]]) -> list[str]:
        """Make a subscriber's subscriptions, and where its dead letters are kept. Raises BusUnavailable."""
        wanted = {self.subscription(subscriber, event): self.topic(event) for event in events}
        dead = self._topic(f"{subscriber}.dead")
        grave = f"projects/{self._project}/subscriptions/{self._prefix}{subscriber}.dead"
        ends: dict[str, _Ends] = {grave: (dead, None)} | {
            name: (topic, dead) for name, topic in wanted.items()
        }
        new = {name: pair for name, pair in ends.items() if name not in self._subscriptions}
        await self.ensure_topics([*wanted.values(), dead])
        await asyncio.gather(*(self._make_subscription(name, *pair) for name, pair in new.items()))
        self._subscriptions |= new
        return list(wanted)

    async def restore(self, generation: int) -> None:
        """Make everything known again, unless that was done since `generation`. Raises BusUnavailable."""
        async with self._turn:
            if self.generation != generation:
                return
            await asyncio.gather(*map(self._make_topic, self._topics))
            await asyncio.gather(
                *(self._make_subscription(name, *pair) for name, pair in self._subscriptions.items())
            )
            self.generation += 1
        _log.warning("Pub/Sub had lost topics or subscriptions, and messages with them; they are made again")
        for callback in self._callbacks:
            callback()

    def knows(self, topic: str) -> bool:
        """Whether this process has seen the topic."""
        return topic in self._topics

    def _topic(self, name: str) -> str:
        return f"projects/{self._project}/topics/{self._prefix}{name}"

    async def _make_topic(self, name: str) -> None:
        await _made(self._clients.publisher.create_topic, name=name)

    async def _make_subscription(self, name: str, topic: str, dead: str | None) -> None:
        subscription = Subscription(
            name=name, topic=topic, ack_deadline_seconds=_ACK_DEADLINE_S, expiration_policy=ExpirationPolicy()
        )
        if dead is not None:
            subscription.dead_letter_policy = DeadLetterPolicy(
                dead_letter_topic=dead, max_delivery_attempts=_MOST_DELIVERIES
            )
        await _made(self._clients.subscriber.create_subscription, request=subscription)


async def _made(create: Callable[..., Awaitable[object]], **what: Any) -> None:
    with translated(), suppress(AlreadyExists):
        await create(**what, retry=None, timeout=_CALL_S)
