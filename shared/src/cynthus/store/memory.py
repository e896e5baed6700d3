"""The event store in memory: for unit tests and simulations."""

from bisect import bisect_right
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from cynthus.events import Event
from cynthus.store.appended import Readers
from cynthus.store.clock import Clock, utc_now
from cynthus.store.inbox import MemoryInbox
from cynthus.store.listening import Hint
from cynthus.store.ports import (
    START,
    AlreadyHandled,
    Appended,
    ConcurrentAppend,
    Page,
    Position,
    PositionUnknown,
    Recorded,
    Why,
)
from cynthus.store.recording import Draft, draft


class MemoryProjection(Protocol):
    """Keeps something in memory in step with the facts, as part of the append."""

    def check(self, recorded: Sequence[Recorded]) -> None:
        """Raise what refuses the facts; nothing is changed yet."""
        ...

    def apply(self, recorded: Sequence[Recorded]) -> None:
        """Keep what the facts mean. Raises nothing."""
        ...

    def reset(self) -> None:
        """Forget what the history can tell again."""
        ...


@dataclass(frozen=True, slots=True)
class Transaction:
    """One that was begun: its facts have their places already, but nobody sees them."""

    number: int
    first: int


class MemoryEventStore:
    """Lives as long as the object; one append is one transaction.

    As in a database, places are given out when a transaction begins, and others may end before it.
    """

    def __init__(
        self,
        *,
        source: str,
        inbox: MemoryInbox | None = None,
        projections: Sequence[MemoryProjection] = (),
        clock: Clock = utc_now,
    ) -> None:
        self.source = source
        self.inbox = inbox or MemoryInbox()
        self.facts: list[Recorded] = []
        self._projections = tuple(projections)
        self._clock = clock
        self._streams: dict[str, list[Recorded]] = {}
        self._by_id: dict[str, Recorded] = {}
        self._places = 0
        self._transactions = 0
        self._open: set[int] = set()
        self._readers = Readers()
        self._hints: set[Hint] = set()

    async def append(
        self, stream: str, events: Sequence[Event], *, expected: int, why: Why
    ) -> list[Recorded]:
        """Add facts after version `expected`."""
        drafts = draft(events, why, self.source)
        if not drafts and not (why.cause and why.consumer):
            return []
        recorded = self.commit(self.begin(len(drafts)), stream, drafts, expected=expected, why=why)
        self._readers.add(recorded)
        return recorded

    def begin(self, facts: int) -> Transaction:
        """Begin a transaction that will add so many facts."""
        self._transactions += 1
        transaction = Transaction(self._transactions, self._places + 1)
        self._places += facts
        self._open.add(transaction.number)
        return transaction

    def rollback(self, transaction: Transaction) -> None:
        """It never happened; its places stay empty."""
        self._open.discard(transaction.number)

    def commit(
        self,
        transaction: Transaction,
        stream: str,
        drafts: Sequence[Draft],
        *,
        expected: int,
        why: Why,
    ) -> list[Recorded]:
        """All of it, or nothing. Raises ConcurrentAppend, AlreadyHandled, what projections raise."""
        self.rollback(transaction)
        inbox = (why.consumer, why.cause.id) if why.consumer and why.cause else None
        if (inbox and self.inbox.is_handled(*inbox)) or any(fact.id in self._by_id for fact in drafts):
            raise AlreadyHandled(why.cause.id if why.cause else "")
        history = self._streams.setdefault(stream, [])
        if len(history) != expected:
            raise ConcurrentAppend
        recorded = self._recorded(transaction, stream, drafts, expected)
        for projection in self._projections:
            projection.check(recorded)
        if inbox:
            self.inbox.mark(*inbox)
        history += recorded
        self.facts += recorded
        self._keep_order(len(recorded))
        self._by_id.update((fact.envelope.id, fact) for fact in recorded)
        for projection in self._projections:
            projection.apply(recorded)
        for hint in self._hints:
            hint.set()
        return recorded

    def find(self, ids: Sequence[str]) -> list[Recorded]:
        """Those of the facts that are there."""
        return [self._by_id[fact_id] for fact_id in ids if fact_id in self._by_id]

    async def read(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """The facts of a stream in version order."""
        return self._streams.get(stream, [])[after:][:limit]

    async def tail(self, *, after: Position = START, limit: int = 500) -> list[Recorded]:
        """Facts of transactions older than every one still open."""
        settled = [fact for fact in self._after(after, limit) if self._is_settled(fact)]
        self._readers.unsettled = not self.settled
        return settled

    @property
    def settled(self) -> bool:
        """No fact waits for an older transaction."""
        return not self.facts or self._is_settled(self.facts[-1])

    async def decided(self, *, after: Position, types: Collection[type[Event]], limit: int) -> Page:
        """Decided facts of settled transactions."""
        settled = [fact for fact in self.facts if self._is_settled(fact)]
        first = bisect_right(settled, after, key=lambda fact: fact.position)
        if after != START and (first == 0 or settled[first - 1].position != after):
            raise PositionUnknown(str(after))
        wanted = [fact for fact in settled[first:] if fact.decided and type(fact.envelope.event) in types]
        ids = [fact.envelope.id for fact in wanted[:limit]]
        if len(wanted) >= limit:
            return Page(ids, wanted[limit - 1].position, more=True)
        return Page(ids, settled[-1].position if settled else START, more=False)

    async def look_up(self, ids: Sequence[str]) -> list[Recorded]:
        """Facts by their ids."""
        return sorted(self.find(ids), key=lambda fact: fact.position)

    async def position_before(self, age: timedelta) -> Position:
        """The last fact older than `age`."""
        horizon = self._clock() - age
        old = (
            fact.position for fact in reversed(self.facts) if fact.decided and fact.envelope.time < horizon
        )
        return next(old, START)

    def appended(self) -> AbstractAsyncContextManager[Appended]:
        """Wake-ups at each append."""
        return self._appended()

    def rebuild(self, projections: Sequence[MemoryProjection]) -> None:
        """Make projections anew from the history."""
        for projection in projections:
            projection.reset()
            projection.apply(self.facts)

    def _recorded(
        self, transaction: Transaction, stream: str, drafts: Sequence[Draft], expected: int
    ) -> list[Recorded]:
        now = self._clock()
        return [
            Recorded(
                (transaction.number, transaction.first + n),
                fact.recorded_as(stream, expected + n + 1, now),
                fact.decided,
            )
            for n, fact in enumerate(drafts)
        ]

    def _keep_order(self, added: int) -> None:
        """That of transactions, whichever ended first."""
        if 0 < added < len(self.facts) and self.facts[-added - 1].position > self.facts[-added].position:
            self.facts.sort(key=lambda fact: fact.position)

    def _after(self, position: Position, limit: int) -> list[Recorded]:
        first = bisect_right(self.facts, position, key=lambda fact: fact.position)
        return self.facts[first : first + limit]

    def _is_settled(self, fact: Recorded) -> bool:
        return not self._open or fact.position[0] < min(self._open)

    @asynccontextmanager
    async def _appended(self) -> AsyncIterator[Appended]:
        hint = Hint()
        self._hints.add(hint)
        try:
            with self._readers.reading(hint) as reader:
                yield reader
        finally:
            self._hints.discard(hint)
