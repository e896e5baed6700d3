"""The loops behind an open subscription on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cynthus.bus import arrivals
from cynthus.bus.custody import Custody, ended
from cynthus.bus.pace import Pace
from cynthus.bus.ports import Delivery, Handler
from cynthus.bus.postgres.queue import Claim, Queue
from cynthus.events import Envelope
from cynthus.events.codec import STRUCTURED
from cynthus.store.ports import Wakeup

_CLOCK_SLACK_S = 0.002


class Subscription:
    """One replica's share of a subscriber's messages."""

    def __init__(self, queue: Queue, handler: Handler, concurrency: int, pace: Pace) -> None:
        self._queue = queue
        self._most = concurrency
        self._types = frozenset(queue.types)
        self._pace = pace
        self._custody: Custody[Claim] = Custody(
            self, handler, concurrency=concurrency, pace=pace, name=queue.subscriber
        )
        self._wake = asyncio.Event()
        self._asleep = False
        self._closing = False

    def reserve(self, event_type: str) -> bool:
        """Keep a place for a message about to be published in this process, unless older ones may wait."""
        return self._asleep and event_type in self._types and self._custody.reserve() == 1

    def take(self, claim: Claim | None, envelope: Envelope) -> None:
        """Start the message in the place kept for it; with None, let the place go."""
        self._custody.unreserve()
        if claim is not None and self._closing:
            self._custody.release(claim)
        elif claim is not None:
            self._custody.start(claim, Delivery(envelope, claim.attempt))

    async def acknowledge(self, leases: Sequence[Claim]) -> None:
        """Remove messages that were handled."""
        await self._queue.acknowledge(leases)

    async def put_back(self, leases: Sequence[tuple[Claim, float]]) -> None:
        """Show messages again after their delays, and look for them then."""
        await self._queue.put_back(leases)
        for _, delay_s in leases:
            asyncio.get_running_loop().call_later(delay_s + _CLOCK_SLACK_S, self._wake.set)

    async def extend(self, leases: Sequence[Claim]) -> None:
        """Renew leases."""
        await self._queue.extend(leases)

    @asynccontextmanager
    async def running(self, wakeup: Wakeup) -> AsyncIterator[None]:
        """Deliver while the context is open."""
        claiming = asyncio.create_task(self._claim())
        settling = asyncio.create_task(self._custody.settle())
        helping = [asyncio.create_task(self._listen(wakeup)), asyncio.create_task(self._custody.keep())]
        try:
            yield
        finally:
            self._closing = True
            self._wake.set()
            self._custody.close()
            await ended(claiming, self._pace.grace_s)
            await self._custody.drain(settling)
            for task in helping:
                task.cancel()
            await asyncio.wait(helping)

    async def _listen(self, wakeup: Wakeup) -> None:
        """Turn hints, and the slow poll behind them, into looks at the queue."""
        while True:
            await wakeup.wait(self._pace.poll_s)
            self._wake.set()

    async def _claim(self) -> None:
        """Fill free places with waiting messages; sleep when there are no more of them."""
        while await self._custody.room():
            self._wake.clear()
            if await self._custody.tried(self._start) and not self._closing:
                self._asleep = True
                await self._wake.wait()
                self._asleep = False

    async def _start(self) -> bool:
        wanted = self._custody.reserve(self._most)
        try:
            claimed = await self._queue.claim(wanted)
        finally:
            self._custody.unreserve(wanted)
        for claim, data in claimed:
            arrival = arrivals.read(str(claim.id), {"content-type": STRUCTURED}, data, claim.attempt)
            self._custody.start(claim, arrival)
        return len(claimed) < wanted
