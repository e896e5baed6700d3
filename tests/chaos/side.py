"""The side channel: what users' programs say of themselves, past the platform."""

import asyncio
import json
from collections import defaultdict
from contextlib import suppress
from typing import Any

from tests.chaos.journal import Journal


class SideChannel:
    """A TCP server on this host; a line of JSON is a report."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._server: asyncio.Server | None = None
        self.started: dict[str, set[int]] = defaultdict(set)
        """Epochs of each run whose program said that it runs."""

    @property
    def port(self) -> int:
        """Where programs report."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def close(self) -> None:
        """Listen no more."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError):
            while line := await reader.readline():
                self._note(json.loads(line))
                writer.write(b".")
                await writer.drain()
        writer.close()

    def _note(self, report: dict[str, Any]) -> None:
        self.started[report["run"]].add(report["epoch"])
        self._journal.write("side", **report)
