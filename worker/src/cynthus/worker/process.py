"""The user's process, from its first instruction until nothing of it is left."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cynthus.worker.channel import Exit
from cynthus.worker.control import Control
from cynthus.worker.supervisor import SupervisorGone

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Running(Protocol):
    """What looks after a running program."""

    def signal(self, number: int) -> None:
        """Tell the program."""
        ...

    def wait(self, timeout_s: float | None, also: int) -> Exit | None:
        """The exit, or None after the time or when the descriptor `also` has something to read."""
        ...


class UserProcess:
    """Runs a command until it ends by itself, is stopped (SIGTERM, the grace, SIGKILL) or is dropped."""

    def __init__(
        self, running: Running, control: Control, *, timeout_s: float | None, grace_s: float
    ) -> None:
        self._running = running
        self._control = control
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self.begun = 0.0
        self._kill_at: float | None = None
        self.stopped_for: str | None = None
        self.seconds = 0.0
        self.running = False
        self.spawn_ms = 0.0

    def start(self, spawn: Callable[[], int], begun: float | None = None) -> int:
        """The process id, as `spawn` gives it; `begun` says when one that is taken over was started."""
        now = time.monotonic()
        self.begun = now if begun is None else begun
        pid = spawn()
        self.running = True
        self.spawn_ms = round((time.monotonic() - now) * 1000, 3)
        return pid

    def wait(self) -> Exit:
        """Until nothing of it is left. Raises SupervisorGone."""
        give_up = self.begun + self._timeout_s if self._timeout_s else None
        while True:
            next_at = self._kill_at if self.stopped_for else give_up
            left = None if next_at is None else next_at - time.monotonic()
            try:
                ended = self._running.wait(left, self._control.wake)
            except SupervisorGone:
                self.running = False
                raise
            if ended is not None:
                self.seconds = time.monotonic() - self.begun
                self.running = False
                return ended
            self._control.acknowledge()
            if give_up is not None and time.monotonic() >= give_up:
                self._control.stop("timeout")
            self._obey(time.monotonic())

    def _obey(self, now: float) -> None:
        control = self._control
        if control.reason and not control.dropped and self.stopped_for is None:
            self._running.signal(signal.SIGTERM)
            self._kill_at = now + self._grace_s
        if control.notice and self._kill_at is not None:
            self._kill_at = min(self._kill_at, control.notice.kill_at)
        if control.dropped or (self._kill_at is not None and now >= self._kill_at):
            self._running.signal(signal.SIGKILL)
            self._kill_at = None
        self.stopped_for = control.reason or control.dropped

    def end(self) -> None:
        """Kill it, if it runs."""
        if self.running:
            self._control.drop("worker_failed")
            self.wait()


def program_of(command: Sequence[str], environment: Mapping[str, str], folder: str) -> str:
    """The file to execute: `python` is the environment's; else as a shell would find it."""
    name = command[0]
    if "/" in name:
        return name
    for place in environment["PATH"].split(":"):
        path = f"{place}/{name}"
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    local = f"{folder}/{name}"
    return local if os.path.isfile(local) else name


def search_path(environment_folder: str) -> str:
    """The environment first, then the machine's ordinary places; nothing of the worker's own."""
    return f"{environment_folder}/bin:{_SYSTEM_PATH}"
