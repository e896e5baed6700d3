"""Which snapshots are complete, in PostgreSQL."""

from cynthus.gateway.adapters.recent import Recent
from cynthus.gateway.ports import SnapshotSize
from cynthus.store.database import Database

_FIND = "SELECT files, bytes FROM gateway.snapshots WHERE owner = $1 AND digest = $2"
_NOTE = """
    INSERT INTO gateway.snapshots (owner, digest, files, bytes) VALUES ($1, $2, $3, $4)
    ON CONFLICT (owner, digest) DO NOTHING"""
_KEPT = 10_000


class PostgresSnapshots:
    """Complete snapshots; they never change, so what was seen once is remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Recent[tuple[str, str], SnapshotSize] = Recent(_KEPT)

    async def find(self, owner: str, digest: str) -> SnapshotSize | None:
        """The size of a complete snapshot, or None."""
        if known := self._known.get((owner, digest)):
            return known
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND, owner, digest)
        if row is None:
            return None
        size = SnapshotSize(row["files"], row["bytes"])
        self._known.put((owner, digest), size)
        return size

    async def note(self, owner: str, digest: str, size: SnapshotSize) -> None:
        """A snapshot is complete."""
        async with self._database.connection() as connection:
            await connection.execute(_NOTE, owner, digest, size.files, size.bytes)
        self._known.put((owner, digest), size)
