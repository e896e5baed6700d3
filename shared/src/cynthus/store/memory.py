"""The event store in memory: for unit tests."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta

from cynthus.events import Event
from cynthus.store.appended import Readers
from cynthus.store.inbox import MemoryInbox
from cynthus.store.listening import Hint
from cynthus.store.ports import (
    START,
    AlreadyHandled,
    Appended,
    ConcurrentAppend,
    Position,
    Recorded,
    Why,
)
from cynthus.store.recording import draft


class MemoryEventStore:
    """Lives as long as the object; one append is one transaction."""

    def __init__(self, *, source: str, inbox: MemoryInbox | None = None) -> None:
        self.source = source
        self.inbox = inbox or MemoryInbox()
        self._facts: list[Recorded] = []
        self._streams: dict[str, list[Recorded]] = {}
        self._ids: set[str] = set()
        self._transactions = 0
        self._readers = Readers()
        self._hints: set[Hint] = set()

    async def append(
        self, stream: str, events: Sequence[Event], *, expected: int, why: Why
    ) -> list[Recorded]:
        """Add facts after version `expected`."""
        drafts = draft(events, why, self.source)
        inbox = (why.consumer, why.cause.id) if why.consumer and why.cause else None
        if (inbox and self.inbox.is_handled(*inbox)) or any(fact.id in self._ids for fact in drafts):
            raise AlreadyHandled(why.cause.id if why.cause else "")
        history = self._streams.get(stream, [])
        if len(history) != expected and (drafts or inbox):
            raise ConcurrentAppend
        now = datetime.now(UTC)
        self._transactions += 1
        recorded = [
            Recorded(
                (self._transactions, len(self._facts) + n),
                fact.recorded_as(stream, expected + n, now),
                fact.decided,
            )
            for n, fact in enumerate(drafts, 1)
        ]
        if inbox:
            self.inbox.mark(*inbox)
        self._streams[stream] = history + recorded
        self._facts += recorded
        self._ids.update(fact.id for fact in drafts)
        self._readers.add(recorded)
        for hint in self._hints:
            hint.set()
        return recorded

    async def read(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """The facts of a stream in version order."""
        return self._streams.get(stream, [])[after:][:limit]

    async def tail(self, *, after: Position = START, limit: int = 500) -> list[Recorded]:
        """All facts in the order of their transactions."""
        return [fact for fact in self._facts[after[1] :] if fact.position > after][:limit]

    async def position_before(self, age: timedelta) -> Position:
        """The last fact older than `age`."""
        horizon = datetime.now(UTC) - age
        old = (
            fact.position for fact in reversed(self._facts) if fact.decided and fact.envelope.time < horizon
        )
        return next(old, START)

    def appended(self) -> AbstractAsyncContextManager[Appended]:
        """Wake-ups at each append."""
        return self._appended()

    @asynccontextmanager
    async def _appended(self) -> AsyncIterator[Appended]:
        hint = Hint()
        self._hints.add(hint)
        try:
            with self._readers.reading(hint) as reader:
                yield reader
        finally:
            self._hints.discard(hint)
