"""Sources made into wheels, once per source, Python and platform; their code runs in a sandbox."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cynthus.builder.adapters.build_backends import Backend, Tools, build_system
from cynthus.builder.adapters.build_sandbox import Limits, Sandbox, open_sandbox
from cynthus.builder.adapters.built_wheels import fitting
from cynthus.builder.adapters.index_access import variables
from cynthus.builder.adapters.source_trees import lay_out
from cynthus.builder.adapters.uv_program import Scrubber, Uv
from cynthus.builder.domain.lock import LockedPackage, LockRefused, Target

_FORMAT = 1


class SourceBuilds:
    """A WheelBuilder. With `walls_needed`, nothing is built where there is no sandbox."""

    def __init__(
        self,
        folder: Path,
        uv: str,
        *,
        limits: Limits | None = None,
        find_links: Sequence[str] = (),
        extra_indexes: Sequence[str] = (),
        walls_needed: bool = False,
        at_once: int = 1,
        search_path: str = "/usr/local/bin:/usr/bin:/bin",
    ) -> None:
        self._folder = folder
        self._uv = Uv(uv)
        self._limits = limits or Limits()
        self._variables = variables((), {}, extra_indexes)
        if find_links:
            self._variables["UV_FIND_LINKS"] = ",".join(find_links)
        self._walls_needed = walls_needed
        self._search_path = search_path
        self._places = asyncio.Semaphore(at_once)
        self._sandbox: Sandbox | None = None

    async def wheel(self, package: LockedPackage, archive: Path | None, target: Target) -> Path:
        """The wheel's file. Raises LockRefused, ResolverUnavailable."""
        home = self._folder / _key(package, target)
        async with self._turn(home):
            if (built := await asyncio.to_thread(_kept, home)) is not None:
                return built
            async with self._places:
                return await self._build(package, archive, target, home)

    async def _build(self, package: LockedPackage, archive: Path | None, target: Target, home: Path) -> Path:
        sandbox = await self._walls(package, target)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".build-", dir=self._folder, ignore_cleanup_errors=True
        ) as folder:
            work = Path(folder)
            for name in ("home", "tmp", "out"):
                (work / name).mkdir()
            interpreter = await self._interpreter(package, target, work)
            project = await lay_out(package, archive, work / "src", time_s=self._limits.time_s)
            system = await asyncio.to_thread(build_system, project, package)
            place = project.relative_to(work).as_posix()
            tools = Tools(self._uv, sandbox, self._variables)
            name = await Backend(tools, package, target, work, place, interpreter, system).wheel()
            wheel = await asyncio.to_thread(fitting, work / "out", name, package, target)
            return await asyncio.to_thread(_keep, wheel, home)

    async def _walls(self, package: LockedPackage, target: Target) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = await open_sandbox(self._limits, search_path=self._search_path)
        if self._walls_needed and not self._sandbox.closed:
            raise LockRefused(
                "source_build_off",
                f"{package.name} {package.version} has no wheel, and no sandbox to build it in is here.",
                f"Require a version of {package.name} with a wheel; the operator may install bubblewrap.",
            )
        if os.uname().machine != target.machine:
            raise LockRefused(
                "source_build_off",
                f"{package.name} {package.version} has no wheel for {target.words()}, and this builder"
                f" ({os.uname().machine}) cannot build one for that platform.",
                f"Require a version of {package.name} with a wheel.",
            )
        return self._sandbox

    async def _interpreter(self, package: LockedPackage, target: Target, work: Path) -> Path:
        found = await self._uv.run(
            work,
            "python",
            "find",
            "--system",
            "--no-project",
            target.python,
            scrubber=Scrubber(),
            quiet=False,
        )
        if found.status != 0:
            raise LockRefused(
                "source_build_off",
                f"{package.name} {package.version} has no wheel, and this builder has no Python"
                f" {target.python} to build one with.",
                f"Require a version of {package.name} with a wheel, choose another Python version,"
                f" or have Python {target.python} installed on the builder.",
            )
        return Path(await asyncio.to_thread(os.path.realpath, found.output.strip()))

    @asynccontextmanager
    async def _turn(self, home: Path) -> AsyncIterator[None]:
        """One build of a key at a time, over all processes that share the folder."""
        locks = self._folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(locks / home.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.05)
            yield
        finally:
            os.close(descriptor)


def _key(package: LockedPackage, target: Target) -> str:
    parts = [_FORMAT, package.sha256, target.python, target.platform, list(target.glibc)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _kept(home: Path) -> Path | None:
    return next(iter(sorted(home.glob("*.whl"))), None)


def _keep(wheel: Path, home: Path) -> Path:
    with wheel.open("rb") as file:
        os.fsync(file.fileno())
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return wheel.replace(home / wheel.name)
