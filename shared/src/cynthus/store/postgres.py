"""The event store on PostgreSQL."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

import asyncpg

from cynthus.events import Event
from cynthus.runtime.crash_points import reach
from cynthus.store.appended import Readers
from cynthus.store.clock import Clock, utc_now
from cynthus.store.database import Connection, Database
from cynthus.store.ports import (
    START,
    AlreadyHandled,
    Appended,
    ConcurrentAppend,
    Page,
    Position,
    PositionUnknown,
    Recorded,
    StoreUnavailable,
    Why,
)
from cynthus.store.projections import Projection, StatementProjection, Tables
from cynthus.store.recording import Draft, draft
from cynthus.store.rows import arrays, recorded_from, scalars
from cynthus.store.statements import MOST_SCALARS, Gate, add, statements


class _Refused(Exception):
    """The statement wrote nothing."""


class PostgresEventStore:
    """One service's history in its own schema.

    With `relaxed_consumers` the effects of a message do not wait for the disk, unless `why.durable`: only
    where the bus keeps its messages in the same database, and a crash that undoes them undoes the later
    acknowledgement too.
    """

    def __init__(
        self,
        database: Database,
        *,
        schema: str,
        source: str,
        projections: Sequence[Projection] = (),
        relaxed_consumers: bool = False,
        clock: Clock = utc_now,
    ) -> None:
        self.database = database
        self.schema = schema
        self.source = source
        self.channel = f"{schema}_events"
        self._projections = tuple(projections)
        first, *others = self._projections or (None,)
        self._statement = first if isinstance(first, StatementProjection) and not others else None
        self._with_tables: dict[tuple[Gate, int | None, str], str] = {}
        self._relaxed = relaxed_consumers
        self._clock = clock
        self.sql = statements(schema)
        self._readers = Readers()

    async def append(
        self, stream: str, events: Sequence[Event], *, expected: int, why: Why
    ) -> list[Recorded]:
        """Add facts after version `expected`: one statement, and the projections if there are any."""
        drafts = draft(events, why, self.source)
        if not drafts and not (why.cause and why.consumer):
            return []
        reach("append.before_statement")
        try:
            recorded = await self._write(stream, drafts, expected, why)
        except (asyncpg.UniqueViolationError, _Refused) as error:
            raise await self._refusal(drafts, why) from error
        except StoreUnavailable as error:
            recorded = await self._read_back(drafts, error)
        reach("append.committed")
        self._readers.add(recorded)
        self.database.announce(self.channel)
        reach("append.announced")
        return recorded

    async def read(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """The facts of a stream in version order."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(self.sql.read, stream, after, limit)
        return [recorded_from(row) for row in rows]

    async def tail(self, *, after: Position = START, limit: int = 500) -> list[Recorded]:
        """Facts of transactions older than every one still open: nothing can appear before them later."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(self.sql.tail, *after, limit)
        settled = [row for row in rows if row["settled"]]
        self._readers.unsettled = len(settled) < len(rows)
        return [recorded_from(row) for row in settled]

    async def decided(self, *, after: Position, types: Collection[type[Event]], limit: int) -> Page:
        """Decided facts of settled transactions; costs one small query when there is nothing new."""
        async with self.database.connection() as connection:
            row = await connection.fetchrow(self.sql.settled, *after)
            last = (row["transaction_id"], row["position"]) if row else START
            if after != START and not (row and row["known"]):
                raise PositionUnknown(str(after))
            if last <= after:
                return Page((), after, more=False)
            names = [event.ce_type() for event in types]
            rows = await connection.fetch(self.sql.decided, *after, *last, names, limit)
        ids = [row["id"] for row in rows]
        if len(rows) == limit:
            return Page(ids, (rows[-1]["transaction_id"], rows[-1]["position"]), more=True)
        return Page(ids, last, more=False)

    async def look_up(self, ids: Sequence[str]) -> list[Recorded]:
        """Facts by their ids."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(self.sql.by_id, list(ids))
        return [recorded_from(row) for row in rows]

    async def position_before(self, age: timedelta) -> Position:
        """The last fact older than `age`."""
        async with self.database.connection() as connection:
            row = await connection.fetchrow(self.sql.position_before, age)
        return (row["transaction_id"], row["position"]) if row else START

    def appended(self) -> AbstractAsyncContextManager[Appended]:
        """Wake-ups by this process at once, by others through NOTIFY."""
        return self._appended()

    @asynccontextmanager
    async def _appended(self) -> AsyncIterator[Appended]:
        async with self.database.wakeups(self.channel) as hint:
            with self._readers.reading(hint) as reader:
                yield reader

    async def _write(self, stream: str, drafts: Sequence[Draft], expected: int, why: Why) -> list[Recorded]:
        if not self._projections:
            async with self.database.connection() as connection:
                return await self._insert(connection, stream, drafts, expected, why)
        tables = self._tables(stream, drafts, expected)
        if tables is not None:
            async with self.database.connection() as connection:
                return await self._insert(connection, stream, drafts, expected, why, tables=tables)
        async with self.database.transaction() as connection:
            recorded = await self._insert(connection, stream, drafts, expected, why)
            for projection in self._projections:
                await projection.apply(connection, recorded)
            reach("append.before_commit")
            return recorded

    def _tables(self, stream: str, drafts: Sequence[Draft], expected: int) -> Tables | None:
        """What facts mean can be said before they are written; then this process's clock dates them."""
        if self._statement is None or not drafts:
            return None
        now = self._clock()
        tables = self._statement.tables(
            [
                Recorded(START, fact.recorded_as(stream, version, now), fact.decided)
                for version, fact in enumerate(drafts, expected + 1)
            ]
        )
        if tables is not None:
            for fact in drafts:
                fact.at = fact.at or now
        return tables

    async def _insert(
        self,
        connection: Connection,
        stream: str,
        drafts: Sequence[Draft],
        expected: int,
        why: Why,
        *,
        tables: Tables | None = None,
    ) -> list[Recorded]:
        inbox = (why.consumer, why.cause.id) if why.consumer and why.cause else ()
        gate = self._gate(why)
        if not drafts:
            if not await connection.fetch(self.sql.mark[gate], stream, expected, *inbox):
                raise _Refused
            return []
        few = len(drafts) <= MOST_SCALARS
        sql = self._add(gate, len(drafts) if few else None, tables)
        values = [*(scalars(drafts) if few else arrays(drafts)), *(tables.arguments if tables else ())]
        row = await connection.fetchrow(sql, stream, expected, *inbox, *values)
        if row is None:
            raise _Refused
        transaction_id, now, positions = row
        return [
            Recorded((transaction_id, position), fact.recorded_as(stream, version, now), fact.decided)
            for version, (fact, position) in enumerate(zip(drafts, positions, strict=True), expected + 1)
        ]

    def _add(self, gate: Gate, rows: int | None, tables: Tables | None) -> str:
        if tables is None:
            return self.sql.add[gate, rows]
        key = (gate, rows, tables.sql)
        if key not in self._with_tables:
            self._with_tables[key] = add(self.schema, gate=gate, rows=rows, tables=tables.sql)
        return self._with_tables[key]

    def _gate(self, why: Why) -> Gate:
        if why.cause is None or why.consumer is None:
            return "version"
        return "relaxed" if self._relaxed and not why.durable else "message"

    async def _refusal(self, drafts: Sequence[Draft], why: Why) -> Exception:
        """Why nothing was written; a cause that is done counts more than a stream that moved on."""
        if why.cause is None:
            return ConcurrentAppend()
        taken_over = [fact.id for fact in drafts if not fact.decided]
        async with self.database.connection() as connection:
            handled = await connection.fetchval(self.sql.handled, why.consumer, why.cause.id, taken_over)
        return AlreadyHandled(why.cause.id) if handled else ConcurrentAppend()

    async def _read_back(self, drafts: Sequence[Draft], error: StoreUnavailable) -> list[Recorded]:
        """After a lost reply only the facts themselves tell whether they were written."""
        found = await self.look_up([fact.id for fact in drafts])
        if not drafts or len(found) < len(drafts):
            raise error
        return found
