import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cynthus.embedded.postgres.unavailable import PostgresUnavailable

_NAMESPACE = ("--user", "--map-user=1000", "--map-group=1000", "--")
_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server's processes run as: PostgreSQL refuses to run as root.

    `uid` and `gid` own the data folder as seen from outside a user namespace.
    """

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    drops: bool = False

    def run(self, argv: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as this account."""
        identity: dict[str, Any] = {}
        if self.drops:
            identity = {"user": self.uid, "group": self.gid, "extra_groups": []}
        command = [*self.prefix, *(str(arg) for arg in argv)]
        return subprocess.run(command, check=False, text=True, **identity, **options)

    def own(self, path: Path, mode: int) -> None:
        """Make a file or folder of ours usable by this account only."""
        if path.stat().st_uid != self.uid:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)

    def enters(self, folder: Path) -> bool:
        """True when this account can reach the folder."""
        if not self.drops:
            return os.access(folder, os.X_OK)
        return self.run(["/bin/sh", "-c", 'cd "$0"', folder], stderr=subprocess.DEVNULL).returncode == 0


def account_for(data: Path) -> Account:
    """Choose the account for a data folder; an existing one keeps its owner."""
    me = os.geteuid()
    if me != 0:
        return Account(me, os.getegid())
    found = data.stat() if data.exists() else None
    if found and found.st_uid != 0:
        return Account(found.st_uid, found.st_gid, drops=True)
    namespace = _user_namespace()
    if namespace:
        return Account(0, 0, prefix=namespace)
    if found:
        raise PostgresUnavailable(
            f"{data} belongs to root, as whom PostgreSQL refuses to run; user namespaces do not work here.",
            f"Give it to an ordinary user: chown -R postgres {data}",
        )
    return _unprivileged()


def refuse_foreign(data: Path) -> None:
    """An ordinary user may only run a database of his own."""
    me = os.geteuid()
    owner = data.stat().st_uid if data.exists() else me
    if me not in {0, owner}:
        raise PostgresUnavailable(
            f"{data} belongs to user {owner}, this is user {me}.",
            "Start Cynthus as the user that created it, or set CYNTHUS_HOME to a folder of your own.",
        )


def _user_namespace() -> tuple[str, ...]:
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    prefix = (unshare, *_NAMESPACE)
    probe = subprocess.run([*prefix, "/bin/sh", "-c", ":"], check=False, capture_output=True)
    return prefix if probe.returncode == 0 else ()


def _unprivileged() -> Account:
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, drops=True)
    raise PostgresUnavailable(
        "PostgreSQL refuses to run as root, and there is neither a working `unshare --user` "
        "nor a user called postgres or nobody.",
        "Start Cynthus as an ordinary user, or set CYNTHUS_DATABASE_URL to a PostgreSQL server of your own.",
    )
