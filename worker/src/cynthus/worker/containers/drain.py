"""Moves what a container's program writes into the spool, without a moment in which it is nowhere."""

import errno
import os
import select
import threading
from collections.abc import Callable

from cynthus.worker.spool import Spool

_MOST_BYTES = 1024 * 1024
_NO_SPLICE = frozenset({errno.EINVAL, errno.ENOSYS})


class Drain:
    """A thread, until nobody can write any more, or `finish`."""

    def __init__(self, spool: Spool, stdout: int, stderr: int, failed: Callable[[OSError], None]) -> None:
        self._spool = spool
        self._failed = failed
        self._broken = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._sources = {stdout: "stdout", stderr: "stderr"}
        self._thread = threading.Thread(target=self._run, name="drain", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """The program is gone: move what is left, wait for nothing more."""
        if self._thread.ident is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        poller = select.poll()
        running = dict(self._sources)
        for descriptor in (*running, self._wake):
            poller.register(descriptor, select.POLLIN)
        while running:
            ready = dict(poller.poll())
            moved = 0
            for descriptor in ready.keys() & running.keys():
                count = self._move(descriptor, running[descriptor])
                moved += count or 0
                if count == 0:
                    poller.unregister(descriptor)
                    del running[descriptor]
            if self._wake in ready and not moved:
                return

    def _move(self, pipe: int, source: str) -> int | None:
        """How many bytes; 0 at the end, None when there are none now."""
        try:
            if self._broken:
                return len(os.read(pipe, _MOST_BYTES))
            return self._spool.take(source, pipe, _MOST_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _NO_SPLICE:
                return self._copy(pipe, source)
            self._broken = True
            self._failed(error)
            return None

    def _copy(self, pipe: int, source: str) -> int | None:
        """Where the kernel cannot move."""
        try:
            data = os.read(pipe, _MOST_BYTES)
            self._spool.append(source, data)
        except BlockingIOError:
            return None
        return len(data)
