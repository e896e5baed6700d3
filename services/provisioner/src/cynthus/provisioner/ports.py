"""What the provisioner needs from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.domain.machine import Listed, MachineRow, Snapshot, Standing
from cynthus.provisioner.domain.pool import Limits, Marks

__all__ = [
    "Greeting",
    "Intent",
    "Ledger",
    "Listed",
    "MachineRefused",
    "MachineSpec",
    "Machines",
    "NoCapacity",
    "OutOfStock",
    "ProviderAway",
    "QuotaReached",
    "Refusal",
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
    """A request that has no machine yet; `delayed` when its run was told why."""

    run_id: str
    epoch: int
    delayed: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """A machine that is about to be asked for."""

    name: str
    zone: str
    request_id: str
    why: str


class Refusal(StrEnum):
    """Why a provider did not make a machine."""

    OUT_OF_STOCK = "out_of_stock"
    QUOTA = "quota"
    REFUSED = "refused"


class Greeting(StrEnum):
    """What a hello means."""

    WELCOME = "welcome"
    UNWANTED = "unwanted"
    AGAIN = "again"
    """The machine was up before and has started anew: what ran on it is dead."""


class Ledger(Protocol):
    """Our record of machines and requests. Its clock dates everything, and tells ages.

    A method that takes a MachineRow changes nothing, and says False, when the row is not in that stage any
    more, since that very moment: whoever decided on what he had read may have been overtaken.
    """

    async def claim_look(self, gap_s: float) -> bool:
        """Whether it is our turn to look at the provider: of all replicas one may, every so many seconds."""
        ...

    async def snapshot(self) -> Snapshot:
        """Machines that are not gone, and what bears on creating more."""
        ...

    async def find(self, name: str) -> MachineRow | None:
        """One machine, also when it is gone."""
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

    async def intend(self, intent: Intent, limits: Limits, pause: timedelta) -> bool:
        """Record an intent before the provider is called; the call is not repeated before the pause is over.

        False, and nothing is written, when no machine is lacking: decided for all replicas one by one.
        """
        ...

    async def asking(self, machine: MachineRow, pause: timedelta) -> bool:
        """Count one more call for a machine before it is made; the next one not before the pause is over."""
        ...

    async def put_off(self, name: str, pause: timedelta) -> None:
        """No call for this machine before the pause is over."""
        ...

    async def created(self, name: str) -> None:
        """The provider took the call, or lists the machine."""
        ...

    async def refused(self, name: str, refusal: Refusal, why: str) -> None:
        """The provider did not make the machine. After earlier calls of unknown outcome it is deleted."""
        ...

    async def hello(self, name: str, boot: str | None) -> Greeting:
        """A machine's worker said hello. `boot` is the same for all workers that go on with one's work."""
        ...

    async def close(self, machine: MachineRow, why: str, pause: timedelta) -> bool:
        """Decide to delete a machine that nobody holds, and count the first call."""
        ...

    async def adopt(self, listed: Listed, why: str) -> bool:
        """Take a machine in that should not be there, to delete it. False: it is known and wanted."""
        ...

    async def mark(self, marks: Marks) -> None:
        """Note what a listing showed."""
        ...

    async def gone(self, machine: MachineRow) -> bool:
        """The provider no longer lists the machine."""
        ...
