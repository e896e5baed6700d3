"""A running container, watched without its engine: the engine may be restarted, or hang."""

import os
import select
import signal
import time
from contextlib import suppress

from cynthus.containers.engine import Engine
from cynthus.containers.errors import EngineRefused, EngineUnavailable, NoSuchContainer
from cynthus.worker.channel import Exit
from cynthus.worker.containers.stage import INIT, Stage

_LOOK_S = 10.0
_ANSWER_S = 30.0
_AGAIN_S = 0.5
_FROM_ENGINE = (1 << signal.SIGTERM) | (1 << signal.SIGINT) | (1 << signal.SIGQUIT) | (1 << signal.SIGHUP)


class Program:
    """What UserProcess asks for. `outside` is true when neither the program nor we ended it."""

    def __init__(self, engine: Engine, container: str, stage: Stage) -> None:
        self.pid = 0
        self.running = False
        self.outside = False
        self.evidence = ""
        self.oom_kills = 0
        self._engine = engine
        self._container = container
        self._stage = stage
        self._signalled: set[int] = set()
        self._handle = -1

    def attach(self, pid: int) -> None:
        """It runs; `pid` is its first process on this machine, 0 when that is not known."""
        self.pid, self.running = pid, True
        self._handle = _handle(pid)

    @property
    def handle(self) -> int | None:
        """A descriptor of its first process, where that can be seen from here."""
        return self._handle if self._handle >= 0 else None

    @property
    def visible(self) -> bool:
        """Its processes can be seen from here."""
        return self._handle >= 0

    def signal(self, number: int) -> None:
        """To the program and its group; SIGKILL ends the whole container."""
        self._signalled.add(number)
        if self._handle >= 0:
            try:
                signal.pidfd_send_signal(self._handle, number)
            except ProcessLookupError:
                return
            except PermissionError:
                pass
            else:
                return
        with suppress(EngineUnavailable, EngineRefused, NoSuchContainer):
            self._engine.kill(self._container, number)

    def wait(self, timeout_s: float | None, also: int) -> Exit | None:
        """The exit, or None after the time, or when `also` is readable."""
        poller = select.poll()
        watched = {self._stage.bell, self._handle} - {-1}
        for descriptor in (*watched, also):
            poller.register(descriptor, select.POLLIN)
        patience = _LOOK_S if timeout_s is None else min(timeout_s, _LOOK_S)
        ready = dict(poller.poll(max(0.0, patience * 1000) + 1))
        if self._over(ready):
            self.running = False
            return self._exit()
        if not ready and signal.SIGKILL in self._signalled:
            self.signal(signal.SIGKILL)
        return None

    def close(self) -> None:
        """Give the descriptor back."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _over(self, ready: dict[int, int]) -> bool:
        bell = ready.get(self._stage.bell, 0)
        if bell & select.POLLIN:
            with suppress(BlockingIOError):
                os.read(self._stage.bell, 4096)
        if self._stage.status().ended is not None:
            return True
        if self._handle in ready or (bell & select.POLLHUP and not bell & select.POLLIN):
            return True
        return not ready and self._engine_says_over()

    def _engine_says_over(self) -> bool:
        try:
            return self._engine.state(self._container).over
        except NoSuchContainer:
            return True
        except (EngineUnavailable, EngineRefused):
            return False

    def _exit(self) -> Exit:
        status = self._stage.status()
        self.oom_kills = status.oom_kills
        ended = status.ended
        if ended is None:
            return self._unwritten()
        if ended.outside & _FROM_ENGINE and not self._signalled:
            self._blame("the container was sent a signal from outside")
        return Exit(ended.code, ended.signal, ended.cpu_seconds, ended.peak_memory_bytes, 0)

    def _unwritten(self) -> Exit:
        """The first process itself was killed: by us, by the kernel, or from outside."""
        if signal.SIGKILL not in self._signalled:
            code = self._ask_engine()
            if not self.oom_kills:
                self._blame(f"the container was killed from outside (exit code {code})")
        return Exit(None, signal.SIGKILL, 0.0, 0, 0)

    def _ask_engine(self) -> int | None:
        deadline = time.monotonic() + _ANSWER_S
        while True:
            try:
                state = self._engine.state(self._container)
            except NoSuchContainer:
                return None
            except (EngineUnavailable, EngineRefused):
                if time.monotonic() > deadline:
                    return None
            else:
                if state.over or time.monotonic() > deadline:
                    self.oom_kills = int(state.oom_killed)
                    return state.exit_code
            time.sleep(_AGAIN_S)

    def _blame(self, evidence: str) -> None:
        self.outside, self.evidence = True, evidence


def _handle(pid: int) -> int:
    """A descriptor of the first process, if it is really that; -1 where it cannot be seen."""
    if pid <= 0:
        return -1
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return -1
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if file.read(len(INIT)) == INIT.encode():
                return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return -1
