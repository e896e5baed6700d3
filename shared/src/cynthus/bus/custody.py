"""Messages in our hands: from their arrival until they are acknowledged or put back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from cynthus.bus.crew import Crew, Outcome
from cynthus.bus.pace import Pace
from cynthus.bus.ports import Delivery, Handler, Undecodable
from cynthus.runtime.crash_points import reach

_log = logging.getLogger(__name__)


class Leased(Protocol):
    """What the transport knows a message by while it is ours; hashable."""

    @property
    def attempt(self) -> int:
        """Which arrival this is, from 1."""
        ...


Lease = TypeVar("Lease", bound=Leased)
Told_contra = TypeVar("Told_contra", bound=Leased, contravariant=True)


class Leases(Protocol[Told_contra]):
    """How a transport is told what became of messages."""

    async def acknowledge(self, leases: Sequence[Told_contra]) -> None:
        """They are handled: never again."""
        ...

    async def put_back(self, leases: Sequence[tuple[Told_contra, float]]) -> None:
        """Each comes again, after so many seconds."""
        ...

    async def extend(self, leases: Sequence[Told_contra]) -> None:
        """They are still being handled."""
        ...


class Custody(Generic[Lease]):
    """Runs handlers, renews leases while they run, and reports outcomes in batches."""

    def __init__(
        self, leases: Leases[Lease], handler: Handler, *, concurrency: int, pace: Pace, name: str
    ) -> None:
        self._leases = leases
        self._pace = pace
        self._name = name
        self._crew: Crew[Lease] = Crew(handler, concurrency, self._settle, name)
        self._held: set[Lease] = set()
        self._handled: list[Lease] = []
        self._failed: list[tuple[Lease, float]] = []
        self._settled = asyncio.Event()
        self._drained = False

    async def room(self) -> bool:
        """Wait until one more message may be started; False once closing."""
        return await self._crew.room()

    def reserve(self, most: int = 1) -> int:
        """Keep up to so many places for messages on their way; how many were free."""
        return self._crew.reserve(most)

    def unreserve(self, kept: int = 1) -> None:
        """Let kept places go."""
        self._crew.unreserve(kept)

    def hold(self, lease: Lease) -> None:
        """Take care of a message's lease from now on."""
        self._held.add(lease)

    def start(self, lease: Lease, arrival: Delivery | Undecodable) -> None:
        """Give a message to the handler."""
        self._held.add(lease)
        self._crew.start(lease, arrival)

    def release(self, lease: Lease) -> None:
        """Give a message back that was held and not started."""
        self._settle(lease, Outcome.RELEASED)

    async def keep(self) -> None:
        """Renew leases, for ever."""
        while True:
            await asyncio.sleep(self._pace.lease_s / 3)
            if self._held:
                await self.tried(self._extend)

    async def settle(self) -> None:
        """Report outcomes, as many at once as have come together, until drained."""
        while True:
            await self._settled.wait()
            self._settled.clear()
            if not await self.tried(self._report):
                self._settled.set()
            elif self._drained and not self._handled and not self._failed:
                return

    def close(self) -> None:
        """Start nothing more."""
        self._crew.close()

    async def drain(self, settling: asyncio.Task[None]) -> None:
        """Let handlers end, within the grace, and report the last outcomes."""
        await self._crew.drain(self._pace.grace_s)
        self._drained = True
        self._settled.set()
        await ended(settling, self._pace.grace_s)

    async def tried(self, step: Callable[[], Awaitable[bool]]) -> bool:
        """The step's answer; False after an error, which is logged and followed by a pause."""
        try:
            return await step()
        except Exception as error:  # noqa: BLE001 - a subscription outlives whatever ails the broker
            _log.warning("bus of %s: %r; trying again", self._name, error)
            await asyncio.sleep(self._pace.pause_s)
            return False

    async def _extend(self) -> bool:
        await self._leases.extend(list(self._held))
        return True

    def _settle(self, lease: Lease, outcome: Outcome) -> None:
        self._held.discard(lease)
        if outcome is Outcome.HANDLED:
            self._handled.append(lease)
        else:
            delay_s = self._pace.backoff.delay_s(lease.attempt) if outcome is Outcome.FAILED else 0.0
            self._failed.append((lease, delay_s))
        self._settled.set()

    async def _report(self) -> bool:
        handled, failed = self._handled, self._failed
        self._handled, self._failed = [], []
        try:
            if handled:
                reach("bus.before_acknowledge")
                await self._leases.acknowledge(handled)
                reach("bus.acknowledged")
            if failed:
                await self._leases.put_back(failed)
        except Exception:
            self._handled, self._failed = handled + self._handled, failed + self._failed
            raise
        return True


async def ended(task: asyncio.Task[None], grace_s: float) -> None:
    """Wait for a task to end by itself; cancel it after the grace."""
    _, late = await asyncio.wait([task], timeout=grace_s)
    if late:
        task.cancel()
        await asyncio.wait([task])
