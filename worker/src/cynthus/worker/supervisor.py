"""The agent's side of the process that looks after the user's."""

import os
import select
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from cynthus.worker import kernel
from cynthus.worker.channel import Command, Exit, receive, send
from cynthus.worker.confined import SandboxFailed
from cynthus.worker.keeper import Holding, Keeper, Revive


class SupervisorGone(Exception):
    """Somebody killed the supervisor; the user's process died with it."""


class LeaseOver(Exception):
    """Nothing was started: between asking and starting the lease ran out."""


class Supervisor:
    """The agent's end of the channel. One user's process at a time."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        self.pid = pid

    def spawn(self, command: Command, stdout: int, stderr: int) -> int:
        """The program's process id, once it runs.

        Raises LeaseOver, SandboxFailed, or OSError as executing it did.
        """
        self._send({"spawn": command._asdict()}, [stdout, stderr])
        answer = self._receive()
        if "lapsed" in answer:
            raise LeaseOver
        if "sandbox" in answer:
            raise SandboxFailed
        if answer.get("errno"):
            raise OSError(answer["errno"], os.strerror(answer["errno"]), command.program)
        return int(answer["pid"])

    def signal(self, number: int) -> None:
        """To the process group of the user's process; SIGKILL to everything it started."""
        self._send({"signal": number})

    def wait(self, timeout_s: float | None, also: int) -> Exit | None:
        """The exit, or None after the time or when the descriptor `also` has something to read."""
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        poller.register(also, select.POLLIN)
        timeout_ms = None if timeout_s is None else max(0.0, timeout_s * 1000) + 1
        ready = dict(poller.poll(timeout_ms))
        return Exit(**self._receive()) if self._channel.fileno() in ready else None

    def lease(self, until: float | None) -> None:
        """End what runs at this time of the monotonic clock, should nobody say anything else before."""
        self._send({"lease": until})

    def watch(self, handle: int | None) -> None:
        """What runs elsewhere: a descriptor of its process, that ends with the lease too."""
        self._send({"watch": handle is not None}, [] if handle is None else [handle])

    def hold(self, facts: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Should this worker be killed, start it anew and give it these facts and descriptors."""
        self._send({"hold": facts}, descriptors)

    def dismiss(self) -> None:
        """This worker leaves in order: nobody is to take its place."""
        with suppress(SupervisorGone):
            self._send({"dismiss": True})

    def let_go(self) -> None:
        """There is nothing to take over any more."""
        self._send({"hold": None})

    def _send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            with self._sending:
                send(self._channel, message, descriptors)
        except OSError as error:
            raise SupervisorGone from error

    def _receive(self) -> dict[str, Any]:
        message, _ = receive(self._channel)
        if message is None:
            raise SupervisorGone
        return message


def start(revive: Revive, held: Holding | None = None) -> Supervisor:
    """Fork the supervisor, with what it is to hold from the beginning. Call it before any thread exists."""
    kernel.adopt_orphans()
    mine, its = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            Keeper(its, revive, held).serve()
        except BaseException:  # noqa: BLE001 - never run on as a second agent
            os._exit(1)
    its.close()
    return Supervisor(mine, pid)
