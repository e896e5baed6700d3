"""One subscriber's messages in PostgreSQL: claimed under a lease, then acknowledged or put back."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from cynthus.bus.postgres import functions
from cynthus.store.database import Database

_CLAIM = f"SELECT id, attempts, data FROM {functions.CLAIM}($1, $2, $3, $4)"  # noqa: S608 - a constant
_ACKNOWLEDGE = f"SELECT {functions.ACKNOWLEDGE}($1)"

_PUT_BACK = """
UPDATE bus.messages AS waiting
SET leased_until = NULL, visible_at = now() + make_interval(secs => failed.delay_s)
FROM unnest($1::bigint[], $2::int[], $3::float8[]) AS failed (id, attempts, delay_s)
WHERE waiting.id = failed.id AND waiting.attempts = failed.attempts
"""

_EXTEND = """
UPDATE bus.messages AS held SET leased_until = now() + make_interval(secs => $3)
FROM unnest($1::bigint[], $2::int[]) AS mine (id, attempts)
WHERE held.id = mine.id AND held.attempts = mine.attempts
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to handle a message until the lease ends; void once somebody claimed it again."""

    id: int
    attempt: int


class Queue:
    """Each call is one statement in its own transaction: nothing stays open while a handler runs."""

    def __init__(self, database: Database, subscriber: str, types: Sequence[str], lease_s: float) -> None:
        self._database = database
        self.subscriber = subscriber
        self.types = list(types)
        self._lease_s = lease_s

    async def claim(self, most: int) -> list[tuple[Claim, bytes]]:
        """Up to `most` waiting messages, oldest first; the attempt is counted before anybody handles it."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_CLAIM, self.subscriber, self.types, most, self._lease_s)
        return [
            (Claim(row["id"], row["attempts"]), row["data"]) for row in sorted(rows, key=itemgetter("id"))
        ]

    async def acknowledge(self, claims: Sequence[Claim]) -> None:
        """Remove messages that were handled."""
        async with self._database.connection() as connection:
            await connection.execute(_ACKNOWLEDGE, [claim.id for claim in claims])

    async def put_back(self, claims: Sequence[tuple[Claim, float]]) -> None:
        """Make messages visible again, each after its delay in seconds, unless claimed by somebody else."""
        async with self._database.connection() as connection:
            await connection.execute(
                _PUT_BACK,
                [claim.id for claim, _ in claims],
                [claim.attempt for claim, _ in claims],
                [delay_s for _, delay_s in claims],
            )

    async def extend(self, claims: Sequence[Claim]) -> None:
        """Renew the leases of messages that are still being handled."""
        async with self._database.connection() as connection:
            await connection.execute(
                _EXTEND, [claim.id for claim in claims], [claim.attempt for claim in claims], self._lease_s
            )
