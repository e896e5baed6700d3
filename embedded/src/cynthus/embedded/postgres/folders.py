import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cynthus.embedded.postgres.account import Account
from cynthus.embedded.postgres.postmaster import socket_name
from cynthus.embedded.postgres.unavailable import PostgresUnavailable

_LONGEST_SOCKET_PATH = 107
_LIST_SYNTAX = frozenset(",\"'\\\n")


@dataclass(frozen=True, slots=True)
class Folders:
    """Where one embedded server keeps its things."""

    home: Path

    @property
    def data(self) -> Path:
        """The PostgreSQL data folder."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "postgres.log"

    @property
    def turn(self) -> Path:
        """Locked by whoever starts or stops the server."""
        return self.home / "turn.lock"

    @property
    def living(self) -> Path:
        """Locked by every process of the server as long as it lives."""
        return self.home / "living.lock"

    @property
    def sockets(self) -> Path:
        """The socket's folder: in the home, or under the temporary folder when that path is too long."""
        inside = self.home / "run"
        if _fits(inside):
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        for root in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 (made 0700, ownership checked)
            outside = root / f"cynthus-{digest}"
            if _fits(outside):
                return outside
        raise PostgresUnavailable(
            f"No folder is short enough for a Unix socket ({_LONGEST_SOCKET_PATH} bytes at most).",
            "Set TMPDIR or CYNTHUS_HOME to a shorter path.",
        )


def prepare_home(home: Path, account: Account) -> None:
    """Make the home, private to us and reachable by the server's account."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account.drops and not account.enters(home):
        os.chown(home, -1, account.gid)
        home.chmod(0o710)
        if not account.enters(home):
            raise PostgresUnavailable(
                f"PostgreSQL cannot run as root here, and user {account.uid} cannot reach {home}.",
                "Set CYNTHUS_HOME to a folder that every user can reach, such as /var/lib/cynthus.",
            )


def prepare_sockets(folder: Path, account: Account) -> None:
    """Make the socket's folder and prove that it is private: its privacy is what guards the database."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {account.uid, os.geteuid()}:
            raise PostgresUnavailable(
                f"{folder} belongs to someone else; the database's socket must not be put there.",
                f"Remove {folder}, or set TMPDIR to a folder of your own.",
            ) from None
    account.own(folder, 0o700)
    if stat.S_IMODE(folder.lstat().st_mode) != stat.S_IRWXU:
        raise PostgresUnavailable(
            f"{folder} cannot be made private: this file system does not keep permissions.",
            "Set CYNTHUS_HOME and TMPDIR to folders on a Linux file system.",
        )


def remove_sockets(folder: Path) -> None:
    """Leave no empty folder behind after the server is gone."""
    with suppress(OSError):
        folder.rmdir()


def _fits(folder: Path) -> bool:
    path = os.fsencode(folder / socket_name())
    return len(path) <= _LONGEST_SOCKET_PATH and not _LIST_SYNTAX & set(str(folder))
