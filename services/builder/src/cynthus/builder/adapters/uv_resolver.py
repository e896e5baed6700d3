"""Locks made by uv for one kind of machine. It runs no code of a package: our builds tell what those need."""

import asyncio
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from cynthus.builder.adapters import uv_refusals
from cynthus.builder.adapters.index_access import variables
from cynthus.builder.adapters.uv_program import Scrubber, Uv
from cynthus.builder.adapters.wheel_metadata import Metadata, read_metadata, static_metadata
from cynthus.builder.domain.lock import Lock, LockedPackage, LockRefused, Target
from cynthus.builder.domain.pylock import folders, parse_pylock, write_pylock
from cynthus.builder.ports import ResolverUnavailable, Wheels
from cynthus.planning.document import Plan
from cynthus.planning.tree import SourceTree

_GLIBCS = (17, 28, *range(31, 41))
_ROUNDS = 20
_NOTHING: tuple[str, ...] = ()


@dataclass(slots=True)
class _Question:
    """What is asked of uv; grows while packages without wheels turn up."""

    plan: Plan
    target: Target
    secrets: Mapping[str, str]
    folder: Path
    lines: Sequence[str]
    sources: set[str] = field(default_factory=set)
    metadata: dict[str, list[Metadata]] = field(default_factory=dict)
    elsewhere: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


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

    def backend(self, plan: Plan) -> str | None:  # noqa: ARG002 - decided with the table of CUDA
        """What the wheels of PyTorch are for: "cpu", "cu130"; None when the index decides."""
        return None

    async def resolve(self, plan: Plan, tree: SourceTree, target: Target, secrets: Mapping[str, str]) -> Lock:
        """A lock for the target. Raises LockRefused, ResolverUnavailable."""
        if not plan.requirements and plan.locked is None:
            return Lock(write_pylock((), target))
        with tempfile.TemporaryDirectory(prefix="cynthus-lock-") as folder:
            question = _Question(
                plan, target, secrets, Path(folder), [item.line() for item in plan.requirements]
            )
            if plan.locked is None:
                packages, notes = await self._compile(question), _NOTHING
            else:
                packages, notes = await self._export(question, tree)
        packages = tuple(await asyncio.to_thread(lambda: [_sized(package) for package in packages]))
        return Lock(write_pylock(packages, target), packages, notes=notes)

    async def _compile(self, question: _Question) -> tuple[LockedPackage, ...]:
        for _ in range(_ROUNDS):
            try:
                text = await self._ask(question, "pylock.toml")
            except _Wheelless as found:
                _allow(question, found.names, found.addressed)
                continue
            packages = parse_pylock(text, question.target)
            unknown = [one for one in packages if not one.is_wheel and not _known(question, one)]
            if not unknown:
                return await self._marked(question, packages)
            await self._learn(question, await self._marked(question, unknown))
        raise LockRefused(
            "dependency_refused",
            "The dependencies could not be resolved: too many of them have no wheels.",
            "Pin versions that have wheels.",
        )

    async def _learn(self, question: _Question, unknown: Sequence[LockedPackage]) -> None:
        """Build what has no wheel, to know what it needs."""
        if self._wheels is None:
            names = ", ".join(package.name for package in unknown)
            raise LockRefused(
                "source_build_off",
                f"No wheel fits {question.target.words()}, and nothing is built from source here: {names}.",
                "Require versions that have wheels.",
            )
        built = await self._wheels.fetch(unknown, question.target, question.plan.indexes, question.secrets)
        for package in unknown:
            metadata = await asyncio.to_thread(read_metadata, built[package.sha256])
            entries = question.metadata.setdefault(package.name, [])
            entries[:] = [one for one in entries if one.version not in {None, "0", metadata.version}]
            entries.append(metadata)

    async def _marked(
        self, question: _Question, packages: Sequence[LockedPackage]
    ) -> tuple[LockedPackage, ...]:
        """The packages with the private index each came from."""
        if not question.plan.indexes:
            return tuple(packages)
        origins = _origins(await self._ask(question, "requirements.txt"))
        names = {_plain(index.url): index.name for index in question.plan.indexes}
        return tuple(
            replace(package, index=names.get(_plain(origins.get(package.name, "")))) for package in packages
        )

    async def _ask(self, question: _Question, form: str) -> str:
        plan, target, folder = question.plan, question.target, question.folder
        _write(folder, question)
        arguments = [
            "pip", "compile", "requirements.in", "--constraint", "constraints.txt", "--format", form,
            "--python-version", target.python, "--python-platform", _platform(target), "--no-header",
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
        self, question: _Question, tree: SourceTree
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

    async def _run(self, question: _Question, *arguments: str) -> str:
        """The output; a passing trouble is given a second try. Raises LockRefused, ResolverUnavailable."""
        try:
            return await self._once(question, *arguments)
        except ResolverUnavailable:
            return await self._once(question, *arguments)

    async def _once(self, question: _Question, *arguments: str) -> str:
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


def _allow(question: _Question, names: Iterable[str], addressed: set[str]) -> None:
    """Take these from source; what they need is empty until it is known."""
    for name in names:
        question.sources.add(name)
        version = "0" if name in addressed else None
        question.metadata.setdefault(name, [Metadata(name, version, ())])


def _known(question: _Question, package: LockedPackage) -> bool:
    if package.name not in question.sources:
        return True  # uv read it without running anything
    return any(one.version == package.version != "0" for one in question.metadata.get(package.name, ()))


def _write(folder: Path, question: _Question) -> None:
    (folder / "requirements.in").write_text("\n".join(question.lines) + "\n")
    (folder / "constraints.txt").write_text("\n".join(question.plan.constraints) + "\n")
    entries = [one for name in sorted(question.metadata) for one in question.metadata[name]]
    (folder / "uv.toml").write_text(static_metadata(entries))


def _platform(target: Target) -> str:
    newest = max((minor for minor in _GLIBCS if (2, minor) <= target.glibc), default=_GLIBCS[0])
    return f"{target.machine}-manylinux_2_{newest}"


def _origins(text: str) -> dict[str, str]:
    """Package name -> the index that uv names beneath it."""
    origins: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            name = str(canonicalize_name(line.partition("==")[0].partition(" ")[0].partition("[")[0]))
        elif (found := line.strip()).startswith("# from ") and name:
            origins[name] = found.removeprefix("# from ")
    return origins


def _plain(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _sized(package: LockedPackage) -> LockedPackage:
    """Files of this machine have no size in the lock."""
    if package.size is None and package.url.startswith("file:"):
        path = Path(unquote(urlsplit(package.url).path))
        if path.is_file():
            return replace(package, size=path.stat().st_size)
    return package
