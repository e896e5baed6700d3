"""The ledger in PostgreSQL."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from cynthus.provisioner.adapters import ledger_statements as sql
from cynthus.provisioner.domain.machine import Listed, MachineRow, Snapshot, Stage
from cynthus.provisioner.domain.pool import Limits, Marks, lacking
from cynthus.provisioner.ports import Greeting, Intent, Refusal, Waiting
from cynthus.runtime.crash_points import reach
from cynthus.store.database import Connection, Database


class PostgresLedger:
    """The Ledger port. A refusal is remembered for `memory`: its zone is not asked again before."""

    def __init__(self, database: Database, *, memory: timedelta = timedelta(seconds=30)) -> None:
        self._database = database
        self._memory = memory

    async def claim_look(self, gap_s: float) -> bool:
        """One statement decides for all replicas."""
        return await self._value(sql.CLAIM, gap_s) is not None

    async def snapshot(self) -> Snapshot:
        """The clock is read first: nothing in the snapshot is younger."""
        async with self._database.connection() as connection:
            return await self._snapshot(connection)

    async def find(self, name: str) -> MachineRow | None:
        """One row."""
        async with self._database.connection() as connection:
            record = await connection.fetchrow(sql.FIND, name)
        return None if record is None else _row(record)

    async def waiting(self, limit: int = 100) -> Sequence[Waiting]:
        """Requests without a machine, oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(sql.WAITING, limit)
        return [Waiting(row["run_id"], row["epoch"], row["delayed"]) for row in rows]

    async def idle_machine(self) -> str | None:
        """The idle machine that was used last."""
        name: str | None = await self._value(sql.IDLE)
        return name

    async def held(self) -> int:
        """How many machines are held."""
        count: int = await self._value(sql.HELD)
        return count

    async def intend(self, intent: Intent, limits: Limits, pause: timedelta) -> bool:
        """The need is looked at again while nobody else can add to what is coming."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.ONE_BY_ONE)
            snapshot = await self._snapshot(connection)
            if not lacking(snapshot.rows, snapshot.waiting, limits):
                return False
            values = (intent.name, intent.zone, intent.request_id, intent.why, pause)
            return await connection.fetchval(sql.INTEND, *values) is not None

    async def asking(self, machine: MachineRow, pause: timedelta) -> bool:
        """Count a call before it is made."""
        at = (machine.name, machine.stage, machine.since, machine.attempts)
        return await self._value(sql.ASKING, *at, pause) is not None

    async def put_off(self, name: str, pause: timedelta) -> None:
        """Not before the pause is over."""
        await self._value(sql.PUT_OFF, name, pause)

    async def created(self, name: str) -> None:
        """The provider has it."""
        await self._value(sql.CREATED, name)

    async def refused(self, name: str, refusal: Refusal, why: str) -> None:
        """The provider has it not, unless an earlier call made it."""
        await self._value(sql.REFUSED, name, refusal, why)

    async def hello(self, name: str, boot: str | None) -> Greeting:
        """A worker said hello."""
        async with self._database.connection() as connection:
            if await connection.fetchval(sql.HELLO, name, boot) is not None:
                return Greeting.WELCOME
            known = await connection.fetchval(sql.KNOWN_UP, name)
        return Greeting.UNWANTED if known is None else Greeting.AGAIN

    async def close(self, machine: MachineRow, why: str, pause: timedelta) -> bool:
        """Decide to delete a machine nobody holds."""
        at = (machine.name, machine.stage, machine.since)
        return await self._value(sql.CLOSE, *at, why, pause) is not None

    async def adopt(self, listed: Listed, why: str) -> bool:
        """Take in what should not be there."""
        return await self._value(sql.ADOPT, listed.name, listed.zone, why) is not None

    async def mark(self, marks: Marks) -> None:
        """One statement for all."""
        groups = (marks.seen, marks.absent, marks.leaving, marks.needed, marks.needless, marks.names())
        await self._value(sql.MARK, *map(sorted, groups))

    async def gone(self, machine: MachineRow) -> bool:
        """The provider no longer lists it."""
        reach("ledger.before_gone")
        gone = await self._value(sql.GONE, machine.name, machine.stage, machine.since) is not None
        reach("ledger.gone")
        return gone

    async def _snapshot(self, connection: Connection) -> Snapshot:
        now = await connection.fetchval(sql.NOW)
        rows = await connection.fetch(sql.MACHINES)
        refusals = await connection.fetch(sql.REFUSALS, self._memory)
        return Snapshot(
            now,
            tuple(_row(record) for record in rows),
            await connection.fetchval(sql.COUNT_WAITING),
            frozenset(row["zone"] for row in refusals if row["refusal"] == Refusal.OUT_OF_STOCK),
            any(row["refusal"] == Refusal.QUOTA for row in refusals),
        )

    async def _value(self, statement: str, *arguments: object) -> Any:
        async with self._database.connection() as connection:
            return await connection.fetchval(statement, *arguments)


def _row(record: asyncpg.Record) -> MachineRow:
    return MachineRow(**{**record, "stage": Stage(record["stage"])})
