"""The folder /run/cynthus of a container: its first process, and the FIFOs to and from it. See init.c."""

import os
import shutil
from collections.abc import Mapping
from typing import NamedTuple

from cynthus.worker.causes import AttemptFailed, unprepared
from cynthus.worker.orders import OrderInvalid

INSIDE = "/run/cynthus"
INIT = f"{INSIDE}/init"
CHECKPOINT = f"{INSIDE}/checkpoint"
_FIFOS = ("environment", "stdout", "stderr", "bell")
_STATUS_BYTES = 64 * 1024
_PIPE_BYTES = 1024 * 1024
_F_SETPIPE_SZ = 1031
_HEAD_BYTES = 4
_DIGITS = 19


class Ended(NamedTuple):
    """How the program ended; `outside` is the mask of signals sent from outside the container."""

    code: int | None
    signal: int | None
    outside: int
    cpu_seconds: float
    peak_memory_bytes: int


class Failed(NamedTuple):
    """The program could not be executed."""

    errno: int
    exists: bool


class Status(NamedTuple):
    """What the first process has written down so far."""

    started: bool = False
    failed: Failed | None = None
    ended: Ended | None = None
    oom_kills: int = 0


class Stage:
    """One attempt's folder, outside at `folder`. Descriptors are opened before the container starts."""

    def __init__(self, folder: str, user: tuple[int, int]) -> None:
        self.folder = folder
        self._user = user
        self._environment = -1
        self.stdout = self.stderr = self.bell = -1

    def set_up(self) -> None:
        """Make it. Only root can hinder the program from changing what is in it."""
        os.mkdir(self.folder, 0o755)
        init = f"{self.folder}/init"
        shutil.copyfile(_init(), init)
        os.chmod(init, 0o755)  # noqa: S103 - everybody may execute it
        for name in _FIFOS:
            os.mkfifo(f"{self.folder}/{name}", 0o600)
            self._give(name)
        os.close(os.open(f"{self.folder}/status", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        self._give("status")
        os.mkdir(f"{self.folder}/checkpoint")
        self.stdout, self.stderr, self.bell = (_reader(f"{self.folder}/{name}") for name in _FIFOS[1:])

    def adopt(self, stdout: int, stderr: int, bell: int) -> None:
        """Go on with descriptors of another worker."""
        self.stdout, self.stderr, self.bell = stdout, stderr, bell

    def send(self, environment: Mapping[str, str]) -> None:
        """Put the program's environment where the first process reads it. Raises OrderInvalid."""
        data = b"".join(f"{name}={value}".encode() + b"\0" for name, value in environment.items())
        if data.count(b"\0") != len(environment):
            raise OrderInvalid("a variable or secret has a zero byte in it")
        pipe = self._environment = os.open(f"{self.folder}/environment", os.O_RDWR | os.O_NONBLOCK)
        try:
            _widen(pipe, len(data) + _HEAD_BYTES)
            whole = os.write(pipe, len(data).to_bytes(_HEAD_BYTES, "little") + data)
        except OSError:
            whole = 0
        if whole != len(data) + _HEAD_BYTES:
            raise OrderInvalid("variables and secrets are larger than 1 MB together")

    def sent(self) -> None:
        """The environment has been read: nobody can read it again."""
        if self._environment >= 0:
            os.close(self._environment)
            self._environment = -1

    def status(self) -> Status:
        """As far as it is written."""
        try:
            file = os.open(f"{self.folder}/status", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return Status()
        try:
            return read_status(os.read(file, _STATUS_BYTES))
        finally:
            os.close(file)

    def close(self) -> None:
        """Give the descriptors back."""
        self.sent()
        for descriptor in {self.stdout, self.stderr, self.bell} - {-1}:
            os.close(descriptor)
        self.stdout = self.stderr = self.bell = -1

    def _give(self, name: str) -> None:
        if os.geteuid() == 0:
            os.chown(f"{self.folder}/{name}", *self._user)


def read_status(data: bytes) -> Status:
    """The program may have written there too: what is not understood is left out."""
    status = Status()
    for line in data.decode(errors="replace").splitlines():
        word, *fields = line.split() or [""]
        numbers = [int(field) for field in fields if field.isdecimal() and len(field) <= _DIGITS]
        match word, numbers:
            case "started", []:
                status = status._replace(started=True)
            case "failed", [number, exists]:
                status = status._replace(failed=Failed(number, bool(exists)))
            case "ended", [code, signal, outside, cpu_us, peak_kib]:
                ended = Ended(
                    None if signal else code, signal or None, outside, cpu_us / 1e6, peak_kib * 1024
                )
                status = status._replace(ended=ended)
            case "oom_kill", [kills]:
                status = status._replace(oom_kills=kills)
    return status if data.endswith(b"end\n") else status._replace(ended=None)


def _init() -> str:
    path = f"{os.path.dirname(__file__)}/init-{os.uname().machine}"
    if not os.path.exists(path):
        problem = FileNotFoundError(f"containers cannot be run on {os.uname().machine} processors")
        raise AttemptFailed(unprepared("no_container_engine", problem))
    return path


def _reader(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    _widen(descriptor, _PIPE_BYTES)
    return descriptor


def _widen(descriptor: int, size: int) -> None:
    import fcntl

    if size > fcntl.fcntl(descriptor, _F_SETPIPE_SZ + 1):
        try:
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, size)
        except OSError:
            return
