"""A link of ours between two parts: forwards bytes, under rules that change while it runs."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

from tests.chaos.rules import Rule, Rules

_PIECE_BYTES = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
Address = tuple[str, int] | Path


class Tap(Protocol):
    """Listens to one connection."""

    def up(self, data: bytes) -> None:
        """Bytes that go to the server now."""

    def down(self, data: bytes) -> None:
        """Bytes that came from the server."""

    def closed(self) -> None:
        """Nothing more will come."""


class Silent:
    """A tap that listens to nothing."""

    def up(self, data: bytes) -> None:
        """Nothing."""

    def down(self, data: bytes) -> None:
        """Nothing."""

    def closed(self) -> None:
        """Nothing."""


@dataclass(eq=False, slots=True)
class _Flow:
    """One connection through a link."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    tap: Tap
    asking: bool = False
    doomed: bool = False
    mute: bool = field(default=False)


class Link:
    """Listens at `near`, connects to `far`. A Path is a Unix socket."""

    def __init__(
        self, name: str, near: Address, far: Address, random: Random, tap: Callable[[], Tap] = Silent
    ) -> None:
        self.name = name
        self.near = near
        self.rules = Rules()
        self.lost = 0
        self._far = far
        self._random = random
        self._tap = tap
        self._flows: set[_Flow] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where HTTP clients find it."""
        assert not isinstance(self.near, Path)
        return f"http://{self.near[0]}:{self.near[1]}"

    async def open(self) -> None:
        """Listen."""
        if isinstance(self.near, Path):
            self._server = await asyncio.start_unix_server(self._come, self.near)
        else:
            self._server = await asyncio.start_server(self._come, *self.near)

    async def close(self) -> None:
        """Listen no more, and let go of what is open."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def cut(self) -> int:
        """Reset every open connection; how many there were."""
        flows = list(self._flows)
        for flow in flows:
            _reset(flow.near)
            _reset(flow.far)
        return len(flows)

    def _come(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, near))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self.rules.refuse:
            _reset(near)
            return
        with suppress(OSError):
            await self.rules.passable(up=True)
            back, far = await self._connect()
            flow = _Flow(near, far, self._tap())
            flow.mute = self._chance("fall_silent")
            self._flows.add(flow)
            try:
                await self._carry(flow, reader, back)
            finally:
                self._flows.discard(flow)
                flow.tap.closed()
                await _closed(far)
        await _closed(near)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._far, Path):
            return await asyncio.open_unix_connection(self._far)
        return await asyncio.open_connection(*self._far)

    async def _carry(self, flow: _Flow, reader: asyncio.StreamReader, back: asyncio.StreamReader) -> None:
        ways = [asyncio.create_task(self._up(flow, reader)), asyncio.create_task(self._down(flow, back))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(self, flow: _Flow, reader: asyncio.StreamReader) -> None:
        first = True
        while data := await reader.read(_PIECE_BYTES):
            await self._on_the_way(data, up=True)
            if (first and self._chance("reset_first")) or self._chance("cut"):
                return self._lose(flow)
            first = False
            if flow.mute:
                continue
            if not flow.asking:
                flow.asking = True
                flow.doomed = self._chance("lose_reply")
            flow.doomed = flow.doomed or (b"COMMIT" in data and self._chance("lose_commit"))
            flow.tap.up(data)
            flow.far.write(data)
            await flow.far.drain()
        return None

    async def _down(self, flow: _Flow, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_PIECE_BYTES):
            flow.asking = False
            flow.tap.down(data)
            if flow.doomed:
                return self._lose(flow)
            await self._on_the_way(data, up=False)
            if self._chance("cut"):
                return self._lose(flow)
            flow.near.write(data)
            await flow.near.drain()
        return None

    async def _on_the_way(self, data: bytes, *, up: bool) -> None:
        pause_s = self.rules.pause_s(len(data))
        if pause_s:
            await asyncio.sleep(pause_s)
        await self.rules.passable(up=up)

    def _chance(self, kind: str) -> bool:
        share = self.rules.share(kind)
        return share > 0 and self._random.random() < share

    def _lose(self, flow: _Flow) -> None:
        self.lost += 1
        _reset(flow.near)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees a reset, not an end."""
    taken = writer.get_extra_info("socket")
    if taken is not None and taken.family != socket.AF_UNIX:
        with suppress(OSError):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@contextmanager
def under(links: list[Link], rule: Rule) -> Iterator[None]:
    """With one rule on several links."""
    with ExitStack() as stack:
        for link in links:
            stack.enter_context(link.rules.under(rule))
        yield
