"""One seed from beginning to end."""

import asyncio
import gc
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cynthus.events import ids
from tests.simulation.bookkeeping import unheard
from tests.simulation.clients import Wish, pursue, wishes
from tests.simulation.invariants import Watch, converged, judge, what_is_left
from tests.simulation.loop import Deadlock, Livelock, VirtualLoop
from tests.simulation.nemesis import Nemesis
from tests.simulation.platform import SERVICES, Platform
from tests.simulation.promises import Promises
from tests.simulation.remains import watch_fences
from tests.simulation.services import OPENERS
from tests.simulation.worker import boot
from tests.simulation.world import BEGINNING, World

PATIENCE_S = 900.0
"""After the last fault everything must have converged within so many simulated seconds."""

_SKEWS_S = (0.0, 45.0, -45.0, 3600.0, -3600.0)
"""Of services on hosts whose clocks nobody sets."""
_LONGEST_S = 6.0


class Endless(KeyboardInterrupt):
    """Something goes round in circles within one callback; no task keeps that to itself."""


@dataclass(slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    digest: str = ""
    violations: list[str] = field(default_factory=list)
    lifecycles: int = 0
    simulated_s: float = 0.0
    steps: int = 0
    converged_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)


def simulate(seed: int, *, verbose: bool = False) -> Outcome:
    """Run a seed; the same seed gives the same outcome."""
    loop = VirtualLoop(seed)
    world = World(seed, loop, verbose=verbose)
    outcome = Outcome(seed)
    asyncio.set_event_loop(loop)
    with _seeded(seed, loop):
        try:
            loop.run_until_complete(_story(world, outcome))
        except (Deadlock, Livelock, Endless) as end:
            world.wrong("it goes on", repr(end))
        outcome.violations = world.violations + [f"trouble: {trouble}" for trouble in loop.troubles]
        outcome.digest = world.digest()
        loop.dispose()
    asyncio.set_event_loop(None)
    outcome.simulated_s, outcome.steps = world.now, loop.steps
    outcome.faults, outcome.cells, outcome.counts = world.faults.injected, world.cells.hits, world.counts
    outcome.lines = world.lines
    return outcome


async def _story(world: World, outcome: Outcome) -> None:
    chance = world.chance
    gentle = world.seed % 4 == 0
    lag_s = chance.choice([0.0, 0.0, 2.0, 5.0])
    platform = Platform(world, OPENERS, slots=chance.choice([2, 3, 4]), lag_s=lag_s)
    platform.provider.boot = lambda machine: boot(platform, machine)
    platform.promises = promises = Promises(platform)
    watch = Watch(platform)
    watch_fences(platform)
    store = platform.histories["orchestrator"].store
    store._projections = (watch, *store._projections)
    rage_s = 30.0 + 60.0 * chance.random()
    wanted = wishes(platform, chance.choice([3, 4, 6, 9]), rage_s * 0.7)
    nemesis = Nemesis(platform, gentle=gentle)
    wrong_clocks = chance.random() < 0.25
    for name in SERVICES:
        platform.skew[name] = chance.choice(_SKEWS_S) if wrong_clocks else 0.0
        platform.start(name)
        if world.seed % 2 and chance.random() < 0.4:
            platform.start(f"{name}+2")
    watching = asyncio.create_task(promises.watch())
    people = [asyncio.create_task(pursue(platform, wish)) for wish in wanted]
    await nemesis.rage(rage_s)
    heal(platform)
    healed_at = world.now
    await asyncio.wait(people, timeout=PATIENCE_S)
    while world.now < healed_at + PATIENCE_S and not converged(platform, wanted) and not world.violations:
        await asyncio.sleep(3.0)
    if not converged(platform, wanted) and not world.violations:
        world.wrong("it converges", what_is_left(platform, wanted))
    outcome.converged_s = world.now - healed_at
    await asyncio.sleep(6.0)
    while unheard(platform) and world.now < healed_at + PATIENCE_S and not world.violations:
        await asyncio.sleep(3.0)
    watching.cancel()
    outcome.lifecycles = _accepted(wanted)
    judge(platform, wanted, gentle=gentle)


def heal(platform: Platform) -> None:
    """No more faults."""
    platform.world.faults.healed = True
    platform.healed_at = platform.world.now
    platform.network.cut.clear()
    platform.world.trace("healed")


def _accepted(wanted: list[Wish]) -> int:
    return sum(wish.run_id is not None for wish in wanted)


@contextmanager
def _seeded(seed: int, loop: VirtualLoop) -> Iterator[None]:
    """No real time and no real chance: identifiers, jitter and monotonic clocks are the seed's."""
    entropy = random.Random(f"ids {seed}")
    state, monotonic, sleep = random.getstate(), time.monotonic, time.sleep
    random.seed(seed)
    collecting = gc.isenabled()
    gc.disable()
    watching = signal.signal(signal.SIGVTALRM, _endless)
    signal.setitimer(signal.ITIMER_VIRTUAL, _LONGEST_S)
    time.monotonic, time.sleep = loop.time, _asleep
    first_ns = int(BEGINNING.timestamp() * 1e9)
    try:
        with ids.drawn_from(lambda: first_ns + int(loop.time() * 1e9), entropy.randbytes):
            yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, watching)
        time.monotonic, time.sleep = monotonic, sleep
        random.setstate(state)
        if collecting:
            gc.enable()


def _endless(_: int, __: object) -> None:
    raise Endless(f"one seed takes more than {_LONGEST_S} s of a processor")


def _asleep(seconds: float) -> None:
    raise RuntimeError(f"time.sleep({seconds}) in a simulation")
