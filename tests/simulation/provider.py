"""A cloud that is late, forgetful, full, and sometimes lies by omission; `machines` is the truth."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.ports import (
    Listed,
    MachineRefused,
    MachineSpec,
    OutOfStock,
    ProviderAway,
    QuotaReached,
    Standing,
    Throttled,
)
from tests.simulation.loop import Process
from tests.simulation.world import World

HOST = Host(cpu=4.0, memory_bytes=8 * 2**30)
_ZONES = ("here", "there")
_TIMEOUT_S = 3.0
_SLOW_S = 12.0


@dataclass(slots=True)
class Machine:
    """One that exists. `boots` are its workers: usually one, now and then none or two."""

    spec: MachineSpec
    since: float
    standing: Standing = Standing.COMING
    boots: list[Process] = field(default_factory=list)


class Provider:
    """The truth, and what the API does with it. `boot` starts a worker on a machine."""

    def __init__(self, world: World, *, lag_s: float, quota: int) -> None:
        self.world = world
        self.lag_s = lag_s
        self.away = False
        self.machines: dict[str, Machine] = {}
        self.ended: dict[str, float] = {}
        self._lives: dict[str, list[tuple[float, float]]] = {}
        self.created: list[str] = []
        self.boot: Callable[[Machine], Process] = lambda _: Process("nobody")
        self.intended: Callable[[str], bool] = lambda _: True
        self._quota = quota
        self._requests: dict[str, str] = {}
        self._changes: list[tuple[float, str, Listed | None]] = []

    async def call(self, *, mutates: bool) -> bool:
        """What happens to a call on its way; True: it will take effect, and the reply be lost."""
        faults = self.world.faults
        await asyncio.sleep(self.world.latency())
        if self.away or faults.hit("provider 503"):
            raise ProviderAway("simulated")
        if faults.hit("provider slow"):
            await asyncio.sleep(_SLOW_S * faults.chance.random())
        if faults.hit("provider throttles"):
            raise Throttled(retry_after_s=1.0)
        return mutates and faults.hit("provider reply lost")

    def create(self, spec: MachineSpec) -> None:
        faults = self.world.faults
        known = self._requests.get(spec.request_id, spec.name) if spec.request_id else spec.name
        if known in self.machines:
            return
        if faults.hit("out of stock"):
            raise OutOfStock("simulated")
        if len(self.machines) >= self._quota:
            faults.note("quota reached")
            raise QuotaReached("simulated")
        if faults.hit("machine refused"):
            raise MachineRefused("simulated")
        if not self.intended(spec.name):
            self.world.wrong("intent before cost", spec.name)
        self.world.trace("created", spec.name, spec.zone)
        self.created.append(spec.name)
        if spec.request_id:
            self._requests[spec.request_id] = spec.name
        machine = self.machines[spec.name] = Machine(spec, self.world.now)
        self._change(machine)
        if faults.hit("boots never"):
            return
        self.world.later(0.2 + 3.0 * self.world.chance.random(), self._up, machine)
        if faults.hit("boots twice"):
            self.world.later(4.0 + 10.0 * self.world.chance.random(), self._up, machine)

    def leave_behind(self, name: str) -> None:
        """A machine of ours that no ledger knows: it was created before one was lost or restored."""
        machine = self.machines[name] = Machine(MachineSpec(name, "", ""), self.world.now, Standing.RUNNING)
        self._change(machine)

    def create_late(self, spec: MachineSpec) -> None:
        """The call hung somewhere; whoever made it has long given up."""
        with suppress(OutOfStock, QuotaReached, MachineRefused):
            self.create(spec)

    def delete(self, name: str, zone: str) -> None:
        machine = self.machines.get(name)
        if machine is None or machine.spec.zone != zone or machine.standing is Standing.LEAVING:
            return
        machine.standing = Standing.LEAVING
        self._change(machine)
        self.world.trace("deleting", name)
        self.world.later(0.2 + 2.0 * self.world.chance.random(), self.vanish, name)

    def vanish(self, name: str) -> None:
        """It is gone, with everything on it."""
        machine = self.machines.pop(name, None)
        if machine is None:
            return
        self.ended[name] = self.world.now
        self._lives.setdefault(name, []).append((machine.since, self.world.now))
        for process in machine.boots:
            process.kill(self.world.now)
        self._changes.append((self.world.now, name, None))
        self.world.trace("gone", name)

    def lived(self, name: str, at: float) -> bool:
        """Whether a machine was there at a moment, in truth."""
        machine = self.machines.get(name)
        if machine is not None and machine.since <= at:
            return True
        return any(since <= at < until for since, until in self._lives.get(name, ()))

    def listing(self) -> tuple[Listed, ...]:
        """What the API shows: each machine as it was at some moment within the lag."""
        seen = {}
        for name in [*self.machines, *(name for name, at in self.ended.items() if self._recent(at))]:
            behind = self.lag_s * self.world.chance.random() if self.lag_s else 0.0
            shown = self._as_of(name, self.world.now - behind)
            if shown is not None:
                seen[name] = shown
        return tuple(seen[name] for name in sorted(seen))

    def _up(self, machine: Machine) -> None:
        if self.machines.get(machine.spec.name) is machine and machine.standing is not Standing.LEAVING:
            machine.standing = Standing.RUNNING
            self._change(machine)
            machine.boots.append(self.boot(machine))

    def _change(self, machine: Machine) -> None:
        listed = Listed(machine.spec.name, machine.spec.zone, machine.standing)
        self._changes.append((self.world.now, machine.spec.name, listed))

    def _recent(self, at: float) -> bool:
        return at > self.world.now - self.lag_s - 1.0

    def _as_of(self, name: str, moment: float) -> Listed | None:
        shown = None
        for at, changed, listed in self._changes:
            if changed == name and at <= moment:
                shown = listed
        return shown


class ProviderClient:
    """The Machines port."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @property
    def host(self) -> Host:
        return HOST

    @property
    def zones(self) -> tuple[str, ...]:
        return _ZONES

    @property
    def lag_s(self) -> float:
        return self._provider.lag_s

    async def create(self, spec: MachineSpec) -> None:
        world = self._provider.world
        if world.faults.hit("create late"):
            world.later(25.0 * world.faults.chance.random(), self._provider.create_late, spec)
            await asyncio.sleep(_TIMEOUT_S)
            raise ProviderAway("simulated: it happens later")
        await self._call(lambda: self._provider.create(spec), mutates=True)

    async def list(self) -> tuple[Listed, ...]:
        found: list[Listed] = []
        await self._call(lambda: found.extend(self._provider.listing()), mutates=False)
        return tuple(found)

    async def delete(self, name: str, zone: str = "here") -> None:
        await self._call(lambda: self._provider.delete(name, zone), mutates=True)

    async def _call(self, effect: Callable[[], None], *, mutates: bool) -> None:
        lost = await self._provider.call(mutates=mutates)
        effect()
        if lost:
            await asyncio.sleep(_TIMEOUT_S)
            raise ProviderAway("simulated: it happened all the same")
        await asyncio.sleep(self._provider.world.latency())
