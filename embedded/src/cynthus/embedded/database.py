"""The platform's PostgreSQL: its own server, or the one that CYNTHUS_DATABASE_URL names."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from cynthus.embedded.home import Home
from cynthus.embedded.postgres import EmbeddedPostgres


@asynccontextmanager
async def open_cluster(home: Home) -> AsyncIterator[str]:
    """A database URL.

    An own server is restarted when it dies. It stays when this process ends: the next start adopts it, and
    `down` stops it.
    """
    given = os.environ.get("CYNTHUS_DATABASE_URL")
    if given is not None:
        yield given
        return
    server = EmbeddedPostgres(home.postgres)
    await server.start()
    watching = asyncio.create_task(server.supervise())
    try:
        yield server.url
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
