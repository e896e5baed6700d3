"""Running a subscription's handlers: at most so many at once, each ending in one outcome."""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar

from cynthus.bus.ports import Delivery, Handler, Undecodable

_log = logging.getLogger(__name__)

Ticket = TypeVar("Ticket")


class Outcome(Enum):
    """What became of an arrival: handled, failed, or given back because the subscription closed."""

    HANDLED = auto()
    FAILED = auto()
    RELEASED = auto()


class Crew(Generic[Ticket]):
    """Handlers at work. `settle` is called once per ticket: what the transport acknowledges by."""

    def __init__(
        self, handler: Handler, concurrency: int, settle: Callable[[Ticket, Outcome], None], subscriber: str
    ) -> None:
        self._handler = handler
        self._settle = settle
        self._subscriber = subscriber
        self._concurrency = concurrency
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._freed = asyncio.Event()
        self._closing = False
        self._reserved = 0

    @property
    def free(self) -> int:
        """How many more handlers may start now."""
        return self._concurrency - len(self._tasks) - self._reserved

    def start(self, ticket: Ticket, arrival: Delivery | Undecodable) -> None:
        """Run the handler on an arrival, in the background."""
        task = asyncio.create_task(self._run(arrival))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._leave(ticket, done))

    def reserve(self, most: int = 1) -> int:
        """Keep up to so many places for messages on their way; how many were free."""
        kept = 0 if self._closing else max(0, min(most, self.free))
        self._reserved += kept
        return kept

    def unreserve(self, kept: int = 1) -> None:
        """Let kept places go: their messages start now, or will not come."""
        self._reserved -= kept
        self._freed.set()

    async def room(self) -> bool:
        """Wait until at least one more handler may start; False once the crew is closing."""
        while self.free <= 0 and not self._closing:
            self._freed.clear()
            await self._freed.wait()
        return not self._closing

    def close(self) -> None:
        """Start nothing more: let go whoever waits for room."""
        self._closing = True
        self._freed.set()

    async def drain(self, grace_s: float) -> None:
        """Wait for the handlers at work; cancel those that outlast the grace."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _leave(self, ticket: Ticket, task: asyncio.Task[Outcome]) -> None:
        self._tasks.discard(task)
        self._freed.set()
        self._settle(ticket, Outcome.RELEASED if task.cancelled() else task.result())

    async def _run(self, arrival: Delivery | Undecodable) -> Outcome:
        try:
            await self._handler(arrival)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message comes again
            _log.warning(
                "%s could not handle %s (attempt %d): %r",
                self._subscriber,
                _name(arrival),
                arrival.attempt,
                error,
            )
            return Outcome.FAILED
        return Outcome.HANDLED


def _name(arrival: Delivery | Undecodable) -> str:
    if isinstance(arrival, Undecodable):
        return f"message {arrival.message_id}"
    return f"{arrival.envelope.type} {arrival.envelope.id}"
