"""What a service decided, for others to follow at their own pace."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from cynthus.bus.ports import Delivery, Undecodable
from cynthus.events import Event
from cynthus.store.ports import EventStore, Page, Position

MOST = 500
"""Facts of one page."""
BEGINNING = timedelta(days=1)
"""How far back one begins who never followed: what was lost before, deadlines have dealt with."""
FROM_HISTORY = 2
"""The attempt a fact counts as that was read and not delivered: the bus may have brought it before."""

Fact = Delivery | Undecodable
"""A fact, or what is one only to a newer version than this."""


class FeedUnavailable(Exception):
    """The service does not answer now, or its store does not."""


class Feed(Protocol):
    """The facts of one service that are wanted, in commit-safe order. Raises FeedUnavailable."""

    async def beginning(self) -> Position:
        """Where one begins who never followed."""
        ...

    async def page(self, after: Position) -> Page:
        """The ids after a position. Raises PositionUnknown."""
        ...

    async def facts(self, after: Position, ids: Sequence[str]) -> list[Fact]:
        """Those of the page after a position that are named. Raises PositionUnknown."""
        ...


def id_of(fact: Fact) -> str:
    """What the inbox knows it by."""
    return fact.message_id if isinstance(fact, Undecodable) else fact.envelope.id


class StoreFeed:
    """The feed of a store in this process."""

    def __init__(self, store: EventStore, types: Sequence[type[Event]], *, limit: int = MOST) -> None:
        self._store = store
        self._types = tuple(types)
        self._limit = limit

    async def beginning(self) -> Position:
        """A day ago."""
        return await self._store.position_before(BEGINNING)

    async def page(self, after: Position) -> Page:
        """The ids after a position."""
        return await self._store.decided(after=after, types=self._types, limit=self._limit)

    async def facts(self, after: Position, ids: Sequence[str]) -> list[Fact]:
        """Those that are named, wherever they are."""
        del after
        return [Delivery(fact.envelope, FROM_HISTORY) for fact in await self._store.look_up(ids)]
