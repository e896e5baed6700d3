"""The loops behind an open subscription on PostgreSQL: claim, keep, settle."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cynthus.bus import arrivals
from cynthus.bus.backoff import Backoff
from cynthus.bus.crew import Crew, Outcome
from cynthus.bus.ports import Handler
from cynthus.bus.queue import Claim, Queue
from cynthus.events.codec import STRUCTURED
from cynthus.store.ports import Wakeup

_log = logging.getLogger(__name__)
_CLOCK_SLACK_S = 0.002


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: a claim's lease, the slow poll, the wait for handlers at closing, the pause after an error."""

    lease_s: float = 10.0
    poll_s: float = 1.0
    grace_s: float = 10.0
    pause_s: float = 0.5


class Subscription:
    """One replica's share of a subscriber's messages."""

    def __init__(
        self, queue: Queue, handler: Handler, concurrency: int, pace: Pace, backoff: Backoff
    ) -> None:
        self._queue = queue
        self._pace = pace
        self._backoff = backoff
        self._crew: Crew[Claim] = Crew(handler, concurrency, self._settle, queue.subscriber)
        self._held: set[Claim] = set()
        self._handled: list[Claim] = []
        self._failed: list[tuple[Claim, float]] = []
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._closing = False
        self._drained = False

    async def listen(self, wakeup: Wakeup) -> None:
        """Turn hints, and the slow poll behind them, into looks at the queue."""
        while True:
            await wakeup.wait(self._pace.poll_s)
            self._wake.set()

    async def claim(self) -> None:
        """Fill free places with waiting messages until closing."""
        while await self._crew.room():
            self._wake.clear()
            if await self._tried(self._start) and not self._closing:
                await self._wake.wait()

    async def keep(self) -> None:
        """Renew the leases of messages whose handlers still run."""
        while True:
            await asyncio.sleep(self._pace.lease_s / 3)
            if self._held:
                await self._tried(self._extend)

    async def settle(self) -> None:
        """Acknowledge and put back, as many at once as have come together, until drained."""
        while True:
            await self._settled.wait()
            self._settled.clear()
            if not await self._tried(self._flush):
                self._settled.set()
            elif self._drained and not self._handled and not self._failed:
                return

    async def close(self, claiming: asyncio.Task[None], settling: asyncio.Task[None]) -> None:
        """Claim no more, let handlers end, and give back what they did not finish."""
        self._closing = True
        self._wake.set()
        self._crew.close()
        await _ended(claiming, self._pace.grace_s)
        await self._crew.drain(self._pace.grace_s)
        self._drained = True
        self._settled.set()
        await _ended(settling, self._pace.grace_s)

    async def _start(self) -> bool:
        wanted = self._crew.free
        claimed = await self._queue.claim(wanted)
        for claim, data in claimed:
            self._held.add(claim)
            arrival = arrivals.read(str(claim.id), {"content-type": STRUCTURED}, data, claim.attempt)
            self._crew.start(claim, arrival)
        return len(claimed) < wanted

    async def _extend(self) -> bool:
        await self._queue.extend(list(self._held))
        return True

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        self._held.discard(claim)
        if outcome is Outcome.HANDLED:
            self._handled.append(claim)
        else:
            delay_s = self._backoff.delay_s(claim.attempt) if outcome is Outcome.FAILED else 0.0
            self._failed.append((claim, delay_s))
        self._settled.set()

    async def _flush(self) -> bool:
        handled, failed = self._handled, self._failed
        self._handled, self._failed = [], []
        try:
            if handled:
                await self._queue.acknowledge(handled)
            if failed:
                await self._queue.put_back(failed)
        except Exception:
            self._handled, self._failed = handled + self._handled, failed + self._failed
            raise
        for _, delay_s in failed:
            asyncio.get_running_loop().call_later(delay_s + _CLOCK_SLACK_S, self._wake.set)
        return True

    async def _tried(self, step: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await step()
        except Exception as error:  # noqa: BLE001 - a subscription outlives whatever ails the database
            _log.warning("bus of %s: %r; trying again", self._queue.subscriber, error)
            await asyncio.sleep(self._pace.pause_s)
            return False


@asynccontextmanager
async def running(subscription: Subscription, wakeup: Wakeup) -> AsyncIterator[None]:
    """Run the loops of a subscription while the context is open."""
    claiming = asyncio.create_task(subscription.claim())
    settling = asyncio.create_task(subscription.settle())
    helping = [asyncio.create_task(subscription.listen(wakeup)), asyncio.create_task(subscription.keep())]
    try:
        yield
    finally:
        await subscription.close(claiming, settling)
        for task in helping:
            task.cancel()
        await asyncio.wait(helping)


async def _ended(task: asyncio.Task[None], grace_s: float) -> None:
    _, late = await asyncio.wait([task], timeout=grace_s)
    if late:
        task.cancel()
        await asyncio.wait([task])
