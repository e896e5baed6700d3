"""A build backend (PEP 517) asked for a wheel: its needs are installed, its code runs in the sandbox."""

import asyncio
import json
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cynthus.builder.adapters import backend_hook
from cynthus.builder.adapters.build_sandbox import Sandbox
from cynthus.builder.adapters.built_wheels import failure
from cynthus.builder.adapters.uv_program import Scrubber, Uv
from cynthus.builder.adapters.uv_refusals import refusal
from cynthus.builder.domain.lock import LockedPackage, LockRefused, Target

_OLD_SETUPTOOLS = "setuptools<81"
"""The last that has pkg_resources, which old packages import while they are built."""
_LARGEST_ANSWER = 1 << 20


@dataclass(frozen=True, slots=True)
class BuildSystem:
    """The build-system table of a pyproject.toml."""

    requires: tuple[str, ...] = ("setuptools>=40.8.0",)
    backend: str = "setuptools.build_meta:__legacy__"
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tools:
    """What builds work with; `variables` tell uv where packages come from."""

    uv: Uv
    sandbox: Sandbox
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Backend:
    """The backend of the project `project` (a folder below `work`), for one interpreter."""

    tools: Tools
    package: LockedPackage
    target: Target
    work: Path
    project: str
    interpreter: Path
    system: BuildSystem

    async def wheel(self) -> str:
        """The name of the wheel in the folder `out`. Raises LockRefused, ResolverUnavailable."""
        await self._uv("venv", "--relocatable", "--no-project", "--python", str(self.interpreter), "venv")
        await self._install(self.system.requires)
        await asyncio.to_thread(shutil.copyfile, backend_hook.__file__, self.work / "hook.py")
        more = await self._patiently("get_requires_for_build_wheel", [])
        if isinstance(more, list) and more:
            await self._install([str(one) for one in more])
        return str(await self._patiently("build_wheel", [self.tools.sandbox.seen(self.work, "out")]))

    async def _patiently(self, hook: str, arguments: Sequence[str]) -> object:
        try:
            return await self._hook(hook, arguments)
        except LockRefused as error:
            if not any("No module named 'pkg_resources'" in line for line in error.evidence):
                raise
        await self._install([_OLD_SETUPTOOLS])
        return await self._hook(hook, arguments)

    async def _hook(self, hook: str, arguments: Sequence[str]) -> object:
        sandbox, work = self.tools.sandbox, self.work
        inside = sandbox.seen(work, self.project)
        ask = {
            "backend": self.system.backend,
            "path": [f"{inside}/{one}" for one in self.system.path],
            "hook": hook,
            "arguments": list(arguments),
            "memory": sandbox.limits.memory,
            "file_size": sandbox.limits.file_size,
        }
        (work / "ask.json").write_text(json.dumps(ask))
        (work / "answer.json").unlink(missing_ok=True)
        names = ("venv/bin/python", "hook.py", "ask.json", "answer.json")
        command = [sandbox.seen(work, name) for name in names]
        ended = await sandbox.run(work, self.interpreter.parent.parent, command, self.project)
        answer = await asyncio.to_thread(_answer, work / "answer.json")
        if ended.status != 0 or ended.broken is not None or answer is None:
            raise failure(self.package, self.target, ended, str(work))
        return json.loads(answer)

    async def _install(self, requirements: Sequence[str]) -> None:
        """Wheels only: installing them runs nothing."""
        lines = [f"{one}\n" for one in requirements if one.isprintable() and not one.startswith("-")]
        (self.work / "build.in").write_text("".join(lines))
        await self._uv(
            "pip", "install", "--python", "venv/bin/python", "--only-binary", ":all:", "--no-config",
            "-r", "build.in",
        )  # fmt: skip

    async def _uv(self, *arguments: str) -> None:
        tools = self.tools
        ended = await tools.uv.run(self.work, *arguments, variables=tools.variables, scrubber=Scrubber())
        if ended.status == 0:
            return
        error = refusal(ended.errors, self.target)
        if not isinstance(error, LockRefused):
            raise error
        name = f"{self.package.name} {self.package.version}"
        raise LockRefused(
            "source_build_failed",
            f"{name} has no wheel, and what its build needs cannot be installed.",
            f"Require a version of {self.package.name} that has a wheel.",
            error.evidence,
        )


def build_system(project: Path, package: LockedPackage) -> BuildSystem:
    """The table, with PEP 517's defaults. Blocking. Raises LockRefused."""
    path = project / "pyproject.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(package) from error
    table = document.get("build-system")
    if table is None:
        return BuildSystem()
    if not isinstance(table, dict):
        raise _broken(package)
    requires, inner = table.get("requires", []), table.get("backend-path", [])
    backend = table.get("build-backend", BuildSystem().backend)
    listed = [*requires, *inner] if isinstance(requires, list) and isinstance(inner, list) else [None]
    if not all(isinstance(one, str) for one in (backend, *listed)):
        raise _broken(package)
    return BuildSystem(tuple(requires), backend, tuple(inner))


def _answer(path: Path) -> bytes | None:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_ANSWER:
        return None
    return path.read_bytes()


def _broken(package: LockedPackage) -> LockRefused:
    return LockRefused(
        "source_unreadable",
        f"The source of {package.name} {package.version} has a pyproject.toml that cannot be read.",
        f"Require a version of {package.name} that has a wheel.",
    )
