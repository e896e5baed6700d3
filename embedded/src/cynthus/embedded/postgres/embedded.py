import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from cynthus.embedded.postgres.postmaster import Postmaster, lives
from cynthus.embedded.postgres.server import PostgresServer
from cynthus.embedded.postgres.unavailable import PostgresUnavailable

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_ROTATE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 5.0


class EmbeddedPostgres:
    """A PostgreSQL server in `home`, created on first use; it outlives this process until `stop`."""

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._server = PostgresServer(home, settings=settings)
        self._turn = asyncio.Lock()
        self._wanted = False

    @property
    def url(self) -> str:
        """DSN for asyncpg (`postgresql://`): a Unix socket in a private folder."""
        return self._server.url

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it does not run."""
        found = self._server.running
        return found.pid if found else None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._server.folders.log

    async def start(self) -> None:
        """Make sure the server runs and answers; raises PostgresUnavailable with a fix."""
        async with self._turn:
            self._wanted = True
            await asyncio.to_thread(self._server.start)

    async def stop(self) -> None:
        """Fast shutdown; returns when every process of the server is gone. `supervise` ends too."""
        self._wanted = False
        async with self._turn:
            await asyncio.to_thread(self._server.stop)

    async def alive(self) -> bool:
        """True when the server takes connections now."""
        return await asyncio.to_thread(self._server.answers)

    async def supervise(self) -> None:
        """Restart the server whenever it dies, until `stop` or cancellation; a task of its own."""
        while self._wanted:
            found = self._server.running
            if found is not None:
                await self._watch(found)
            if self._wanted:
                await self._restart()

    async def _watch(self, found: Postmaster) -> None:
        """Wait for the server's death, keeping its log small meanwhile."""
        death = asyncio.create_task(_death(found.pid, self._server.folders.data))
        try:
            while not (await asyncio.wait({death}, timeout=_ROTATE_SECONDS))[0]:
                await asyncio.to_thread(self._server.rotate_log)
        finally:
            death.cancel()

    async def _restart(self) -> None:
        pause = _LOOK_SECONDS
        while True:
            async with self._turn:
                if not self._wanted:
                    return
                try:
                    started = await asyncio.to_thread(self._server.start)
                except PostgresUnavailable as error:
                    logger.error("PostgreSQL died and does not come back: %s", error)  # noqa: TRY400 (no stack)
                else:
                    logger.warning("PostgreSQL died and runs again as process %d", started.pid)
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def _death(pid: int, data: Path) -> None:
    """Return when the process is gone: told by the kernel where it can, else by looking."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        while lives(pid, data):  # noqa: ASYNC110 (another process has no event for us)
            await asyncio.sleep(_LOOK_SECONDS)
        return
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
