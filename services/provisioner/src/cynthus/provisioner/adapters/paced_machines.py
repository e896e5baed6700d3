"""A provider that is never asked too often, and never waited for too long."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.ports import Listed, Machines, MachineSpec, ProviderAway, Throttled

_Answer = TypeVar("_Answer")
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0
_BURST_S = 2.0


class _Budget:
    """So many calls a second, and what was not used for two seconds."""

    def __init__(self, calls_per_s: float) -> None:
        self._rate = calls_per_s
        self._most = max(1.0, calls_per_s * _BURST_S)
        self._left = self._most
        self._at: float | None = None

    def take(self, now: float) -> float:
        """0 when a call may be made now, else in how many seconds."""
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._left, self._at = min(self._most, self._left + passed * self._rate), now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class PacedMachines:
    """Machines with a budget for each operation, a time-out for each call, and respect for `retry_after`.

    A call that is not made raises Throttled, as if the provider had said so; one without an answer in time
    raises ProviderAway.
    """

    def __init__(self, machines: Machines, *, calls_per_s: float, timeout_s: float) -> None:
        self._machines = machines
        self._timeout_s = timeout_s
        self._budgets = {name: _Budget(calls_per_s) for name in ("create", "list", "delete")}
        self._not_before = float("-inf")
        self._strikes = 0

    @property
    def host(self) -> Host:
        """The provider's."""
        return self._machines.host

    @property
    def zones(self) -> tuple[str, ...]:
        """The provider's."""
        return self._machines.zones

    @property
    def lag_s(self) -> float:
        """The provider's."""
        return self._machines.lag_s

    async def create(self, spec: MachineSpec) -> None:
        """Create, if it may be asked for now."""
        await self._call("create", lambda: self._machines.create(spec))

    async def list(self) -> tuple[Listed, ...]:
        """List, if it may be asked for now."""
        return await self._call("list", self._machines.list)

    async def delete(self, name: str, zone: str = "here") -> None:
        """Delete, if it may be asked for now."""
        await self._call("delete", lambda: self._machines.delete(name, zone))

    async def _call(self, operation: str, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        clock = asyncio.get_running_loop().time
        pause_s = self._not_before - clock()
        if pause_s > 0:
            raise Throttled("the provider asked for a pause", pause_s)
        if (pause_s := self._budgets[operation].take(clock())) > 0:
            raise Throttled(f"the budget for {operation} is used up", pause_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await call()
        except TimeoutError as error:
            raise ProviderAway(f"no answer to {operation} within {self._timeout_s:g} s") from error
        except Throttled as error:
            backoff_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._strikes, 30))
            self._strikes += 1
            self._not_before = clock() + max(error.retry_after_s or 0.0, backoff_s)
            raise
        self._strikes = 0
        return answer
