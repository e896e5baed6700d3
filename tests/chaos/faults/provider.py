"""A provider of machines that refuses, lies, forgets to answer, and takes machines away."""

import asyncio
import signal
from random import Random
from typing import Any

from tests.chaos.faults.registry import Hit, fault
from tests.chaos.links import under
from tests.chaos.rules import Rule
from tests.chaos.stage import Stage


def _hostile(stage: Stage) -> bool:
    return stage.settings.machines == "hostile"


async def _for(stage: Stage, seconds: float, **knobs: Any) -> Hit:
    async with stage.stack.provider.with_knobs(**knobs):
        await asyncio.sleep(seconds)
    return Hit("provider", {"seconds": seconds, **knobs})


@fault(33, "provider storm of 429 and 5xx", weight=1, applies=_hostile)
async def storm(stage: Stage, random: Random) -> Hit | None:
    """Every third call is done."""
    return await _for(stage, random.uniform(4, 12), throttled=0.3, unavailable=0.3, broken=0.1)


@fault(34, "provider time-out after success", weight=2, applies=_hostile)
async def silent_success(stage: Stage, random: Random) -> Hit | None:
    """The machine is made or deleted, and the answer never comes."""
    return await _for(stage, random.uniform(4, 12), lost_after=0.6, hang_s=6.0)


@fault(34, "provider's answers lost on the way", weight=1, applies=_hostile)
async def lost_answers(stage: Stage, random: Random) -> Hit | None:
    """The same, by the network."""
    seconds = random.uniform(3, 8)
    with under([stage.stack.links["provisioner-provider"]], Rule(lose_reply=0.6)):
        await asyncio.sleep(seconds)
    return Hit("provider", {"seconds": seconds})


@fault(35, "provider out of stock", weight=1, applies=_hostile)
async def stock_out(stage: Stage, random: Random) -> Hit | None:
    """In one zone, or in two, or nearly everywhere."""
    zones = random.sample(["zone-a", "zone-b", "zone-c"], random.randint(1, 3))
    return await _for(stage, random.uniform(4, 12), stock_out=dict.fromkeys(zones, 0.9))


@fault(35, "provider quota", weight=0.7, applies=_hostile)
async def quota(stage: Stage, random: Random) -> Hit | None:
    """Fewer machines than are wanted, told at once or by the operation."""
    return await _for(stage, random.uniform(4, 12), quota=random.randint(1, 4), quota_late=0.5)


@fault(35, "provider refuses for good", weight=0, applies=_hostile)
async def forbidden(stage: Stage, random: Random) -> Hit | None:
    """403 and bad images: runs fail at once, and say why."""
    return await _for(stage, 4.0, forbidden=0.5, bad_image=0.5)


@fault(36, "provider's listing lags", weight=1.5, applies=_hostile)
async def late_listing(stage: Stage, random: Random) -> Hit | None:
    """New machines are not shown yet, deleted ones still are."""
    return await _for(stage, random.uniform(8, 20), list_new_s=5.0, list_gone_s=12.0, list_fresh=0.3)


@fault(37, "machine vanishes", weight=2, applies=_hostile)
async def vanish(stage: Stage, random: Random) -> Hit | None:
    """Without a word."""
    machines = await stage.stack.provider.machines()
    if not machines:
        return None
    machine = random.choice(machines)
    gone = await stage.stack.provider.command(machine, "vanish")
    return Hit(machine, {"machine": machine, "runs": stage.runs_on(machine)}) if gone else None


@fault(37, "machines boot never, late or twice", weight=1, applies=_hostile)
async def bad_boots(stage: Stage, random: Random) -> Hit | None:
    """A late one comes when nobody waits for it any more."""
    odds = {name: random.choice([0.0, 0.5]) for name in ("boots_never", "boots_late", "boots_twice")}
    return await _for(stage, random.uniform(5, 15), late_s=[10, 40], **odds)


@fault(38, "machine preempted", weight=2, applies=_hostile)
async def preempt(stage: Stage, random: Random) -> Hit | None:
    """With a notice of 30, 10 or no seconds."""
    machines = await stage.stack.provider.machines()
    if not machines:
        return None
    machine, notice_s = random.choice(machines), random.choice([0, 10, 30])
    runs = stage.runs_on(machine)
    if not await stage.stack.provider.command(machine, "preempt", notice_s=notice_s):
        return None
    await asyncio.sleep(notice_s)
    return Hit(machine, {"machine": machine, "runs": runs, "notice_s": notice_s})


@fault(33, "provider process killed", weight=0.7, applies=_hostile)
async def kill_provider(stage: Stage, random: Random) -> Hit | None:
    """Its machines stay, and it finds them again."""
    process = stage.stack.provider.process
    if not process.signal(signal.SIGKILL):
        return None
    await process.ready()
    return Hit("provider")
