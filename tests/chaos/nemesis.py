"""Faults at random, one to three at once, by a schedule that its seed decides."""

import asyncio
import traceback
from contextlib import suppress
from random import Random

from tests.chaos.faults import Fault, numbered
from tests.chaos.stage import Stage

_MOST_AT_ONCE = 3
_LONGEST_S = 60.0


class Nemesis:
    """A Trouble. What hits whom depends on what is there; what is tried, and when, only on the seed."""

    def __init__(self, seed: int, numbers: tuple[int, ...] = ()) -> None:
        self._random = Random(seed)
        self._faults = numbered(numbers)
        self.broken: list[str] = []

    async def __call__(self, stage: Stage, healed: asyncio.Event) -> None:
        """Make trouble until the event is set, then let everything heal."""
        faults = [one for one in self._faults if one.applies(stage)]
        going: set[asyncio.Task[None]] = set()
        while not healed.is_set():
            weights = [one.weight or 1.0 for one in faults]
            chosen = self._random.choices(faults, weights)[0]
            own, pause_s = Random(self._random.random()), self._random.uniform(1.0, 5.0)
            if len(going) < _MOST_AT_ONCE:
                task = asyncio.create_task(self._inject(chosen, stage, own))
                going.add(task)
                task.add_done_callback(going.discard)
            with suppress(TimeoutError):
                await asyncio.wait_for(healed.wait(), pause_s)
        if going:
            await asyncio.wait(going)

    async def _inject(self, chosen: Fault, stage: Stage, own: Random) -> None:
        try:
            async with asyncio.timeout(_LONGEST_S):
                await chosen.inject(stage, own)
        except Exception:  # noqa: BLE001 - the harness goes on, and says so at the end
            self.broken.append(f"{chosen.kind}: {traceback.format_exc()}")
            stage.journal.write("harness", what="fault broke", kind=chosen.kind, error=traceback.format_exc())


class OneByOne:
    """A Trouble: each of the faults in turn, alone, and a pause to heal after each."""

    def __init__(self, seed: int, numbers: tuple[int, ...] = (), *, pause_s: float = 2.0) -> None:
        self._seed = seed
        self._numbers = numbers
        self._pause_s = pause_s

    async def __call__(self, stage: Stage, healed: asyncio.Event) -> None:
        """Until all of them were in force, or there is nothing left to trouble."""
        await asyncio.sleep(self._pause_s)
        for one in numbered(self._numbers):
            if healed.is_set():
                return
            if one.applies(stage):
                own = Random(f"{self._seed} {one.kind}")
                while not await one.inject(stage, own) and not healed.is_set():
                    await asyncio.sleep(self._pause_s / 10)
                await asyncio.sleep(self._pause_s)
