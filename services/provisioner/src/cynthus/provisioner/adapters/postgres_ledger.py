"""The ledger in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from cynthus.provisioner.domain.pool import MachineRow, Stage
from cynthus.provisioner.ports import Waiting
from cynthus.store.database import Database

_MACHINES = "SELECT name, stage, since, run_id, epoch FROM provisioner.machines WHERE stage <> 'gone'"
_WAITING = """
    SELECT run_id, epoch FROM provisioner.requests WHERE stage = 'waiting' ORDER BY "order" LIMIT $1
"""
_IDLE = "SELECT name FROM provisioner.machines WHERE stage = 'idle' ORDER BY since DESC LIMIT 1"
_HELD = "SELECT count(*) FROM provisioner.machines WHERE stage = 'held'"
_INTEND = "INSERT INTO provisioner.machines (name, stage) VALUES ($1, 'intended') ON CONFLICT DO NOTHING"
_CREATED = """
    UPDATE provisioner.machines SET stage = 'booting', since = clock_timestamp()
    WHERE name = $1 AND stage = 'intended'
"""
_HELLO = """
    UPDATE provisioner.machines
    SET stage = CASE WHEN stage IN ('intended', 'booting') THEN 'idle' ELSE stage END,
        since = CASE WHEN stage IN ('intended', 'booting') THEN clock_timestamp() ELSE since END
    WHERE name = $1 AND stage IN ('intended', 'booting', 'idle', 'held')
    RETURNING name
"""
_DELETING = """
    INSERT INTO provisioner.machines (name, stage) VALUES ($1, 'deleting')
    ON CONFLICT (name) DO UPDATE
    SET stage = 'deleting',
        since = CASE WHEN machines.stage = 'deleting' THEN machines.since ELSE clock_timestamp() END
    WHERE machines.stage <> 'held'
    RETURNING name
"""
_GONE = """
    UPDATE provisioner.machines SET stage = 'gone', since = clock_timestamp()
    WHERE name = $1 AND stage <> 'gone' RETURNING run_id
"""


class PostgresLedger:
    """The Ledger port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def machines(self) -> Sequence[MachineRow]:
        """Every machine that is not gone."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_MACHINES)
        return [
            MachineRow(row["name"], Stage(row["stage"]), row["since"], row["run_id"], row["epoch"])
            for row in rows
        ]

    async def waiting(self, limit: int = 100) -> Sequence[Waiting]:
        """Requests without a machine, oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_WAITING, limit)
        return [Waiting(row["run_id"], row["epoch"]) for row in rows]

    async def idle_machine(self) -> str | None:
        """The idle machine that was used last."""
        name: str | None = await self._value(_IDLE)
        return name

    async def held(self) -> int:
        """How many machines are held."""
        count: int = await self._value(_HELD)
        return count

    async def intend(self, name: str) -> None:
        """Record the intent to create a machine."""
        await self._value(_INTEND, name)

    async def created(self, name: str) -> None:
        """The provider took the call."""
        await self._value(_CREATED, name)

    async def hello(self, name: str) -> bool:
        """A worker said hello; False: it is not wanted."""
        return await self._value(_HELLO, name) is not None

    async def deleting(self, name: str) -> bool:
        """Decide to delete a machine nobody holds."""
        return await self._value(_DELETING, name) is not None

    async def gone(self, name: str) -> str | None:
        """The provider no longer lists it."""
        run_id: str | None = await self._value(_GONE, name)
        return run_id

    async def _value(self, sql: str, *arguments: object) -> Any:
        async with self._database.connection() as connection:
            return await connection.fetchval(sql, *arguments)
