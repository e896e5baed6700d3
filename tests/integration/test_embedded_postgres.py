import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from cynthus.embedded.postgres import EmbeddedPostgres, PostgresServer, PostgresUnavailable
from cynthus.embedded.postgres.binaries import DEBIAN

START = """
import asyncio, sys
from pathlib import Path
from cynthus.embedded.postgres.binaries import DEBIAN
from cynthus.embedded.postgres import EmbeddedPostgres
async def main():
    database = EmbeddedPostgres(Path(sys.argv[1]))
    await database.start()
    print(database.pid, flush=True)
    if "stay" in sys.argv:
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
async def home() -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="cynthus-pg-"))
    yield folder / "pg"
    await asyncio.to_thread(remove, folder)


def remove(folder: Path) -> None:
    for data in folder.glob("*/data"):
        PostgresServer(data.parent).stop()
    shutil.rmtree(folder)


@pytest.fixture
def small_disk(home) -> Iterator[Path]:
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", home], check=True)
    yield home
    subprocess.run(["umount", home], check=True)


@pytest.fixture
async def database(home) -> AsyncIterator[EmbeddedPostgres]:
    database = EmbeddedPostgres(home)
    await database.start()
    yield database
    await database.stop()


async def fetch(database: EmbeddedPostgres, query: str) -> object:
    connection = await asyncpg.connect(database.url, timeout=10)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def come_back(database: EmbeddedPostgres, killed: int | None) -> None:
    await until(lambda: database.pid not in {killed, None})
    await database.start()


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "100"]) as process:
        yield process
        process.kill()


def owner_of(pid: int | None) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def capabilities_of(pid: int | None) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))


def launch(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", START, home, *arguments], stdout=subprocess.PIPE, text=True
    )


def reply(process: subprocess.Popen[str]) -> int:
    with process:
        return int(process.communicate(timeout=60)[0])


async def test_a_first_start_gives_a_database_on_a_private_socket(database, home):
    assert await fetch(database, "SELECT 1") == 1
    assert await fetch(database, "SHOW listen_addresses") == ""
    assert await fetch(database, "SHOW server_encoding") == "UTF8"
    assert (home / "run").stat().st_mode & 0o777 == 0o700
    assert await database.alive()


async def test_acknowledged_commits_are_durable_by_default(database):
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "autovacuum"):
        assert await fetch(database, f"SHOW {setting}") == "on"


async def test_a_second_start_is_quick_and_finds_the_data(database, home):
    await fetch(database, "CREATE TABLE kept AS SELECT 7 AS n")
    await database.stop()
    assert not await database.alive()
    assert database.pid is None

    again = EmbeddedPostgres(home)
    begun = time.monotonic()
    await again.start()
    assert time.monotonic() - begun < 2.0
    assert await fetch(again, "SELECT n FROM kept") == 7


async def test_a_second_instance_adopts_the_running_server(database, home):
    other = EmbeddedPostgres(home)
    await other.start()
    assert other.pid == database.pid
    assert other.url == database.url
    await other.stop()
    assert not await database.alive()


async def test_stopping_twice_and_stopping_what_never_started_is_fine(database, home):
    await database.stop()
    await database.stop()
    await EmbeddedPostgres(home.with_name("never")).stop()


async def test_the_server_outlives_a_killed_parent(home):
    with launch(home, "stay") as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    heir = EmbeddedPostgres(home)
    await heir.start()
    assert heir.pid == pid


async def test_two_starts_at_once_share_one_server(home):
    first, second = launch(home), launch(home)
    assert reply(first) == reply(second) == EmbeddedPostgres(home).pid


async def test_a_killed_server_comes_back_with_every_acknowledged_commit(database):
    await fetch(database, "CREATE TABLE written (n int)")
    acknowledged: list[int] = []

    async def write() -> None:
        connection = await asyncpg.connect(database.url)
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            while True:
                number = len(acknowledged)
                await connection.execute("INSERT INTO written VALUES ($1)", number)
                acknowledged.append(number)
        connection.terminate()

    guard = asyncio.create_task(database.supervise())
    writer = asyncio.create_task(write())
    await until(lambda: len(acknowledged) > 50)
    killed = database.pid
    os.kill(killed, signal.SIGKILL)
    begun = time.monotonic()
    await writer
    await come_back(database, killed)
    assert await database.alive()
    assert time.monotonic() - begun < 5.0
    assert await fetch(database, "SELECT count(*) FROM written") >= len(acknowledged)
    await database.stop()
    await asyncio.wait_for(guard, 10)


async def test_a_server_is_restarted_as_often_as_it_dies(database):
    guard = asyncio.create_task(database.supervise())
    for _ in range(3):
        killed = database.pid
        os.kill(killed, signal.SIGKILL)
        await come_back(database, killed)
    await database.stop()
    await asyncio.wait_for(guard, 10)
    assert database.pid is None


async def test_a_busy_backend_of_a_killed_server_does_not_block_the_restart(database):
    connection = await asyncpg.connect(database.url)
    await connection.execute(
        "CREATE FUNCTION spin() RETURNS void LANGUAGE plpgsql AS 'BEGIN LOOP END LOOP; END'"
    )
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    spinning = asyncio.create_task(connection.execute("SELECT spin()"))
    await asyncio.sleep(0)
    observer = await asyncpg.connect(database.url)
    async with asyncio.timeout(10):
        while (
            await observer.fetchval("SELECT state FROM pg_stat_activity WHERE pid = $1", backend) != "active"
        ):
            pass
    observer.terminate()
    os.kill(database.pid, signal.SIGKILL)
    await database.start()
    assert await fetch(database, "SELECT 1") == 1
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await spinning
    connection.terminate()


async def test_a_stale_pid_file_naming_a_stranger_neither_blocks_nor_harms_it(database, home, stranger):
    files = [home / "data" / "postmaster.pid", home / "run" / ".s.PGSQL.5432.lock"]
    texts = [file.read_text() for file in files]
    await database.stop()
    for file, text in zip(files, texts, strict=True):
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.write_text(text.replace(text.split()[0], str(stranger.pid), 1))
    await database.stop()
    assert database.pid is None
    await database.start()
    assert await fetch(database, "SELECT 1") == 1
    assert stranger.poll() is None


async def test_an_unfinished_pid_file_is_no_obstacle(database, home):
    await database.stop()
    (home / "data" / "postmaster.pid").write_text("")
    await database.start()
    assert await database.alive()


async def test_a_start_killed_while_creating_the_database_leaves_nothing_broken(home):
    with launch(home) as first:
        await until(lambda: list(home.glob("data.partial-*/PG_VERSION")))
        first.kill()
    assert not (home / "data").exists()
    database = EmbeddedPostgres(home)
    await database.start()
    assert await fetch(database, "SELECT 1") == 1
    await database.stop()
    await database.start()
    assert not list(home.glob("data.partial-*"))


@pytest.mark.parametrize("name", ["long-" * 30, "with space, comma 'quote' ümlaut \\ %41&x=y"])
async def test_any_home_path_will_do(home, name):
    database = EmbeddedPostgres(home.with_name(name))
    await database.start()
    assert await fetch(database, "SELECT 1") == 1
    await database.stop()
    await database.start()
    assert await fetch(database, "SELECT 1") == 1


async def test_a_socket_folder_of_someone_else_is_not_trusted(home, monkeypatch):
    temporary = home.with_name("tmp")
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    distant = home.with_name("long-" * 30)
    squatted = EmbeddedPostgres(distant)
    await squatted.start()
    (sockets,) = temporary.glob("cynthus-*")
    await squatted.stop()
    assert not sockets.exists()
    sockets.symlink_to(home.parent)
    with pytest.raises(PostgresUnavailable, match="belongs to someone else"):
        await squatted.start()


async def test_a_server_that_does_not_come_up_shows_its_last_words(home):
    with pytest.raises(PostgresUnavailable) as failed:
        await EmbeddedPostgres(home, settings={"max_connections": "many"}).start()
    assert 'invalid value for parameter "max_connections"' in failed.value.what
    assert "postgres.log" in failed.value.fix


async def test_a_home_that_is_a_file_is_refused_with_a_fix(home):
    home.write_text("")
    with pytest.raises(PostgresUnavailable) as failed:
        await EmbeddedPostgres(home / "pg").start()
    assert str(home) in failed.value.what
    assert "CYNTHUS_HOME" in failed.value.fix


async def test_the_log_is_kept_small_under_a_running_server(database, home):
    with (home / "postgres.log").open("a") as log:
        log.write("x" * 5_000_000)
    database._server.rotate_log()
    await database.stop()
    assert "shut down" in (home / "postgres.log").read_text()
    assert (home / "postgres.log").stat().st_size < 10_000
    assert (home / "postgres.log.1").stat().st_size > 5_000_000


@pytest.mark.needs("system-postgresql")
async def test_data_of_an_older_server_keep_their_server(home, monkeypatch):
    monkeypatch.setenv("CYNTHUS_POSTGRES_BIN", str(max(DEBIAN.glob("*/bin"))))
    database = EmbeddedPostgres(home)
    await database.start()
    before = await fetch(database, "SHOW server_version_num")
    await database.stop()
    monkeypatch.delenv("CYNTHUS_POSTGRES_BIN")
    await database.start()
    assert await fetch(database, "SHOW server_version_num") == before


@pytest.mark.needs("root")
async def test_a_full_disk_is_named(small_disk):
    with pytest.raises(PostgresUnavailable, match="is full") as failed:
        await EmbeddedPostgres(small_disk).start()
    assert "Free at least" in failed.value.fix
    assert not (small_disk / "data").exists()


@pytest.mark.needs("root")
async def test_root_runs_the_server_without_privileges_in_a_user_namespace(database, home):
    assert capabilities_of(database.pid) == 0
    assert (home / "data").stat().st_uid == 0


@pytest.mark.needs("root", "nobody-user")
async def test_root_without_user_namespaces_runs_the_server_as_an_existing_user(home, monkeypatch):
    home.parent.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    database = EmbeddedPostgres(home)
    await database.start()
    owner = (home / "data").stat().st_uid
    assert owner != 0
    assert owner_of(database.pid) == owner
    assert await fetch(database, "SELECT 1") == 1
    monkeypatch.undo()
    os.kill(database.pid, signal.SIGKILL)
    await database.start()
    assert (home / "data").stat().st_uid == owner
    assert await fetch(database, "SELECT 1") == 1


@pytest.mark.needs("root", "nobody-user")
async def test_root_without_user_namespaces_names_a_home_that_others_cannot_reach(home, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PostgresUnavailable, match="cannot reach") as failed:
        await EmbeddedPostgres(home).start()
    assert "/var/lib/cynthus" in failed.value.fix
    assert home.parent.stat().st_mode & 0o777 == 0o700


LIFE = """
import asyncio, os, signal, sys
from pathlib import Path
from cynthus.embedded.postgres.binaries import DEBIAN
from cynthus.embedded.postgres import EmbeddedPostgres
async def main():
    database = EmbeddedPostgres(Path(sys.argv[1]))
    await database.start()
    first = database.pid
    os.kill(first, signal.SIGKILL)
    await database.start()
    print(await database.alive(), database.pid != first)
    print(os.stat(f"/proc/{database.pid}").st_uid == os.getuid())
    await database.stop()
    print(database.pid)
