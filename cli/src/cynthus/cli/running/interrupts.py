"""Ctrl-C while following: once detaches, twice within two seconds cancels."""

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

TWICE_WITHIN_S = 2.0


class Interrupts:
    """Counts Ctrl-C while it is entered, instead of ending the command in the middle of a line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = 0.0
        self.count = 0

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _caught(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._last = self._clock()

    @property
    def settled(self) -> bool:
        """No second Ctrl-C came in time."""
        return self.count > 0 and self._clock() - self._last > TWICE_WITHIN_S
