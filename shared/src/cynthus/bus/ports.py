"""The event bus: at-least-once delivery of facts between services."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from cynthus.events import Envelope, Event


class BusUnavailable(Exception):
    """The broker cannot be reached now; what was being published may or may not have arrived."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One arrival of a message. `attempt` counts arrivals from 1, as far as the transport knows."""

    envelope: Envelope
    attempt: int


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An arrival that is no fact we know: kept as it came, so that it can be parked and looked at."""

    message_id: str
    attributes: dict[str, str]
    data: bytes
    reason: str
    attempt: int


Handler = Callable[[Delivery | Undecodable], Awaitable[None]]
"""A handler that returns has acknowledged; one that raises sees the message again, after a back-off."""


class EventBus(Protocol):
    """At-least-once, in any order. Each named subscriber gets every fact of the types it asked for."""

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Hand facts over; returns once the bus holds them durably. Raises BusUnavailable."""
        ...

    def subscribe(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, *, concurrency: int = 16
    ) -> AbstractAsyncContextManager[None]:
        """Deliver to `handler` while the context is open. Replicas with one name share the work."""
        ...

    async def ensure(self, subscriber: str, types: Sequence[type[Event]]) -> None:
        """Make the subscription exist before anybody publishes, so that nothing is missed."""
        ...

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Call back when the broker was found to have lost its topology, and with it messages."""
        ...
