"""Every fault by its number in the fault matrix, each usable alone."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.chaos.stage import Stage


@dataclass(frozen=True, slots=True)
class Hit:
    """What a fault was done to."""

    target: str
    detail: Any = None


Do = Callable[[Stage, Random], Awaitable[Hit | None]]
"""Injects, waits, heals, and returns; None when there was nothing to do it to."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the matrix, in one of its forms."""

    number: int
    kind: str
    do: Do
    weight: float
    applies: Callable[[Stage], bool]

    async def inject(self, stage: Stage, random: Random) -> bool:
        """Do it and write it down, with the time it was in force. False: nothing was there."""
        t0 = time.time()
        try:
            hit = await self.do(stage, random)
        except BaseException:
            stage.journal.write(
                "faults", t0=t0, t1=time.time(), kind=self.kind, target="?", detail="cut short"
            )
            raise
        if hit is None:
            return False
        row = {"number": self.number, "kind": self.kind, "target": hit.target, "detail": hit.detail}
        stage.journal.write("faults", t0=t0, t1=time.time(), **row)
        return True


FAULTS: list[Fault] = []


def fault(
    number: int, kind: str, *, weight: float = 1.0, applies: Callable[[Stage], bool] = lambda _: True
) -> Callable[[Do], Do]:
    """Register a fault; `weight` is how often the nemesis takes it, 0: only when it is asked for."""

    def register(do: Do) -> Do:
        FAULTS.append(Fault(number, kind, do, weight, applies))
        return do

    return register


def numbered(numbers: tuple[int, ...]) -> list[Fault]:
    """The faults of these numbers; all the nemesis may take when none is named."""
    if not numbers:
        return [one for one in FAULTS if one.weight > 0]
    return [one for one in FAULTS if one.number in numbers]
