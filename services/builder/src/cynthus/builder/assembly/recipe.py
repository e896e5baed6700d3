"""From a snapshot and a request to an image in the registry."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cynthus.builder.assembly.failures import failed
from cynthus.builder.assembly.own_dockerfile import OwnDockerfile
from cynthus.builder.assembly.packed import PackedImages
from cynthus.builder.assembly.phases import Phases
from cynthus.builder.domain.build import Built, Failed
from cynthus.builder.planning import plan_snapshot
from cynthus.builder.ports import Builds, Job, NoContainerEngine, Sources
from cynthus.planning.document import Plan
from cynthus.planning.request import Runtime
from cynthus.secrets.ports import Secrets


@dataclass(frozen=True, slots=True)
class Defaults:
    """For projects that do not say: Python, and where programs run."""

    python: str
    runtime: Runtime = "process"
    has_engine: Callable[[], bool] = lambda: True
    """Whether containers can be run; asked for each image that needs one."""


class Recipe:
    """Makes images. Two builds of one key do the work once."""

    def __init__(
        self,
        builds: Builds,
        sources: Sources,
        secrets: Secrets,
        *,
        packed: PackedImages,
        dockerfiles: OwnDockerfile,
        defaults: Defaults,
    ) -> None:
        self._builds = builds
        self._sources = sources
        self._secrets = secrets
        self._packed = packed
        self._dockerfiles = dockerfiles
        self._defaults = defaults
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def make(self, job: Job) -> Built | Failed:
        """Build, or say why not."""
        async with self._turns[job.key]:
            if (built := await self._builds.find(job.key)) is not None:
                return built
            try:
                built = await self._build(job)
            except Exception as error:
                if (failure := failed(error)) is None:
                    raise
                return failure
            await self._builds.keep(job.key, built)
            return built

    async def _build(self, job: Job) -> Built:
        message, phases = job.message, Phases()
        with phases.timed("plan"):
            project = await self._sources.open(message.owner, message.spec.snapshot)
            plan = await asyncio.to_thread(
                plan_snapshot, project, message.spec, self._defaults.python, self._defaults.runtime
            )
        if plan.runtime == "container" and not await asyncio.to_thread(self._defaults.has_engine):
            raise NoContainerEngine(plan.runtime_why)
        secrets = await self._opened(plan, message.run_id)
        if plan.dockerfile is not None:
            return await self._dockerfiles.build(job, plan, project, phases)
        return await self._packed.build(job, plan, project, secrets, phases)

    async def _opened(self, plan: Plan, run_id: str) -> Mapping[str, str]:
        """Only the secrets that open package indexes."""
        names = {index.secret for index in plan.indexes if index.secret}
        if not names:
            return {}
        values = await self._secrets.get(run_id)
        return {name: value for name, value in values.items() if name in names}
