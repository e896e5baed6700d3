"""What only time brings about: silence, leases that end, retries that are due, deadlines that pass."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from cynthus.orchestrator.domain.messages import CheckTime, ExpireLease, Message, SuspectAttempt
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.orchestrator.handlers.runs import ACTOR, RunHandler
from cynthus.orchestrator.ports import Leases, Runs
from cynthus.store.ports import StoreUnavailable, Why

_TICKS_MISSED = 5
_SHARE_LEFT = 0.5
"""Of a lease, after a gap: who was about to be judged has time to be heard again."""
_WHY = Why(actor=ACTOR)
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Reaper:
    """Looks every `every_s` by the database's clock.

    Whoever could not look may not judge: after a gap, leases last longer by as much, deadlines by a lease.
    """

    runs: Runs
    leases: Leases
    handler: RunHandler
    heartbeats: Heartbeats
    every_s: float = 1.0
    _last: datetime | None = field(default=None, init=False)
    _quiet_until: datetime | None = field(default=None, init=False)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.tick(await self.runs.now())
            except StoreUnavailable as outage:
                _log.warning("reaper cannot see the database", error=str(outage))
            await asyncio.sleep(self.every_s)

    async def tick(self, now: datetime) -> None:
        """Act on everything that is due at `now`."""
        fleet = self.heartbeats.fleet = await self.leases.count()
        rhythm = self.heartbeats.rhythm
        if self._last is None or now - self._last > timedelta(seconds=_TICKS_MISSED * self.every_s):
            await self._excuse(now, rhythm.lease_of(fleet))
        self._last = now
        for silence in await self.leases.silent(now, rhythm.suspect_after_s(fleet)):
            await self._tell(silence.run_id, SuspectAttempt(silence.epoch, round(silence.seconds, 1)), now)
        for run_id, epoch in await self.leases.expire(now):
            await self._tell(run_id, ExpireLease(epoch), now)
        quiet = self._quiet_until is not None and now < self._quiet_until
        for run_id in await self.runs.due(now, only_retries=quiet):
            await self._tell(run_id, CheckTime(), now)

    async def _excuse(self, now: datetime, lease_s: float) -> None:
        """Time in which no beat may have been taken uses up no lease.

        How long that was before a start is not known: a whole lease.
        """
        missed_s = lease_s if self._last is None else (now - self._last).total_seconds()
        share = 1 if self._last is None else _SHARE_LEFT
        await self.leases.extend(missed_s, at_least_s=share * lease_s)
        self._quiet_until = now + timedelta(seconds=lease_s)

    async def _tell(self, run_id: str, message: Message, now: datetime) -> None:
        """One run that cannot be told must not keep the others waiting."""
        try:
            await self.handler.tell(run_id, message, _WHY, now=now)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - any fault is this run's alone
            _log.exception("a run cannot be driven on", run_id=run_id)
