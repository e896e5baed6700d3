"""Images packed from a lock and a source, without a daemon."""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cynthus.builder.assembly.dependencies import Dependencies
from cynthus.builder.assembly.imports import ImportChecks
from cynthus.builder.assembly.phases import Phases
from cynthus.builder.assembly.reading import ReadAhead
from cynthus.builder.assembly.shipping import LayersLost, Shipping
from cynthus.builder.domain import image
from cynthus.builder.domain.bill_of_materials import Component
from cynthus.builder.domain.build import Built
from cynthus.builder.domain.image import Base, Content, Document, Layer
from cynthus.builder.domain.lock import Lock, Target, lock_key
from cynthus.builder.domain.repositories import Repositories
from cynthus.builder.packing.layer import PackedLayer
from cynthus.builder.packing.source import source_layer, with_outputs
from cynthus.builder.ports import (
    Bases,
    Builds,
    ImageEntry,
    ImageRecord,
    Index,
    Job,
    Project,
    Records,
    Resolver,
    Sources,
    SystemLayer,
    SystemPackages,
    Wheels,
)
from cynthus.events import Image
from cynthus.planning.document import Plan

_SURPRISES = 2
"""The repository lacks something; then it turns out that its home lacks it too, and it is made anew."""

_NO_BASE_PYTHON = "/usr/local/bin/python3"
_PLATFORM = "linux/amd64"
_NOT_YET = datetime.fromtimestamp(0, UTC)
"""The catalogue says when an image was built; here it is no part of it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What packing works with. `glibc` is the oldest that a run without a base image meets."""

    builds: Builds
    sources: Sources
    index: Index
    shipping: Shipping
    dependencies: Dependencies
    bases: Bases
    resolver: Resolver
    wheels: Wheels
    systems: SystemPackages
    imports: ImportChecks
    records: Records
    repositories: Repositories
    folder: Path
    glibc: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Below:
    """Everything below the source of one project."""

    base: Base | None
    lock: Lock
    layers: tuple[Layer, ...]
    system: SystemLayer


