"""Which failures mean that the database is away or busy, not that a statement was wrong."""

import asyncpg

_LOST: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,  # used in the moment between the server's last word and its hanging up
    ConnectionError,
    TimeoutError,
)
_REFUSED: tuple[type[BaseException], ...] = (
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,  # deadlocks and serialization failures: somebody else went first
)
CONNECT_OUTAGES: tuple[type[BaseException], ...] = (*_LOST, OSError)


def is_outage(error: BaseException, *, connection_closed: bool) -> bool:
    """Whether `error`, seen while using a connection, passes: the same may succeed in a moment."""
    return isinstance(error, _REFUSED) or is_loss(error, connection_closed=connection_closed)


def is_loss(error: BaseException, *, connection_closed: bool) -> bool:
    """Whether the connection is of no use any more, and what was asked last may or may not have happened."""
    return isinstance(error, _LOST) or (connection_closed and isinstance(error, asyncpg.InterfaceError))
