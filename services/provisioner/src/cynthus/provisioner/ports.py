"""What the provisioner needs from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.domain.pool import MachineRow


class NoCapacity(Exception):
    """The provider has no room now; later or elsewhere it may."""


class MachineRefused(Exception):
    """The provider will not make this machine, now or later."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine to create: a name that is decided beforehand, and what its worker is told."""

    name: str
    worker_url: str
    worker_token: str


class Machines(Protocol):
    """A provider of machines. Only `list` tells what exists."""

    @property
    def host(self) -> Host:
        """The largest machine there is."""
        ...

    async def create(self, spec: MachineSpec) -> None:
        """Create a machine; one of that name already there is success. Raises NoCapacity, MachineRefused."""
        ...

    async def list(self) -> frozenset[str]:
        """The names of all our machines that exist."""
        ...

    async def delete(self, name: str) -> None:
        """Start deleting, or go on; should return as soon as possible. An absent machine is not an error."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that has no machine yet."""

    run_id: str
    epoch: int


class Ledger(Protocol):
    """Our record of machines and requests."""

    async def machines(self) -> Sequence[MachineRow]:
        """Every machine that is not gone."""
        ...

    async def waiting(self, limit: int = 100) -> Sequence[Waiting]:
        """Requests without a machine, oldest first."""
        ...

    async def idle_machine(self) -> str | None:
        """An idle machine, the one used last: its caches are warmest."""
        ...

    async def held(self) -> int:
        """How many machines are held."""
        ...

    async def intend(self, name: str) -> None:
        """Record the intent to create a machine; committed before the provider is called."""
        ...

    async def created(self, name: str) -> None:
        """The provider took the call."""
        ...

    async def hello(self, name: str) -> bool:
        """A machine's worker said hello. False: we do not want that machine (any more)."""
        ...

    async def deleting(self, name: str) -> bool:
        """Decide to delete a machine that nobody holds. False: somebody holds it now."""
        ...

    async def gone(self, name: str) -> str | None:
        """The provider no longer lists the machine; the last run it was held for."""
        ...
