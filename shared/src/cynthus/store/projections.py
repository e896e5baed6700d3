"""Tables that are a function of the history: written with it, and rebuilt from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class Tables:
    """Common table expressions that write what facts mean, each row of theirs selected FROM gate.

    Parameters count from $1; `gate` has one row if the facts are added, and none if they are refused.
    """

    sql: str
    arguments: tuple[object, ...]


@runtime_checkable
class StatementProjection(Projection, Protocol):
    """A projection that can mostly be part of the very statement that appends."""

    def tables(self, foreseen: Sequence[Recorded]) -> Tables | None:
        """What facts mean that have no position yet; None: that takes a look at the database."""
        ...
