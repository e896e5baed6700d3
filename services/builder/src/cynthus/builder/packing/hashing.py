"""SHA-256 in a thread beside: it costs as much as inflating, and neither needs the interpreter."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from types import TracebackType
from typing import Self

_BATCH = 1024 * 1024
_MOST_WAITING = 8


class Hashing:
    """One thread, started when there is enough to hash; at most some MB behind."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def new(self) -> "Digest":
        """Of nothing yet."""
        return Digest(self)

    def later(self, digest: "Digest", data: bytes) -> None:
        """Adds to it, in order."""
        while len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(digest.add, data))

    def wait(self) -> None:
        """Until nothing is behind."""
        while self._waiting:
            self._waiting.popleft().result()


class Digest:
    """A SHA-256 that is known a little later."""

    __slots__ = ("_behind", "_hasher", "_hashing", "_held", "_held_bytes")

    def __init__(self, hashing: Hashing) -> None:
        self._hashing = hashing
        self._hasher = sha256()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._behind = False

    def update(self, data: bytes) -> None:
        """The next bytes."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _BATCH:
            self._behind = True
            self._hashing.later(self, self._taken())

    def close(self) -> None:
        """No more bytes: what is held is let go."""
        if self._behind:
            self._hashing.later(self, self._taken())
        else:
            self._hasher.update(self._taken())

    def add(self, data: bytes) -> None:
        """In the thread beside."""
        self._hasher.update(data)

    def digest(self) -> bytes:
        """Of everything, after close()."""
        if self._behind:
            self._hashing.wait()
        return self._hasher.digest()

    def _taken(self) -> bytes:
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held, self._held_bytes = [], 0
        return data
