"""The platform on this machine: a process of its own, found by the files it leaves in the state folder."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cynthus.cli import exits, folders
from cynthus.cli.client.endpoint import Endpoint
from cynthus.cli.failure import Failure

_MODULE = "cynthus.embedded"
_POLL_S = 0.02
_START_S = 180.0
_PROBE_S = 2.0


@dataclass(frozen=True, slots=True)
class Started:
    """What platform.json says."""

    url: str
    pid: int
    version: str


def recorded() -> Started | None:
    """The platform that was started last; it may be gone."""
    try:
        found = json.loads((folders.home() / "platform.json").read_bytes())
        return Started(str(found["url"]), int(found["pid"]), str(found.get("version") or ""))
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError, KeyError, TypeError):
        return None


def known() -> bool:
    """Whether a platform was ever started here."""
    return os.path.isdir(folders.home())  # noqa: PTH112 (False also where we may not look)


def not_running() -> Failure:
    """Nobody to ask."""
    return Failure(
        code="no_platform",
        what="no platform is running on this machine, and none is configured",
        fix="cynthus up   (or set CYNTHUS_URL and CYNTHUS_TOKEN, or cynthus login --url URL)",
        exit_code=exits.UNREACHABLE,
    )


def endpoint() -> Endpoint:
    """Where the platform is and the owner's token. Raises Failure when it was never started."""
    found = recorded()
    if found is None:
        raise not_running()
    return Endpoint(found.url, _token(), "embedded")


def listening() -> bool:
    """Whether the recorded platform accepts connections: quicker to ask than `ready`."""
    found = recorded()
    if found is None or not _alive(found.pid):
        return False
    from urllib.parse import urlsplit

    parts = urlsplit(found.url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=_PROBE_S).close()
    except OSError:
        return False
    return True


def ready(url: str) -> bool:
    """Whether a platform answers at this address that it is ready."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PROBE_S)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200  # noqa: PLR2004
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start(waiting: Callable[[], None] = lambda: None) -> tuple[Started, bool]:
    """Start the platform unless it runs; (where it is, whether it was started now). Raises Failure."""
    found = recorded()
    if found is not None and _alive(found.pid) and ready(found.url):
        return found, False
    _require_installed()
    import subprocess

    with _open_log() as log:
        before = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=folders.home(),
            env=_environment(),
        )
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        found = recorded()
        if found is not None and _alive(found.pid) and ready(found.url):
            return found, found.pid == process.pid
        code = process.poll()
        if code:
            raise _did_not_start(f"it ended with code {code}", before)
        waiting()
        time.sleep(_POLL_S)
    raise _did_not_start(f"it was not ready after {_START_S:.0f} seconds", before)


def stop() -> str:
    """Stop everything that was started; what the platform said about it. Raises Failure."""
    _require_installed()
    import subprocess

    ended = subprocess.run(
        [sys.executable, "-m", _MODULE, "--down"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=_environment(),
    )
    said = (ended.stdout + ended.stderr).strip()
    if ended.returncode != 0:
        raise Failure(
            code="not_stopped",
            what="the platform on this machine could not be stopped",
            why=said.splitlines()[-1] if said else f"code {ended.returncode}",
            fix=f"look at {log_path()}, then cynthus down",
        )
    return said


def log_path() -> Path:
    """The platform's log."""
    return folders.home() / "logs" / "platform.log"


def _open_log() -> BinaryIO:
    try:
        log_path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return log_path().open("ab")
    except OSError as error:
        raise Failure(
            code="state_unwritable",
            what=f"the state folder {folders.home()} cannot be written",
            why=error.strerror,
            fix="export CYNTHUS_HOME=<a folder of yours>, or make this one writable",
            exit_code=exits.UNREACHABLE,
        ) from error


def _environment() -> dict[str, str]:
    return {**os.environ, "CYNTHUS_HOME": str(folders.home())}


def _alive(pid: int) -> bool:
    """Guards against another platform that took the port, or another program that took the number."""
    if os.path.isdir("/proc/self"):  # noqa: PTH112 (one system call)
        try:
            return _MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _token() -> str | None:
    try:
        return (folders.home() / "token").read_text().strip()
    except FileNotFoundError:
        return None


def _require_installed() -> None:
    import importlib.util

    if importlib.util.find_spec(_MODULE) is None:
        raise Failure(
            code="no_embedded_platform",
            what="the platform for this machine is not installed beside this command",
            fix="pip install cynthus   (or use another platform: cynthus login --url URL --token-stdin)",
            exit_code=exits.UNREACHABLE,
        )


def _did_not_start(why: str, offset: int) -> Failure:
    last = _last_error(offset)
    return Failure(
        code="platform_did_not_start",
        what="the platform on this machine did not start",
        why=f"{why}: {last}" if last else why,
        fix="cynthus doctor   (checks what it needs)",
        more=str(log_path()),
        exit_code=exits.UNREACHABLE,
    )


def _last_error(offset: int) -> str:
    with log_path().open("rb") as log:
        log.seek(offset)
        lines = log.read().decode(errors="replace").split("\n")
    for line in reversed(lines):
        if line.strip():
            return _message(line.strip())
    return ""


def _message(line: str) -> str:
    try:
        record = json.loads(line)
        return str(record.get("message") or record.get("event") or line)
    except (ValueError, AttributeError):
        return line
