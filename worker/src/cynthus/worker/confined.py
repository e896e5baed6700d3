"""The supervisor's ear at a sandbox: what its first process says (cynthus.environments, first_process.c)."""

import os
import signal
import socket
import struct

from cynthus.worker.channel import Exit

_MESSAGE_BYTES = 256
_START_S = 60.0
_CREDENTIALS = struct.Struct("3i")
_ENDED_WORDS = 5


class SandboxFailed(Exception):
    """The sandbox ended before the program was started."""


class Confined:
    """One program in a sandbox; `theirs` is for the sandbox, to be closed here once it is given."""

    def __init__(self) -> None:
        self._mine, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._mine.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._mine.settimeout(_START_S)

    def started(self) -> int:
        """The program's process id as it is seen here. Raises OSError as executing it did, SandboxFailed."""
        self.theirs.close()
        pid, word, number = 0, "", ""
        while word not in {"started", "errno"}:
            message, sender = self._next()
            word, _, number = message.partition(" ")
            if not word:
                raise SandboxFailed
            if word == "pid":
                pid = sender
        if word == "errno":
            raise OSError(int(number), os.strerror(int(number)))
        return pid

    def ended(self, swept: int) -> Exit:
        """How the program ended; killed, when the whole sandbox was before it could be told."""
        self._mine.settimeout(0)
        message, _ = self._next()
        self.close()
        words = message.split()
        if len(words) != _ENDED_WORDS or words[0] != "ended":
            return Exit(None, signal.SIGKILL, 0.0, 0, swept)
        code = os.waitstatus_to_exitcode(int(words[1]))
        return Exit(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            cpu_seconds=float(words[2]),
            peak_memory_bytes=int(words[3]),
            swept=swept + int(words[4]),
        )

    def close(self) -> None:
        """Stop listening."""
        self._mine.close()
        self.theirs.close()

    def _next(self) -> tuple[str, int]:
        """A message and who sent it; empty when there are no more."""
        try:
            data, ancillary, *_ = self._mine.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
        except OSError:
            return "", 0
        sender = next((_CREDENTIALS.unpack(item[2])[0] for item in ancillary), 0)
        return data.decode("ascii", "replace"), sender
