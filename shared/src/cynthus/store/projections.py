"""Tables that are a function of the history: written with it, and rebuilt from it."""

from collections.abc import Sequence
from typing import Protocol

from cynthus.store.pool import Connection
from cynthus.store.ports import Recorded


class Projection(Protocol):
    """Keeps a table in step with the facts, inside the transaction that appends them."""

    async def apply(self, connection: Connection, recorded: Sequence[Recorded]) -> None:
        """Write what the facts mean."""
        ...

    async def reset(self, connection: Connection) -> None:
        """Empty the table."""
        ...
