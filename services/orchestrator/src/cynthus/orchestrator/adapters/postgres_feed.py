"""Facts about all runs of an owner, in the order of the store."""

from cynthus.store.database import Database
from cynthus.store.ports import Position, Recorded
from cynthus.store.rows import recorded_from

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

    async def feed(self, owner: str, after: Position | None, limit: int) -> tuple[list[Recorded], Position]:
        """Facts after a position and where to go on; None: nothing yet, only where to go on from."""
        async with self._database.connection() as connection:
            if after is None:
                row = await connection.fetchrow(_HEAD)
                return [], (row["transaction_id"], row["position"]) if row else (0, 0)
            rows = await connection.fetch(_AFTER, owner, *after, limit)
        recorded = [recorded_from(row) for row in rows]
        return recorded, recorded[-1].position if recorded else after
