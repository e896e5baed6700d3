"""The provider, assembled: what it decided, what it runs, and the beat that takes every due step."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cynthus.provisioner.hostile.chance import Dice
from cynthus.provisioner.hostile.cloud import Cloud
from cynthus.provisioner.hostile.configuration import Configuration
from cynthus.provisioner.hostile.door import Door
from cynthus.provisioner.hostile.hosts import Hosts
from cynthus.provisioner.hostile.knobs import Call, Knobs
from cynthus.provisioner.hostile.ledger import Ledger
from cynthus.provisioner.hostile.lives import Lives
from cynthus.provisioner.hostile.refusals import missing
from cynthus.provisioner.hostile.wire import Answer
from cynthus.provisioner.hostile.world import Instance, Place

_SOON_S = 0.05
_SELDOM_S = 0.5
_REMEMBERED = 1000


class Provider:
    """One folder has one provider. `first` is its configuration at the first start."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        seed: int = 0,
        first: dict[str, Any] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._now = now
        self._ledger = Ledger(folder / "provider.jsonl", now)
        self.configuration = Configuration(folder, seed, first or {}, now)
        dice = Dice(self.configuration.seed, self.configuration.restart)
        self.cloud = Cloud(folder, self.configuration, self._ledger, dice, now)
        self._lives = Lives(self.cloud, Hosts(folder), self._knobs, now, url)
        self._door = Door(self._knobs, dice, self.cloud.say, now)
        self._changed = asyncio.Event()
        self._asked = asyncio.Event()

    def step(self) -> bool:
        """Take every step that is due. True: look again soon."""
        busy = self._lives.step()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return busy

    async def run(self) -> None:
        """Step until cancelled."""
        while True:
            self._asked.clear()
            pause_s = _SOON_S if self.step() else _SELDOM_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), pause_s)

    def close(self) -> None:
        """The machines stay."""
        self._ledger.close()

    async def through(self, call: Call, place: Place, perform: Callable[[], Mapping[str, Any]]) -> Answer:
        """A call of the platform, with everything that may befall it. Raises Refusal, Lost."""
        try:
            return await self._door.through(call, place.zone, place.name or None, perform)
        finally:
            self._asked.set()

    async def until(self, holds: Callable[[], bool], most_s: float) -> None:
        """Wait until it holds, but not longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while not holds():
                    await self._changed.wait()

    def is_noticed(self, machine: str) -> bool:
        """Whether a machine has been told of its end."""
        return any(
            place.name == machine and instance.noticed is not None
            for place, instance in self.cloud.world.instances.items()
        )

    def find(self, machine: str) -> Place:
        """Where a machine is. Raises Refusal."""
        for place in self.cloud.world.instances:
            if place.name == machine:
                return place
        raise missing(machine)

    async def vanish(self, *places: Place) -> None:
        """Let machines disappear, and return when they have."""
        for place in places:
            self._lives.vanish(place)
        self._asked.set()
        while any(place in self.cloud.world.instances for place in places):
            await self._changed.wait()

    def preempt(self, place: Place, notice_s: float) -> None:
        """Take a machine away, so many seconds from now."""
        self._lives.preempt(place, notice_s / self._knobs().speed)
        self._asked.set()

    def truth(self) -> dict[str, Any]:
        """What exists right now, and what did last; times are of the wall clock."""
        world, now = self.cloud.world, self._now()
        return {
            "t": now,
            "machines": [self._told(each, now) for each in world.instances.values()],
            "past": [self._told(each, now) for each in world.past[-_REMEMBERED:]],
        }

    def _told(self, instance: Instance, now: float) -> dict[str, Any]:
        return {
            "machine": instance.place.name,
            "zone": instance.place.zone,
            "status": instance.status(now),
            "pids": instance.pids,
            "asked": instance.asked,
            "created": instance.created,
            "running": instance.running,
            "deleting": instance.deleting,
            "noticed": instance.noticed,
            "gone": instance.gone,
            "how": instance.how or None,
        }

    def _knobs(self) -> Knobs:
        return self.configuration.knobs
