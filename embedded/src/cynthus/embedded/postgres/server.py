import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from cynthus.embedded.postgres import cluster, log
from cynthus.embedded.postgres.account import Account, account_for, refuse_foreign
from cynthus.embedded.postgres.binaries import Binaries, locate
from cynthus.embedded.postgres.folders import Folders, prepare_home, prepare_sockets, remove_sockets
from cynthus.embedded.postgres.lock import try_lock, turn
from cynthus.embedded.postgres.postmaster import (
    DATABASE,
    PORT,
    USER,
    Answer,
    Postmaster,
    ask,
    lives,
    read_pid_file,
    server_processes,
    socket_name,
)
from cynthus.embedded.postgres.unavailable import PostgresUnavailable, from_os_error, from_output

T = TypeVar("T")

_POLL_SECONDS = 0.005
_ASK_SECONDS = 2.0
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_PATIENCE_WITH_ORPHANS = 0.3
_ORPHAN_SECONDS = 5.0
_DETACH = '"$@" </dev/null >&2 & echo $!'


class PostgresServer:
    """A PostgreSQL server in a folder of its own; blocking calls, `EmbeddedPostgres` is the async face.

    The server outlives the process that started it; any process may adopt or stop it.
    """

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.folders = Folders(home.absolute())
        self._settings = dict(settings or {})

    @property
    def running(self) -> Postmaster | None:
        """The live server on this home, whoever started it."""
        found = read_pid_file(self.folders.data)
        return found if found and found.runs(self.folders.data) else None

    @property
    def url(self) -> str:
        """DSN for asyncpg: a Unix socket, no password (the socket's folder is private)."""
        found = self.running
        sockets = found.socket_folder if found else self.folders.sockets
        return f"postgresql://{USER}@/{DATABASE}?host={quote(str(sockets))}&port={PORT}"

    def answers(self) -> bool:
        """True when the server takes connections now."""
        return self._adopt() is not None

    def start(self) -> Postmaster:
        """Bring the server up: adopt, recover or create, whatever it takes; safe to call at any time."""
        try:
            refuse_foreign(self.folders.data)
            return self._adopt() or self._start_in_turn()
        except OSError as error:
            raise from_os_error("Starting the database", error, self.folders.home) from error

    def stop(self) -> None:
        """Shut the server down (open transactions are rolled back) and wait until it is gone."""
        if not self.folders.data.exists():
            return
        with turn(self.folders.turn, _START_SECONDS):
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                found = self.running
                if found is None:
                    return
                found.signal(number, self.folders.data)
                if _until(lambda: not self._processes_left(), _STOP_SECONDS):
                    remove_sockets(found.socket_folder)
                    return
        raise PostgresUnavailable(
            f"The database in {self.folders.home} did not stop.",
            f"End process {read_pid_file(self.folders.data)} yourself; nothing acknowledged is lost.",
        )

    def rotate_log(self) -> None:
        """Keep the log within its limit."""
        log.rotate(self.folders.log)

    def _adopt(self) -> Postmaster | None:
        found = self.running
        if found and found.says_ready and ask(found.socket_folder, _ASK_SECONDS) is Answer.READY:
            return found
        return None

    def _start_in_turn(self) -> Postmaster:
        account = account_for(self.folders.data)
        prepare_home(self.folders.home, account)
        with turn(self.folders.turn, _START_SECONDS):
            found = self._adopt_when_ready()
            if found:
                return found
            self._bury_the_dead()
            binaries = locate(self.folders.data, account=account)
            cluster.sweep(self.folders)
            if not self.folders.data.exists():
                cluster.create(binaries, self.folders, account, durable=self._settings.get("fsync") != "off")
            return self._launch(binaries, account)

    def _adopt_when_ready(self) -> Postmaster | None:
        """Wait for a server that is already starting, recovering or stopping to show which it is."""
        outcome = _until(lambda: self._adopt() or self.running is None, _START_SECONDS)
        if outcome:
            return outcome if isinstance(outcome, Postmaster) else None
        raise PostgresUnavailable(
            f"The database in {self.folders.home} runs but has not answered in {_START_SECONDS:.0f} seconds.",
            f"Read {self.folders.log}; `cynthus down` and `cynthus up` start it afresh.",
        )

    def _bury_the_dead(self) -> None:
        """Clear what a killed server left: its backends, and files that would make PostgreSQL refuse."""
        data = self.folders.data
        if not _until(lambda: not self._processes_left(), _PATIENCE_WITH_ORPHANS):
            self._end_orphans()
        found = read_pid_file(data)
        sockets = {self.folders.sockets, *([found.socket_folder] if found else [])}
        (data / "postmaster.pid").unlink(missing_ok=True)
        for folder in sockets:
            (folder / socket_name()).unlink(missing_ok=True)
            (folder / f"{socket_name()}.lock").unlink(missing_ok=True)

    def _end_orphans(self) -> None:
        for number in (signal.SIGQUIT, signal.SIGKILL):
            for pid in server_processes(self.folders.data):
                os.kill(pid, number)
            if _until(lambda: not self._processes_left(), _ORPHAN_SECONDS):
                return
        raise PostgresUnavailable(
            f"Processes of an earlier server still use {self.folders.home}.",
            f"They may be in another container. Find them (fuser {self.folders.living}) and end them.",
        )

    def _processes_left(self) -> bool:
        """True while any process of a server on this home lives: each inherits the lock."""
        descriptor = try_lock(self.folders.living)
        if descriptor is None:
            return True
        os.close(descriptor)
        return self.running is not None or any(server_processes(self.folders.data))

    def _launch(self, binaries: Binaries, account: Account) -> Postmaster:
        folders = self.folders
        prepare_sockets(folders.sockets, account)
        cluster.configure(folders, folders.sockets, self._settings)
        log.rotate(folders.log)
        offset = folders.log.stat().st_size if folders.log.exists() else 0
        pid = self._spawn(binaries, account)

        outcome = _until(lambda: self._adopt() or not lives(pid, folders.data), _START_SECONDS)
        if isinstance(outcome, Postmaster):
            return outcome
        raise from_output("Starting PostgreSQL", log.read_from(folders.log, offset), folders.home)

    def _spawn(self, binaries: Binaries, account: Account) -> int:
        """Start the server detached: in its own session, a child of nobody here."""
        living = try_lock(self.folders.living)
        output = log.open_for_append(self.folders.log)
        try:
            started = account.run(
                ["/bin/sh", "-c", _DETACH, "sh", binaries.postgres, "-D", self.folders.data],
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=self.folders.data,
                env=cluster.environment(binaries),
                start_new_session=True,
                pass_fds=() if living is None else (living,),
            )
        finally:
            os.close(output)
            if living is not None:
                os.close(living)
        return int(started.stdout)


def _until(condition: Callable[[], T], timeout: float) -> T:
    """The condition's first true value, or its last false one after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return value
