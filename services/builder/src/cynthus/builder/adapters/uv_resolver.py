"""Locks made by uv for one kind of machine. It runs no code of a package: our builds tell what those need."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cynthus.builder.adapters import uv_refusals
from cynthus.builder.adapters.index_access import variables
from cynthus.builder.adapters.local_wheels import local_builds, sized
from cynthus.builder.adapters.uv_program import Scrubber, Uv
from cynthus.builder.adapters.uv_question import (
    Question,
    allow,
    known,
    origins_in,
    plain,
    platform_name,
    write,
)
from cynthus.builder.adapters.wheel_metadata import Metadata, read_metadata
from cynthus.builder.domain.lock import Lock, LockedPackage, LockRefused, Target
from cynthus.builder.domain.pylock import folders, parse_pylock, write_pylock
from cynthus.builder.ports import ResolverUnavailable, Wheels
from cynthus.planning.accelerators.decision import Accelerator, GpuUnsupported, decide, settle
from cynthus.planning.accelerators.file import cuda_table
from cynthus.planning.document import Plan
from cynthus.planning.tree import SourceTree

_ROUNDS = 20
_NOTHING: tuple[str, ...] = ()


class UvResolver:
    """The Resolver port over the uv program; `wheels` builds what has no wheel."""

    def __init__(
        self,
        uv: str,
        wheels: Wheels | None = None,
        *,
        find_links: Sequence[str] = (),
        extra_indexes: Sequence[str] = (),
        torch_backend: str = "auto",
        timeout_s: float = 300.0,
    ) -> None:
        self._uv = Uv(uv, timeout_s=timeout_s)
        self._wheels = wheels
        self._find_links = tuple(find_links)
        self._extra_indexes = tuple(extra_indexes)
        self._torch_backend = torch_backend

    def backend(self, plan: Plan) -> str | None:
        """What torch's wheels are chosen for: "cpu", "cu130"; None where the index decides."""
        if self._torch_backend == "auto":
            return self._decided(plan).backend
        return None if self._torch_backend == "off" else self._torch_backend

    def _decided(self, plan: Plan) -> Accelerator:
        try:
            return decide(cuda_table(), [item.text for item in plan.requirements], plan.gpu)
        except GpuUnsupported as error:
            raise LockRefused(error.code, error.message, error.fix) from error

    async def resolve(
        self, plan: Plan, tree: SourceTree, target: Target, secrets: Mapping[str, str], owner: str = ""
    ) -> Lock:
        """A lock for the target. Raises LockRefused, ResolverUnavailable."""
        if not plan.requirements and plan.locked is None:
            return Lock(write_pylock((), target))
        decided = self._decided(plan)
        with tempfile.TemporaryDirectory(prefix="cynthus-lock-") as folder:
            lines = [item.line() for item in plan.requirements]
            question = Question(plan, target, secrets, Path(folder), lines, owner=owner)
            packages, notes = await self._solve(question, tree, decided.backend)
        packages = tuple(await asyncio.to_thread(lambda: [sized(package) for package in packages]))
        settled = _settled(decided, packages, plan.gpu)
        notes = (*notes, *settled.why)
        backend = self.backend(plan) if plan.locked is None else None
        return Lock(write_pylock(packages, target), packages, backend, settled.min_driver, notes)

    async def _solve(
        self, question: Question, tree: SourceTree, backend: str
    ) -> tuple[tuple[LockedPackage, ...], tuple[str, ...]]:
        if question.plan.locked is not None:
            return await self._export(question, tree)
        here: list[str] = []
        if self.backend(question.plan) is None:
            here = await asyncio.to_thread(local_builds, self._find_links, backend, question.target)
        if here:
            # Without PyTorch's own index: its builds that lie here are better than the public one's for CUDA.
            try:
                return await self._compile(replace(question, preferred=here)), _NOTHING
            except LockRefused as refused:
                if refused.code != "dependency_conflict":
                    raise
        return await self._compile(question), _NOTHING

    async def _compile(self, question: Question) -> tuple[LockedPackage, ...]:
        for _ in range(_ROUNDS):
            try:
                text = await self._ask(question, "pylock.toml")
            except _Wheelless as found:
                allow(question, found.names, found.addressed)
                continue
            packages = parse_pylock(text, question.target)
            unknown = [one for one in packages if not one.is_wheel and not known(question, one)]
            if not unknown:
                return await self._marked(question, packages)
            await self._learn(question, await self._marked(question, unknown))
        raise LockRefused(
            "dependency_refused",
            "The dependencies could not be resolved: too many of them have no wheels.",
            "Pin versions that have wheels.",
        )

    async def _learn(self, question: Question, unknown: Sequence[LockedPackage]) -> None:
        """Build what has no wheel, to know what it needs."""
        if self._wheels is None:
            names = ", ".join(package.name for package in unknown)
            raise LockRefused(
                "source_build_off",
                f"No wheel fits {question.target.words()}, and nothing is built from source here: {names}.",
                "Require versions that have wheels.",
            )
        indexes, secrets = question.plan.indexes, question.secrets
        built = await self._wheels.fetch(unknown, question.target, indexes, secrets, question.owner)
        for package in unknown:
            metadata = await asyncio.to_thread(read_metadata, built[package.sha256])
            entries = question.metadata.setdefault(package.name, [])
            entries[:] = [one for one in entries if one.version not in {"0", metadata.version}]
            entries.append(metadata)

    async def _marked(
        self, question: Question, packages: Sequence[LockedPackage]
    ) -> tuple[LockedPackage, ...]:
        """The packages with the private index each came from."""
        if not question.plan.indexes:
            return tuple(packages)
        origins = origins_in(await self._ask(question, "requirements.txt"))
        names = {plain(index.url): index.name for index in question.plan.indexes}
        return tuple(
            replace(package, index=names.get(plain(origins.get(package.name, "")))) for package in packages
        )

    async def _ask(self, question: Question, form: str) -> str:
        plan, target, folder = question.plan, question.target, question.folder
        write(folder, question)
        arguments = [
            "pip", "compile", "requirements.in", "--constraint", "constraints.txt", "--format", form,
            "--python-version", target.python, "--python-platform", platform_name(target), "--no-header",
            "--no-annotate", "--only-binary", ":all:",
        ]  # fmt: skip
        for name in sorted(question.sources):
            arguments += ["--no-binary", name]
        if form == "requirements.txt":
            arguments.append("--emit-index-annotation")
        if backend := self.backend(plan):
            arguments += ["--torch-backend", backend]
        return await self._run(question, *arguments)

    async def _export(
        self, question: Question, tree: SourceTree
    ) -> tuple[tuple[LockedPackage, ...], tuple[str, ...]]:
        plan, folder = question.plan, question.folder
        assert plan.lock_path is not None
        project = folder / "project"
        project.mkdir()
        for name in ("pyproject.toml", "uv.lock"):
            path = str(Path(plan.lock_path).with_name(name))
            content = await asyncio.to_thread(tree.read, path)
            (project / name).write_bytes(content)
        text = await self._run(
            replace(question, folder=project), "export", "--frozen", "--no-emit-project", "--no-dev",
            "--no-header", "--format", "pylock.toml",
        )  # fmt: skip
        indexes = {index.url: index.name for index in plan.indexes}
        packages = parse_pylock(text, question.target, indexes)
        notes = tuple(
            f"{name} is run from the project's folder {path or '.'}" for name, path in folders(text)
        )
        if not plan.additions():
            return packages, notes
        # What the project's own lock lacks is resolved on top of it; the lock's versions stay.
        for package in packages:
            if not package.is_wheel:
                question.sources.add(package.name)
                question.metadata[package.name] = [Metadata(package.name, package.version, ())]
        pins = [package.line() for package in packages]
        question.lines = [*pins, *(item.line() for item in plan.additions())]
        return await self._compile(question), notes

    async def _run(self, question: Question, *arguments: str) -> str:
        """The output; a passing trouble is given a second try. Raises LockRefused, ResolverUnavailable."""
        try:
            return await self._once(question, *arguments)
        except ResolverUnavailable:
            return await self._once(question, *arguments)

    async def _once(self, question: Question, *arguments: str) -> str:
        plan = question.plan
        names = [index.secret for index in plan.indexes if index.secret is not None]
        values = [question.secrets[name] for name in names if name in question.secrets]
        environment = variables(plan.indexes, question.secrets, self._extra_indexes)
        if self._find_links:
            environment["UV_FIND_LINKS"] = ",".join(self._find_links)
        if values:  # what a private index says must not be remembered for others
            environment["UV_CACHE_DIR"] = str(question.folder / "cache")
        ended = await self._uv.run(
            question.folder, *arguments, variables=environment, scrubber=Scrubber(values)
        )
        if ended.status == 0:
            return ended.output
        if not ended.errors:
            raise ResolverUnavailable(f"the resolver ended without a word, status {ended.status}")
        question.elsewhere |= uv_refusals.platforms(ended.errors)
        if fresh := uv_refusals.wheelless(ended.errors) - question.sources:
            raise _Wheelless(fresh, uv_refusals.addressed(ended.errors))
        raise uv_refusals.refusal(ended.errors, question.target, plan.indexes, question.elsewhere)


class _Wheelless(Exception):
    def __init__(self, names: set[str], addressed: set[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names
        self.addressed = addressed


def _settled(decided: Accelerator, packages: Sequence[LockedPackage], gpu: str | None) -> Accelerator:
    try:
        return settle(cuda_table(), decided, {one.name: one.version for one in packages}, gpu)
    except GpuUnsupported as error:
        raise LockRefused(error.code, error.message, error.fix) from error
