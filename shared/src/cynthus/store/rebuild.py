"""Projections made anew from the history."""

from collections.abc import AsyncIterator, Sequence

from cynthus.store.database import Connection
from cynthus.store.ports import Recorded
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.projections import Projection
from cynthus.store.rows import recorded_from

_BATCH = 500


async def rebuild(store: PostgresEventStore, projections: Sequence[Projection]) -> int:
    """Empty the projections and replay everything in one transaction; gives the number of facts.

    Appends wait meanwhile, so that none is missed and none applied twice.
    """
    count = 0
    async with store.database.transaction() as connection:
        await connection.execute(f'LOCK TABLE "{store.schema}".events IN SHARE ROW EXCLUSIVE MODE')
        for projection in projections:
            await projection.reset(connection)
        async for recorded in _replay(connection, store.sql.history):
            for projection in projections:
                await projection.apply(connection, recorded)
            count += len(recorded)
    return count


async def _replay(connection: Connection, history: str) -> AsyncIterator[list[Recorded]]:
    cursor = await connection.cursor(history)
    while rows := await cursor.fetch(_BATCH):
        yield [recorded_from(row) for row in rows]
