"""Disks that are full."""

import asyncio
from random import Random

from tests.chaos.faults.registry import Hit, fault
from tests.chaos.stage import Stage


@fault(30, "disk of machines full", weight=0.7, applies=lambda stage: stage.stack.disk.here)
async def full(stage: Stage, random: Random) -> Hit | None:
    """Whatever a worker is at: pulling, running, logging, staging. It names what hindered it."""
    seconds = random.uniform(1, 6)
    size = await asyncio.to_thread(stage.stack.disk.fill)
    try:
        await asyncio.sleep(seconds)
    finally:
        stage.stack.disk.free()
    return Hit("machines", {"bytes": size, "seconds": seconds})
