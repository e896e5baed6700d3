"""What is asked of a running attempt, from whichever thread learns of it first."""

import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

_MOST_GRACE_S = 10.0
_GRACE_SHARE, _SAVE_SHARE, _REPORT_SHARE = 0.4, 0.7, 0.8


class Dropped(Exception):
    """The attempt is not ours any more: kill, clean up, say nothing."""


class Stopped(Exception):
    """The attempt was asked to end before its process ran."""


class Notice(NamedTuple):
    """The machine goes: who said so, when (monotonic), and how long there is until it is all over."""

    source: str
    at: float
    leave_s: float

    @property
    def kill_at(self) -> float:
        """Until then the program may end by itself."""
        return self.at + min(_MOST_GRACE_S, self.leave_s * _GRACE_SHARE)

    @property
    def save_by(self) -> float:
        """Until then checkpoint and outputs are waited for."""
        return self.at + self.leave_s * _SAVE_SHARE

    @property
    def report_by(self) -> float:
        """Until then the log is waited for."""
        return self.at + self.leave_s * _REPORT_SHARE


class Control:
    """The first reason to stop stays; being dropped outranks it. `wake` is readable once there is either."""

    def __init__(self) -> None:
        self.wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.notice: Notice | None = None
        self._changed = threading.Condition()
        self._reason: str | None = None
        self._dropped: str | None = None
        self._lapsed: Callable[[], bool] = lambda: False

    @property
    def reason(self) -> str | None:
        """`cancelled`, `timeout`, `disk_full`, `preempted`."""
        return self._reason

    @property
    def dropped(self) -> str | None:
        """`fenced`, `lease_lost` or `platform_away`."""
        return self._dropped

    def hold_while(self, lapsed: Callable[[], bool]) -> None:
        """The attempt is ours until this is true: the clock is looked at before anything is said."""
        self._lapsed = lapsed

    def stop(self, reason: str) -> None:
        """End the user's process, gracefully."""
        with self._changed:
            self._reason = self._reason or reason
            self._notify()

    def leave(self, notice: Notice) -> None:
        """End it in the time that the machine has left."""
        with self._changed:
            self.notice = self.notice or notice
        self.stop("preempted")

    def drop(self, reason: str) -> None:
        """End everything at once and forget the attempt."""
        with self._changed:
            self._dropped = self._dropped or reason
            self._notify()

    def check(self) -> None:
        """Raises Dropped or Stopped."""
        self.check_ours()
        if self._reason:
            raise Stopped(self._reason)

    def check_ours(self) -> None:
        """Raises Dropped."""
        if not self._dropped and self._lapsed():
            self.drop("lease_lost")
        if self._dropped:
            raise Dropped(self._dropped)

    def pause(self, seconds: float) -> None:
        """Wait, or raise Dropped at once when the attempt is taken away."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._dropped and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
        self.check_ours()

    def acknowledge(self) -> None:
        """Make `wake` unreadable until the next request."""
        try:
            os.eventfd_read(self.wake)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the descriptor back."""
        with self._changed:
            os.close(self.wake)
            self.wake = -1

    def _notify(self) -> None:
        if self.wake >= 0:
            os.eventfd_write(self.wake, 1)
        self._changed.notify_all()
