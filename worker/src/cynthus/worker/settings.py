"""What a worker is told when it starts."""

import base64
import json
import os
import sys
from collections.abc import MutableMapping, Sequence
from typing import NamedTuple

from cynthus.worker import kernel

_GIB = 1024**3


class SettingsInvalid(Exception):
    """The worker cannot start like this."""


class Settings(NamedTuple):
    """Where the platform is, who this machine is, and where caches and runs are kept."""

    url: str
    token: str
    machine: str
    home: str
    cache_bytes: int = 20 * _GIB
    backlog_bytes: int = 4 * _GIB
    """Output waiting to be shipped; a program that is this far ahead has to wait."""
    memory_bytes: int | None = None
    """Limit for the user's processes."""
    processes: int | None = None
    """Most processes and threads of a program; 512 in a container, else 4096."""
    keep_runs: bool = False
    sandbox: str = "auto"
    """Whether programs run under bubblewrap: `auto` where it works, `off`, `required`."""
    notice_url: str = ""
    """Where the machine says that it goes (as `instance/preempted` of Compute Engine)."""
    leave_s: float = 25.0
    """How long after such a notice, or SIGTERM, everything has to be reported."""
    give_up_s: float = 3600.0
    """How long the platform may be away before results are given up."""
    idle_s: float = 8.0
    """How long it may be away before a worker without work leaves: its machine is needed by nobody."""
    boot: str = ""
    """The same for a worker and those that take its work over."""


def read_settings(
    arguments: Sequence[str], environment: MutableMapping[str, str], token: str = ""
) -> Settings:
    """Options `--machine`, `--home`, and CYNTHUS_WORKER_*; the token is removed wherever it shows."""
    token = environment.pop("CYNTHUS_WORKER_TOKEN", "") or token
    kernel.forget_variable("CYNTHUS_WORKER_TOKEN")
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if len(arguments) % 2 or not options.keys() <= {"--machine", "--home"}:
        raise SettingsInvalid("usage: python -m cynthus.worker [--machine NAME] [--home FOLDER]")
    url = environment.get("CYNTHUS_WORKER_URL", "").rstrip("/")
    home = options.get("--home") or environment.get("CYNTHUS_WORKER_HOME", "")
    if not (url.startswith(("http://", "https://")) and token and home):
        raise SettingsInvalid(
            "set CYNTHUS_WORKER_URL (http...), CYNTHUS_WORKER_TOKEN and CYNTHUS_WORKER_HOME"
        )
    memory = environment.get("CYNTHUS_WORKER_MEMORY_BYTES")
    return Settings(
        url=url,
        token=token,
        machine=options.get("--machine") or _named_in(token),
        home=os.path.realpath(home),
        cache_bytes=int(environment.get("CYNTHUS_WORKER_CACHE_BYTES", 20 * _GIB)),
        backlog_bytes=int(environment.get("CYNTHUS_WORKER_BACKLOG_BYTES", 4 * _GIB)),
        memory_bytes=int(memory) if memory else None,
        processes=int(environment.get("CYNTHUS_WORKER_PROCESSES") or 0) or None,
        keep_runs=environment.get("CYNTHUS_WORKER_KEEP_RUNS", "") == "1",
        sandbox=_sandbox(environment.get("CYNTHUS_WORKER_SANDBOX") or "auto"),
        notice_url=environment.get("CYNTHUS_WORKER_NOTICE_URL", ""),
        leave_s=float(environment.get("CYNTHUS_WORKER_LEAVE_S", "25")),
        give_up_s=float(environment.get("CYNTHUS_WORKER_GIVE_UP_S", "3600")),
        idle_s=float(environment.get("CYNTHUS_WORKER_IDLE_S", "8")),
        boot=environment.setdefault("CYNTHUS_WORKER_BOOT", os.urandom(8).hex()),
    )


def _sandbox(mode: str) -> str:
    if mode not in {"auto", "off", "required"}:
        raise SettingsInvalid(f"CYNTHUS_WORKER_SANDBOX is auto, off or required, not {mode!r}")
    return mode


def _named_in(token: str) -> str:
    payload = token.split(".")[1] if token.count(".") == 2 else ""  # noqa: PLR2004 - header.payload.signature
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        kind, _, name = claims["sub"].partition(":")
    except (ValueError, KeyError, TypeError, AttributeError):
        kind, name = "", ""
    return name if kind == "machine" and name else os.uname().nodename


def say(message: str) -> None:
    """A line in the worker's own log."""
    print(f"cynthus-worker: {message}", file=sys.stderr, flush=True)  # noqa: T201 - its log is its stderr
