import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cynthus.embedded.postgres.account import Account
from cynthus.embedded.postgres.binaries import Binaries
from cynthus.embedded.postgres.folders import Folders
from cynthus.embedded.postgres.postmaster import PORT, USER
from cynthus.embedded.postgres.unavailable import from_output

_SETTINGS: Mapping[str, str] = {
    "cluster_name": "cynthus",
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "48MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "autovacuum": "on",
    "autovacuum_max_workers": "1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",
}
_PARTIAL = "data.partial-"
_CREATION = (
    "--no-sync",
    "--no-instructions",
    "--data-checksums",
    "--encoding=UTF8",
    "--locale=C",
    "--auth=trust",
    f"--username={USER}",
)
_ACCESS = "local all all trust\n"


def create(binaries: Binaries, folders: Folders, account: Account, *, durable: bool) -> None:
    """Make the data folder: all of it, on disk, or none of it.

    Each try has a folder of its own: the initdb of a killed start may still be writing into its.
    """
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folders.home))
    account.own(partial, 0o700)
    try:
        _initdb(binaries, partial, account, *_CREATION)
        if durable:
            _sync(binaries, partial, account)
        partial.rename(folders.data)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync_folder(folders.home)


def sweep(folders: Folders) -> None:
    """Remove what starts that were killed half-way left behind."""
    for partial in folders.home.glob(f"{_PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)


def configure(folders: Folders, sockets: Path, overrides: Mapping[str, str]) -> None:
    """Write the server's settings; what an owner set with ALTER SYSTEM still wins."""
    settings = {**_SETTINGS, "unix_socket_directories": str(sockets), **overrides}
    lines = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    _replace(folders.data / "postgresql.conf", "\n".join(lines) + "\n")
    _replace(folders.data / "pg_hba.conf", _ACCESS)


def environment(binaries: Binaries) -> dict[str, str]:
    """What the server's programs see: none of the caller's PG* variables."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    icu = {"ICU_DATA": str(binaries.icu_data)} if binaries.icu_data else {}
    return {**kept, **icu, "LC_ALL": "C", "TZ": "UTC"}


def _initdb(binaries: Binaries, partial: Path, account: Account, *options: str) -> None:
    ended = account.run(
        [binaries.initdb, "-D", partial, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=partial,
        env=environment(binaries),
    )
    if ended.returncode != 0:
        raise from_output("Creating the database", ended.stdout, partial.parent)


def _sync(binaries: Binaries, partial: Path, account: Account) -> None:
    """One flush of the file system is several times faster than one per file."""
    sync = shutil.which("sync")
    if sync and subprocess.run([sync, "-f", partial], check=False, capture_output=True).returncode == 0:
        return
    _initdb(binaries, partial, account, "--sync-only")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    """Give a settings file new content; the server's account reads it, whoever writes it."""
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(f"{path.name}.fresh")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(path)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
