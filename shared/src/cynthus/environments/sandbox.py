"""Programs under bubblewrap: the machine read-only, what is not theirs hidden, no way to gain privileges."""

import glob
import os
import pwd
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from cynthus.environments.interpreters import folder_of

_INIT = "/run/cynthus-first-process"
_RESOLVER = "/etc/resolv.conf"
_SECRET_FILES = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/ssh/ssh_host_*_key")
_NEVER_HIDDEN = frozenset({"/", "/bin", "/dev", "/etc", "/lib", "/proc", "/sbin", "/usr", "/var"})
_GPU = ("/dev/nvidia*", "/dev/nvidia-caps", "/dev/dri", "/dev/kfd", "/run/nvidia-persistenced")
_KERNEL = (
    "/proc/sys",
    "/proc/irq",
    "/proc/bus",
    "/proc/fs",
    "/proc/acpi",
    "/proc/scsi",
    "/proc/sysrq-trigger",
)
"""Of /proc, what root may write to even without capabilities; bubblewrap 0.8 leaves it open."""
_TRY_S = 20
_TRIES = 5
_FAILURE_S = 30.0


def available() -> bool:
    """Whether bubblewrap works here."""
    return trouble() is None


def trouble() -> str | None:
    """Why there is no sandbox, in bubblewrap's own words where it has any.

    That it works is found out once. A mount of the machine that goes while a sandbox is made ends it, so a
    failure is tried again at once, and later anew: no passing trouble takes the walls away for long.
    """
    with _asking:
        if _known.told is None or time.monotonic() < _known.until:
            return _known.told
        told = _try()
        for _ in range(_TRIES - 1):
            told = None if told is None else _try()
        _known.told, _known.until = told, time.monotonic() + _FAILURE_S
        return told


class _Known:
    """What the last try said; None: it works."""

    told: str | None = ""
    until: float = 0.0


_known = _Known()
_asking = threading.Lock()


def _try() -> str | None:
    if _program() is None:
        return "bubblewrap (bwrap) is not installed"
    if not os.path.exists(_first_process()):
        return f"there are no sandboxes on {os.uname().machine} processors"
    python = os.path.realpath(sys.executable)  # a virtual environment may be where things are hidden
    command = wrap([python, "-I", "-S", "-c", ""], readable=[folder_of(python)])
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TRY_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"bubblewrap cannot be started: {error}"
    return f"bubblewrap does not work here: {done.stderr.strip()[-300:]}" if done.returncode else None


def wrap(
    command: Sequence[str],
    *,
    writable: Iterable[str] = (),
    readable: Iterable[str] = (),
    hidden: Iterable[str] = (),
    network: bool = True,
    gpu: bool = False,
    temporary: str | None = None,
    folder: str = "/",
) -> list[str]:
    """The command that runs `command` in a sandbox, in `folder`.

    Always hidden: this account's home, /run with its sockets, and /tmp, which is `temporary` or memory.
    `writable` and `readable` show through what is hidden. `gpu` adds the GPU's devices. Inherited descriptors
    stay open; signals reach bubblewrap, not the program.
    """
    mounts = [_Mount("/run", ("--tmpfs", "/run"), sealed=True)]
    mounts.append(_Mount("/tmp", ("--bind", temporary, "/tmp") if temporary else ("--tmpfs", "/tmp")))  # noqa: S108 - the sandbox's own
    covered = [path for path in {*map(os.path.realpath, hidden), *_homes()} if os.path.isdir(path)]
    mounts += [_Mount(path, ("--tmpfs", path), sealed=True) for path in covered]
    mounts += [_Mount(path, ("--ro-bind", path, path)) for path in _KERNEL if os.path.exists(path)]
    mounts += [_Mount(path, ("--ro-bind", "/dev/null", path)) for path in _secret_files()]
    mounts.append(_Mount(_INIT, ("--ro-bind", _first_process(), _INIT)))
    behind = [*covered, "/run", "/tmp"]  # noqa: S108 - the same
    mounts += [_Mount(path, ("--ro-bind", path, path)) for path in _shown(readable, behind)]
    mounts += [_Mount(path, ("--bind", path, path)) for path in map(os.path.abspath, writable)]
    mounts += [_Mount(path, ("--dev-bind", path, path)) for path in (_gpu_paths() if gpu else ())]
    mounts.sort(key=lambda mount: mount.path.count("/"))
    sealed = [mount.path for mount in mounts if mount.sealed]
    return [
        *(_program() or "bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
        *(() if network else ("--unshare-net",)),
        *("--as-pid-1", "--cap-drop", "ALL"),
        *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
        *(word for mount in mounts for word in mount.words),
        *(word for path in sealed for word in ("--remount-ro", path)),
        *("--chdir", folder, "--", *command),
    ]


def below_first_process(program: str, arguments: Sequence[str], channel: int) -> list[str]:
    """A command for `wrap` that reports on the descriptor `channel` (see first_process.c)."""
    return [_INIT, str(channel), program, *arguments]


class _Mount(NamedTuple):
    path: str
    words: tuple[str, ...]
    sealed: bool = False


def _first_process() -> str:
    return f"{os.path.dirname(os.path.realpath(__file__))}/first-process-{os.uname().machine}"


def _shown(paths: Iterable[str], behind: Sequence[str]) -> list[str]:
    """Those that would be hidden, and the file that names the resolvers, which may be a link into /run."""
    wanted = {os.path.abspath(path) for path in paths} | {os.path.realpath(_RESOLVER)}
    return sorted(
        path
        for path in wanted
        if os.path.exists(path) and any(path == above or path.startswith(f"{above}/") for above in behind)
    )


@cache
def _program() -> str | None:
    return shutil.which("bwrap")


@cache
def _homes() -> frozenset[str]:
    homes = {os.environ.get("HOME") or "/", _account_home()}
    return frozenset(os.path.realpath(home) for home in homes if home.startswith("/")) - _NEVER_HIDDEN


def _account_home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


@cache
def _secret_files() -> tuple[str, ...]:
    found = (path for pattern in _SECRET_FILES for path in glob.glob(pattern))
    return tuple(path for path in found if os.access(path, os.R_OK))


def _gpu_paths() -> list[str]:
    return [path for pattern in _GPU for path in glob.glob(pattern)]
