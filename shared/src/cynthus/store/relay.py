"""Publishes what a service decided: the store is its outbox."""

import asyncio
import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from cynthus.bus.ports import BusUnavailable, EventBus
from cynthus.events import Event
from cynthus.runtime.crash_points import reach
from cynthus.store.pauses import Pauses
from cynthus.store.ports import Appended, Checkpoint, EventStore, Position, Recorded, StoreUnavailable

_OUTAGES = (StoreUnavailable, BusUnavailable)
_BATCH = 500
_POLL_S = 5.0
_CATCH_UP_AFTER_S = 0.5
_SAVE_EVERY_S = 0.5
_STANDBY_S = 0.25
_FAREWELL_S = 1.0
_REWIND = timedelta(hours=1)
_AGAIN_S = (2.0, 10.0, 30.0)
"""After a loss other services need a while to subscribe again; what they missed until then is repeated."""

_log = structlog.get_logger(__name__)


class Relay:
    """At least once, with fixed ids. What this process appended is published at once; the tail covers all.

    `types` limits what is published. One relay per checkpoint works at a time, others stand by.
    """

    def __init__(
        self,
        store: EventStore,
        bus: EventBus,
        checkpoint: Checkpoint,
        types: Collection[type[Event]] | None = None,
        *,
        repeat_after_s: Sequence[float] = _AGAIN_S,
    ) -> None:
        self._store = store
        self._bus = bus
        self._checkpoint = checkpoint
        self._types = frozenset(types) if types is not None else None
        self._appended: Appended | None = None
        self._position: Position | None = None
        self._saved: Position | None = None
        self._saved_at = -math.inf
        self._ahead: set[str] = set()
        self._catch_up_at = -math.inf
        self._window: timedelta | None = None
        self._repeat_after_s = tuple(repeat_after_s)
        self._repeats: list[tuple[float, timedelta]] = []
        bus.on_loss(self.rewind)

    def rewind(self, window: timedelta = _REWIND) -> None:
        """Publish again everything younger than `window`, because the bus lost it; now and again later."""
        now = _now()
        self._repeats = [(now + delay, window) for delay in self._repeat_after_s]
        self._window = window
        self._catch_up_at = -math.inf
        if self._appended is not None:
            self._appended.wake()

    async def run(self) -> None:
        """Relay until cancelled, through outages of store and bus."""
        pauses = Pauses()
        async with self._store.appended() as appended:
            self._appended = appended
            try:
                while True:
                    try:
                        await self._turn(appended)
                        pauses.reset()
                    except _OUTAGES as error:
                        _log.warning("relay interrupted", error=str(error))
                        self._catch_up_at = -math.inf
                        await pauses.sleep()
            finally:
                self._appended = None
                with suppress(*_OUTAGES, TimeoutError):
                    async with asyncio.timeout(_FAREWELL_S):
                        await self._settle()

    async def _turn(self, appended: Appended) -> None:
        if not await self._checkpoint.mine():
            self._position = self._saved = None
            self._ahead.clear()
            appended.take()
            await asyncio.sleep(_STANDBY_S)
            return
        if self._position is None:
            self._position = self._saved = await self._checkpoint.load()
            self._catch_up_at = -math.inf
        now = _now()
        if self._repeats and now >= self._repeats[0][0]:
            _, self._window = self._repeats.pop(0)
            self._catch_up_at = -math.inf
        fresh = [recorded for recorded in appended.take() if recorded.position > self._position]
        if fresh and now < self._catch_up_at:
            await self._publish_ahead(fresh, now)
        else:
            self._position = await self._catch_up(self._position)
            await self._save(every_s=_SAVE_EVERY_S)
            self._catch_up_at = _now() + _POLL_S
        due = min([self._catch_up_at, *(at for at, _ in self._repeats)])
        await appended.wait(max(0.0, due - _now()))

    async def _settle(self) -> None:
        """Leave a checkpoint that knows of everything published, so that a restart repeats nothing."""
        if self._position is not None and await self._checkpoint.mine():
            await self._catch_up(self._position)
            await self._save(every_s=0.0)
        await self._checkpoint.release()

    async def _publish_ahead(self, fresh: Sequence[Recorded], now: float) -> None:
        await self._publish(fresh)
        self._ahead.update(recorded.envelope.id for recorded in fresh)
        self._catch_up_at = min(self._catch_up_at, now + _CATCH_UP_AFTER_S)

    async def _catch_up(self, position: Position) -> Position:
        if self._window is not None:
            window, self._window = self._window, None
            position = min(position, await self._store.position_before(window))
            self._ahead.clear()
        while True:
            recorded = await self._store.tail(after=position, limit=_BATCH)
            await self._publish([fact for fact in recorded if fact.envelope.id not in self._ahead])
            self._ahead.difference_update(fact.envelope.id for fact in recorded)
            if recorded:
                position = self._position = recorded[-1].position
            if len(recorded) < _BATCH:
                return position

    async def _publish(self, recorded: Sequence[Recorded]) -> None:
        envelopes = [fact.envelope for fact in recorded if fact.decided and self._wants(fact)]
        if envelopes:
            reach("relay.before_publish")
            await self._bus.publish(envelopes)
            reach("relay.published")

    def _wants(self, recorded: Recorded) -> bool:
        return self._types is None or type(recorded.envelope.event) in self._types

    async def _save(self, *, every_s: float) -> None:
        now = _now()
        if self._position is None or self._position == self._saved or now < self._saved_at + every_s:
            return
        reach("relay.before_checkpoint")
        await self._checkpoint.save(self._position)
        reach("relay.checkpoint_saved")
        self._saved, self._saved_at = self._position, now


def _now() -> float:
    return asyncio.get_running_loop().time()
