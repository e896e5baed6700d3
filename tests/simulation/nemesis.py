"""Chooses what goes wrong in a seed: a few kinds of faults each time, so that rare mixtures occur too."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.simulation.loop import Process
from tests.simulation.platform import LEASE_S, Platform

GENTLE_S = LEASE_S / 5
"""Faults this short lose no attempt, as long as one has passed before the next comes."""

_EVERYWHERE = {
    "store refuses": 0.03,
    "reply lost": 0.02,
    "late commit": 0.03,
    "connection lost": 0.5,
    "notify lost": 0.2,
    "message dropped": 0.1,
    "redelivery lost": 0.1,
    "publish refused": 0.05,
    "publish reply lost": 0.05,
    "message duplicated": 0.3,
    "message delayed": 0.2,
    "messages reordered": 0.5,
    "ack lost": 0.1,
    "request lost": 0.05,
    "response lost": 0.05,
    "request duplicated": 0.1,
    "request late": 0.05,
    "blobs 503": 0.1,
    "blob reply lost": 0.05,
    "build hiccup": 0.2,
    "provider 503": 0.1,
    "provider slow": 0.1,
    "provider throttles": 0.1,
    "provider reply lost": 0.15,
    "create late": 0.1,
    "out of stock": 0.2,
    "hasty report": 0.4,
}
_HARMFUL = {
    "reply late": 0.02,
    "worker dawdles": 0.5,
    "boots never": 0.1,
    "boots twice": 0.1,
    "machine refused": 0.05,
}


class Nemesis:
    """`gentle`: nothing that lasts as long as a lease, and no machine is harmed."""

    def __init__(self, platform: Platform, *, gentle: bool) -> None:
        self._platform = platform
        self._world = platform.world
        self._chance: random.Random = platform.world.faults.chance
        self._gentle = gentle
        kinds = dict(_EVERYWHERE) if gentle else _EVERYWHERE | _HARMFUL
        for kind, likely in kinds.items():
            if self._chance.random() < 0.4:
                self._world.faults.allow(kind, likely * self._chance.random())
        episodes = [*self._small(), *([] if gentle else self._large())]
        self._episodes = self._chance.sample(episodes, 1 + self._chance.randrange(min(8, len(episodes))))

    async def rage(self, seconds: float) -> None:
        """Until the time is over; then everything that lasts is ended."""
        until = self._world.now + seconds
        running: list[asyncio.Task[None]] = []
        while self._world.now < until:
            episode = self._chance.choice(self._episodes)
            running.append(asyncio.create_task(_awaited(episode())))
            if self._gentle:
                await running[-1]
                await asyncio.sleep(LEASE_S / 2 + 5.0 * self._chance.random())
            else:
                await asyncio.sleep(12.0 * self._chance.random())
        await asyncio.gather(*running)

    def _small(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self._kill_service,
            self._restart_service,
            self._pause_service,
            self._database_crash,
            self._database_locked,
            self._statement_refused,
            self._bus_away,
            self._bus_forgets,
            self._provider_away,
            self._machine_left_behind,
            self._partition,
            self._clock_jump,
        ]

    def _large(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self._kill_worker,
            self._pause_worker,
            self._vanish,
            self._preempt,
            self._partition,
            self._statement_slow,
        ]

    def _seconds(self, most: float) -> float:
        return min(most, GENTLE_S if self._gentle else most) * self._chance.random()

    async def _lasting(self, kind: str, seconds: float) -> None:
        self._world.faults.begin(kind)
        self._world.trace("fault", kind, round(seconds, 3))
        await asyncio.sleep(seconds)
        self._world.faults.end(kind)

    async def _kill_service(self) -> None:
        name = self._chance.choice(self._platform.addresses)
        self._platform.kill(name)
        await self._lasting(f"kill {name}", self._seconds(15.0))
        self._platform.start(name)

    async def _restart_service(self) -> None:
        name = self._chance.choice(self._platform.addresses)
        await self._platform.stop(name)
        await self._lasting(f"restart {name}", self._seconds(2.0))
        self._platform.start(name)

    async def _pause_service(self) -> None:
        name = self._chance.choice(self._platform.addresses)
        process = self._platform.servers[name].process
        if process is not None:
            await self._pause(process, f"pause {name}", self._seconds(45.0))

    async def _pause(self, process: Process, kind: str, seconds: float) -> None:
        process.paused = True
        await self._lasting(kind, seconds)
        self._world.loop.resume(process)

    async def _database_crash(self) -> None:
        database = self._platform.database
        database.crash()
        await self._lasting("database away", self._seconds(self._chance.choice([20.0, 40.0])))
        database.away = False

    async def _database_locked(self) -> None:
        database = self._platform.database
        database.locked = True
        await self._lasting("database locked", self._seconds(20.0))
        database.locked = False

    async def _statement_refused(self) -> None:
        database = self._platform.database
        database.refused = self._statements()
        await self._lasting("statement refused", self._seconds(45.0))
        database.refused = frozenset()

    async def _statement_slow(self) -> None:
        database = self._platform.database
        database.slow = self._statements()
        await self._lasting("statement slow", self._seconds(45.0))
        database.slow = frozenset()

    def _statements(self) -> frozenset[str]:
        known = list(self._platform.database.known)
        return frozenset(self._chance.sample(known, min(len(known), 1 + self._chance.randrange(6))))

    async def _bus_away(self) -> None:
        self._platform.broker.away = True
        await self._lasting("bus away", self._seconds(25.0))
        self._platform.broker.away = False

    async def _bus_forgets(self) -> None:
        self._platform.broker.away = True
        self._platform.broker.lose_everything()
        await self._lasting("bus forgets", self._seconds(5.0))
        self._platform.broker.away = False

    async def _provider_away(self) -> None:
        self._platform.provider.away = True
        await self._lasting("provider away", self._seconds(40.0))
        self._platform.provider.away = False

    async def _machine_left_behind(self) -> None:
        provider = self._platform.provider
        self._world.faults.note("machine left behind")
        provider.leave_behind(f"cyn-left-{len(provider.created)}-{self._chance.randrange(10**6)}")

    async def _partition(self) -> None:
        """Between one machine, or all, and the platform; both ways or one."""
        machines = sorted(self._platform.provider.machines)
        name = self._chance.choice([*machines, "*"])
        server = self._chance.choice(["orchestrator", "provisioner"])
        replicas = [address for address in self._platform.addresses if address.startswith(server)]
        there = {(name, address) for address in replicas}
        back = {(address, name) for address in replicas}
        links = self._chance.choice([there, back, there | back])
        self._platform.network.cut |= links
        await self._lasting("partition", self._seconds(60.0))
        self._platform.network.cut -= links

    async def _clock_jump(self) -> None:
        name = self._chance.choice(self._platform.addresses)
        self._platform.skew[name] = self._chance.choice([3600.0, -3600.0, 30.0, -30.0, 400 * 86400.0])
        await self._lasting("clock jump", self._seconds(30.0))
        if self._chance.random() < 0.5:
            self._platform.skew[name] = 0.0

    def _a_worker(self) -> Process | None:
        alive = [process for process in self._platform.workers if not process.dead]
        return self._chance.choice(alive) if alive else None

    async def _kill_worker(self) -> None:
        if (process := self._a_worker()) is not None:
            process.kill(self._world.now)
            self._world.faults.note("kill worker")
            if self._chance.random() < 0.6:
                name = self._platform.workers[process].name
                self._world.later(0.2, self._platform.provider.vanish, name)

    async def _pause_worker(self) -> None:
        if (process := self._a_worker()) is not None:
            for program in self._platform.programs:
                program.frozen |= program.process is process
            await self._pause(process, "pause worker", self._seconds(1.5 * LEASE_S))

    async def _vanish(self) -> None:
        if self._platform.provider.machines:
            name = self._chance.choice(sorted(self._platform.provider.machines))
            self._world.faults.note("vanish")
            self._platform.provider.vanish(name)

    async def _preempt(self) -> None:
        if (process := self._a_worker()) is None:
            return
        worker = self._platform.workers[process]
        self._world.faults.note("preempt")
        worker.preempt()
        notice = self._chance.choice([0.0, 10.0, 30.0])
        self._world.later(notice, self._platform.provider.vanish, worker.name)


async def _awaited(episode: Awaitable[None]) -> None:
    await episode
