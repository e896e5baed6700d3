"""Keep-alive HTTP connections that threads share; each exchange has one to itself."""

import http.client
import select
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from cynthus.oci.verification import PIECE_BYTES

_STALE = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)


class ConnectionLost(Exception):
    """No connection, a cut one, or an answer that is no HTTP; `lasting` when another try cannot help."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


class Origin(NamedTuple):
    """What credentials belong to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str | SplitResult) -> "Origin":
        """The origin of an absolute http or https URL. Raises ValueError."""
        parts = urlsplit(url) if isinstance(url, str) else url
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("a registry's address begins with http:// or https://")
        return cls(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries: `length` bytes, opened again for every try."""

    length: int
    open: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, data: bytes) -> "Body":
        """A body that is at hand."""
        return cls(len(data), lambda: (data,) if data else ())


@dataclass(frozen=True, slots=True)
class Request:
    """One request; with `once` it is never sent again by itself, as part of it may have been used."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    once: bool = False


class Response:
    """An answer whose body is to be read or closed; what is closed early costs its connection."""

    def __init__(self, url: str, answer: http.client.HTTPResponse, release: Callable[[bool], None]) -> None:
        self.url = url
        self.status = answer.status
        self.headers: Message = answer.headers
        self.length = answer.length
        self._answer = answer
        self._release: Callable[[bool], None] | None = release

    def body(self, limit: int = 8 << 20) -> bytes:
        """All of it, but cut off one byte behind `limit`. Raises ConnectionLost."""
        read = bytearray()
        for piece in self.pieces():
            read += piece
            if len(read) > limit:
                break
        return bytes(read[: limit + 1])

    def pieces(self) -> Iterator[bytes]:
        """The body in pieces of at most 1 MiB. Raises ConnectionLost when it is cut."""
        left = self.length
        try:
            while piece := self._read():
                left = None if left is None else left - len(piece)
                yield piece
            if left:
                raise ConnectionLost(f"the answer was cut {left} bytes before its end")
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back, or end it when the body was not read."""
        release, self._release = self._release, None
        if release is not None:
            release(self._answer.isclosed() and not self._answer.will_close)

    def discard(self) -> None:
        """Read a body of no interest, so that the connection can be used again."""
        with suppress(ConnectionLost):
            self.body(64 << 10)
        self.close()

    def _read(self) -> bytes:
        try:
            return self._answer.read(PIECE_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ConnectionLost(f"the answer was cut: {_said(error)}") from error


class Connections:
    """Idle connections by origin, at most `idle` of each; `timeout_s` is for every read and write."""

    def __init__(self, timeout_s: float, idle: int) -> None:
        self._timeout_s = timeout_s
        self._most = idle
        self._idle: dict[Origin, list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    def send(self, request: Request) -> Response:
        """One exchange. Raises ConnectionLost, and whatever the body's source raises."""
        parts = urlsplit(request.url)
        origin = Origin.of(parts)
        connection = self._take(origin)
        if connection is not None:
            try:
                return self._exchange(connection, origin, parts, request)
            except ConnectionLost as error:
                if request.once or not isinstance(error.__cause__, _STALE):
                    raise
        return self._exchange(self._new(origin), origin, parts, request)

    def close(self) -> None:
        """End the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _exchange(
        self, connection: http.client.HTTPConnection, origin: Origin, parts: SplitResult, request: Request
    ) -> Response:
        try:
            said = _say(connection, parts, request)
            answer = connection.getresponse()
        except ConnectionLost:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            lasting = isinstance(error, ssl.SSLCertVerificationError)
            raise ConnectionLost(_said(error), lasting=lasting) from error
        except BaseException:
            connection.close()
            raise
        return Response(
            request.url, answer, lambda whole: self._give_back(connection, origin, whole and said)
        )

    def _give_back(self, connection: http.client.HTTPConnection, origin: Origin, whole: bool) -> None:  # noqa: FBT001
        with self._lock:
            kept = self._idle.setdefault(origin, [])
            if whole and len(kept) < self._most:
                kept.append(connection)
                return
        connection.close()

    def _take(self, origin: Origin) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                kept = self._idle.get(origin)
                connection = kept.pop() if kept else None
            if connection is None or _is_quiet(connection):
                return connection
            connection.close()

    def _new(self, origin: Origin) -> http.client.HTTPConnection:
        if origin.scheme == "http":
            return http.client.HTTPConnection(origin.host, origin.port, timeout=self._timeout_s)
        with self._lock:
            self._tls = self._tls or ssl.create_default_context()
        return http.client.HTTPSConnection(
            origin.host, origin.port, timeout=self._timeout_s, context=self._tls
        )


def _say(connection: http.client.HTTPConnection, parts: SplitResult, request: Request) -> bool:
    """Whether all of it was taken; a refusal, for instance, may come before the end."""
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection.putrequest(request.method, target, skip_accept_encoding=True)
    for name, value in request.headers.items():
        connection.putheader(name, value)
    if request.body is not None:
        connection.putheader("Content-Length", str(request.body.length))
    connection.endheaders()
    if request.body is None:
        return True
    for piece in request.body.open():
        try:
            connection.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            return False
        except OSError as error:
            raise ConnectionLost(f"while sending: {_said(error)}") from error
    return True


def _is_quiet(connection: http.client.HTTPConnection) -> bool:
    """An idle connection with something to read was hung up."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()
