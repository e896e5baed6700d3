"""One tick compares ledger, provider and need, and takes every step that follows."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from cynthus.events import Cause
from cynthus.provisioner.domain.demand import Lose
from cynthus.provisioner.domain.machine import Listed, MachineRow, Snapshot, Stage
from cynthus.provisioner.domain.pool import (
    Action,
    Adopt,
    Appeared,
    Close,
    Create,
    Delete,
    Ensure,
    Gone,
    Limits,
    Provider,
    Vanished,
    backoff,
    lacking,
    reconcile,
)
from cynthus.provisioner.handlers import DemandHandler
from cynthus.provisioner.ports import (
    Greeting,
    Ledger,
    Machines,
    MachineSpec,
    ProviderAway,
    Refusal,
    Throttled,
)
from cynthus.provisioner.reconciler.calls import Calls, Refused
from cynthus.provisioner.reconciler.patience import Patience
from cynthus.store.ports import ConcurrentAppend, StoreUnavailable

log = structlog.get_logger()

_FAILED_BOOTS = 3
_LOOK_AGAIN_S = 0.05
_ANSWER_S = 0.5
_CREATE_AGAIN = timedelta(seconds=5)
_CREATE_AGAIN_MOST = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Look:
    """What the provider listed, and the ledger's time before it was asked."""

    at: datetime
    listing: tuple[Listed, ...]


