"""Builds, images and locks in PostgreSQL."""

import json
from collections.abc import Sequence
from datetime import timedelta

from cynthus.builder.domain.build import Built
from cynthus.builder.domain.lock import Lock
from cynthus.builder.ports import Job
from cynthus.events import (
    BuildFailed,
    BuildStarted,
    Image,
    ImageBuilt,
    RunCancelled,
    RunFailed,
    RunRequested,
    RunSucceeded,
)
from cynthus.store.database import Connection, Database
from cynthus.store.ports import Recorded

_FIND = """
    WITH found AS (
        SELECT image, packages, notes, image->>'digest' AS digest, image->>'repository' AS repository
        FROM builder.images WHERE key = $1
    ),
    listed AS (
        SELECT used_at >= clock_timestamp() - interval '1 minute' AS fresh FROM builder.catalogue
        JOIN found USING (digest, repository)
    ),
    touched AS (
        UPDATE builder.catalogue SET used_at = clock_timestamp() FROM found
        WHERE catalogue.digest = found.digest AND catalogue.repository = found.repository
          AND entry <> '{}' AND used_at < clock_timestamp() - interval '1 minute'
        RETURNING 1
    )
    SELECT image, packages, notes FROM found
    WHERE EXISTS (SELECT FROM touched) OR COALESCE((SELECT bool_or(fresh) FROM listed), true)
"""
"""An image that is just now removed is waited for, and then is not found."""
_KEEP = """
    INSERT INTO builder.images (key, image, packages, notes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_FIND_LOCK = "SELECT document FROM builder.locks WHERE key = $1 AND document IS NOT NULL"
_KEEP_LOCK = """
    INSERT INTO builder.locks (key, text, packages, document) VALUES ($1, $2, $3, $4)
    ON CONFLICT (key) DO UPDATE SET document = excluded.document
"""
_CLAIM = """
    UPDATE builder.builds SET leased_until = clock_timestamp() + $1, attempts = attempts + 1 WHERE run_id = (
        SELECT run_id FROM builder.builds AS build
        WHERE (leased_until IS NULL OR leased_until < clock_timestamp())
          AND NOT EXISTS (
            SELECT 1 FROM builder.builds AS other
            WHERE other.key = build.key AND other.run_id <> build.run_id
              AND other.leased_until > clock_timestamp()
          )
        ORDER BY "order" FOR UPDATE SKIP LOCKED LIMIT 1
    ) RETURNING run_id, key, message, attempts
"""
_ONE_CLAIM = "SELECT pg_advisory_xact_lock(hashtext('cynthus.builder.claim'))"
_RENEW = "UPDATE builder.builds SET leased_until = clock_timestamp() + $2 WHERE run_id = $1"
_ADD = """
    INSERT INTO builder.builds (run_id, key, message, "order")
    SELECT $1, $2, data, $3 FROM builder.events WHERE stream = 'run-' || $1 AND type = $4 LIMIT 1
"""
_USED = """
    INSERT INTO builder.uses (run_id, owner, digest)
    SELECT $1, data->>'owner', $2 FROM builder.events WHERE stream = 'run-' || $1 AND type = $3 LIMIT 1
    ON CONFLICT DO NOTHING
"""
_USED_BY = "SELECT digest FROM builder.uses WHERE run_id = $1"
_UNCACHE = """
    DELETE FROM builder.images WHERE image->>'digest' = $1 RETURNING image->>'repository' AS repository
"""
_DISPLACE_ALL = "DELETE FROM builder.placements WHERE repository = $1"
_LOST = frozenset({"image_missing"})
_UNUSED = "DELETE FROM builder.uses WHERE run_id = $1"
_DONE = "DELETE FROM builder.builds WHERE run_id = $1"


class PostgresBuilds:
    """The Builds port, and the projection that the builder's history keeps up to date."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: str) -> Built | None:
        """An image built earlier."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND, key)
        if row is None:
            return None
        return Built(Image.model_validate(row["image"]), row["packages"], tuple(row["notes"]))

    async def keep(self, key: str, built: Built) -> None:
        """Remember an image."""
        image = built.image.model_dump(mode="json")
        async with self._database.connection() as connection:
            await connection.execute(_KEEP, key, image, built.packages, list(built.notes))

    async def find_lock(self, key: str) -> Lock | None:
        """A lock resolved earlier."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND_LOCK, key)
        return Lock.from_json(json.dumps(row["document"])) if row is not None else None

    async def keep_lock(self, key: str, lock: Lock) -> None:
        """Remember a lock."""
        async with self._database.connection() as connection:
            document = json.loads(lock.to_json())
            await connection.execute(_KEEP_LOCK, key, lock.text, len(lock.packages), document)

    async def claim(self, lease: timedelta) -> Job | None:
        """The oldest build that nobody works on."""
        async with self._database.transaction() as connection:
            await connection.execute(_ONE_CLAIM)  # else two see the same key free at the same moment
            row = await connection.fetchrow(_CLAIM, lease)
        if row is None:
            return None
        return Job(row["run_id"], row["key"], RunRequested.model_validate(row["message"]), row["attempts"])

    async def renew(self, run_id: str, lease: timedelta) -> None:
        """Keep a claimed build for longer."""
        async with self._database.connection() as connection:
            await connection.execute(_RENEW, run_id, lease)

    async def put_off(self, run_id: str, delay: timedelta) -> None:
        """Give a claimed build back, to be claimed after a while."""
        await self.renew(run_id, delay)

    async def apply(self, connection: Connection, recorded: Sequence[Recorded]) -> None:
        """Follow the history, in the transaction that appends to it."""
        for entry in recorded:
            match entry.envelope.event:
                case BuildStarted(run_id=run_id, key=key):
                    asked = RunRequested.ce_type()
                    await connection.execute(_ADD, run_id, key, entry.position[1], asked)
                case ImageBuilt(run_id=run_id, image=image):
                    await connection.execute(_DONE, run_id)
                    await connection.execute(_USED, run_id, image.digest, RunRequested.ce_type())
                case BuildFailed(run_id=run_id, transient=False):
                    await connection.execute(_DONE, run_id)
                case RunSucceeded(run_id=run_id) | RunFailed(run_id=run_id) | RunCancelled(run_id=run_id):
                    if isinstance(event := entry.envelope.event, RunFailed) and event.cause.code in _LOST:
                        await self._forget_image(connection, run_id)
                    await connection.execute(_DONE, run_id)
                    await connection.execute(_UNUSED, run_id)
                case _:
                    continue

    async def _forget_image(self, connection: Connection, run_id: str) -> None:
        """The machine did not find the image: the next run of it is not given it from the cache."""
        used = await connection.fetchval(_USED_BY, run_id)
        for row in await connection.fetch(_UNCACHE, used):
            await connection.execute(_DISPLACE_ALL, row["repository"])

    async def reset(self, connection: Connection) -> None:
        """Forget what the history can tell again."""
        await connection.execute("DELETE FROM builder.builds")
        await connection.execute("DELETE FROM builder.uses")
