"""A worker that speaks the protocol of docs/protocols.md."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from cynthus.bus.ports import BusUnavailable
from cynthus.events import AttemptExited, Cause
from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.handlers.orders import WorkOrder
from cynthus.orchestrator.handlers.refusals import (
    LogGap,
    LogsIncomplete,
    MachineNotWanted,
    ManifestMissing,
)
from cynthus.orchestrator.ports import LogTotals
from cynthus.store.ports import StoreUnavailable
from tests.simulation.attempt import CALL_S, Attempt, claims_of
from tests.simulation.loop import Process
from tests.simulation.network import Server, Unreachable
from tests.simulation.platform import Platform
from tests.simulation.program import Control, Dropped
from tests.simulation.provider import Machine
from tests.simulation.storage import StorageAway
from tests.simulation.world import inside

_T = TypeVar("_T")
_AWAY = (Unreachable, StoreUnavailable, BusUnavailable, StorageAway)
_ANSWERS = (Fenced, MachineNotWanted, LogGap, LogsIncomplete, ManifestMissing)
_POLL_S = 8.0
_GIVE_UP_S = 600.0
_DAWDLED_S = 70.0
"""A host that swaps, or pulls images: the lease of its first order is nearly over, or is."""


class Worker:
    """One life of a machine's agent."""

    def __init__(self, platform: Platform, machine: Machine, process: Process) -> None:
        self.platform = platform
        self.world = platform.world
        self.machine = machine
        self.name = machine.spec.name
        self.process = process
        self.leaving = False
        self._boot = f"{self.name}:{len(machine.boots)}"
        self.control: Control | None = None
        self.asked = 0.0
        self._taken: set[tuple[str, int]] = set()

    async def live(self) -> None:
        """Say hello, then one attempt after another."""
        try:
            await self.insist("provisioner", self._hello, CALL_S, None)
            while not self.leaving:
                if self.world.faults.hit("worker dawdles"):
                    await asyncio.sleep(_DAWDLED_S * self.world.faults.chance.random())
                order = await self.insist(
                    "orchestrator", lambda served: served.orders.next(self.name, _POLL_S), _POLL_S + 5, None
                )
                if order is None:
                    continue
                if (order.run_id, order.epoch) in self._taken:
                    await self._give_back(order)
                    await asyncio.sleep(1.0)
                    continue
                await self._do(order)
        except MachineNotWanted:
            self.world.trace("leaves", self.name)
        except Unreachable:
            self.world.trace("gives up", self.name)
        self.process.kill(self.world.now)
        if self.world.chance.random() < 0.5:
            self.world.later(0.1, self.platform.provider.vanish, self.name)

    async def _give_back(self, order: WorkOrder) -> None:
        """The platform waits for an attempt whose program was ended before it could be told of it."""
        cause = Cause(code="worker_failed", message="the worker ended the program")
        exited = AttemptExited(run_id=order.run_id, epoch=order.epoch, cause=cause)
        with suppress(Unreachable, *_ANSWERS):
            await self.call(
                self.platform.server("orchestrator"),
                lambda served: served.attempts.finished(
                    claims_of(order.token), exited, LogTotals(0, {}), None
                ),
                CALL_S,
            )

    def preempt(self) -> None:
        """SIGTERM: what runs is stopped and reported first."""
        self.leaving = True
        if self.control is not None:
            self.control.stop("preempted")

    async def _hello(self, served: Any) -> None:
        if not await served.hello(self.name, self._boot):
            raise MachineNotWanted(self.name)

    async def _do(self, order: WorkOrder) -> None:
        self.control = control = Control()
        if self.leaving:
            control.stop("preempted")
        try:
            await Attempt(self, order, control, self._taken).run()
        except Dropped as dropped:
            self.world.trace("dropped", self.name, order.run_id, order.epoch, dropped)
        except Unreachable:
            self.world.trace("unreported", self.name, order.run_id, order.epoch)
        except Fenced:
            self.world.trace("refused", self.name, order.run_id, order.epoch)
        finally:
            self.control = None

    async def call(self, server: Server, method: Callable[[Any], Awaitable[_T]], timeout_s: float) -> _T:
        """One call. Raises Unreachable for everything that is no answer."""
        self.asked = self.world.now
        try:
            return await self.platform.network.ask(self.name, server, method, timeout_s=timeout_s)
        except _ANSWERS:
            raise
        except _AWAY as away:
            raise Unreachable(str(away)) from away
        except Exception as error:
            self.world.wrong("no internal error", f"{server.name} answered {error!r}")
            raise Unreachable("500") from error

    async def insist(
        self,
        server: str,
        method: Callable[[Any], Awaitable[_T]],
        timeout_s: float,
        control: Control | None,
    ) -> _T:
        """Call until there is an answer, while the attempt is ours."""
        delay, until = 0.1, self.world.now + _GIVE_UP_S
        while True:
            if control is not None:
                control.check()
            try:
                return await self.call(self.platform.server(server), method, timeout_s)
            except Unreachable:
                if self.world.now > until:
                    raise
            await asyncio.sleep(delay * (0.5 + 0.5 * self.world.chance.random()))
            delay = min(2 * delay, 5.0)


def boot(platform: Platform, machine: Machine) -> Process:
    """A worker comes up on a machine."""
    for before in machine.boots:
        before.kill(platform.world.now)
    process = Process(f"worker {machine.spec.name}")
    worker = Worker(platform, machine, process)
    platform.workers[process] = worker
    platform.world.loop.create_task(worker.live(), context=inside(process))
    return process
