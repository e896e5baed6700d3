"""Facts about one run or all runs of an owner, in the order of the store."""

from cynthus.orchestrator.ports import History
from cynthus.store.database import Database
from cynthus.store.ports import Position, Recorded
from cynthus.store.rows import FACT_COLUMNS, recorded_from

_HIDDEN = "SELECT FROM orchestrator.hidden_runs AS hidden WHERE hidden.run_id = runs.id"
_HISTORY = f"""
    SELECT runs.version AS newest, runs.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') AS over, facts.*
    FROM orchestrator.runs LEFT JOIN LATERAL (
        SELECT {FACT_COLUMNS} FROM orchestrator.events
        WHERE stream = 'run-' || runs.id AND version > $3 ORDER BY version LIMIT $4) AS facts ON true
    WHERE runs.id = $2 AND runs.owner = $1 AND NOT EXISTS ({_HIDDEN}) ORDER BY facts.version"""  # noqa: S608 - no value in it
_HEAD = """
    SELECT transaction_id, position FROM orchestrator.events
    WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY transaction_id DESC, position DESC LIMIT 1"""
_AFTER = """
    SELECT e.transaction_id, e.position, e.stream, e.version, e.id, e.type, e.source, e.actor,
           e.correlation_id, e.causation_id, e.traceparent, e.at, e.decided, e.data::text AS data
    FROM orchestrator.events AS e
    JOIN orchestrator.runs ON e.stream = 'run-' || runs.id AND runs.owner = $1
    WHERE (e.transaction_id, e.position) > ($2::xid8, $3::bigint)
        AND e.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        AND NOT EXISTS (SELECT FROM orchestrator.hidden_runs AS hidden WHERE hidden.run_id = runs.id)
    ORDER BY e.transaction_id, e.position LIMIT $4"""


class PostgresFeed:
    """A fact that commits late is never skipped."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def history(self, owner: str, run_id: str, after: int, limit: int) -> History | None:
        """Facts of a run after a version, and whether it is over: one statement, so one moment."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_HISTORY, owner, run_id, after, limit)
        if not rows:
            return None
        facts = [recorded_from(row) for row in rows if row["id"] is not None]
        seen = facts[-1].envelope.sequence if facts else after
        return History(facts, rows[0]["over"] and seen >= rows[0]["newest"])

    async def feed(self, owner: str, after: Position | None, limit: int) -> tuple[list[Recorded], Position]:
        """Facts after a position and where to go on; None: nothing yet, only where to go on from."""
        async with self._database.connection() as connection:
            if after is None:
                row = await connection.fetchrow(_HEAD)
                return [], (row["transaction_id"], row["position"]) if row else (0, 0)
            rows = await connection.fetch(_AFTER, owner, *after, limit)
        recorded = [recorded_from(row) for row in rows]
        return recorded, recorded[-1].position if recorded else after
