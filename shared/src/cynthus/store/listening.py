"""The one connection of a process that hears NOTIFY for everybody and holds session locks."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from cynthus.store.outages import CONNECT_OUTAGES
from cynthus.store.pool import Connect, Connection

_ANNOUNCE_EVERY_S = 0.002
_PING_EVERY_S = 30.0
_PING_TIMEOUT_S = 5.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_FAILURES = (*CONNECT_OUTAGES, asyncpg.InterfaceError, asyncpg.PostgresError)


class Hint:
    """Waits for a hint on one channel; one that came between two waits is not lost."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake whoever waits, or the next one who would."""
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next hint or after the time-out, whichever is first."""
        if not self._event.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._event.wait()
        self._event.clear()


class Listening:
    """Connects when first needed and again after every loss; waiters are woken at each connect."""

    def __init__(self, connect: Connect) -> None:
        self._token = secrets.token_hex(8)
        self._announced: set[str] = set()
        self._announcer: asyncio.Task[None] | None = None
        self._connect = connect
        self._hints: dict[str, set[Hint]] = {}
        self._holders: dict[str, object] = {}
        self._connection: Connection | None = None
        self._tried = asyncio.Event()
        self._turn = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    def hint(self, channel: str) -> None:
        """Wake the waiters of this process."""
        for waiter in self._hints.get(channel, ()):
            waiter.set()

    def announce(self, channel: str) -> None:
        """Wake the waiters of all processes, soon, after what they are to see was committed.

        A NOTIFY inside the transaction itself would make all commits of the server wait for each other.
        """
        self._start()
        self.hint(channel)
        self._announced.add(channel)
        if self._announcer is None or self._announcer.done():
            self._announcer = asyncio.get_running_loop().create_task(self._announce(), name="store-announce")

    @asynccontextmanager
    async def wakeups(self, channel: str) -> AsyncIterator[Hint]:
        """Hints of `channel` while the context is open; opens also while the database is away."""
        self._start()
        waiter = Hint()
        known = channel in self._hints
        self._hints.setdefault(channel, set()).add(waiter)
        try:
            if not known:
                await self._listen(channel)
            yield waiter
        finally:
            self._hints[channel].discard(waiter)

    def holds(self, name: str, holder: object) -> bool:
        """Whether `holder` has the lock, and the connection it hangs on was not lost."""
        return self._holders.get(name) is holder

    async def try_lock(self, name: str, holder: object) -> bool:
        """Whether `holder` has the session lock `name` now; free when it is held already."""
        self._start()
        if name in self._holders:
            return self._holders[name] is holder
        await self._tried.wait()
        async with self._turn:
            connection = self._connection
            if connection is None or name in self._holders:
                return self._holders.get(name) is holder
            with suppress(*_FAILURES):
                query = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
                if await connection.fetchval(query, name) and connection is self._connection:
                    self._holders[name] = holder
        return self._holders.get(name) is holder

    async def unlock(self, name: str, holder: object) -> None:
        """Let others have the lock."""
        async with self._turn:
            if self._holders.get(name) is not holder:
                return
            del self._holders[name]
            if self._connection is not None:
                with suppress(*_FAILURES):
                    query = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"
                    await self._connection.fetchval(query, name)

    async def close(self) -> None:
        """Stop listening and let go of all locks."""
        tasks = [task for task in (self._keeper, self._announcer) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _announce(self) -> None:
        await self._tried.wait()
        while self._announced:
            channels = list(self._announced)
            self._announced.clear()
            async with self._turn:
                if self._connection is not None:
                    query = "SELECT pg_notify(channel, $2) FROM unnest($1::text[]) AS channel"
                    with suppress(*_FAILURES):
                        await self._connection.execute(query, channels, self._token)
            await asyncio.sleep(_ANNOUNCE_EVERY_S)

    def _start(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="store-listening")

    async def _keep(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            with suppress(*_FAILURES):
                connection = await self._connect()
                pause_s = _FIRST_PAUSE_S
                try:
                    await self._use(connection)
                finally:
                    self._connection = None
                    self._holders.clear()
                    connection.terminate()
            self._tried.set()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _use(self, connection: Connection) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        async with self._turn:
            self._connection = connection
            for channel in list(self._hints):
                await connection.add_listener(channel, self._heard)
        self._tried.set()
        for channel in self._hints:
            self.hint(channel)
        while not lost.is_set():
            try:
                async with asyncio.timeout(_PING_EVERY_S):
                    await lost.wait()
            except TimeoutError:
                async with self._turn:
                    await connection.execute("SELECT 1", timeout=_PING_TIMEOUT_S)

    async def _listen(self, channel: str) -> None:
        async with self._turn:
            if self._connection is not None:
                with suppress(*_FAILURES):
                    await self._connection.add_listener(channel, self._heard)

    def _heard(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        if payload != self._token:
            self.hint(channel)
