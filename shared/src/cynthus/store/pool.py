"""Connections kept open between uses: the last one used is the next one taken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect = Callable[[], Awaitable[Connection]]


class Pool:
    """At most `max_size` connections; a dead one is replaced when it is next needed.

    Costs a tenth of asyncpg's own pool, which wraps each connection and resets its session every time;
    nobody here leaves session state behind.
    """

    def __init__(self, connect: Connect, max_size: int) -> None:
        self._connect = connect
        self._slots = asyncio.Semaphore(max_size)
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    async def acquire(self, timeout_s: float) -> Connection:
        """A live connection of one's own. Raises TimeoutError when all stay in use."""
        if self._slots.locked():
            async with asyncio.timeout(timeout_s):
                await self._slots.acquire()
        else:
            await self._slots.acquire()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._open.discard(connection)
        try:
            connection = await self._connect()
        except BaseException:
            self._slots.release()
            raise
        self._open.add(connection)
        return connection

    def release(self, connection: Connection, *, broken: bool) -> None:
        """Give it back; one that was interrupted or left in a transaction is closed instead."""
        if not broken and not connection.is_closed() and not connection.is_in_transaction():
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            connection.terminate()
        self._slots.release()

    async def close(self) -> None:
        """Close all connections, also those in use."""
        idle, self._idle = self._idle, []
        for connection in idle:
            self._open.discard(connection)
            try:
                await connection.close(timeout=1)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                connection.terminate()
        for connection in self._open:
            connection.terminate()
        self._open.clear()
