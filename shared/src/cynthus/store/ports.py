"""The event store: append with an expected version, read a stream, tail everything."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from cynthus.events import Envelope, Event

Position = tuple[int, int]
"""Where a fact stands in the order of a store: (transaction id, row number)."""

START: Position = (0, 0)


class ConcurrentAppend(Exception):
    """Somebody appended first: read again and decide again."""


class AlreadyHandled(Exception):
    """The inbox has this message: its effects are done, so it is acknowledged and dropped."""


class PositionUnknown(Exception):
    """There is no fact at this position: the store was put back to an earlier state."""


class StoreUnavailable(Exception):
    """The database cannot be reached now; whether the last write happened is unknown."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fact in the store. `decided` is False for a fact that was only taken over from another service."""

    position: Position
    envelope: Envelope
    decided: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """Ids of decided facts, oldest first; the next page is after `next`, and has some if there are `more`."""

    ids: Sequence[str]
    next: Position
    more: bool


@dataclass(frozen=True, slots=True)
class Why:
    """Who appends and because of what; with `consumer` the message is marked as handled in the same step.

    `durable` is for effects of a message that something outside the database is to rely on at once.
    """

    actor: str
    cause: Envelope | None = None
    consumer: str | None = None
    traceparent: str | None = None
    durable: bool = False


class EventStore(Protocol):
    """The history of one service, and its outbox."""

    async def append(
        self, stream: str, events: Sequence[Event], *, expected: int, why: Why
    ) -> list[Recorded]:
        """Add facts after version `expected` in one transaction, with inbox mark and projections.

        An event equal to `why.cause.event` is taken over with its own id and `decided=False`: history
        shows it, the relay does not publish it again. Raises ConcurrentAppend or AlreadyHandled;
        nothing is written then.
        """
        ...

    async def read(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """The facts of a stream in version order, from version `after` + 1."""
        ...

    async def tail(self, *, after: Position = START, limit: int = 500) -> list[Recorded]:
        """Facts of all streams in commit-safe order: one that commits late is never skipped."""
        ...

    async def decided(self, *, after: Position, types: Collection[type[Event]], limit: int) -> Page:
        """What this service itself decided, of these types, in commit-safe order. Raises PositionUnknown."""
        ...

    async def look_up(self, ids: Sequence[str]) -> list[Recorded]:
        """Facts by their ids, in the order of their positions; unknown ids are left out."""
        ...

    async def position_before(self, age: timedelta) -> Position:
        """Where to tail from in order to see again everything younger than `age`."""
        ...

    def appended(self) -> AbstractAsyncContextManager["Appended"]:
        """Wake-ups for whoever tails: a hint that makes polling prompt, never needed for correctness."""
        ...


class Wakeup(Protocol):
    """Something to wait on between two polls."""

    async def wait(self, timeout_s: float) -> None:
        """Return at the next hint or after the time-out, whichever is first."""
        ...


class Appended(Wakeup, Protocol):
    """Wake-ups of a store, with a head start on what this very process appended."""

    def take(self) -> list[Recorded]:
        """Facts appended by this process since the last call: some of the truth, early, at most once."""
        ...

    def wake(self) -> None:
        """Make `wait` return now."""
        ...


class Checkpoint(Protocol):
    """How far a relay got, and whose turn it is when several relays of one name run."""

    async def mine(self) -> bool:
        """Whether this relay may work now; cheap to ask again while it holds."""
        ...

    async def load(self) -> Position:
        """The position up to which everything was published. Raises StoreUnavailable."""
        ...

    async def save(self, position: Position) -> None:
        """Remember it. Raises StoreUnavailable."""
        ...

    async def release(self) -> None:
        """Let another relay of this name work."""
        ...
