"""Locks made by uv, with hashes."""

import asyncio
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cynthus.builder.ports import Lock, LockRefused, ResolverUnavailable
from cynthus.planning.document import Plan
from cynthus.planning.tree import SourceTree

_PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?(==| @ )", re.MULTILINE)
_NOT_FOUND = re.compile(r"Because (\S+) was not found in the package registry")
_OFFLINE = re.compile(
    r"(dns error|connection refused|network|timed out|tcp connect|error sending request)", re.IGNORECASE
)


class UvResolver:
    """The Resolver port over the uv program."""

    def __init__(self, uv: str, *, timeout_s: float = 300.0) -> None:
        self._uv = uv
        self._timeout_s = timeout_s

    async def resolve(self, plan: Plan, tree: SourceTree) -> Lock:
        """A lock for the plan's Python on this kind of machine."""
        if not plan.requirements and plan.locked is None:
            return Lock("", 0)
        with tempfile.TemporaryDirectory(prefix="cynthus-lock-") as folder:
            if plan.locked is not None:
                return await self._export(plan, tree, Path(folder))
            return await self._compile(plan, [item.line() for item in plan.requirements], Path(folder))

    async def _compile(self, plan: Plan, lines: Sequence[str], folder: Path) -> Lock:
        (folder / "requirements.in").write_text("\n".join(lines) + "\n")
        (folder / "constraints.txt").write_text("\n".join(plan.constraints) + "\n")
        text = await self._run(
            folder, "pip", "compile", "requirements.in", "--constraint", "constraints.txt",
            "--generate-hashes", "--python-version", plan.python, "--no-header", "--no-annotate",
            "--no-emit-index-url", "--no-emit-find-links",
        )  # fmt: skip
        return Lock(text, len(_PIN.findall(text)))

    async def _export(self, plan: Plan, tree: SourceTree, folder: Path) -> Lock:
        assert plan.lock_path is not None
        for name in ("pyproject.toml", "uv.lock"):
            path = str(Path(plan.lock_path).with_name(name))
            content = await asyncio.to_thread(tree.read, path)
            (folder / name).write_bytes(content)
        text = await self._run(
            folder, "export", "--frozen", "--no-emit-project", "--no-dev", "--no-header", "--no-annotate",
            "--format", "requirements-txt",
        )  # fmt: skip
        if not plan.additions():
            return Lock(text, len(_PIN.findall(text)))
        # What the project's own lock lacks is resolved on top of it; the lock's versions stay.
        return await self._compile(plan, [text, *(item.line() for item in plan.additions())], folder)

    async def _run(self, folder: Path, *arguments: str) -> str:
        """Its output; a passing trouble is given a second try. Raises LockRefused, ResolverUnavailable."""
        try:
            return await self._once(folder, *arguments)
        except ResolverUnavailable:
            return await self._once(folder, *arguments)

    async def _once(self, folder: Path, *arguments: str) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CYNTHUS_")},
            "UV_SYSTEM_CERTS": "1",
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
        }
        process = await asyncio.create_subprocess_exec(
            self._uv, *arguments, "--quiet", cwd=folder, env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            output, errors = await asyncio.wait_for(process.communicate(), self._timeout_s)
        except TimeoutError as error:
            raise ResolverUnavailable(f"no answer in {self._timeout_s:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode == 0:
            return output.decode()
        told = errors.decode(errors="replace").strip()
        if not told:
            raise ResolverUnavailable(f"the resolver ended without a word, status {process.returncode}")
        raise _refusal(told)


def _refusal(errors: str) -> Exception:
    lines = tuple(line.rstrip() for line in errors.splitlines() if line.strip())
    if missing := _NOT_FOUND.search(errors):
        name = missing.group(1)
        return LockRefused(
            "dependency_not_found",
            f"No package {name!r} exists in the package index.",
            f"Correct the name {name!r} where it is required, or remove it.",
            lines,
        )
    if "No solution found" in errors:
        return LockRefused(
            "dependency_conflict",
            "The required packages do not fit together.",
            "Loosen or remove one of the versions named in the evidence.",
            lines,
        )
    if _OFFLINE.search(errors):
        return ResolverUnavailable(lines[-1] if lines else "the package index cannot be reached")
    return LockRefused(
        "dependency_refused",
        "The dependencies could not be resolved.",
        "Read the evidence; it is the resolver's own explanation.",
        lines,
    )
