"""What workers were told of their leases, and what became of it: looked at whenever a lease ends."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from cynthus.events import AttemptLost, RunCancelled, RunFailed, RunSucceeded
from cynthus.orchestrator.adapters.memory_leases import MemoryLeases
from cynthus.store.ports import Recorded
from tests.simulation.loop import Process
from tests.simulation.platform import LEASE_S, TICK_S, Platform

_LOOK_S = 0.5
_GAP_S = 6 * TICK_S + 2 * _LOOK_S
"""After so long an absence, or a start, nobody is judged at once: a reaper may miss five looks and a part."""
_EXCUSED_S = LEASE_S / 2 - 2 * _LOOK_S
_SILENT = "for a whole lease"
_ENDS = (AttemptLost, RunSucceeded, RunFailed, RunCancelled)
_Key = tuple[str, int]


class Promises:
    """By attempt: until when its worker was told that it may go on, and since when it counts no more."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._world = platform.world
        self._until: dict[_Key, float] = {}
        self._closed: dict[_Key, float] = {}
        self._expired: set[_Key] = set()
        self._shut_at = 0.0
        self._open_at = 0.0

    def told(self, key: _Key, asked_at: float, lease_s: float) -> None:
        """A worker was answered that it has a lease."""
        closed_at = self._closed.get(key)
        if closed_at is not None and closed_at < asked_at:
            self._world.wrong("who is fenced is told so", f"{key} ended at {closed_at:.3f} s")
        self._until[key] = max(asked_at + lease_s, self._until.get(key, 0.0))

    def expire(self, key: _Key, expires_at: datetime) -> None:
        """A lease is closed because it ran out."""
        now = self._world.now
        if now < self._until.get(key, 0.0):
            self._world.wrong("a lease is as long as was promised", f"{key} until {self._until[key]:.3f} s")
        ran_out_s = now - (self._world.true_time() - expires_at) / timedelta(seconds=1)
        if self._shut_at < ran_out_s and now < self._open_at + _EXCUSED_S:
            self._world.wrong("who could not be heard is not condemned", f"{key}, open {self._open_at:.3f} s")
        self._expired.add(key)
        self._closed.setdefault(key, now)

    def follow(self, recorded: Sequence[Recorded]) -> None:
        """Facts of the orchestrator, as they are committed."""
        for fact in recorded:
            event = fact.envelope.event
            if isinstance(event, _ENDS) and event.epoch is not None:
                self._closed.setdefault((event.run_id, event.epoch), self._world.now)
            if not isinstance(event, AttemptLost) or _SILENT not in event.cause.message:
                continue
            if (event.run_id, event.epoch) not in self._expired:
                self._world.wrong("only a lease that ran out is over", f"{event.run_id}/{event.epoch}")

    async def watch(self) -> None:
        """See when workers can be heard at all: the database, and any orchestrator that runs."""
        before, shut = set[Process](), True
        while True:
            here = self._hearing()
            if here and shut and (self._world.now - self._shut_at > _GAP_S or not before & here):
                self._open_at = self._world.now
            elif not here and not shut:
                self._shut_at = self._world.now
            before, shut = here or before, not here
            await asyncio.sleep(_LOOK_S)

    def _hearing(self) -> set[Process]:
        if self._platform.database.away:
            return set()
        there = (one for one in self._platform.servers.values() if one.service == "orchestrator" and one.up)
        return {one.process for one in there if one.process is not None and not one.process.paused}


class WatchedLeases(MemoryLeases):
    """The Leases port, with somebody who looks on."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform.tables)
        self._promises: Promises = platform.promises

    async def expire(self, now: datetime) -> list[_Key]:
        open_ = {key: lease.expires_at for key, lease in self._tables.leases.items() if not lease.expired}
        ended = await super().expire(now)
        for key in ended:
            if key in open_:
                self._promises.expire(key, open_[key])
        return ended