class Reconciler:
    """Runs in every replica; the ledger refuses what another one has done meanwhile.

    `nudge` makes the next tick come at once.
    """

    def __init__(
        self,
        ledger: Ledger,
        machines: Machines,
        handler: Callable[[], DemandHandler],
        spec: Callable[[str], MachineSpec],
        *,
        limits: Limits,
        patience: timedelta = timedelta(seconds=300),
        interval_s: float = 1.0,
    ) -> None:
        self._ledger = ledger
        self._machines = machines
        self._handler = handler
        self._limits = limits
        self._interval_s = interval_s
        self._calls = Calls(ledger, machines, spec, limits)
        self._patience = Patience(ledger, handler, patience)
        self._nudged = asyncio.Event()
        self._steps: list[asyncio.Task[Refused | None]] = []
        self._urgent = False
        self._failed_boots = 0
        self._refusals = 0
        self._now = datetime.min.replace(tzinfo=UTC)
        self._create_after = self._now
        self._looked_at = float("-inf")
        self.last_look: Look | None = None

    @property
    def provider(self) -> Provider:
        """What the plan has to know of it."""
        return Provider(self._machines.zones, timedelta(seconds=self._machines.lag_s))

    async def hello(self, name: str, boot: str | None) -> bool:
        """A machine came up. False: it is not wanted, or it was up before and is to go."""
        greeting = await self._ledger.hello(name, boot)
        if greeting is Greeting.AGAIN:
            await self._started_anew(name)
        elif greeting is Greeting.WELCOME:  # whatever hindered the ones before it is over
            self._failed_boots = 0
        self.nudge()
        return greeting is Greeting.WELCOME

    def nudge(self) -> None:
        """Something changed: do not wait for the next tick."""
        self._nudged.set()

    def suspect(self) -> None:
        """A worker is silent: look at the provider at once."""
        self._urgent = True
        self._nudged.set()

    async def run(self) -> None:
        """Tick until cancelled."""
        try:
            while True:
                self._nudged.clear()
                try:
                    await self._step()
                except (StoreUnavailable, ConcurrentAppend, ProviderAway, Throttled) as error:
                    log.info("pool tick put off", reason=type(error).__name__)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
                        await self._nudged.wait()
        finally:
            for step in self._steps:
                step.cancel()
            await asyncio.gather(*self._steps, return_exceptions=True)

    async def _step(self) -> None:
        """Serving is cheap and done at every nudge; looking at the provider is not."""
        await self._handler().serve_waiting()
        since = _time() - self._looked_at
        hungry = since >= _LOOK_AGAIN_S and (self._urgent or await self._ledger.waiting(limit=1))
        if hungry or since >= self._interval_s:
            gap_s = _LOOK_AGAIN_S if hungry else self._interval_s / 2
            self._looked_at = _time()
            if await self._ledger.claim_look(gap_s):
                self._urgent = False
                await self.tick()

    async def tick(self) -> None:
        """Look once; once more for each zone that turned out to have no room."""
        for _ in range(len(self._machines.zones) + 1):
            if not await self._look():
                return

    async def _look(self) -> bool:
        self._looked_at = _time()
        # The ledger is read first: a machine in it is in the listing too, unless it died in between.
        snapshot = await self._ledger.snapshot()
        listing = tuple(await self._machines.list())
        self.last_look = Look(snapshot.now, listing)
        self._now = snapshot.now
        plan = reconcile(snapshot, listing, self._limits, self.provider)
        if plan.marks.names():
            await self._ledger.mark(plan.marks)
        refused = await self._do(plan.actions)
        await self._patience.explain(self._hindrance(snapshot, refused), snapshot)
        self._pace(refused, created=any(isinstance(action, Create) for action in plan.actions))
        return any(one.refusal is Refusal.OUT_OF_STOCK for one in refused)

    async def _do(self, actions: Sequence[Action]) -> list[Refused]:
        """Side by side. A slow provider is not waited for: its answer counts in a later tick."""
        self._steps += [asyncio.get_running_loop().create_task(self._take(action)) for action in actions]
        if not self._steps:
            return []
        await asyncio.wait(self._steps, timeout=_ANSWER_S)
        done = [step for step in self._steps if step.done()]
        self._steps = [step for step in self._steps if step not in done]
        failures = [failure for step in done if (failure := step.exception()) is not None]
        if failures:
            raise failures[0]
        return [refused for step in done if (refused := step.result()) is not None]

    async def _take(self, action: Action) -> Refused | None:
        match action:
            case Create() if self._now < self._create_after:
                return None
            case Create(zone):
                return await self._calls.create(zone)
            case Ensure(machine):
                return await self._calls.ensure(machine)
            case Appeared(machine):
                await self._ledger.created(machine.name)
            case Close(machine, why):
                await self._close(machine, why)
            case Delete(machine):
                await self._calls.delete(machine)
            case Adopt(listed):
                await self._calls.adopt(listed)
            case Vanished(machine):
                await self._vanished(machine)
            case Gone(machine):
                await self._gone(machine)
        return None

    def _hindrance(self, snapshot: Snapshot, refused: Sequence[Refused]) -> Refused | None:
        """Why fewer machines come than are lacking, also when that was learnt a little earlier."""
        for refusal in (Refusal.REFUSED, Refusal.QUOTA):
            for one in refused:
                if one.refusal is refusal:
                    return one
        if not lacking(snapshot.rows, snapshot.waiting, self._limits):
            return None
        if snapshot.quota:
            return Refused(Refusal.QUOTA, "the limit of the provider is reached")
        shut = snapshot.shut >= set(self._machines.zones)
        return Refused(Refusal.OUT_OF_STOCK, "no zone has such a machine now") if shut else None

    def _pace(self, refused: Sequence[Refused], *, created: bool) -> None:
        """A provider that says never is asked less and less often while no request pays for asking."""
        if any(one.refusal is Refusal.REFUSED for one in refused):
            self._refusals += 1
            pause = backoff(self._refusals, _CREATE_AGAIN / 10, _CREATE_AGAIN_MOST)
            self._create_after = self._now + pause
        elif created and self._now >= self._create_after:
            self._refusals = 0

    async def _close(self, machine: MachineRow, why: str) -> None:
        if await self._calls.close(machine, why) and machine.stage is Stage.BOOTING and not machine.leaving:
            await self._boot_failed(machine, overdue=True)

    async def _boot_failed(self, machine: MachineRow, *, overdue: bool = False) -> None:
        if overdue and machine.needless_since is not None:
            return
        log.warning("machine did not come up", machine=machine.name, overdue=overdue)
        self._failed_boots += 1
        if self._failed_boots >= _FAILED_BOOTS:
            self._create_after = self._now + _CREATE_AGAIN
            reason = "it stopped before it said hello, several times"
            await self._patience.fail_oldest(reason)

    async def _vanished(self, machine: MachineRow) -> None:
        if machine.stage is Stage.HELD:
            evidence = "its provider no longer lists it"
            if machine.absent_since is not None:
                evidence = f"{evidence}: not since {machine.absent_since.isoformat(timespec='seconds')}"
            await self._lose(machine, "went away while the run was on it", evidence)
            return
        if machine.stage is Stage.BOOTING:
            await self._boot_failed(machine)
        await self._gone(machine)

    async def _gone(self, machine: MachineRow) -> None:
        """Told first: a crash in between tells it again, and the history knows that it did."""
        if machine.run_id is not None:
            await self._handler().report_deleted(machine.run_id, machine.name)
        await self._ledger.gone(machine)

    async def _started_anew(self, name: str) -> None:
        log.warning("machine said hello again, as another worker", machine=name)
        while (machine := await self._ledger.find(name)) is not None:
            try:
                await self._end_anew(machine)
            except ConcurrentAppend:  # its run was told something meanwhile
                continue
            return

    async def _end_anew(self, machine: MachineRow) -> None:
        if machine.stage is Stage.HELD:
            evidence = "its worker said hello a second time, and knew nothing of the run"
            await self._lose(machine, "started anew while the run was on it", evidence)
        elif machine.stage is Stage.IDLE:
            await self._calls.close(machine, "it started anew")

    async def _lose(self, machine: MachineRow, what: str, evidence: str) -> None:
        if machine.run_id is None or machine.epoch is None:
            return
        cause = Cause(
            code="preempted" if machine.leaving else "lost_machine",
            message=f"The machine {machine.name} {what}.",
            evidence=(evidence,),
        )
        await self._handler().settle(Lose(machine.run_id, machine.epoch, machine.name, cause))


def _time() -> float:
    return asyncio.get_running_loop().time()
