"""Byte code for an environment, compiled in the background after it was composed.

The files are marked unchecked: nothing of a composed environment changes. They lie in the environment's own
folders, never in a layer.
"""

import os
import subprocess
from collections.abc import Sequence

from cynthus.environments import compile_folder

COMPILED = ".compiled"
"""Holds the bytes that were written, once all is done."""


class Compilation:
    """A process of low priority; it ends by itself, when told to, and with the process that started it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def wait(self, timeout_s: float | None = None) -> bool:
        """True when it is over. Raises subprocess.TimeoutExpired."""
        code = self._process.wait(timeout_s)
        self._close()
        return code == 0

    def stop(self) -> None:
        """End it; what is compiled stays."""
        self._process.kill()
        self._process.wait()
        self._close()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        if self._process.poll() is None:
            return False
        self._close()
        return True

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def compile_in_background(environment: str, interpreter: str, held: Sequence[int] = ()) -> Compilation | None:
    """Start compiling; None when it is done already. `held` are descriptors that keep the environment."""
    if os.path.exists(f"{environment}/{COMPILED}"):
        return None
    script = os.path.realpath(compile_folder.__file__)
    process = subprocess.Popen(
        [interpreter, "-I", "-S", script, environment, COMPILED],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=tuple(held),
        start_new_session=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
    )
    return Compilation(process)


def compiled_bytes(environment: str) -> int:
    """What compiling has added to an environment, 0 before it is done."""
    try:
        with open(f"{environment}/{COMPILED}", encoding="ascii") as file:
            return int(file.read())
    except (FileNotFoundError, ValueError):
        return 0
