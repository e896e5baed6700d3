"""HTTP/1.1 to one platform: kept-alive connections that threads share, and safe repetition."""

import http.client
import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from cynthus.cli import exits
from cynthus.cli.client.endpoint import Endpoint
from cynthus.cli.client.problems import Unreachable, refusal, unreachable
from cynthus.cli.failure import Failure
from cynthus.cli.version import VERSION

_CUT = (OSError, http.client.HTTPException)
_Taken = TypeVar("_Taken")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response read to its end; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON values."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Pieces:
    """A body sent piece by piece; `read` starts it anew for each try."""

    length: int
    read: Callable[[], Iterable[bytes]]


@dataclass(slots=True)
class Patience:
    """How long to go on trying (seconds), and how to pause between tries."""

    total_s: float = 10.0
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    lost: Callable[[], None] | None = field(default=None)
    """Told at each failed try."""


class Connection:
    """Every call may be repeated: POSTs carry an Idempotency-Key, content is named by its digest."""

    def __init__(
        self, locate: Callable[[], Endpoint], *, timeout_s: float = 60.0, patience: Patience | None = None
    ) -> None:
        self._locate = locate
        self._timeout_s = timeout_s
        self._patience = patience or Patience()
        self._lock = threading.Lock()
        self._idle: list[_Held] = []

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | float] | None = None,
        body: bytes | Pieces | Any = None,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset(),
        patience: Patience | None = None,
    ) -> Answer:
        """An answer of 2xx, or of a status in `accept`. Raises Refused, Unreachable."""
        sent = _headers(method, body, headers)
        target = path if not query else f"{path}?{urlencode(query)}"
        return self._tried(_Call(method, target, body, sent, accept), self._whole, patience or self._patience)

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str] | None = None, accept: frozenset[int] = frozenset()
    ) -> Iterator[http.client.HTTPResponse]:
        """A GET whose body the caller reads as it comes."""
        call = _Call("GET", path, None, headers or {}, accept)
        held, response = self._tried(call, lambda held, response: (held, response), self._patience)
        try:
            yield response
        except _CUT as error:
            raise unreachable(self._locate().url, error) from error
        finally:
            self._give_back(held) if response.isclosed() else held.close()

    def endpoint(self) -> Endpoint:
        """Where the platform is now."""
        return self._locate()

    def close(self) -> None:
        """Close what is kept open."""
        with self._lock:
            idle, self._idle = self._idle, []
        for held in idle:
            held.close()

    def _tried(
        self, call: "_Call", take: Callable[["_Held", http.client.HTTPResponse], _Taken], patience: Patience
    ) -> _Taken:
        deadline, pause = patience.clock() + patience.total_s, _FIRST_PAUSE_S
        while True:
            wait = pause * random.uniform(0.5, 1.5)  # noqa: S311 (jitter)
            try:
                held, response = self._once(call)
                if response.status < 300 or response.status in call.accept:  # noqa: PLR2004
                    return _closing(held, take, response)
                answer = _closing(held, self._whole, response)
                failure: Failure = refusal(answer.status, answer.body)
                wait = _retry_after(answer) or wait
            except _CUT as error:
                failure = unreachable(self._locate().url, error)
            if patience.clock() + wait > deadline or not _worth_repeating(failure):
                raise failure
            if patience.lost is not None:
                patience.lost()
            patience.pause(wait)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _once(self, call: "_Call") -> tuple["_Held", http.client.HTTPResponse]:
        endpoint = self._locate()
        while (held := self._borrow(endpoint)) is not None:
            try:
                return held, held.exchange(endpoint, call)
            except _CUT:
                continue  # a kept connection that the other side closed meanwhile: not a fault, so no pause
        held = _Held(endpoint.url, self._timeout_s)
        return held, held.exchange(endpoint, call)

    def _whole(self, held: "_Held", response: http.client.HTTPResponse) -> Answer:
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, headers, response.read())
        self._give_back(held)
        return answer

    def _borrow(self, endpoint: Endpoint) -> "_Held | None":
        with self._lock:
            held = self._idle.pop() if self._idle else None
        if held is None or held.url == endpoint.url:
            return held
        held.close()
        return None

    def _give_back(self, held: "_Held") -> None:
        with self._lock:
            self._idle.append(held)


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    target: str
    body: Any
    headers: Mapping[str, str]
    accept: frozenset[int]


class _Held:
    """One kept-alive connection."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.url = url
        self._prefix = parts.path.rstrip("/")
        self._http = kind(parts.hostname or "", parts.port, timeout=timeout_s)

    def exchange(self, endpoint: Endpoint, call: _Call) -> http.client.HTTPResponse:
        """Send the call and read the answer's head; a call given up half-way closes the connection."""
        headers = {"User-Agent": f"cynthus/{VERSION}", "Accept": "application/json", **call.headers}
        if endpoint.token:
            headers["Authorization"] = f"Bearer {endpoint.token}"
        if isinstance(call.body, Pieces):
            headers["Content-Length"] = str(call.body.length)
        data = call.body.read() if isinstance(call.body, Pieces) else _encoded(call.body)
        try:
            self._http.request(call.method, f"{self._prefix}{call.target}", body=data, headers=headers)
            return self._http.getresponse()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the socket."""
        self._http.close()


def _headers(method: str, body: Any, headers: Mapping[str, str] | None) -> dict[str, str]:
    every: dict[str, str] = {}
    if body is not None and not isinstance(body, (bytes, Pieces)):
        every["Content-Type"] = "application/json"
    if method == "POST":
        every["Idempotency-Key"] = secrets.token_hex(16)
    return {**every, **(headers or {})}


def _encoded(body: Any) -> bytes | None:
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


def _closing(
    held: _Held,
    take: Callable[[_Held, http.client.HTTPResponse], _Taken],
    response: http.client.HTTPResponse,
) -> _Taken:
    try:
        return take(held, response)
    except BaseException:
        held.close()
        raise


def _worth_repeating(failure: Failure) -> bool:
    return isinstance(failure, Unreachable) or failure.exit_code == exits.LIMITED


def _retry_after(answer: Answer) -> float | None:
    try:
        return float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
