"""Files over HTTP to disk in bounded memory, verified, resumed where the connection was cut."""

import asyncio
import base64
import hashlib
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

import httpx2

from cynthus.builder.adapters.uv_refusals import unreachable
from cynthus.builder.domain.lock import LockedPackage, LockRefused
from cynthus.builder.ports import ResolverUnavailable

_PIECE = 1 << 20
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 30.0
_LARGEST = 20_000_000_000
_GONE = frozenset({404, 410})
_DENIED = frozenset({401, 403, 407})
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came: SHA-256 in hex, and bytes."""

    sha256: str
    size: int


@dataclass(slots=True)
class _State:
    """How far a file has come over all tries."""

    file: BinaryIO
    digest: Any = field(default_factory=hashlib.sha256)
    size: int = 0

    def restart(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.digest, self.size = hashlib.sha256(), 0

    def add(self, piece: bytes) -> None:
        self.file.write(piece)
        self.digest.update(piece)
        self.size += len(piece)


class _Again(Exception):
    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Downloads:
    """Fetches files; `sleep` waits between tries, seconds."""

    def __init__(
        self, *, tries: int = 5, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._tries = tries
        self._sleep = sleep
        self._ssl: ssl.SSLContext | None = None
        self._client: httpx2.AsyncClient | None = None
        self._users = 0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Keeps connections while it is open; sessions share them."""
        if self._ssl is None:
            self._ssl = await asyncio.to_thread(ssl.create_default_context)
        if self._client is None:
            self._client = httpx2.AsyncClient(
                verify=self._ssl, timeout=_TIMEOUT, follow_redirects=True, max_redirects=5
            )
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                client, self._client = self._client, None
                if client is not None:
                    await client.aclose()

    async def fetch(
        self,
        package: LockedPackage,
        place: Path,
        login: tuple[str, str] | None,
        tell: Callable[[int], None],
    ) -> Fetched:
        """Into `place`. Raises LockRefused, ResolverUnavailable, OSError of the disk."""
        with place.open("wb") as file:
            state = _State(file)
            for attempt in range(self._tries):
                try:
                    await self._try(package, state, login, tell)
                    return Fetched(state.digest.hexdigest(), state.size)
                except _Again as error:
                    if attempt == self._tries - 1:
                        raise _silent(package, str(error)) from error
                    wait_s = error.wait_s if error.wait_s is not None else 0.5 * 2**attempt
                    await self._sleep(min(wait_s, _LONGEST_WAIT_S) * random.uniform(0.8, 1.2))  # noqa: S311
        raise _silent(package, "no try was made")

    async def copy(self, source: Path, place: Path, shown: str) -> Fetched:
        """A file of this machine. Raises LockRefused."""

        def work() -> Fetched:
            with source.open("rb") as file, place.open("wb") as copy:
                state = _State(copy)
                while piece := file.read(_PIECE):
                    state.add(piece)
            return Fetched(state.digest.hexdigest(), state.size)

        try:
            return await asyncio.to_thread(work)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise _gone(shown) from error

    async def _try(
        self,
        package: LockedPackage,
        state: _State,
        login: tuple[str, str] | None,
        tell: Callable[[int], None],
    ) -> None:
        assert self._client is not None
        headers = {"Accept-Encoding": "identity"}
        if login is not None:
            pair = base64.b64encode(":".join(login).encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        if state.size:
            headers["Range"] = f"bytes={state.size}-"
        try:
            async with self._client.stream("GET", package.url, headers=headers) as answer:
                _check(answer, package, state)
                async for piece in answer.aiter_raw(_PIECE):
                    if state.size + len(piece) > (_LARGEST if package.size is None else package.size):
                        raise _too_long(package)
                    await asyncio.to_thread(state.add, piece)
                    tell(len(piece))
        except (httpx2.TransportError, httpx2.TooManyRedirects) as error:
            raise _Again(type(error).__name__) from error
        if package.size is not None and state.size < package.size:
            raise _Again(f"{state.size} of {package.size} bytes came")


def _check(answer: httpx2.Response, package: LockedPackage, state: _State) -> None:
    """Raise what the status means; a server that knows no ranges begins again."""
    status = answer.status_code
    if status in _PASSING:
        raise _Again(f"status {status}", _retry_after(answer))
    if status in _DENIED:
        raise LockRefused(
            "index_unauthorized",
            f"The package index {package.index or answer.url.host} refused to give {package.filename}.",
            "Check the secret that opens the index, and that it may read this package.",
            (f"status {status}",),
        )
    if status in _GONE:
        raise _gone(package.filename)
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        state.restart()
        raise _Again("the range was refused", 0.0)
    if status == HTTPStatus.PARTIAL_CONTENT:
        if answer.headers.get("content-range", "").startswith(f"bytes {state.size}-"):
            return
        state.restart()
        raise _Again("another range came", 0.0)
    if status != HTTPStatus.OK:
        raise _Again(f"status {status}")
    state.restart()


def _retry_after(answer: httpx2.Response) -> float | None:
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


def _too_long(package: LockedPackage) -> LockRefused:
    return LockRefused(
        "hash_mismatch",
        f"{package.filename} is larger than the file that was locked.",
        "Somebody changed the file in the index: check the index, then lock again.",
    )


def _gone(filename: str) -> LockRefused:
    return LockRefused(
        "artifact_gone",
        f"{filename} is no longer where it was locked.",
        "Lock again: change a requirement, or require another version.",
    )


def _silent(package: LockedPackage, why: str) -> ResolverUnavailable:
    host = package.url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return unreachable(host, f"{package.filename} from {host}: {why}")
