"""How far a transfer is: written by its threads, read by whoever draws it."""

import threading
import time
from collections.abc import Callable

from cynthus.cli import units


class Progress:
    """Bytes and pieces done out of those to do."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._began = clock()
        self.bytes = self.total_bytes = 0
        self.pieces = self.total_pieces = 0

    def expect(self, pieces: int, size: int) -> None:
        """More to do."""
        with self._lock:
            self.total_pieces += pieces
            self.total_bytes += size

    def add(self, pieces: int, size: int) -> None:
        """More done."""
        with self._lock:
            self.pieces += pieces
            self.bytes += size

    @property
    def seconds(self) -> float:
        """Since the transfer began."""
        return self._clock() - self._began

    def text(self) -> str:
        """Such as `41.0 MB of 120.0 MB, 80.2 MB/s`."""
        rate = self.bytes / max(self.seconds, 1e-3)
        return f"{units.size(self.bytes)} of {units.size(self.total_bytes)}, {units.size(rate)}/s"
