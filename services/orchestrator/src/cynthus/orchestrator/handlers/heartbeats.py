"""Renewals of leases: those that come while one statement runs go together into the next."""

import asyncio
import random
from collections.abc import Callable, Sequence

from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.domain.rhythm import Beat, Rhythm
from cynthus.orchestrator.ports import Leases, Renewal
from cynthus.store.ports import StoreUnavailable
from cynthus.web.tokens import AttemptClaims

_MOST = 1000
Heard = tuple[AttemptClaims, float, int]
"""Who beat last, its processor seconds and its bytes of memory."""
_Waiting = tuple[Renewal, asyncio.Future[str | None]]


class Heartbeats:
    """Answers a beat once its renewal is in the database. `fleet` is how many leases are open.

    `beats` holds the newest beat of each run, for whoever publishes them.
    """

    def __init__(
        self, leases: Leases, rhythm: Rhythm, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self.rhythm = rhythm
        self.fleet = 0
        self.beats: dict[str, Heard] = {}
        self._leases = leases
        self._jitter = jitter
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def beat(self, claims: AttemptClaims, cpu_seconds: float, memory_bytes: int) -> Beat:
        """Renew the lease of an attempt. Raises Fenced, StoreUnavailable."""
        stop = await self.renew(Renewal(claims.run_id, claims.epoch, cpu_seconds, memory_bytes))
        self.beats[claims.run_id] = (claims, cpu_seconds, memory_bytes)
        return self.answer(stop)

    async def renew(self, renewal: Renewal) -> str | None:
        """The same without news of the attempt; why it is to stop. Raises Fenced, StoreUnavailable."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((renewal, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await future

    def answer(self, stop: str | None = None) -> Beat:
        """What a worker is told, with the rhythm of today's fleet."""
        return self.rhythm.beat(stop, self.fleet, self._jitter())

    async def _write(self) -> None:
        batch: Sequence[_Waiting] = ()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._renew(batch)
        except BaseException:
            for _, future in (*batch, *self._waiting):
                future.cancel()
            self._waiting = []
            raise
        finally:
            self._writing = None

    async def _renew(self, batch: Sequence[_Waiting]) -> None:
        try:
            stops = await self._leases.renew(
                [renewal for renewal, _ in batch], self.rhythm.lease_of(self.fleet)
            )
        except StoreUnavailable as outage:
            for _, future in batch:
                if not future.done():
                    future.set_exception(StoreUnavailable(str(outage)))
            return
        for renewal, future in batch:
            key = (renewal.run_id, renewal.epoch)
            if future.done():
                continue
            if key in stops:
                future.set_result(stops[key])
            else:
                future.set_exception(Fenced(f"attempt {renewal.epoch} of {renewal.run_id} does not count"))
