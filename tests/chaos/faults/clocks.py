"""Clocks of services that jump."""

import asyncio
from random import Random

from tests.chaos.faults.registry import Hit, fault
from tests.chaos.settings import SERVICES
from tests.chaos.stage import Stage

_HOUR, _DAY = 3600, 86_400


def _can(stage: Stage) -> bool:
    return stage.stack.clocks.here


@fault(32, "clock jump of a service", weight=1, applies=_can)
async def jump(stage: Stage, random: Random) -> Hit | None:
    """An hour or a week ahead or behind, and back again."""
    return await _set(stage, random, random.choice([_HOUR, -_HOUR, 7 * _DAY, -7 * _DAY]))


@fault(32, "clock jump of a service by more than a year", weight=0, applies=_can)
async def far_jump(stage: Stage, random: Random) -> Hit | None:
    """Longer than any token lives."""
    return await _set(stage, random, 400 * _DAY)


async def _set(stage: Stage, random: Random, seconds: int) -> Hit:
    name, lasts_s = random.choice(SERVICES), random.uniform(3, 10)
    stage.stack.clocks.set(name, seconds)
    try:
        await asyncio.sleep(lasts_s)
    finally:
        stage.stack.clocks.set(name, 0)
    return Hit(name, {"ahead_s": seconds, "lasts_s": lasts_s})
