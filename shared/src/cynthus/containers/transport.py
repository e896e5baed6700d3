"""HTTP to an engine over its Unix socket."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from cynthus.containers.errors import EngineUnavailable

_PIECE_BYTES = 64 * 1024


class Answer(NamedTuple):
    """A status and the JSON or text that came with it."""

    status: int
    body: Any

    @property
    def message(self) -> str:
        """What the engine said."""
        if isinstance(self.body, dict):
            return str(self.body.get("message") or self.body.get("cause") or self.body)
        return str(self.body or "")


class Transport:
    """One connection per call: an engine that was restarted is met again without notice."""

    def __init__(self, socket_path: str, timeout_s: float = 30.0) -> None:
        self.socket_path = socket_path
        self.timeout_s = timeout_s

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        """One call. Raises EngineUnavailable."""
        with self.open(method, path, query, body, timeout_s=timeout_s) as stream:
            return Answer(stream.status, stream.document())

    def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> "Stream":
        """A call whose answer is read in pieces, each within the timeout. Raises EngineUnavailable."""
        connection = UnixConnection(self.socket_path, timeout_s or self.timeout_s)
        sent = {"Content-Type": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            connection.request(method, target, data, sent)
            return Stream(connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise EngineUnavailable(f"{self.socket_path}: {_said(error)}") from error


class Stream:
    """An answer that is still coming. Use it as a context manager; `close` may be called from elsewhere."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self._connection = connection
        self._socket = connection.sock
        self._response = response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pieces(self) -> Iterator[bytes]:
        """Bytes as they come. Raises EngineUnavailable when they stop coming before the end."""
        try:
            while piece := self._response.read1(_PIECE_BYTES):
                yield piece
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EngineUnavailable(f"the answer was cut: {_said(error)}") from error

    def lines(self) -> Iterator[dict[str, Any]]:
        """JSON documents, one after another. Raises EngineUnavailable."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from (_object(line) for line in whole if line.strip())
        if rest.strip():
            yield _object(rest)

    def document(self) -> Any:
        """The whole answer: JSON, or text where it is none. Raises EngineUnavailable."""
        data = b"".join(self.pieces())
        try:
            return json.loads(data) if data else None
        except ValueError:
            return data.decode(errors="replace").strip()

    def close(self) -> None:
        """End the call; a thread that reads it is woken."""
        try:
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._response.close()
        self._connection.close()


class UnixConnection(http.client.HTTPConnection):
    """A connection to an engine's socket; without `timeout_s` it waits as long as it takes."""

    def __init__(self, path: str, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._patience_s = timeout_s

    def connect(self) -> None:
        """Reach the socket. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._patience_s)
        self.sock.connect(self._path)


def _object(line: bytes) -> dict[str, Any]:
    try:
        read = json.loads(line)
    except ValueError as error:
        raise EngineUnavailable("the answer is no JSON") from error
    return read if isinstance(read, dict) else {}


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
