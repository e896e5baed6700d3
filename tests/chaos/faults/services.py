"""Services that are killed, told to end, frozen, starved."""

import asyncio
import signal
import subprocess
import sys
from random import Random

from tests.chaos.faults.registry import Hit, fault
from tests.chaos.processes import spawn
from tests.chaos.settings import SERVICES
from tests.chaos.stage import Stage

_BURN = "import time\nend = time.monotonic() + {s}\nwhile time.monotonic() < end: pass"


@fault(1, "kill service", weight=3)
async def kill_a_service(stage: Stage, random: Random) -> Hit | None:
    """kill -9; it is started again at once."""
    service = stage.stack.services[random.choice(SERVICES)]
    if not service.signal(signal.SIGKILL):
        return None
    await service.ready()
    return Hit(service.name)


@fault(3, "rolling restart of services", weight=0.7)
async def restart_all(stage: Stage, random: Random) -> Hit | None:
    """SIGTERM to one after the other."""
    names = random.sample(SERVICES, len(SERVICES))
    for name in names:
        await stage.stack.services[name].renew()
        await stage.stack.services[name].ready()
    return Hit(" ".join(names))


@fault(4, "pause service", weight=2)
async def pause_a_service(stage: Stage, random: Random) -> Hit | None:
    """SIGSTOP, for less or more than a lease, and SIGCONT."""
    service = stage.stack.services[random.choice(SERVICES)]
    seconds = stage.settings.lease_s * random.choice([0.2, 0.4, 1.5])
    if not service.signal(signal.SIGSTOP):
        return None
    try:
        await asyncio.sleep(seconds)
    finally:
        service.signal(signal.SIGCONT)
    return Hit(service.name, {"seconds": seconds})


@fault(8, "cpu burn", weight=0.5)
async def burn(stage: Stage, random: Random) -> Hit | None:
    """16 processes that want all of the processor."""
    seconds = stage.settings.lease_s * 0.5
    with (stage.stack.folder / "burn.log").open("ab") as log:
        burning = [
            spawn([sys.executable, "-c", _BURN.format(s=seconds)], {"CHAOS_MARK": stage.stack.mark}, log)
            for _ in range(16)
        ]
    try:
        await asyncio.sleep(seconds)
    finally:
        for process in burning:
            process.kill()
        for process in burning:
            _reap(process)
    return Hit("host", {"processes": len(burning), "seconds": seconds})


@fault(42, "pause of one of several reconcilers", weight=0.5)
async def several_provisioners(stage: Stage, random: Random) -> Hit | None:
    """Two more provisioners on the same database; each is stopped at random moments."""
    twins = [stage.stack.twin("provisioner"), stage.stack.twin("provisioner")]
    every = [*twins, stage.stack.services["provisioner"]]
    for twin in twins:
        twin.start()
    try:
        await asyncio.gather(*(twin.ready() for twin in twins))
        for _ in range(4):
            one = random.choice(every)
            one.signal(signal.SIGSTOP)
            await asyncio.sleep(random.uniform(0.5, 3))
            one.signal(signal.SIGCONT)
    finally:
        for one in every:
            one.signal(signal.SIGCONT)
        await asyncio.gather(*(twin.stop() for twin in twins))
    return Hit("provisioner", {"of": len(every)})


def _reap(process: "subprocess.Popen[bytes]") -> None:
    process.wait(timeout=10)