asyncio.run(main())
"""


@pytest.mark.needs("nobody-user")
def test_an_ordinary_user_has_a_database_of_his_own(ordinary_user):
    done = ordinary_user.run(LIFE, ordinary_user.home / "pg")
    assert done.stderr == ""
    assert done.stdout.split() == ["True", "True", "True", "None"]


@pytest.mark.needs("nobody-user")
def test_an_unwritable_home_is_refused_with_a_fix(ordinary_user):
    ordinary_user.home.chmod(0o555)
    done = ordinary_user.run(START, ordinary_user.home / "pg")
    assert done.returncode != 0
    assert "Starting the database failed: Permission denied" in done.stderr
    assert "CYNTHUS_HOME" in done.stderr


@pytest.mark.needs("root", "nobody-user")
async def test_a_database_of_another_user_is_refused(ordinary_user, home):
    home.parent.chmod(0o755)
    await EmbeddedPostgres(home).start()
    home.chmod(0o755)
    done = ordinary_user.run(START, home)
    assert "belongs to user 0" in done.stderr
    assert "set CYNTHUS_HOME" in done.stderr


async def test_databases_of_tests_are_empty_and_their_own(database_url):
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert (await connection.fetchval("SELECT current_database()")).startswith("t_")
    await connection.close()
