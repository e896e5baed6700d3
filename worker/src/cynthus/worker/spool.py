"""The output of a process: drained at any speed to disk, where it waits to be shipped."""

import os
import select
import threading
from collections.abc import Callable, Mapping

from cynthus.worker import kernel

SOURCES = ("stdout", "stderr")
_PIPE_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024
_TAIL_BYTES = 64 * 1024
_FREE_STEP = 64 * 1024 * 1024
_F_SETPIPE_SZ = 1031


class Spool:
    """One file per source. Written by one thread, read by another; `close` says that nothing more comes."""

    def __init__(self, folder: str, backlog_bytes: int, shipped: Mapping[str, int] | None = None) -> None:
        """Goes on with what is in the folder; `shipped` says how much of it is safe elsewhere."""
        self._files = {
            source: os.open(f"{folder}/{source}.log", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            for source in SOURCES
        }
        self._backlog_bytes = backlog_bytes
        self._changed = threading.Condition()
        self._freed = dict.fromkeys(SOURCES, 0)
        self.written = {source: os.fstat(file).st_size for source, file in self._files.items()}
        self.shipped = dict.fromkeys(SOURCES, 0) | dict(shipped or {})
        self._closed = False
        self._abandoned = False

    def append(self, source: str, data: bytes) -> None:
        """Waits at the backlog's limit. Raises OSError when the disk is full; what did fit is kept."""
        view = memoryview(data)
        try:
            while view and not self._abandoned:
                count = os.pwrite(self._files[source], view, self.written[source])
                view = view[count:]
                with self._changed:
                    self.written[source] += count
        finally:
            with self._changed:
                self._changed.notify_all()
                while self._backlog() > self._backlog_bytes and not self._abandoned:
                    self._changed.wait(1.0)

    def take(self, source: str, pipe: int, most: int) -> int:
        """Move what is in a pipe: it is in the one or in the other, also when this process is killed now.

        How many bytes; 0 at the end. Waits at the backlog's limit. Raises OSError when the disk is full.
        """
        count = os.splice(pipe, self._files[source], most, offset_dst=self.written[source])
        with self._changed:
            self.written[source] += count
            self._changed.notify_all()
            while self._backlog() > self._backlog_bytes and not self._abandoned:
                self._changed.wait(1.0)
        return count

    def next(self, most: int, timeout_s: float) -> tuple[str, int, bytes] | None:
        """(source, offset, bytes) to ship next, waiting for some; None when there are none, see `drained`."""
        with self._changed:
            if not self._backlog() and not self._closed:
                self._changed.wait(timeout_s)
            source = max(SOURCES, key=lambda name: self.written[name] - self.shipped[name])
            offset = self.shipped[source]
            count = min(most, self.written[source] - offset)
        return (source, offset, os.pread(self._files[source], count, offset)) if count else None

    def again(self, source: str, count: int) -> tuple[str, int, bytes]:
        """The next bytes of one source, exactly so many."""
        offset = self.shipped[source]
        return source, offset, os.pread(self._files[source], count, offset)

    def accept(self, source: str, until: int) -> None:
        """Everything before byte `until` is safe elsewhere."""
        with self._changed:
            self.shipped[source] = until
            self._changed.notify_all()
        free = until - _TAIL_BYTES
        if free - self._freed[source] >= _FREE_STEP:
            kernel.free_blocks(self._files[source], free)
            self._freed[source] = free

    def tail(self, source: str) -> bytes:
        """The last bytes."""
        start = max(0, self.written[source] - _TAIL_BYTES)
        return os.pread(self._files[source], _TAIL_BYTES, start)

    def close(self) -> None:
        """Nothing more comes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Nobody will ship any more."""
        with self._changed:
            self._abandoned = self._closed = True
            self.shipped.update(self.written)
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Nothing more comes."""
        return self._closed

    @property
    def drained(self) -> bool:
        """Closed, and everything is shipped."""
        return self._closed and not self._backlog()

    def remove(self) -> None:
        """Give the descriptors back."""
        for descriptor in self._files.values():
            os.close(descriptor)

    def _backlog(self) -> int:
        return sum(self.written.values()) - sum(self.shipped.values())


class Pump:
    """A thread that moves what a process writes into the spool until end of file, or `finish`."""

    def __init__(self, spool: Spool, failed: Callable[[OSError], None]) -> None:
        self._spool = spool
        self._failed = failed
        self._broken = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in SOURCES]
        self._readers = {pipe[0]: source for pipe, source in zip(pipes, SOURCES, strict=True)}
        self._writers = [pipe[1] for pipe in pipes]
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)

    @property
    def writers(self) -> tuple[int, int]:
        """What becomes the process's stdout and stderr."""
        return self._writers[0], self._writers[1]

    def start(self) -> None:
        """Once the process has its ends of the pipes, ours are closed: end of file can arrive."""
        for descriptor in self._writers:
            os.close(descriptor)
        self._writers = []
        self._thread.start()

    def finish(self) -> None:
        """The process and all it started are gone: read what is left, wait for nothing more."""
        if self._thread.ident is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        for descriptor in (*self._writers, *self._readers, self._wake):
            os.close(descriptor)
        self._writers, self._readers = [], {}

    def _run(self) -> None:
        poller = select.poll()
        for descriptor in (*self._readers, self._wake):
            poller.register(descriptor, select.POLLIN)
        running = dict(self._readers)
        for descriptor in running:
            _widen(descriptor)
        while running:
            ready = [descriptor for descriptor, _ in poller.poll()]
            readable = [descriptor for descriptor in ready if descriptor in running]
            for descriptor in readable:
                if not self._move(descriptor, running[descriptor]):
                    poller.unregister(descriptor)
                    del running[descriptor]
            if not readable and self._wake in ready:
                return

    def _move(self, descriptor: int, source: str) -> bool:
        data = os.read(descriptor, _READ_BYTES)
        if data and not self._broken:
            try:
                self._spool.append(source, data)
            except OSError as error:
                self._broken = True
                self._failed(error)
        return bool(data)


def _widen(descriptor: int) -> None:
    import fcntl

    try:
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        return
