"""Which failures mean that the database is away, not that a statement was wrong."""

import asyncpg

OUTAGES: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,  # used in the moment between the server's last word and its hanging up
    ConnectionError,
    TimeoutError,
)
CONNECT_OUTAGES: tuple[type[BaseException], ...] = (*OUTAGES, OSError)


def is_outage(error: BaseException, *, connection_closed: bool) -> bool:
    """Whether `error`, seen while using a connection, says that the database cannot be reached."""
    return isinstance(error, OUTAGES) or (connection_closed and isinstance(error, asyncpg.InterfaceError))
