"""Python environments: a port, and the kind that uv builds of a lock, once per machine."""

import fcntl
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from cynthus.worker.cache import Cache, remove_tree, size_of, try_lock, written
from cynthus.worker.content import Content
from cynthus.worker.control import Control
from cynthus.worker.orders import Image
from cynthus.worker.phases import timed

if TYPE_CHECKING:
    from subprocess import Popen

_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
_COMPLETE = ".complete"
_EVIDENCE_LINES = 20
_LOOK_S = 0.02


class EnvironmentFailed(Exception):
    """uv could not make the environment; `evidence` holds its last lines."""

    def __init__(self, message: str, evidence: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.evidence = evidence


class Environments(Protocol):
    """Where the Python environment of one order comes from."""

    def open(self, phases: dict[str, float]) -> str:
        """Its folder, kept until `release`; adds to `phases` how long (ms) each part of it took."""
        ...

    def release(self) -> None:
        """Let others remove what was used."""
        ...


class LockedEnvironments:
    """Environments in the cache; what an attempt uses is kept until `release`."""

    def __init__(self, image: Image, cache: Cache, content: Content, control: Control) -> None:
        self._image = image
        self._cache = cache
        self._content = content
        self._control = control
        self._held: list[int] = []

    def open(self, phases: dict[str, float]) -> str:
        """Raises EnvironmentFailed, ContentMissing, Dropped, Stopped."""
        image = self._image
        with timed(phases, "environment"):
            return self._open(image.lock, image.python, lambda: self._content.text(image.lock))

    def _open(self, lock: str, python: str, text: Callable[[], bytes]) -> str:
        """`text` is asked for the lock only when the environment has to be built."""
        if not _VERSION.fullmatch(python):
            raise EnvironmentFailed(f"{python!r} is no Python version like 3.12")
        name = hashlib.sha256(f"{lock.removeprefix('sha256:')}\n{python}\n".encode()).hexdigest()
        folder = f"{self._cache.folder}/envs/{name}"
        while not self._hold(name, folder):
            with self._cache.building(f"build-{name}", self._control) as held:
                if not os.path.exists(f"{folder}/{_COMPLETE}"):
                    self._build(folder, python, text(), held)
        os.utime(f"{folder}/{_COMPLETE}")
        return folder

    def release(self) -> None:
        """Let others remove what was used."""
        while self._held:
            os.close(self._held.pop())

    def _hold(self, name: str, folder: str) -> bool:
        descriptor = self._cache.hold(f"env-{name}")
        if try_lock(descriptor, fcntl.LOCK_SH) and os.path.exists(f"{folder}/{_COMPLETE}"):
            self._held.append(descriptor)
            return True
        os.close(descriptor)
        return False

    def _build(self, folder: str, python: str, lock: bytes, held: int) -> None:
        remove_tree(folder)
        os.mkdir(folder, mode=0o755)
        found = interpreter_for(python)
        self._uv(["venv", "--quiet", "--no-project", "--allow-existing", "--python", found, folder], held)
        if any(line.strip() and not line.lstrip().startswith(b"#") for line in lock.splitlines()):
            requirements = f"{folder}/requirements.lock"
            written(requirements, lock, f"{requirements}.fresh")
            interpreter = f"{folder}/bin/python"
            self._uv(["pip", "sync", "--require-hashes", "--python", interpreter, requirements], held)
        marker = f"{folder}/{_COMPLETE}"
        written(marker, f"{size_of(folder)}\n".encode(), f"{marker}.fresh")

    def _uv(self, arguments: list[str], held: int) -> None:
        import subprocess

        # uv keeps the lock's descriptor: should the worker die, nobody builds here until uv has ended.
        output = self._cache.fresh()
        with open(output, "wb+") as file:
            os.unlink(output)
            process = subprocess.Popen(
                [_uv(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd=f"{self._cache.folder}/envs",
                pass_fds=[held],
                start_new_session=True,
            )
            try:
                self._await(process)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            if process.returncode:
                file.seek(0)
                lines = file.read().decode(errors="replace").splitlines()
                words = " ".join(arguments[:2] if arguments[0] == "pip" else arguments[:1])
                raise EnvironmentFailed(f"uv {words} failed", tuple(lines[-_EVIDENCE_LINES:]))

    def _await(self, process: "Popen[bytes]") -> None:
        while process.poll() is None:
            self._control.check()
            time.sleep(_LOOK_S)


def _environment() -> dict[str, str]:
    private = ("CYNTHUS_", "VIRTUAL_ENV", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    return kept | {"UV_SYSTEM_CERTS": "1"}


def interpreter_for(python: str) -> str:
    """What uv is told: the interpreter that runs this worker when it fits, else the version to look for.

    uv looks on PATH and among its own; the platform may run on an interpreter that is in neither.
    """
    here = sys.version_info
    fits = python in {f"{here.major}.{here.minor}", f"{here.major}.{here.minor}.{here.micro}"}
    base: str = getattr(sys, "_base_executable", sys.executable)
    return base if fits and os.path.exists(base) else python


def _uv() -> str:
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        import shutil

        found = shutil.which("uv")
    if found is None:
        raise EnvironmentFailed("uv is not on this machine", ("pip install uv",))
    return found
