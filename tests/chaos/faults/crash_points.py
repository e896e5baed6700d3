"""kill -9 exactly between two steps that belong together."""

import asyncio
from random import Random

from cynthus.runtime.crash_points import NAMES
from tests.chaos.faults.registry import Hit, fault
from tests.chaos.settings import SERVICES
from tests.chaos.stage import Stage

_PATIENCE_S = 20.0


@fault(2, "kill at a crash point", weight=2)
async def kill_at_a_point(stage: Stage, random: Random) -> Hit | None:
    """A service is started anew with the point armed, and dies when it comes there."""
    service, point = stage.stack.services[random.choice(SERVICES)], random.choice(NAMES)
    armed = f"{point}:{random.randint(1, 5)}"
    service.extra = {
        "CYNTHUS_CRASH_AT": armed,
        "CYNTHUS_CRASH_LOG": str(stage.stack.folder / "crash-points.log"),
    }
    try:
        await service.renew()
        starts, deadline = service.starts, asyncio.get_running_loop().time() + _PATIENCE_S
        while service.starts == starts and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
            if service.pid is None:
                service.extra = {}
        reached = service.starts != starts
    finally:
        service.extra = {}
    if not reached:
        await service.renew()
    await service.ready()
    return Hit(service.name, {"point": armed, "reached": reached})
