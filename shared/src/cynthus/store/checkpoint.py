"""How far a relay got."""

from cynthus.store.database import Database
from cynthus.store.ports import START, Position
from cynthus.store.statements import in_schema

_LOAD = "SELECT transaction_id, position FROM @.checkpoints WHERE name = $1"

_SAVE = """
INSERT INTO @.checkpoints (name, transaction_id, position) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET transaction_id = excluded.transaction_id, position = excluded.position"""


class PostgresCheckpoint:
    """A row in the service's schema; the turn is a lock that is gone when its process is."""

    def __init__(self, database: Database, *, schema: str, name: str = "relay") -> None:
        self._database = database
        self._name = name
        self._lock = f"{schema}.{name}"
        self._had = False
        self._load = in_schema(_LOAD, schema)
        self._save = in_schema(_SAVE, schema)

    async def mine(self) -> bool:
        """Whether this relay has the lock; once no, when it lost it: its position may be no more.

        Others went on meanwhile, or a crash undid what was not on disk, and its places are taken again.
        """
        if self._had and not self._database.holds(self._lock, self):
            self._had = False
        else:
            self._had = await self._database.try_lock(self._lock, self)
        return self._had

    async def load(self) -> Position:
        """The saved position."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(self._load, self._name)
        return (row["transaction_id"], row["position"]) if row else START

    async def save(self, position: Position) -> None:
        """Save it."""
        async with self._database.connection() as connection:
            await connection.execute(self._save, self._name, *position)

    async def release(self) -> None:
        """Give the lock back."""
        await self._database.unlock(self._lock, self)


class MemoryCheckpoint:
    """Lives as long as the object; whoever has it has the turn."""

    def __init__(self) -> None:
        self.position: Position = START

    async def mine(self) -> bool:
        """Always."""
        return True

    async def load(self) -> Position:
        """The saved position."""
        return self.position

    async def save(self, position: Position) -> None:
        """Save it."""
        self.position = position

    async def release(self) -> None:
        """Nothing to give back."""
