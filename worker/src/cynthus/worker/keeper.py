"""A small process between the agent and the user's: it starts, signals and reaps.

It is forked before the agent has threads. Orphans of the user's process become its children, so nothing
escapes; and when the agent dies, however it dies, its end of the channel closes and everything is killed.
Then it becomes the next agent, with what it held for it: what to report of the attempt, and a container that
is not below it and goes on.
"""

import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from cynthus.worker import kernel, proctree
from cynthus.worker.becoming import HANDLED, become
from cynthus.worker.channel import Command, Exit, receive, send
from cynthus.worker.confined import Confined, SandboxFailed

_TITLE = "cynthus-supervisor"
"""With the worker's arguments: a machine is there while one of the two is."""
_SWEEP_S = 10.0

Revive = Callable[[Mapping[str, Any] | None, Sequence[int]], NoReturn]
Holding = tuple[Mapping[str, Any], Sequence[int]]
"""What another worker needs to take over what outlived this one, and descriptors that stay open for it."""


class Keeper:
    """Owns the process: made in the forked copy, never returns from `serve`."""

    def __init__(self, channel: socket.socket, revive: Revive, held: Holding | None) -> None:
        self._channel = channel
        self._revive = revive
        self._held = held
        self._child: int | None = None
        self._program: int | None = None
        self._confined: Confined | None = None
        self._lease: float | None = None
        self._lapsed = False
        self._dismissed = False
        self._cgroups: Sequence[str] = ()
        self._watched = -1
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _close_all_but({0, 1, 2, channel.fileno(), self._wake, wake, *(held[1] if held else ())})
        os.setsid()
        kernel.adopt_orphans()
        kernel.retitle("\0".join([_TITLE, *sys.argv[1:]]))
        kernel.hide_memory()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def serve(self) -> NoReturn:
        """Obey until the agent is gone, then end everything."""
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        while True:
            ready = dict(poller.poll(self._patience_ms()))
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._channel.fileno() in ready:
                self._obey()
            elif self._patience_ms() == 0:
                self._end_lease()

    def _obey(self) -> None:
        message, descriptors = receive(self._channel)
        if message is None:
            self._leave()
        if "hold" in message:
            self._hold(message["hold"], descriptors)
        elif "lease" in message:
            self._lease, self._lapsed = message["lease"], False
        elif "dismiss" in message:
            self._dismissed = True
        elif "watch" in message:
            self._watch(descriptors)
        elif "spawn" in message:
            self._answer(self._begin(Command(**message["spawn"]), descriptors))
        elif self._program is not None:
            _signal_group(self._program, message["signal"])

    def _patience_ms(self) -> float | None:
        """Until the lease is over: an agent that hangs cannot end its program."""
        return None if self._lease is None else max(0.0, (self._lease - time.monotonic()) * 1000)

    def _end_lease(self) -> None:
        self._lease, self._lapsed = None, True
        if self._program is not None:
            _signal_group(self._program, signal.SIGKILL)
        if self._watched >= 0:
            with suppress(OSError):
                signal.pidfd_send_signal(self._watched, signal.SIGKILL)

    def _watch(self, descriptors: list[int]) -> None:
        if self._watched >= 0:
            os.close(self._watched)
        self._watched = descriptors[0] if descriptors else -1
        if self._lapsed:
            self._end_lease()

    def _begin(self, command: Command, descriptors: list[int]) -> dict[str, Any]:
        if self._lapsed or self._patience_ms() == 0:
            for descriptor in descriptors:
                os.close(descriptor)
            return {"lapsed": True}
        return self._spawn(command, descriptors)

    def _spawn(self, command: Command, descriptors: list[int]) -> dict[str, Any]:
        failure, report = os.pipe2(os.O_CLOEXEC)
        confined = Confined() if command.sandbox else None
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            become(command, descriptors, report, me, confined.theirs.fileno() if confined else None)
        for descriptor in (report, *descriptors):
            os.close(descriptor)
        problem = os.read(failure, 16)
        os.close(failure)
        failed: dict[str, Any] = {"errno": int(problem)} if problem else {}
        program = pid
        try:
            if confined and not problem:
                program = confined.started()
        except OSError as error:
            failed = {"errno": error.errno}
        except SandboxFailed:
            failed = {"sandbox": "failed"}
        if failed:
            if confined:
                confined.close()
            _kill([pid], signal.SIGKILL)
            os.waitpid(pid, 0)
            return failed
        self._child, self._program, self._confined = pid, program, confined
        self._cgroups = command.cgroups
        return {"pid": program}

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                swept = self._sweep()
                confined = self._confined
                ended = confined.ended(swept) if confined else _exit_of(status, used, swept)
                self._child = self._program = self._confined = None
                self._answer(ended._asdict())

    def _sweep(self) -> int:
        """Kill everything below until nothing is left; forks made meanwhile are found by the next round."""
        swept: set[int] = set()
        deadline = time.monotonic() + _SWEEP_S
        while time.monotonic() < deadline:
            try:
                if os.waitpid(-1, os.WNOHANG)[0]:
                    continue
            except ChildProcessError:
                break
            below = [pid for pid, fields in proctree.descendants(os.getpid()).items() if fields[0] != b"Z"]
            swept.update(below)
            _kill(below, signal.SIGKILL)
            if select.select([self._wake], [], [], 0.01)[0]:
                os.read(self._wake, 4096)
        return len(swept)

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            send(self._channel, message)
        except OSError:
            self._leave()

    def _hold(self, facts: Mapping[str, Any] | None, descriptors: list[int]) -> None:
        for descriptor in self._held[1] if self._held else ():
            os.close(descriptor)
        self._held = None if facts is None else (facts, descriptors)

    def _leave(self) -> NoReturn:
        self._sweep()
        for cgroup in self._cgroups:
            with suppress(OSError):
                os.rmdir(cgroup)
        if not self._dismissed:
            signal.set_wakeup_fd(-1)
            for number in HANDLED:
                signal.signal(number, signal.SIG_DFL)
            self._revive(*(self._held or (None, ())))
        os._exit(0)


def _exit_of(status: int, used: resource.struct_rusage, swept: int) -> Exit:
    code = os.waitstatus_to_exitcode(status)
    return Exit(
        code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_memory_bytes=used.ru_maxrss * 1024,
        swept=swept,
    )


def _signal_group(child: int, number: int) -> None:
    targets = [-child]
    if number == signal.SIGKILL:
        targets += proctree.descendants(os.getpid())
    _kill(targets, number)


def _kill(targets: Iterable[int], number: int) -> None:
    for target in targets:
        try:
            os.kill(target, number)
        except (ProcessLookupError, PermissionError):
            continue


def _close_all_but(keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                continue
