"""Keeps ledger, provider and need together, with or without messages."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from cynthus.events import Cause, new_id
from cynthus.provisioner.domain.demand import Fail, Lose
from cynthus.provisioner.domain.pool import (
    Action,
    Create,
    Delete,
    Ensure,
    Limits,
    MachineRow,
    Stage,
    Vanished,
    reconcile,
)
from cynthus.provisioner.handlers import DemandHandler
from cynthus.provisioner.ports import (
    Ledger,
    MachineRefused,
    Machines,
    MachineSpec,
    NoCapacity,
    ProviderAway,
    Throttled,
)
from cynthus.store.ports import ConcurrentAppend, StoreUnavailable

log = structlog.get_logger()

_FAILED_BOOTS = 3
_LOOK_AGAIN_S = 0.05
_BACK_OFF = timedelta(seconds=5)


class Reconciler:
    """One tick compares and acts; `nudge` makes the next tick come at once."""

    def __init__(
        self,
        ledger: Ledger,
        machines: Machines,
        handler: Callable[[], DemandHandler],
        spec: Callable[[str], MachineSpec],
        *,
        limits: Limits,
        now: Callable[[], datetime],
        interval_s: float = 1.0,
    ) -> None:
        self._ledger = ledger
        self._machines = machines
        self._handler = handler
        self._spec = spec
        self._limits = limits
        self._now = now
        self._interval_s = interval_s
        self._nudged = asyncio.Event()
        self._failed_boots = 0
        self._create_after = now()
        self._looked_at = datetime.min.replace(tzinfo=UTC)

    def hello(self) -> None:
        """A machine came up: whatever hindered the ones before it is over."""
        self._failed_boots = 0
        self.nudge()

    def nudge(self) -> None:
        """Something changed: do not wait for the next tick."""
        self._nudged.set()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self._nudged.clear()
            try:
                await self._step()
            except (StoreUnavailable, ConcurrentAppend, ProviderAway, Throttled) as error:
                log.info("pool tick put off", reason=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), self._interval_s)

    async def _step(self) -> None:
        """Serving is cheap and done at every nudge; looking at the provider is not."""
        await self._handler().serve_waiting()
        since = self._now() - self._looked_at
        hungry = since.total_seconds() >= _LOOK_AGAIN_S and await self._ledger.waiting(limit=1)
        if hungry or since.total_seconds() >= self._interval_s:
            await self.tick()

    async def tick(self) -> None:
        """Compare ledger, provider and need once, and take every step that follows."""
        self._looked_at = self._now()
        # The ledger is read first: a machine in it is in the listing too, unless it died in between.
        rows = await self._ledger.machines()
        waiting = len(await self._ledger.waiting())
        listed = frozenset(machine.name for machine in await self._machines.list())
        for action in reconcile(rows, listed, waiting, self._now(), self._limits):
            await self._take(action)

    async def _take(self, action: Action) -> None:
        match action:
            case Create() if self._now() < self._create_after:
                return
            case Create():
                name = new_id("cyn").replace("_", "-")
                await self._ledger.intend(name)
                await self._create(name)
            case Ensure(name):
                await self._create(name)
            case Delete(name):
                if await self._ledger.deleting(name):
                    await self._machines.delete(name)
            case Vanished(machine):
                await self._vanished(machine)

    async def _create(self, name: str) -> None:
        try:
            await self._machines.create(self._spec(name))
        except NoCapacity as refusal:
            log.warning("machine not created", machine=name, reason=str(refusal))
        except MachineRefused as refusal:
            log.warning("machine refused", machine=name, reason=str(refusal))
            await self._ledger.gone(name)
            await self._fail_oldest(str(refusal))
        else:
            await self._ledger.created(name)

    async def _fail_oldest(self, reason: str) -> None:
        cause = Cause(
            code="machine_refused",
            message=f"No machine could be started: {reason}",
            fix="See `cynthus doctor`.",
        )
        for waiting in await self._ledger.waiting(limit=1):
            await self._handler().settle(Fail(waiting.run_id, waiting.epoch, cause, transient=True))

    async def _boot_failed(self, name: str) -> None:
        log.warning("machine died before its hello", machine=name)
        self._failed_boots += 1
        if self._failed_boots >= _FAILED_BOOTS:
            self._create_after = self._now() + _BACK_OFF
            await self._fail_oldest("it stopped before it said hello, several times")

    async def _vanished(self, machine: MachineRow) -> None:
        run_id, epoch = machine.run_id, machine.epoch
        if machine.stage is Stage.HELD and run_id is not None and epoch is not None:
            cause = Cause(
                code="lost_machine",
                message=f"The machine {machine.name} went away while the run was on it.",
                evidence=("the provider no longer lists it",),
            )
            await self._handler().settle(Lose(run_id, epoch, machine.name, cause))
        if machine.stage is Stage.BOOTING:
            await self._boot_failed(machine.name)
        last_run = await self._ledger.gone(machine.name)
        if last_run is not None:
            await self._handler().report_deleted(last_run, machine.name)
