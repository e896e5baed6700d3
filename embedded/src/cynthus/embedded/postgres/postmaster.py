import os
import signal
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

USER = "cynthus"
DATABASE = "postgres"
PORT = 5432
_STATUS_LINE = 7
_PROTOCOL = 3 << 16
_NOT_YET = b"C57P03\0"
_CLOCK_SLACK_SECONDS = 5.0
_PROC = Path("/proc")


class Answer(Enum):
    """What a connection attempt tells about a server."""

    READY = "ready"
    NOT_YET = "not yet"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The server process that a data folder's postmaster.pid names."""

    pid: int
    started_at: int
    socket_folder: Path
    says_ready: bool

    def runs(self, data: Path) -> bool:
        """True when this very server lives: the process may be gone or its number reused."""
        if lives(self.pid, data):
            return True
        started = _started_at(self.pid)
        return (
            started is not None
            and not _cwd_is_readable(self.pid)
            and abs(started - self.started_at) <= _CLOCK_SLACK_SECONDS
        )

    def signal(self, number: signal.Signals, data: Path) -> None:
        """Signal this server, never a process that has taken over its number."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        except (AttributeError, OSError):
            handle = None
        try:
            if not self.runs(data):
                return
            if handle is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return
        finally:
            if handle is not None:
                os.close(handle)


def read_pid_file(data: Path) -> Postmaster | None:
    """The server named in postmaster.pid; None when there is none or it is half-written."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        status = lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""
        return Postmaster(int(lines[0]), int(lines[2]), Path(lines[4]), status == "ready")
    except (FileNotFoundError, IndexError, ValueError):
        return None


def lives(pid: int, data: Path) -> bool:
    """True for a live process that sits in the data folder, as every process of its server does."""
    if not _PROC.is_dir():
        return _exists(pid)
    return _works_in(pid, data)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return (_PROC / str(pid) / "cwd").samefile(folder)
    except OSError:
        return False


def server_processes(data: Path) -> Iterator[int]:
    """Processes of a server on this data folder, also those that outlived their postmaster."""
    if not _PROC.is_dir():
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and _works_in(int(entry.name), data) and _is_postgres(int(entry.name)):
            yield int(entry.name)


def ask(socket_folder: Path, timeout: float) -> Answer:
    """Say hello on the server's socket the way a client does."""
    hello = _startup_message()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        try:
            client.connect(str(socket_folder / socket_name()))
            client.sendall(hello)
            reply = client.recv(4096)
        except OSError:
            return Answer.NOBODY
    if not reply:
        return Answer.NOBODY
    return Answer.NOT_YET if reply[:1] == b"E" and _NOT_YET in reply else Answer.READY


def socket_name() -> str:
    """The file PostgreSQL makes for its socket."""
    return f".s.PGSQL.{PORT}"


def _startup_message() -> bytes:
    fields = ("user", USER, "database", DATABASE, "application_name", "cynthus-probe")
    body = struct.pack("!i", _PROTOCOL) + b"".join(field.encode() + b"\0" for field in fields) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_postgres(pid: int) -> bool:
    try:
        return (_PROC / str(pid) / "comm").read_text().startswith("postgres")
    except OSError:
        return False


def _cwd_is_readable(pid: int) -> bool:
    try:
        (_PROC / str(pid) / "cwd").readlink()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def _started_at(pid: int) -> float | None:
    try:
        after_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = next(
            int(line.split()[1])
            for line in (_PROC / "stat").read_text().splitlines()
            if line.startswith("btime")
        )
    except (OSError, StopIteration):
        return None
    return boot + int(after_name[19]) / os.sysconf("SC_CLK_TCK")
