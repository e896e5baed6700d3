"""What may be removed, in PostgreSQL: images and layers that nobody uses."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from asyncpg import Record

from cynthus.builder.domain.image import Layer
from cynthus.store.database import Connection, Database

_UNUSED = """
    SELECT owner, digest, repository, environment, used_at FROM builder.catalogue AS image
    WHERE used_at < clock_timestamp() - $1::interval AND NOT EXISTS (
        SELECT FROM builder.uses WHERE uses.owner = image.owner AND uses.digest = image.digest
    )
    ORDER BY used_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_HIDE = """
    UPDATE builder.catalogue SET entry = '{}', attached = false WHERE owner = $1 AND digest = $2
"""
_FORGET_CACHED = "DELETE FROM builder.images WHERE image->>'digest' = $1 AND image->>'repository' = $2"
_DISPLACE = "DELETE FROM builder.placements WHERE repository = $1 AND digest = ANY($2)"
_ONE_COLLECTOR = "SELECT pg_advisory_xact_lock(hashtext('cynthus.builder.collect'))"
_STILL_UNUSED = """
    SELECT environment IS NOT NULL AND NOT EXISTS (
        SELECT FROM builder.catalogue AS other
        WHERE other.repository = image.repository AND other.environment = image.environment
          AND (other.owner, other.digest) <> (image.owner, image.digest)
    ) AS alone
    FROM builder.catalogue AS image
    WHERE owner = $1 AND digest = $2 AND used_at = $3 AND NOT EXISTS (
        SELECT FROM builder.uses WHERE uses.owner = image.owner AND uses.digest = image.digest
    ) FOR UPDATE
"""
_FORGET = "DELETE FROM builder.catalogue WHERE owner = $1 AND digest = $2"
_UNUSED_LAYERS = """
    WITH used AS MATERIALIZED (
        SELECT DISTINCT jsonb_array_elements(entry->'entry'->'layers')->>'digest' AS digest
        FROM builder.catalogue WHERE entry <> '{}'
    )
    SELECT key, layer FROM builder.layers
    WHERE made_at < clock_timestamp() - $1::interval
      AND NOT EXISTS (SELECT FROM used WHERE used.digest = layer->>'digest')
    ORDER BY made_at LIMIT 1 FOR UPDATE OF layers SKIP LOCKED
"""
_FORGET_LAYER = "DELETE FROM builder.layers WHERE key = $1"

Remove = Callable[[str, Sequence[str]], Awaitable[None]]
Release = Callable[[Layer], Awaitable[Sequence[str]]]


class PostgresCollectable:
    """The Collectable port. A crash between any two steps leaves what the next collection finds again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def collect(self, unused: timedelta, remove: Remove, limit: int = 20) -> int:
        """Forget images that no run used for so long; who wants one meanwhile waits, and builds it anew."""
        removed = 0
        for _ in range(limit):
            row = await self._withdraw(unused)
            if row is None:
                break
            removed += await self._remove(row, remove)
        return removed

    async def collect_layers(self, unused: timedelta, release: Release, limit: int = 100) -> int:
        """Forget layers that no image has and no build asked for so long."""
        for removed in range(limit):
            async with self._database.transaction() as connection:
                row = await connection.fetchrow(_UNUSED_LAYERS, unused)
                if row is None:
                    return removed
                layer = Layer(**row["layer"])
                gone = await release(layer)
                await connection.execute(_DISPLACE, layer.repository, [layer.digest, *gone])
                await connection.execute(_FORGET_LAYER, row["key"])
        return limit

    async def _withdraw(self, unused: timedelta) -> Record | None:
        """From now on nobody is given this image, whatever becomes of us: it is in no list and no cache."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_UNUSED, unused)
            if row is not None:
                await connection.execute(_HIDE, row["owner"], row["digest"])
                await connection.execute(_FORGET_CACHED, row["digest"], row["repository"])
                await self._displace(connection, row)
        return row

    async def _remove(self, row: Record, remove: Remove) -> int:
        """Remove it, unless somebody builds it again."""
        async with self._database.transaction() as connection:
            await connection.execute(_ONE_COLLECTOR)  # else two of one environment each leave it to the other
            still = await connection.fetchrow(_STILL_UNUSED, row["owner"], row["digest"], row["used_at"])
            if still is None:
                return 0
            digests = [row["digest"], *([row["environment"]] if still["alone"] else [])]
            await remove(row["repository"], digests)
            await connection.execute(_FORGET, row["owner"], row["digest"])
        return 1

    async def _displace(self, connection: Connection, row: Record) -> None:
        digests = [digest for digest in (row["digest"], row["environment"]) if digest is not None]
        await connection.execute(_DISPLACE, row["repository"], digests)
