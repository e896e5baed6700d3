"""HTTP/1.1, as little as it takes: a server that can also break off without an answer."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cynthus.provisioner.hostile.refusals import Lost, Refusal, invalid

_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """Path segments are decoded."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object. Raises Refusal."""
        try:
            document = json.loads(self.body or b"{}")
        except ValueError as error:
            raise invalid("the body is not JSON") from error
        if not isinstance(document, dict):
            raise invalid("the body is not an object")
        return document


@dataclass(frozen=True, slots=True)
class Answer:
    """A document is sent as JSON, a text as it is."""

    content: Mapping[str, Any] | str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        plain = isinstance(self.content, str)
        body = self.content.encode() if isinstance(self.content, str) else json.dumps(self.content).encode()
        headers = {
            "Content-Type": "text/plain" if plain else "application/json",
            "Content-Length": str(len(body)),
            **self.headers,
        }
        head = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*head, "", ""]).encode() + body


Handle = Callable[[Request], Awaitable[Answer]]


class Wire:
    """Serves requests of many connections, one after the other on each."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, taken: socket.socket) -> asyncio.Server:
        """Answer what comes to this address."""
        return await asyncio.start_server(self._connected, sock=taken)

    async def end(self) -> None:
        """Break off whatever is open."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client went, or everything ends
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                request = await _read(reader)
                answer = await self._handle(request)
            except Refusal as refusal:
                answer = Answer(refusal.document(), refusal.status, refusal.headers)
            except Lost as lost:
                await asyncio.sleep(lost.after_s)
                return
            writer.write(answer.encoded())
            await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, _, target = head[0].partition(" ")
    length = 0
    for line in head[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            with suppress(ValueError):
                length = int(value)
    if not 0 <= length <= _MOST_BYTES:
        raise asyncio.LimitOverrunError("the body is too large", 0)
    body = await reader.readexactly(length)
    split = urlsplit(target.partition(" ")[0])
    path = tuple(unquote(part) for part in split.path.split("/") if part)
    return Request(method, path, dict(parse_qsl(split.query)), body)
