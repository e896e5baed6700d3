"""SHA-256 in a thread beside: it costs as much as inflating, and neither needs the interpreter."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from types import TracebackType
from typing import Self

_BATCH = 1024 * 1024
_MOST_WAITING = 4


class Hashing:
    """One thread, at most some MB behind."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()
        self._batch: list[tuple[Digest, bytes]] = []
        self._batch_bytes = 0

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
        self._batch.append((digest, data))
        self._batch_bytes += len(data)
        if self._batch_bytes >= _BATCH:
            while len(self._waiting) >= _MOST_WAITING:
                self._waiting.popleft().result()
            self._waiting.append(self._pool.submit(_hash, self._batch))
            self._batch, self._batch_bytes = [], 0

    def wait(self) -> None:
        """Until nothing is behind."""
        while self._waiting:
            self._waiting.popleft().result()
        _hash(self._batch)
        self._batch, self._batch_bytes = [], 0


class Digest:
    """A SHA-256 that is known a little later."""

    __slots__ = ("_hashing", "hasher")

    def __init__(self, hashing: Hashing) -> None:
        self._hashing = hashing
        self.hasher = sha256()

    def update(self, data: bytes) -> None:
        """The next bytes."""
        self._hashing.later(self, data)

    def digest(self) -> bytes:
        """Of everything until now."""
        self._hashing.wait()
        return self.hasher.digest()


def _hash(batch: "list[tuple[Digest, bytes]]") -> None:
    for digest, data in batch:
        digest.hasher.update(data)
