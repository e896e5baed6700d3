"""Tells the platform that an attempt is alive, and stops it when nobody can be told."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from cynthus.worker.control import Control
from cynthus.worker.journal import Journal
from cynthus.worker.link import Link, PlatformAway, Refused, delays
from cynthus.worker.proctree import Usage

_SHARE = 2 / 3
_LONGEST_CALL_S = 10.0
_FIRST_CALL_SHARE = 1 / 40
_LONGER = 1.3
_SLOW = 3
"""A platform that answers slowly is given so many times what it took the last time."""
_MOST_DELAY_S = 1.0
_PRIORITY = -5
"""Of this thread only, and only where the worker may: a busy machine lets it through a little sooner."""


class Heartbeat:
    """A thread. Once armed, without a successful beat for two thirds of the lease the attempt is dropped."""

    def __init__(
        self,
        link: Link,
        url: str,
        token: str,
        control: Control,
        *,
        usage: Callable[[], Usage],
        next_s: float,
        lease_s: float,
        renewed: float | None = None,
        guard: Callable[[float | None], None] = lambda _: None,
    ) -> None:
        """`renewed`: when the lease was asked for (monotonic); it may have been on its way for long.

        `guard` is told until when the attempt may go on without a word; None: no matter how long.
        """
        self._link = link
        self._url = url
        self._token = token
        self._control = control
        self._usage = usage
        self._guard = guard
        self._lease_s = lease_s
        self._next_s = next_s
        self._renewed = time.monotonic() if renewed is None else renewed
        self._armed = False
        self._harmless = False
        self._journal: Journal | None = None
        self._took_s = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self.used = Usage(0.0, 0)
        self.peak_bytes = 0
        control.hold_while(lambda: self.expired)

    def start(self) -> None:
        """Begin; the first beat comes when the order said."""
        if self._thread.ident is None:
            self._thread.start()

    def arm(self) -> None:
        """A process is about to run, or runs: from now on it ends with the lease."""
        self._armed = True
        self._guard(self._deadline)

    def keep(self, journal: Journal) -> None:
        """Write renewals down. Where a killed worker did so, its lease goes on, and the first beat is due."""
        if journal.renewed is not None:
            self._renewed, self._next_s = journal.renewed, 0.0
        else:
            journal.renew(self._renewed)
        self._journal = journal

    def stop(self) -> None:
        """End, without waiting for a call that hangs."""
        self._ended.set()
        self._guard(None)

    def harmless(self) -> None:
        """The user's process has ended: being late can no longer hurt anybody."""
        self._harmless = True
        self._guard(None)

    def renew(self, call: Callable[[float], Any], most_s: float = _LONGEST_CALL_S) -> None:
        """Run a call that renews the lease (given its timeout) and obey the answer."""
        begun = time.monotonic()
        answer: dict[str, Any] = call(self._timeout_s(most_s)) or {}
        self._renewed, self._took_s = begun, time.monotonic() - begun
        if self._journal is not None:
            self._journal.renew(begun)
        self._next_s = float(answer.get("next_beat_s") or self._next_s)
        self._lease_s = float(answer.get("lease_s") or self._lease_s)
        if self._dangerous:
            self._guard(self._deadline)
        if answer.get("stop"):
            self._control.stop(str(answer["stop"]))

    def ask(self, patience_s: float = _LONGEST_CALL_S) -> None:
        """Renew by a beat. Raises PlatformAway, Refused."""
        message = {"cpu_seconds": round(self.used.cpu_seconds, 3), "memory_bytes": self.used.memory_bytes}
        url = f"{self._url}/heartbeat"
        self.renew(lambda timeout_s: self._link.ask(url, self._token, message, timeout_s), patience_s)

    @property
    def stale(self) -> bool:
        """Much of the lease is over: nothing is to be started before it is renewed."""
        return self._left_s() <= self._lease_s * _SHARE / 2

    @property
    def expired(self) -> bool:
        """Two thirds of the lease are over and a process may be running."""
        return self._dangerous and self._left_s() <= 0

    @property
    def _dangerous(self) -> bool:
        return self._armed and not self._harmless

    @property
    def _deadline(self) -> float:
        return self._renewed + self._lease_s * _SHARE

    def _left_s(self) -> float:
        return self._deadline - time.monotonic()

    def _timeout_s(self, most_s: float) -> float:
        if self._harmless:
            return _LONGEST_CALL_S
        left_s = max(0.05, self._left_s()) if self._armed else most_s
        return min(most_s, _LONGEST_CALL_S, self._lease_s / 3, left_s)

    def _patience_s(self) -> Iterator[float]:
        """Short at first: where answers are lost without a word, many must be lost before the lease is."""
        patience_s = max(self._lease_s * _FIRST_CALL_SHARE, self._took_s * _SLOW)
        while True:
            yield patience_s
            patience_s *= _LONGER

    def _run(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PRIORITY)
        while not self._pause(self._next_s):
            for delay, patience_s in zip(delays(0.1, _MOST_DELAY_S), self._patience_s(), strict=False):
                if self._beat(patience_s) or self._pause(delay):
                    break
            self._measure()

    def _measure(self) -> None:
        """For the next beat: with very many processes it takes long, and a beat does not wait."""
        self.used = self._usage()
        self.peak_bytes = max(self.peak_bytes, self.used.memory_bytes)

    def _pause(self, seconds: float) -> bool:
        """Wait, but not past the lease; True when all is over."""
        while True:
            left = min(seconds, max(0.0, self._left_s())) if self._dangerous else seconds
            if self._ended.wait(left) or self._control.dropped:
                return True
            if self.expired:
                self._control.drop("lease_lost")
                return True
            if left >= seconds:
                return False
            seconds -= left

    def _beat(self, patience_s: float) -> bool:
        try:
            self.ask(patience_s)
        except PlatformAway:
            return False
        except Refused as refusal:
            if refusal.final and not self._ended.is_set():
                self._control.drop("fenced")
            return refusal.final
        return True
