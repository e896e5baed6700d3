"""The provider behind an address."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from cynthus.provisioner.hostile.api import Api
from cynthus.provisioner.hostile.provider import Provider
from cynthus.provisioner.hostile.wire import Wire


@asynccontextmanager
async def open_provider(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 0,
    first: dict[str, Any] | None = None,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[tuple[Provider, str]]:
    """A provider that serves, and its URL. Its machines stay when it ends. Raises OSError, ValueError."""
    taken = socket.create_server((host, port))
    url = f"http://{host}:{taken.getsockname()[1]}"
    provider = Provider(folder, url, seed=seed, first=first, now=now)
    wire = Wire(Api(provider).handle)
    server = await wire.serve(taken)
    beat = asyncio.create_task(provider.run())
    try:
        yield provider, url
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat
        server.close()
        await wire.end()
        provider.close()
