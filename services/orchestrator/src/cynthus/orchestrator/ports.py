"""What the orchestrator wants of the world, beside history, bus, blobs and secrets."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cynthus.orchestrator.domain.run import Run
from cynthus.store.ports import Position, Recorded


@dataclass(frozen=True, slots=True)
class LogChunk:
    """One sealed piece of an attempt's log: `size` bytes of `source` from byte `offset`."""

    run_id: str
    epoch: int
    seq: int
    source: str
    offset: int
    size: int
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogHead:
    """What the index holds: the next sequence number, the next byte of a source, the chunk asked about."""

    next_seq: int
    next_offset: int
    same: LogChunk | None = None


@dataclass(frozen=True, slots=True)
class LogTotals:
    """How much an attempt has logged."""

    chunks: int = 0
    bytes_by_source: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Chunks, and whether their run was over when they were read."""

    chunks: list[LogChunk]
    over: bool


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which of an owner's runs, newest first; `before` is the id of the last one already seen."""

    owner: str
    project: str | None = None
    name: str | None = None
    states: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    before: str | None = None


@dataclass(frozen=True, slots=True)
class MachineWork:
    """What is there for a machine: the run it must start now, and whether it was seen to be deleted."""

    run: Run | None
    gone: bool


@dataclass(frozen=True, slots=True)
class History:
    """Facts of a run, and whether there can be no more after them."""

    facts: list[Recorded]
    over: bool


@dataclass(frozen=True, slots=True)
class Renewal:
    """A worker was heard: its attempt, and what that has used and uses."""

    run_id: str
    epoch: int
    cpu_seconds: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Silence:
    """An attempt whose worker was not heard for so many seconds."""

    run_id: str
    epoch: int
    seconds: float


class Leases(Protocol):
    """Who may speak for a run, until when, by the database's clock."""

    async def renew(self, renewals: Sequence[Renewal], lease_s: float) -> dict[tuple[str, int], str | None]:
        """Extend leases, in one step: why to stop, if so, for each (run, epoch) that counts.

        What is not in the answer is fenced, and nothing was written for it.
        """
        ...

    async def expire(self, now: datetime) -> list[tuple[str, int]]:
        """Close the leases that ended before `now`: (run, epoch) of all that are closed and not yet lost."""
        ...

    async def extend(self, by_s: float, *, at_least_s: float) -> None:
        """Put the end of every open lease off, to so long from now at least; silence begins anew."""
        ...

    async def silent(self, now: datetime, after_s: float) -> list[Silence]:
        """Attempts that beat once and were not heard for `after_s`; each silence is told once."""
        ...

    async def count(self) -> int:
        """How many leases are open."""
        ...


class LogIndex(Protocol):
    """Where the chunks of logs are."""

    async def head(self, chunk: LogChunk) -> LogHead:
        """Where the log stands before this chunk. Raises Fenced when its attempt does not count."""
        ...

    async def add(self, chunk: LogChunk) -> bool:
        """Add the next chunk; False when it is not the next one. Raises Fenced."""
        ...

    async def totals(self, run_id: str, epoch: int) -> LogTotals:
        """All that is in the index."""
        ...

    async def first_at(self, run_id: str, epoch: int) -> datetime | None:
        """When the first chunk of an attempt arrived."""
        ...

    async def page(
        self, run_id: str, after: tuple[int, int], limit: int, source: str | None, epoch: int | None
    ) -> list[LogChunk]:
        """Chunks after (epoch, seq), in that order."""
        ...

    async def watch(
        self,
        owner: str,
        run_id: str,
        after: tuple[int, int],
        limit: int,
        *,
        source: str | None,
        epoch: int | None,
    ) -> LogPage | None:
        """The same for a reader, together with whether the run is over; None: the owner has no such run."""
        ...


class Runs(Protocol):
    """Runs as tables know them: lists, searches, what is due."""

    async def find(self, owner: str, key: str) -> Run:
        """By id, unambiguous prefix of at least 8 characters, or name (the newest). Raises RunNotFound."""
        ...

    async def page(self, wanted: RunFilter, limit: int) -> list[Run]:
        """Newest first."""
        ...

    async def counts(self, owner: str) -> dict[str, int]:
        """Runs by state."""
        ...

    async def hide(self, run_id: str) -> None:
        """Show a run no more."""
        ...

    async def names_manifest(self, run: Run, manifest: str) -> bool:
        """Whether another run of the same owner needs this manifest."""
        ...

    async def due(self, now: datetime, *, only_retries: bool) -> list[str]:
        """Runs whose deadline has passed."""
        ...

    async def now(self) -> datetime:
        """The database's clock."""
        ...

    async def work_of(self, machine: str) -> MachineWork:
        """What a machine should do now."""
        ...


class Feed(Protocol):
    """What happens to one run, or to all runs of an owner."""

    async def history(self, owner: str, run_id: str, after: int, limit: int) -> History | None:
        """Facts of a run after a version, read together with whether it is over; None: no such run."""
        ...

    async def feed(self, owner: str, after: Position | None, limit: int) -> tuple[list[Recorded], Position]:
        """Facts about an owner's runs in commit-safe order, and where to go on; None: from now on."""
        ...


class Wakeup(Protocol):
    """Something to wait on between two looks; `closed` when there is no sense in waiting on."""

    @property
    def closed(self) -> bool:
        """The process is about to stop."""
        ...

    async def wait(self, timeout_s: float) -> None:
        """Return at the next ring or after the time-out."""
        ...


class Bell(Protocol):
    """Wakes those who wait for something in this process; nobody relies on it alone."""

    def ring(self, keys: Sequence[str]) -> None:
        """Wake the waiters on these keys."""
        ...

    def listen(self, key: str) -> AbstractContextManager[Wakeup]:
        """Rings of one key, none lost between two waits."""
        ...
