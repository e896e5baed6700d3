"""Which interpreter an environment is made for."""

import glob
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

_MINOR = re.compile(r"(\d+\.\d+)(\.\d+)?")
_TRY_S = 20
_SHOW = "import os, sys; print(os.path.realpath(sys.executable), *sys.version_info[:2], sep='\\n')"


class NoInterpreter(Exception):
    """This machine has no Python of that version."""


@cache
def interpreter_of(python: str) -> str:
    """The path of an interpreter of this minor version, such as 3.12: this program's own when it fits.

    Raises NoInterpreter.
    """
    match = _MINOR.fullmatch(python)
    if match is None:
        raise NoInterpreter(f"{python!r} is no Python version like 3.12")
    minor = match[1]
    own: str = getattr(sys, "_base_executable", sys.executable)
    if sys.version_info[:2] == tuple(map(int, minor.split("."))) and os.path.exists(own):
        return os.path.realpath(own)
    for candidate in _candidates(minor):
        found = _tried(candidate, minor)
        if found is not None:
            return found
    raise NoInterpreter(f"there is no Python {minor} on this machine")


def folder_of(interpreter: str) -> str:
    """The folder that holds the interpreter and its standard library, such as /usr."""
    return os.path.dirname(os.path.dirname(os.path.realpath(interpreter)))


def find_uv() -> str | None:
    """The program uv, from its package or PATH."""
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("uv")


def _candidates(minor: str) -> Iterator[str]:
    """Those on PATH, pyenv's (its shims answer only in chosen folders), and uv's."""
    yield f"python{minor}"
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    yield from sorted(glob.glob(f"{pyenv}/versions/{minor}.*/bin/python{minor}"), reverse=True)
    uv = find_uv()
    if uv is not None:
        yield _said([uv, "python", "find", "--no-project", "--system", minor])


def _tried(candidate: str, minor: str) -> str | None:
    program = shutil.which(candidate) if candidate else None
    lines = _said([program, "-I", "-S", "-c", _SHOW]).split("\n") if program else []
    return lines[0] if lines[1:] == minor.split(".") else None


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TRY_S, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
