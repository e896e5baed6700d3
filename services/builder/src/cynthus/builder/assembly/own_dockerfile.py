"""Images of the projects that have a Dockerfile of their own."""

import asyncio
from datetime import UTC, datetime

from cynthus.builder.assembly.phases import Phases
from cynthus.builder.assembly.reading import ReadAhead
from cynthus.builder.domain.build import Built
from cynthus.builder.domain.image_build import BuildLimits, DockerfileImage
from cynthus.builder.domain.repositories import Repositories
from cynthus.builder.ports import DockerfileBuilder, ImageEntry, ImageRecord, Job, Project, Records
from cynthus.events import Image
from cynthus.oci.ports import Registry
from cynthus.planning.document import Plan

_NOT_YET = datetime.fromtimestamp(0, UTC)


class OwnDockerfile:
    """Hands the project to a builder of Dockerfiles and records what came of it."""

    def __init__(
        self,
        builder: DockerfileBuilder,
        registry: Registry,
        records: Records,
        repositories: Repositories,
        limits: BuildLimits,
    ) -> None:
        self._builder = builder
        self._registry = registry
        self._records = records
        self._repositories = repositories
        self._limits = limits

    async def build(self, job: Job, plan: Plan, project: Project, phases: Phases) -> Built:
        """Raises BuildRefused."""
        assert plan.dockerfile is not None
        message = job.message
        repository = self._repositories.project(message.owner, message.project)
        entries = project.entries()
        with phases.timed("dockerfile"):
            built = await self._builder.build(
                entries,
                ReadAhead(project, entries),
                plan.dockerfile,
                repository=repository,
                target=self._registry,
                limits=self._limits,
            )
        await self._records.intend(message.owner, message.project, repository, built.digest)
        # An equal old image may have been removed between its push and the intent: then it is built again.
        await asyncio.to_thread(self._registry.manifest, repository, built.digest)
        made = _image(plan, message.spec.snapshot, built, repository)
        notes = (*plan.notes, *built.notes)
        await self._records.keep(_record(job, made, built, notes))
        return Built(made, _packages(built), notes, dict(phases.ms))


def _image(plan: Plan, snapshot: str, built: DockerfileImage, repository: str) -> Image:
    return Image(
        kind="dockerfile",
        digest=built.digest,
        source=snapshot,
        lock="",
        python=plan.python,
        command=plan.command or built.command,
        env=dict(plan.env),
        outputs=plan.outputs.path,
        checkpoint=plan.checkpoint,
        runtime="container",
        repository=repository,
        base=built.bases[-1] if built.bases else None,
        workdir=built.workdir,
        size=built.size,
    )


def _record(job: Job, made: Image, built: DockerfileImage, notes: tuple[str, ...]) -> ImageRecord:
    entry = ImageEntry(
        digest=made.digest,
        reference=None,
        repository=made.repository or "",
        project=job.message.project,
        runtime=made.runtime,
        python=made.python,
        platform=made.platform,
        base=made.base,
        size=made.size,
        packages=_packages(built),
        created_at=_NOT_YET,
        command=made.command,
        layers=built.layers,
        notes=notes,
    )
    parameters = {"dockerfile": True, "builder": built.builder, "bases": list(built.bases)}
    return ImageRecord(job.message.owner, entry, 0, None, made.source, None, built.components, parameters)


def _packages(built: DockerfileImage) -> int:
    """Of Python, as of other images."""
    return sum(one.kind == "pypi" for one in built.components)
