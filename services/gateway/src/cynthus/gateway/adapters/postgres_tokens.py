"""Tokens in PostgreSQL, and the local owner's from the settings."""

from cynthus.gateway.adapters.recent import Recent
from cynthus.store.database import Database

_OWNER = "SELECT owner FROM gateway.tokens WHERE fingerprint = $1 AND revoked_at IS NULL"
_KEPT = 10_000
_FRESH_S = 5.0


class PostgresTokens:
    """Answers from memory for 5 seconds, so that a revoked token works no longer than that."""

    def __init__(self, database: Database, fixed: dict[str, str]) -> None:
        self._database = database
        self._fixed = fixed
        self._recent: Recent[str, str] = Recent(_KEPT, _FRESH_S)

    async def owner_of(self, fingerprint: str) -> str | None:
        """The owner of a token that was not revoked."""
        owner = self._fixed.get(fingerprint) or self._recent.get(fingerprint)
        if owner is not None:
            return owner
        async with self._database.connection() as connection:
            found: str | None = await connection.fetchval(_OWNER, fingerprint)
        if found is not None:
            self._recent.put(fingerprint, found)
        return found
