"""HTTP to the platform over kept-alive connections: answers, refusals, and not being able to see it."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

_PIECE_BYTES = 256 * 1024
_TOO_MANY = 429
_REQUEST_TIMEOUT = 408
_SERVER_ERROR = 500
_BAD_REQUEST = 400
_OVER = frozenset({401, 403, 404, 409, 410})


class PlatformAway(Exception):
    """The platform cannot be seen: a network error, a cut answer or a 5xx. Never an answer."""


class Refused(Exception):
    """The platform's answer is no."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code', '')}: {problem.get('detail', '')}")
        self.status = status
        self.problem = problem

    @property
    def final(self) -> bool:
        """The attempt, or the machine, is not ours any more."""
        return self.status in _OVER


class _OursFailed(Exception):
    """Reading or writing our own file failed in the middle of a call: not the platform's doing."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class Request(NamedTuple):
    """One call; `pieces` makes a body of `length` bytes anew for each try."""

    method: str
    url: str
    token: str
    body: bytes = b""
    content_type: str = "application/json"
    pieces: Callable[[], Iterable[bytes]] | None = None
    length: int = 0
    timeout_s: float = 10.0


class Link:
    """Idle connections shared by all threads of this process; each call has one to itself."""

    def __init__(self) -> None:
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def ask(self, url: str, token: str, message: object, timeout_s: float = 10.0) -> Any:
        """POST JSON; the answer's JSON, None for 204. Raises PlatformAway, Refused."""
        body = json.dumps(message).encode()
        answer = self.send(Request("POST", url, token, body=body, timeout_s=timeout_s))
        try:
            return json.loads(answer) if answer else None
        except ValueError as error:
            raise PlatformAway("the answer is not JSON") from error

    def send(self, request: Request) -> bytes:
        """The body of a successful answer. Raises PlatformAway, Refused, OSError of `pieces`."""
        received: list[bytes] = []
        self.stream(request, received.append)
        return b"".join(received)

    def stream(self, request: Request, receive: Callable[[bytes], object]) -> None:
        """Hand the answer's body over in pieces; a cut one raises PlatformAway after some pieces."""
        target = urlsplit(request.url)
        connection, reused = self._take(target, request.timeout_s)
        try:
            try:
                response = _exchange(connection, target, request)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                connection.close()
                if not reused:
                    raise
                connection = _connect(target, request.timeout_s)
                response = _exchange(connection, target, request)
            _read(response, receive)
        except _OursFailed as failure:
            connection.close()
            raise failure.error from failure
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise PlatformAway(f"{target.netloc}: {type(error).__name__} {error}") from error
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.setdefault(_origin(target), []).append(connection)

    def _take(self, target: SplitResult, timeout_s: float) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            idle = self._idle.get(_origin(target))
            connection = idle.pop() if idle else None
        if connection is None or connection.sock is None:
            return _connect(target, timeout_s), False
        connection.timeout = timeout_s
        connection.sock.settimeout(timeout_s)
        return connection, True


def delays(first_s: float, most_s: float) -> Iterator[float]:
    """Back-off without end, doubling, with jitter."""
    delay = first_s
    while True:
        yield random.uniform(delay / 2, delay)  # noqa: S311 - jitter
        delay = min(delay * 2, most_s)


def deadline(seconds: float) -> Callable[[], bool]:
    """Tells whether so many seconds have passed, by a clock that nobody sets."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def _origin(target: SplitResult) -> str:
    return f"{target.scheme}://{target.netloc}"


def _connect(target: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    return kind(target.hostname or "", target.port, timeout=timeout_s)


def _exchange(
    connection: http.client.HTTPConnection, target: SplitResult, request: Request
) -> http.client.HTTPResponse:
    headers = {"Authorization": f"Bearer {request.token}", "Content-Type": request.content_type}
    if request.pieces is not None:
        headers["Content-Length"] = str(request.length)
    path = f"{target.path}?{target.query}" if target.query else target.path
    body = _ours(request.pieces()) if request.pieces is not None else (request.body or None)
    connection.request(request.method, path, body=body, headers=headers)
    return connection.getresponse()


def _ours(pieces: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError as error:
        raise _OursFailed(error) from error


def _read(response: http.client.HTTPResponse, receive: Callable[[bytes], object]) -> None:
    status, expected = response.status, response.length
    if status < _BAD_REQUEST:
        total = 0
        while piece := response.read(_PIECE_BYTES):
            total += len(piece)
            try:
                receive(piece)
            except OSError as error:
                raise _OursFailed(error) from error
        if expected is not None and total != expected:
            raise http.client.IncompleteRead(b"", expected - total)
        return
    body = response.read()
    if status >= _SERVER_ERROR or status in {_TOO_MANY, _REQUEST_TIMEOUT}:
        raise PlatformAway(f"{status}")
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {}
    raise Refused(status, problem if isinstance(problem, dict) else {})
