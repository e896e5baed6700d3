"""Calls to the provider: each is counted in the ledger before it is made, and its answer noted after."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import NAMESPACE_URL, uuid5

import structlog

from cynthus.events import new_id
from cynthus.provisioner.domain.machine import Listed, MachineRow
from cynthus.provisioner.domain.pool import Limits, backoff
from cynthus.provisioner.ports import (
    Intent,
    Ledger,
    MachineRefused,
    Machines,
    MachineSpec,
    NoCapacity,
    ProviderAway,
    QuotaReached,
    Refusal,
    Throttled,
)
from cynthus.runtime.crash_points import reach

log = structlog.get_logger()

_FIRST_AGAIN = timedelta(seconds=0.5)
_CREATE_AGAIN_MOST = timedelta(seconds=30)
_DELETE_AGAIN_MOST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Refused:
    """A machine was not made, and why."""

    refusal: Refusal
    message: str


class Calls:
    """Creates and deletes. What is not known to have failed is not taken to have failed."""

    def __init__(
        self, ledger: Ledger, machines: Machines, spec: Callable[[str], MachineSpec], limits: Limits
    ) -> None:
        self._ledger = ledger
        self._machines = machines
        self._spec = spec
        self._limits = limits
        self._in_flight: set[tuple[str, str]] = set()

    async def create(self, zone: str) -> Refused | None:
        """One more machine, if one is lacking still when the intent is written."""
        name = new_id("cyn").replace("_", "-")
        request_id = str(uuid5(NAMESPACE_URL, f"cynthus:{name}"))
        intent = Intent(name, zone, request_id, "requests wait, or few machines are kept ready")
        if not await self._ledger.intend(intent, self._limits, _create_pause(1)):
            return None
        reach("ledger.intended")
        return await self._create(name, zone, request_id, _create_pause(1))

    async def ensure(self, machine: MachineRow) -> Refused | None:
        """The same call again: same name, same zone, same request id."""
        pause = _create_pause(machine.attempts + 1)
        if ("create", machine.name) in self._in_flight or not await self._ledger.asking(machine, pause):
            return None
        return await self._create(machine.name, machine.zone, machine.request_id, pause)

    async def close(self, machine: MachineRow, why: str) -> bool:
        """Decide to delete, and begin. False: it is not as it was when that seemed right."""
        pause = self._delete_pause(1)
        if not await self._ledger.close(machine, why, pause):
            return False
        reach("ledger.closed")
        log.info("machine is to go", machine=machine.name, why=why)
        await self._delete(machine, pause)
        return True

    async def delete(self, machine: MachineRow) -> None:
        """Go on deleting."""
        pause = self._delete_pause(machine.attempts + 1)
        if ("delete", machine.name) not in self._in_flight and await self._ledger.asking(machine, pause):
            await self._delete(machine, pause)

    async def adopt(self, listed: Listed) -> None:
        """A machine of ours that should not be there is to go; the next look begins with it."""
        if await self._ledger.adopt(listed, "nobody knows it, or it came after it was given up"):
            log.warning("machine taken in to be deleted", machine=listed.name, zone=listed.zone)
            machine = await self._ledger.find(listed.name)
            if machine is not None:
                await self.delete(machine)

    async def _create(self, name: str, zone: str, request_id: str, pause: timedelta) -> Refused | None:
        spec = replace(self._spec(name), zone=zone, request_id=request_id)
        try:
            reach("provider.before_create")
            if await self._answered(("create", name), pause, self._machines.create(spec)):
                reach("provider.created")
                await self._ledger.created(name)
                reach("ledger.created")
        except NoCapacity as refusal:
            code = Refusal.QUOTA if isinstance(refusal, QuotaReached) else Refusal.OUT_OF_STOCK
            return await self._refused(name, zone, code, str(refusal))
        except MachineRefused as refusal:
            return await self._refused(name, zone, Refusal.REFUSED, str(refusal))
        return None

    async def _refused(self, name: str, zone: str, refusal: Refusal, reason: str) -> Refused:
        log.warning("machine not created", machine=name, zone=zone, refusal=refusal, reason=reason)
        reach("provider.refused")
        await self._ledger.refused(name, refusal, reason)
        return Refused(refusal, reason)

    async def _delete(self, machine: MachineRow, pause: timedelta) -> None:
        call = self._machines.delete(machine.name, machine.zone)
        reach("provider.before_delete")
        await self._answered(("delete", machine.name), pause, call)
        reach("provider.deleted")

    def _delete_pause(self, attempts: int) -> timedelta:
        """Repeating it sooner than the listing can show its effect is no use."""
        most = max(_DELETE_AGAIN_MOST, timedelta(seconds=self._machines.lag_s))
        return backoff(attempts, _FIRST_AGAIN, most)

    async def _answered(self, what: tuple[str, str], pause: timedelta, call: Awaitable[None]) -> bool:
        """Whether the provider took the call; otherwise it is repeated later."""
        operation, name = what
        self._in_flight.add(what)
        try:
            await call
        except Throttled as error:
            asked = timedelta(seconds=error.retry_after_s or 0)
            log.info("provider asks for patience", machine=name, call=operation, seconds=error.retry_after_s)
            await self._ledger.put_off(name, max(asked, pause))
        except ProviderAway as error:
            log.warning("provider does not answer", machine=name, call=operation, error=str(error))
        else:
            return True
        finally:
            self._in_flight.discard(what)
        return False


def _create_pause(attempts: int) -> timedelta:
    return backoff(attempts, _FIRST_AGAIN, _CREATE_AGAIN_MOST)
