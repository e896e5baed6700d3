"""A machine's first process: it starts the worker, adopts what is left behind, and ends when nothing is left.

It is run by its path, in a bare interpreter, and outlives the provider. SIGTERM is passed on to the worker.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from types import FrameType

_SET_CHILD_SUBREAPER = 36
_worker = 0


def _pass_on(number: int, _: FrameType | None) -> None:
    if _worker:
        with suppress(ProcessLookupError):
            os.kill(_worker, number)


def main(home: str, command: list[str]) -> int:
    """Stay until the last process of the machine has ended."""
    global _worker  # noqa: PLW0603 - one machine a process
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _pass_on)
    os.chdir(home)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execv(command[0], command)  # noqa: S606 - never a shell
    _worker = pid
    while True:
        try:
            ended, _ = os.wait()
        except ChildProcessError:
            return 0
        if ended == _worker:
            _worker = 0


if __name__ == "__main__":
    at = sys.argv.index("--")
    sys.exit(main(sys.argv[at - 1], sys.argv[at + 1 :]))
