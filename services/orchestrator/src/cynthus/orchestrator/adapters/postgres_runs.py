"""Questions about runs, answered from their tables."""

from datetime import datetime
from typing import TYPE_CHECKING

from cynthus.orchestrator.domain.run import Run
from cynthus.orchestrator.handlers.refusals import RunAmbiguous, RunNotFound
from cynthus.orchestrator.ports import MachineWork, RunFilter
from cynthus.store.database import Database
from cynthus.store.storable import storable_text, storable_value

if TYPE_CHECKING:
    import asyncpg

_PREFIX_CHARACTERS = 8
_VISIBLE = "NOT EXISTS (SELECT FROM orchestrator.hidden_runs AS hidden WHERE hidden.run_id = runs.id)"


def _of_visible(sql: str) -> str:
    return sql.replace("@visible", _VISIBLE)


_BY_ID = _of_visible("SELECT document FROM orchestrator.runs WHERE owner = $1 AND id = $2 AND @visible")
_BY_PREFIX = _of_visible("""
    SELECT document FROM orchestrator.runs
    WHERE owner = $1 AND starts_with(id, $2) AND @visible ORDER BY id LIMIT 2""")
_BY_NAME = _of_visible("""
    SELECT document FROM orchestrator.runs
    WHERE owner = $1 AND name = $2 AND @visible ORDER BY id DESC LIMIT 1""")
_PAGE = _of_visible("""
    SELECT document FROM orchestrator.runs
    WHERE owner = $1 AND ($2::text IS NULL OR project = $2) AND ($3::text IS NULL OR name = $3)
        AND (cardinality($4::text[]) = 0 OR state = ANY($4)) AND labels @> $5
        AND ($6::text IS NULL OR id < $6) AND @visible
    ORDER BY id DESC LIMIT $7""")
_COUNTS = _of_visible("""
    SELECT state, count(*) AS runs FROM orchestrator.runs WHERE owner = $1 AND @visible GROUP BY state""")
_HIDE = "INSERT INTO orchestrator.hidden_runs (run_id) VALUES ($1) ON CONFLICT DO NOTHING"
_NAMES_MANIFEST = _of_visible("""
    SELECT EXISTS (SELECT FROM orchestrator.runs
                   WHERE owner = $1 AND id <> $2 AND strpos(document::text, $3) > 0 AND @visible)""")
_DUE = """
    SELECT id FROM orchestrator.runs
    WHERE deadline_at <= $1 AND (state = 'RETRYING' OR NOT $2) ORDER BY deadline_at LIMIT 500"""
_WORK = """
    SELECT EXISTS (SELECT FROM orchestrator.attempts WHERE machine = $1 AND gone) AS gone,
           (SELECT runs.document FROM orchestrator.attempts AS mine
            JOIN orchestrator.runs ON runs.id = mine.run_id
            WHERE mine.machine = $1 AND mine.state = 'STARTING' ORDER BY mine.run_id LIMIT 1) AS document"""


class PostgresRuns:
    """The owner is part of every question: what is not his does not exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, owner: str, key: str) -> Run:
        """By id, unambiguous prefix of at least 8 characters, or name. Raises RunNotFound, RunAmbiguous."""
        key = storable_text(key)
        async with self._database.connection() as connection:
            found = await connection.fetch(_BY_ID, owner, key)
            if not found and len(key) >= _PREFIX_CHARACTERS:
                found = await connection.fetch(_BY_PREFIX, owner, key)
            if not found:
                found = await connection.fetch(_BY_NAME, owner, key)
        if not found:
            raise RunNotFound(f"there is no run {key!r}")
        if len(found) > 1:
            raise RunAmbiguous(f"several runs begin with {key!r}")
        return _run(found[0])

    async def page(self, wanted: RunFilter, limit: int) -> list[Run]:
        """Newest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _PAGE,
                wanted.owner,
                *storable_value(
                    [wanted.project, wanted.name, list(wanted.states), wanted.labels, wanted.before]
                ),
                limit,
            )
        return [_run(row) for row in rows]

    async def counts(self, owner: str) -> dict[str, int]:
        """Runs by state."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_COUNTS, owner)
        return {row["state"]: row["runs"] for row in rows}

    async def hide(self, run_id: str) -> None:
        """Show a run no more."""
        async with self._database.connection() as connection:
            await connection.execute(_HIDE, run_id)

    async def names_manifest(self, run: Run, manifest: str) -> bool:
        """Whether another run of the same owner needs this manifest."""
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(_NAMES_MANIFEST, run.owner, run.id, manifest))

    async def due(self, now: datetime, *, only_retries: bool) -> list[str]:
        """Runs whose deadline has passed."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_DUE, now, only_retries)
        return [row["id"] for row in rows]

    async def now(self) -> datetime:
        """The database's clock."""
        async with self._database.connection() as connection:
            now: datetime = await connection.fetchval("SELECT clock_timestamp()")
        return now

    async def work_of(self, machine: str) -> MachineWork:
        """What a machine should do now."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_WORK, machine)
        assert row is not None
        return MachineWork(_run(row) if row["document"] is not None else None, row["gone"])


def _run(row: "asyncpg.Record") -> Run:
    return Run.model_validate(row["document"])