class PackedImages:
    """Builds images of the projects that have no Dockerfile."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def build(
        self, job: Job, plan: Plan, project: Project, secrets: Mapping[str, str], phases: Phases
    ) -> Built:
        """Push what is missing; nothing of the image is visible before all of it is there."""
        for _ in range(_SURPRISES):
            try:
                return await self._once(job, plan, project, secrets, phases)
            except LayersLost as lost:
                await self._parts.index.forget_layers(lost.digests)
        return await self._once(job, plan, project, secrets, phases)

    async def _once(
        self, job: Job, plan: Plan, project: Project, secrets: Mapping[str, str], phases: Phases
    ) -> Built:
        try:
            return await self._build(job, plan, project, secrets, phases)
        except BaseExceptionGroup as group:
            raise _first(group) from group

    async def _build(
        self, job: Job, plan: Plan, project: Project, secrets: Mapping[str, str], phases: Phases
    ) -> Built:
        parts, message = self._parts, job.message
        repository = parts.repositories.project(message.owner, message.project)
        with tempfile.TemporaryDirectory(
            prefix="source-", dir=parts.folder, ignore_cleanup_errors=True
        ) as folder:
            async with asyncio.TaskGroup() as group:
                packing = group.create_task(self._source(plan, project, Path(folder), phases))
                below = await self._below(job, plan, project, secrets, phases)
                environment = image.environment(below.base, below.layers, gpu=plan.gpu is not None)
                await self._environment(repository, environment, phases)
                checking = group.create_task(
                    parts.imports.check(plan, environment, below.layers, repository, phases)
                )
                source, left_out = await packing
                lock = f"sha256:{await parts.sources.keep(message.owner, below.lock.text)}"
                content = Content(plan.command, plan.env, plan.pythonpath, message.spec.snapshot, lock,
                                  message.project)  # fmt: skip
                layers = (*below.layers, Layer("source", source.digest, source.diff_id, source.size))
                whole = image.complete(below.base, layers, content, gpu=plan.gpu is not None)
                await parts.records.intend(message.owner, message.project, repository, whole.digest)
                with phases.timed("push"):
                    await parts.shipping.image(repository, whole, tag=_tag(whole), source=source)
                await checking
        made = _image(plan, content, below, whole, environment.digest).model_copy(
            update={"repository": repository}
        )
        notes = (*plan.notes, *below.lock.notes, *below.system.notes, *_left_out(left_out))
        built = Built(made, len(below.lock.packages), notes, dict(phases.ms))
        await parts.records.keep(_record(job, built, plan, whole, below))
        return built

    async def _below(
        self, job: Job, plan: Plan, project: Project, secrets: Mapping[str, str], phases: Phases
    ) -> Below:
        parts, owner = self._parts, job.message.owner
        repository = parts.repositories.project(owner, job.message.project)
        with phases.timed("base"):
            base = await parts.bases.find(plan.python, plan.base, needed=plan.runtime == "container")
        target = Target(plan.python, _PLATFORM, base.glibc if base else parts.glibc)
        with phases.timed("lock"):
            lock = await self._lock(plan, project, target, secrets, owner)
        layers = await parts.dependencies.layers(
            lock.packages,
            python=plan.python,
            interpreter=base.python if base else _NO_BASE_PYTHON,
            repository=repository,
            fetch=lambda packages: parts.wheels.fetch(packages, target, plan.indexes, secrets, owner),
            phases=phases,
        )
        system = SystemLayer(None)
        if plan.apt and base is not None:
            with phases.timed("system"):
                system = await parts.systems.layer(plan.apt, base, repository)
                layers = [*([system.layer] if system.layer else []), *layers]
        return Below(base, lock, tuple(layers), system)

    async def _lock(
        self, plan: Plan, project: Project, target: Target, secrets: Mapping[str, str], owner: str
    ) -> Lock:
        parts = self._parts
        key = lock_key(plan, target, parts.resolver.backend(plan), owner)
        async with self._turns[key]:
            lock = await parts.builds.find_lock(key)
            if lock is None:
                lock = await parts.resolver.resolve(plan, project, target, secrets, owner)
                await parts.builds.keep_lock(key, lock)
        return lock

    async def _environment(self, repository: str, environment: Document, phases: Phases) -> None:
        shipping = self._parts.shipping
        await self._parts.records.touch(repository, environment.digest)
        if await shipping.has(repository, environment.digest):
            return
        with phases.timed("push"):
            await shipping.place(repository, environment.layers)
            await shipping.image(repository, environment, tag=_tag(environment))

    async def _source(
        self, plan: Plan, project: Project, folder: Path, phases: Phases
    ) -> tuple[PackedLayer, tuple[str, ...]]:
        with phases.timed("source"):
            entries = with_outputs(project.entries(), plan.outputs.path)
            read = ReadAhead(project, entries)
            return await asyncio.to_thread(source_layer, entries, read, folder / "source.tar.gz")


def _image(plan: Plan, content: Content, below: Below, whole: Document, environment: str) -> Image:
    return Image(
        kind="oci",
        digest=whole.digest,
        source=content.source,
        lock=content.lock,
        python=plan.python,
        command=plan.command,
        env=dict(plan.env),
        python_path=plan.pythonpath,
        outputs=plan.outputs.path,
        checkpoint=plan.checkpoint,
        runtime=plan.runtime,
        environment=environment,
        platform=_PLATFORM,
        base=below.base.reference if below.base else None,
        workdir=image.WORKDIR,
        size=whole.size,
        min_driver=below.lock.min_driver,
    )


def _record(job: Job, built: Built, plan: Plan, whole: Document, below: Below) -> ImageRecord:
    message, made = job.message, built.image
    entry = ImageEntry(
        digest=made.digest,
        reference=None,
        repository=made.repository or "",
        project=message.project,
        runtime=made.runtime,
        python=made.python,
        platform=made.platform,
        base=made.base,
        size=made.size,
        packages=built.packages,
        created_at=_NOT_YET,
        command=made.command,
        layers=whole.layers,
        min_driver=made.min_driver,
        notes=built.notes,
    )
    return ImageRecord(
        owner=message.owner,
        entry=entry,
        manifest_size=len(whole.manifest),
        environment=made.environment,
        source=made.source,
        lock=made.lock,
        components=tuple(_components(below)),
        parameters={
            "entry": plan.entry.target,
            "python": plan.python,
            "apt": list(plan.apt),
            "task": plan.task,
        },
    )


def _components(below: Below) -> list[Component]:
    found = [Component("pypi", one.name, one.version, one.sha256) for one in below.lock.packages]
    for installed in below.system.installed:
        name, _, version = installed.partition("=")
        found.append(Component("deb", name, version))
    return found


def _left_out(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"not in the image for its size, laid out beside it: {path}" for path in paths)


def _tag(document: Document) -> str:
    """Some registries remove what has no tag."""
    return document.digest.removeprefix("sha256:")[:16]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first; the others were stopped because of it."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
