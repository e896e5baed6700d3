"""Builds, images and locks in PostgreSQL."""

from collections.abc import Sequence
from datetime import timedelta

from cynthus.builder.domain.build import Built
from cynthus.builder.ports import Job, Lock
from cynthus.events import BuildFailed, BuildStarted, Image, ImageBuilt, RunRequested
from cynthus.store.database import Connection, Database
from cynthus.store.ports import Recorded

_FIND = "SELECT image, packages, notes FROM builder.images WHERE key = $1"
_KEEP = """
    INSERT INTO builder.images (key, image, packages, notes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_FIND_LOCK = "SELECT text, packages FROM builder.locks WHERE key = $1"
_KEEP_LOCK = "INSERT INTO builder.locks (key, text, packages) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_CLAIM = """
    UPDATE builder.builds SET leased_until = clock_timestamp() + $1 WHERE run_id = (
        SELECT run_id FROM builder.builds
        WHERE leased_until IS NULL OR leased_until < clock_timestamp()
        ORDER BY "order" FOR UPDATE SKIP LOCKED LIMIT 1
    ) RETURNING run_id, key, message
"""
_RENEW = "UPDATE builder.builds SET leased_until = clock_timestamp() + $2 WHERE run_id = $1"
_ADD = """
    INSERT INTO builder.builds (run_id, key, message, "order")
    SELECT $1, $2, data, $3 FROM builder.events WHERE stream = 'run-' || $1 AND type = $4 LIMIT 1
"""
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
        return Lock(row["text"], row["packages"]) if row is not None else None

    async def keep_lock(self, key: str, lock: Lock) -> None:
        """Remember a lock."""
        async with self._database.connection() as connection:
            await connection.execute(_KEEP_LOCK, key, lock.text, lock.packages)

    async def claim(self, lease: timedelta) -> Job | None:
        """The oldest build that nobody works on."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_CLAIM, lease)
        if row is None:
            return None
        return Job(row["run_id"], row["key"], RunRequested.model_validate(row["message"]))

    async def renew(self, run_id: str, lease: timedelta) -> None:
        """Keep a claimed build for longer."""
        async with self._database.connection() as connection:
            await connection.execute(_RENEW, run_id, lease)

    async def apply(self, connection: Connection, recorded: Sequence[Recorded]) -> None:
        """Follow the history, in the transaction that appends to it."""
        for entry in recorded:
            match entry.envelope.event:
                case BuildStarted(run_id=run_id, key=key):
                    asked = RunRequested.ce_type()
                    await connection.execute(_ADD, run_id, key, entry.position[1], asked)
                case ImageBuilt(run_id=run_id) | BuildFailed(run_id=run_id):
                    await connection.execute(_DONE, run_id)
                case _:
                    continue

    async def reset(self, connection: Connection) -> None:
        """Forget what the history can tell again."""
        await connection.execute("DELETE FROM builder.builds")
