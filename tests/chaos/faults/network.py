"""Links between workers, services and clients that lose, hold, cut or slow down what they carry."""

import asyncio
from random import Random

from tests.chaos.faults.registry import Hit, fault
from tests.chaos.links import Link, under
from tests.chaos.rules import Rule
from tests.chaos.stage import Stage

_BAD = Rule(delay_s=0.25, cut=0.05, fall_silent=0.01, bytes_per_s=64_000)


def _of_workers(stage: Stage) -> list[Link]:
    return stage.stack.links_of(source="worker")


async def _for(seconds: float, links: list[Link], rule: Rule) -> Hit:
    """One rule on links for a while. Connections that carry nothing for ever are cut at the end."""
    with under(links, rule):
        await asyncio.sleep(seconds)
    if rule.fall_silent:
        for link in links:
            link.cut()
    return Hit(" ".join(link.name for link in links), {"seconds": seconds})


@fault(12, "partition of workers, shorter than the lease", weight=2)
async def short_partition(stage: Stage, random: Random) -> Hit | None:
    """No attempt is lost."""
    seconds = stage.settings.lease_s * random.uniform(0.1, 0.35)
    return await _for(seconds, _of_workers(stage), Rule(hold_up=True, hold_down=True))


@fault(13, "one-way partition of workers, longer than the lease", weight=1)
async def one_way(stage: Stage, random: Random) -> Hit | None:
    """Answers do not arrive: workers stop by themselves before another attempt begins."""
    seconds = stage.settings.lease_s * random.uniform(1.2, 1.8)
    return await _for(seconds, _of_workers(stage), Rule(hold_down=True))


@fault(13, "partition of workers, longer than the lease", weight=1)
async def long_partition(stage: Stage, random: Random) -> Hit | None:
    """Nothing passes either way."""
    seconds = stage.settings.lease_s * random.uniform(1.2, 1.8)
    return await _for(seconds, _of_workers(stage), Rule(hold_up=True, hold_down=True))


@fault(14, "flapping link of workers", weight=1)
async def flapping(stage: Stage, random: Random) -> Hit | None:
    """Up and down, again and again."""
    links, down_s = _of_workers(stage), stage.settings.lease_s * 0.15
    for _ in range(5):
        with under(links, Rule(refuse=True)):
            for link in links:
                link.cut()
            await asyncio.sleep(down_s)
        await asyncio.sleep(down_s)
    return Hit("workers", {"down_s": down_s, "times": 5})


@fault(15, "bad network", weight=1.5)
async def bad_network(stage: Stage, random: Random) -> Hit | None:
    """Slow, cut and silent, between all parts that speak HTTP."""
    links = [link for name, link in stage.stack.links.items() if not name.endswith("-database")]
    return await _for(random.uniform(3, 8), links, _BAD)


@fault(34, "replies lost after success", weight=2)
async def lost_replies(stage: Stage, random: Random) -> Hit | None:
    """What was asked is done, and who asked does not learn of it."""
    links = [link for name, link in stage.stack.links.items() if not name.endswith("-database")]
    return await _for(random.uniform(3, 8), links, Rule(lose_reply=0.3))


@fault(40, "clients reset before the first byte", weight=1)
async def client_resets(stage: Stage, random: Random) -> Hit | None:
    """And answers lost: the client asks again with the same key."""
    links = stage.stack.links_of(source="client")
    return await _for(random.uniform(2, 6), links, Rule(reset_first=0.3, lose_reply=0.2, cut=0.1))
