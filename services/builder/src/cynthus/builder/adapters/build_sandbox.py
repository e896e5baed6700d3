"""Where foreign build code runs: no network, nothing of this machine to see, bounded time and room."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime")
_KEPT_OUTPUT = 64 << 10
_READ = 16 << 10
_INSIDE = "/build"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a build may use: seconds; bytes of memory per process, of one file, and of all files.

    The files are looked at every `look_s` seconds.
    """

    time_s: float = 900.0
    memory: int = 4 << 30
    file_size: int = 2 << 30
    disk: int = 6 << 30
    look_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; `broken` names the limit it broke: "time" or "disk"."""

    status: int
    output: str
    broken: str | None = None


class Sandbox:
    """Runs commands in a work folder; under bubblewrap, unless `bwrap` is None."""

    def __init__(self, bwrap: str | None, limits: Limits, *, search_path: str) -> None:
        self._bwrap = bwrap
        self._search_path = search_path
        self.limits = limits

    @property
    def closed(self) -> bool:
        """Whether the network and the rest of the machine are out of reach."""
        return self._bwrap is not None

    def seen(self, work: Path, name: str) -> str:
        """The path of `work`/`name` as the command sees it."""
        return f"{_INSIDE}/{name}" if self._bwrap else str(work / name)

    async def run(self, work: Path, prefix: Path, command: Sequence[str], folder: str) -> Ended:
        """Run in `work`/`folder`; `prefix` is the interpreter's installation."""
        variables = self._variables(work)
        inside = [*self._walls(work, prefix, folder, variables), *command] if self._bwrap else list(command)
        process = await asyncio.create_subprocess_exec(
            *inside, cwd=work / folder, env=variables, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        watching = asyncio.create_task(self._watch(work, process))
        output = bytearray()
        try:
            async with asyncio.timeout(self.limits.time_s):
                await _drain(process, output)
                status = await process.wait()
        except TimeoutError:
            return Ended(-1, output.decode(errors="replace"), "time")
        finally:
            full = watching.done()
            watching.cancel()
            _kill(process)
            await process.wait()
        return Ended(status, output.decode(errors="replace"), "disk" if full else None)

    async def _watch(self, work: Path, process: asyncio.subprocess.Process) -> None:
        """Ends when the build holds too much."""
        while await asyncio.to_thread(_bytes_in, work) <= self.limits.disk:  # noqa: ASYNC110
            await asyncio.sleep(self.limits.look_s)
        _kill(process)

    def _variables(self, work: Path) -> dict[str, str]:
        return {
            "PATH": f"{self.seen(work, 'venv/bin')}:{self._search_path}",
            "VIRTUAL_ENV": self.seen(work, "venv"),
            "HOME": self.seen(work, "home"),
            "TMPDIR": self.seen(work, "tmp"),
            "LANG": "C.UTF-8",
            "SOURCE_DATE_EPOCH": "315532800",  # 1980: the oldest a zip file can say
            "PYTHONHASHSEED": "0",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_INPUT": "1",
        }

    def _walls(self, work: Path, prefix: Path, folder: str, variables: Mapping[str, str]) -> list[str]:
        assert self._bwrap is not None
        walls = [
            self._bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
            "--uid", "65534", "--gid", "65534", "--hostname", "build", "--clearenv",
            "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",  # noqa: S108
        ]  # fmt: skip
        for path in map(Path, _SYSTEM):
            if path.is_symlink():
                walls += ["--symlink", str(path.readlink()), str(path)]
            elif path.exists():
                walls += ["--ro-bind", str(path), str(path)]
        for name in _ETC:
            walls += ["--ro-bind-try", name, name]
        if not prefix.is_relative_to("/usr"):
            walls += ["--ro-bind", str(prefix), str(prefix)]
        walls += ["--bind", str(work), _INSIDE, "--chdir", f"{_INSIDE}/{folder}"]
        for name, value in variables.items():
            walls += ["--setenv", name, value]
        return walls


async def open_sandbox(
    limits: Limits | None = None, *, search_path: str = "/usr/local/bin:/usr/bin:/bin"
) -> Sandbox:
    """Under bubblewrap where it works on this machine."""
    limits = limits or Limits()
    bwrap = shutil.which("bwrap")
    if bwrap is not None:
        process = await asyncio.create_subprocess_exec(
            bwrap, "--unshare-all", "--uid", "65534", "--ro-bind", "/", "/", "--proc", "/proc", "true",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await process.wait() != 0:
            bwrap = None
    return Sandbox(bwrap, limits, search_path=search_path)


async def _drain(process: asyncio.subprocess.Process, output: bytearray) -> None:
    """Keep the end of what it says."""
    assert process.stdout is not None
    while piece := await process.stdout.read(_READ):
        output += piece
        if len(output) > 2 * _KEPT_OUTPUT:
            del output[:-_KEPT_OUTPUT]


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118
    return total
