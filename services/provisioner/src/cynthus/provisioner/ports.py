"""What the provisioner needs from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.domain.pool import Listed, MachineRow, Standing

__all__ = [
    "Ledger",
    "Listed",
    "MachineRefused",
    "MachineSpec",
    "Machines",
    "NoCapacity",
    "OutOfStock",
    "ProviderAway",
    "QuotaReached",
    "Standing",
    "Throttled",
    "Waiting",
]


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine to create: name and request id decided beforehand, and what its worker is told."""

    name: str
    worker_url: str
    worker_token: str
    zone: str = "here"
    request_id: str = ""


class NoCapacity(Exception):
    """The provider has no room now; later or elsewhere it may."""


class OutOfStock(NoCapacity):
    """This zone has no such machine now; another may."""


class QuotaReached(NoCapacity):
    """Our own limit at the provider is reached; a machine has to go first, or the limit be raised."""


class Throttled(Exception):
    """The provider was asked too often; nothing happened. `retry_after_s` is what it said, in seconds."""

    def __init__(self, message: str = "asked too often", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderAway(Exception):
    """No answer, a server error or a time-out: whether the call took effect is unknown."""


class MachineRefused(Exception):
    """The provider will not make this machine, now or later."""


class Machines(Protocol):
    """A provider of machines. Only `list` tells what exists.

    Every call may raise Throttled or ProviderAway.
    """

    @property
    def host(self) -> Host:
        """The largest machine there is."""
        ...

    @property
    def zones(self) -> tuple[str, ...]:
        """Where machines can be, the preferred zone first; at least one."""
        ...

    @property
    def lag_s(self) -> float:
        """How many seconds `list` may be behind the truth, both ways; 0: exact."""
        ...

    async def create(self, spec: MachineSpec) -> None:
        """Create a machine; the same name or request again is the same machine, and success.

        Raises OutOfStock, QuotaReached, NoCapacity, MachineRefused.
        """
        ...

    async def list(self) -> tuple[Listed, ...]:
        """All our machines, of all zones."""
        ...

    async def delete(self, name: str, zone: str = "here") -> None:
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
