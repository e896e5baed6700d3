"""Machines as our ledger and their provider tell of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Stage(StrEnum):
    """Where a machine stands in our ledger."""

    INTENDED = "intended"
    BOOTING = "booting"
    IDLE = "idle"
    HELD = "held"
    DELETING = "deleting"
    GONE = "gone"


class Standing(StrEnum):
    """Where a machine stands, says its provider."""

    COMING = "coming"
    RUNNING = "running"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Listed:
    """A machine in the provider's listing."""

    name: str
    zone: str = "here"
    standing: Standing = Standing.RUNNING


@dataclass(frozen=True, slots=True)
class MachineRow:
    """One line of the ledger. `since` is when it entered its stage; calls are counted anew in each stage.

    `absent_since` is when a listing first did not show it, `needless_since` when nobody needed it any more.
    """

    name: str
    stage: Stage
    since: datetime
    run_id: str | None = None
    epoch: int | None = None
    zone: str = "here"
    request_id: str = ""
    attempts: int = 0
    next_try: datetime | None = None
    absent_since: datetime | None = None
    needless_since: datetime | None = None
    leaving: bool = False
    why: str = ""

    def due(self, now: datetime) -> bool:
        """Whether the provider may be called again for it."""
        return self.next_try is None or now >= self.next_try


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The ledger at a moment of its own clock: machines that are not gone, and how many requests wait.

    `shut` are zones that had no room lately; `quota` says that our limit was reached lately.
    """

    now: datetime
    rows: tuple[MachineRow, ...] = ()
    waiting: int = 0
    shut: frozenset[str] = frozenset()
    quota: bool = False
