"""Hands messages to handlers, and makes sure that every message comes to an end."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import structlog

from cynthus.bus.ports import BusUnavailable, Delivery, EventBus, Undecodable
from cynthus.events import Event
from cynthus.runtime.crash_points import reach
from cynthus.store.inbox import Inbox
from cynthus.store.parked import Parked, park
from cynthus.store.pauses import Pauses
from cynthus.store.ports import AlreadyHandled, ConcurrentAppend, StoreUnavailable

Handle = Callable[[Delivery], Awaitable[None]]
OnParked = Callable[[Parked], Awaitable[None]]

_OUTAGES = (StoreUnavailable, BusUnavailable)
_APPEND_TRIES = 10
_APPEND_PAUSE_S = 0.005
_EXCUSED_KEPT = 10_000
_DONE_KEPT = 20_000
_ERROR_LENGTH = 2000
_KILLED = "the process ended each time while handling this message"

_log = structlog.get_logger(__name__)


class Consumer:
    """One service's subscription. After `attempts` failures a message is parked and acknowledged."""

    def __init__(
        self,
        service: str,
        inbox: Inbox,
        bus: EventBus,
        handlers: Mapping[type[Event], Handle],
        *,
        attempts: int = 5,
        concurrency: int = 16,
        on_parked: OnParked | None = None,
    ) -> None:
        self.service = service
        self._inbox = inbox
        self._bus = bus
        self._handlers = dict(handlers)
        self._attempts = attempts
        self._concurrency = concurrency
        self._on_parked = on_parked
        self._excused: Counter[str] = Counter()
        self._done: dict[str, None] = {}

    def has_done(self, message_id: str) -> bool:
        """Whether this consumer remembers to have seen the message to its end; it forgets the oldest."""
        return message_id in self._done

    def forget(self) -> None:
        """Remember nothing: a crash of the database may have undone what was not on its disk yet."""
        self._done.clear()

    async def run(self) -> None:
        """Consume until cancelled, through outages of the bus."""
        pauses = Pauses()
        while True:
            try:
                async with self._bus.subscribe(
                    self.service, tuple(self._handlers), self.handle, concurrency=self._concurrency
                ):
                    pauses.reset()
                    await asyncio.get_running_loop().create_future()
            except _OUTAGES as error:
                _log.warning("subscription interrupted", service=self.service, error=str(error))
            await pauses.sleep()

    async def handle(self, message: Delivery | Undecodable) -> None:
        """Return to acknowledge, raise to see the message again."""
        await self._handle(message)
        self._done[message.message_id if isinstance(message, Undecodable) else message.envelope.id] = None
        if len(self._done) > _DONE_KEPT:
            del self._done[next(iter(self._done))]

    async def _handle(self, message: Delivery | Undecodable) -> None:
        if isinstance(message, Undecodable):
            await self._put_aside(
                park(self.service, message, reason=message.reason, attempts=message.attempt)
            )
            return
        message_id = message.envelope.id
        counted = message.attempt > 1
        if counted and await self._is_over(message):
            return
        try:
            await self._dispatch(message)
        except AlreadyHandled:
            return
        except _OUTAGES:
            self._excuse(message_id, counted=counted)
            raise
        except Exception as error:
            reason = _describe(error)
            tries = await self._inbox.fail(self.service, message_id, reason, counted=counted)
            if tries < self._attempts:
                raise
            await self._put_aside(park(self.service, message, reason=reason, attempts=tries))

    async def replay(self, message_id: str) -> None:
        """Handle a parked message again, now; it stays parked if that fails. Raises NotParked."""
        parked = await self._inbox.find(self.service, message_id)
        message = Delivery(parked.envelope(), attempt=1)
        try:
            await self._dispatch(message)
        except AlreadyHandled:
            pass
        except Exception as error:
            again = park(self.service, message, reason=_describe(error), attempts=parked.attempts + 1)
            await self._inbox.park(again)
            raise
        await self._inbox.unpark(self.service, message_id)

    async def _is_over(self, message: Delivery) -> bool:
        """Count the attempt before it begins, so that one which kills the process counts as well."""
        message_id = message.envelope.id
        if self._excused[message_id]:
            self._excused[message_id] -= 1
            return False
        try:
            tries = await self._inbox.count(self.service, message_id)
        except _OUTAGES:
            self._excuse(message_id, counted=True)  # it may have been counted
            raise
        if not tries.handled and tries.attempts > self._attempts:
            reason = tries.last_error or _KILLED
            await self._put_aside(park(self.service, message, reason=reason, attempts=tries.attempts - 1))
            return True
        return tries.handled

    async def _dispatch(self, message: Delivery) -> None:
        handle = self._handlers[type(message.envelope.event)]
        for left in reversed(range(_APPEND_TRIES)):
            try:
                reach("consumer.before_handle")
                await handle(message)
                reach("consumer.handled")
            except ConcurrentAppend:
                if not left:
                    raise
                await asyncio.sleep(random.uniform(0, _APPEND_PAUSE_S) if left < _APPEND_TRIES - 1 else 0)  # noqa: S311 - jitter
            else:
                return

    def _excuse(self, message_id: str, *, counted: bool) -> None:
        """An outage is not the message's fault: each attempt counted ahead stands for a later one."""
        if counted:
            if len(self._excused) >= _EXCUSED_KEPT:
                self._excused.clear()
            self._excused[message_id] += 1

    async def _put_aside(self, parked: Parked) -> None:
        reach("consumer.before_park")
        await self._inbox.park(parked)
        reach("consumer.parked")
        _log.error("message parked", service=self.service, message=parked.message_id, reason=parked.reason)
        if self._on_parked is None:
            return
        try:
            await self._on_parked(parked)
        except _OUTAGES:
            raise
        except Exception:  # noqa: BLE001 - the message is parked; the reconciler ends its run
            _log.exception("on_parked failed", service=self.service, message=parked.message_id)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_ERROR_LENGTH]
