"""PostgreSQL for a whole process: connections, transactions, wake-ups, one kind of outage."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any

import asyncpg
import orjson

from cynthus.store.listening import Hint, Listening
from cynthus.store.outages import CONNECT_OUTAGES, is_loss, is_outage
from cynthus.store.pool import Connection, Pool
from cynthus.store.ports import StoreUnavailable

__all__ = ["Connection", "Database", "open_database"]

_CONNECT_TIMEOUT_S = 10.0
_STATEMENT_TIMEOUT_S = 60.0
_STATEMENTS_KEPT = 512
_SESSION = {
    "application_name": "cynthus",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "lock_timeout": "20s",
}
"""To plan short statements for their values, five times on each connection, costs more than to run them."""


class _Lease:
    """The use of one connection. A class and no generator: every statement of a service passes here."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Connection | None = None

    async def __aenter__(self) -> Connection:
        try:
            self._connection = await self._pool.acquire(_CONNECT_TIMEOUT_S)
        except CONNECT_OUTAGES as error:
            raise StoreUnavailable(f"cannot connect to PostgreSQL: {error}") from error
        return self._connection

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        connection = self._connection
        assert connection is not None
        if error is None:
            self._pool.release(connection, broken=False)
            return
        closed = connection.is_closed()
        lost, interrupted = is_loss(error, connection_closed=closed), not isinstance(error, Exception)
        self._pool.release(connection, broken=lost or interrupted)
        if is_outage(error, connection_closed=closed):
            raise StoreUnavailable(f"{'lost' if lost else 'refused by'} PostgreSQL: {error}") from error


class Database:
    """A pool and one listening connection. After an outage it works again by itself.

    With `shared=False` no other process waits for what this one announces, so it is not told.
    """

    def __init__(self, url: str, *, max_size: int = 10, shared: bool = True) -> None:
        self.url = url
        self.shared = shared
        self._pool = Pool(lambda: _connect(url), max_size)
        self._listening = Listening(lambda: _connect(url))

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for a few statements, each its own transaction. Raises StoreUnavailable."""
        return _Lease(self._pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction that ends with the block. Raises StoreUnavailable."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    def wakeups(self, channel: str) -> AbstractAsyncContextManager[Hint]:
        """Wait for `NOTIFY channel` of any process. All channels share one connection."""
        return self._listening.wakeups(channel)

    def hint(self, channel: str) -> None:
        """Wake the waiters on `channel` in this process."""
        self._listening.hint(channel)

    def announce(self, channel: str) -> None:
        """Wake the waiters on `channel`: in this process now, in others within milliseconds.

        For use after a commit; several calls become one NOTIFY.
        """
        if self.shared:
            self._listening.announce(channel)
        else:
            self._listening.hint(channel)

    def holds(self, name: str, holder: object) -> bool:
        """Whether `holder` has the lock `name` as far as is known here."""
        return self._listening.holds(name, holder)

    async def try_lock(self, name: str, holder: object) -> bool:
        """Whether `holder` is the one in all processes that has the lock `name`; lost with the connection."""
        return await self._listening.try_lock(name, holder)

    async def unlock(self, name: str, holder: object) -> None:
        """Let another holder have the lock `name`."""
        await self._listening.unlock(name, holder)

    async def close(self) -> None:
        """Close every connection."""
        await self._listening.close()
        await self._pool.close()


@asynccontextmanager
async def open_database(url: str, *, max_size: int = 10, shared: bool = True) -> AsyncIterator[Database]:
    """A database that is there now: one connection is opened at once. Raises StoreUnavailable."""
    database = Database(url, max_size=max_size, shared=shared)
    try:
        async with database.connection():
            pass
        yield database
    finally:
        await database.close()


async def _connect(url: str) -> Connection:
    connection = await asyncpg.connect(
        url,
        timeout=_CONNECT_TIMEOUT_S,
        command_timeout=_STATEMENT_TIMEOUT_S,
        statement_cache_size=_STATEMENTS_KEPT,
        max_cached_statement_lifetime=0,
        server_settings=_SESSION,
    )
    await connection.set_type_codec(
        "jsonb", encoder=_dump, decoder=orjson.loads, schema="pg_catalog", format="text"
    )
    return connection


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
