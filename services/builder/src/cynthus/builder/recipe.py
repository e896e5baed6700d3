"""From a snapshot and a request to an image: plan, lock, digests."""

import asyncio
import hashlib
from collections import defaultdict

from cynthus.builder.domain.build import Built, Failed
from cynthus.builder.domain.lock import Lock, LockRefused, Target, lock_key
from cynthus.builder.planning import plan_snapshot
from cynthus.builder.ports import (
    Builds,
    Job,
    Resolver,
    ResolverUnavailable,
    SourceMissing,
    Sources,
)
from cynthus.events import Cause, Image
from cynthus.planning.document import Plan
from cynthus.planning.problem import CannotPlan
from cynthus.planning.tree import SourceTree


class Recipe:
    """Makes images. Two builds of one key do the work once."""

    def __init__(self, builds: Builds, sources: Sources, resolver: Resolver, *, default_python: str) -> None:
        self._builds = builds
        self._sources = sources
        self._resolver = resolver
        self._default_python = default_python
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def make(self, job: Job) -> Built | Failed:
        """Build, or say why not."""
        async with self._turns[job.key]:
            if (built := await self._builds.find(job.key)) is not None:
                return built
            try:
                built = await self._build(job)
            except CannotPlan as refusal:
                cause = Cause(code=refusal.code, message=f"{refusal.what}: {refusal.why}", fix=refusal.fix)
                return Failed(cause)
            except SourceMissing:
                return Failed(Cause(code="source_missing", message="The project's files are not there.",
                                    fix="Submit the run again with `cynthus run`."))  # fmt: skip
            except LockRefused as refusal:
                return Failed(Cause(code=refusal.code, message=refusal.message, fix=refusal.fix,
                                    evidence=refusal.evidence))  # fmt: skip
            except ResolverUnavailable as error:
                return Failed(Cause(code="index_unreachable", message=error.message, fix=error.fix,
                                    evidence=(str(error),)))  # fmt: skip
            await self._builds.keep(job.key, built)
            return built

    async def _build(self, job: Job) -> Built:
        message = job.message
        tree = await self._sources.open(message.owner, message.spec.snapshot)
        plan = await asyncio.to_thread(plan_snapshot, tree, message.spec, self._default_python)
        lock = await self._lock(plan, tree)
        lock_digest = await self._sources.keep(message.owner, lock.requirements())
        return Built(_image(plan, message.spec.snapshot, f"sha256:{lock_digest}"), len(lock.packages), plan.notes)

    async def _lock(self, plan: Plan, tree: SourceTree) -> Lock:
        target = Target(plan.python)
        key = lock_key(plan, target, self._resolver.backend(plan))
        async with self._turns[key]:
            lock = await self._builds.find_lock(key)
            if lock is None:
                lock = await self._resolver.resolve(plan, tree, target, {})
                await self._builds.keep_lock(key, lock)
        return lock


def _image(plan: Plan, snapshot: str, lock: str) -> Image:
    parts = f"{snapshot}\n{lock}\n{plan.to_json()}"
    return Image(
        digest=f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}",
        source=snapshot,
        lock=lock,
        python=plan.python,
        command=plan.command,
        env=dict(plan.env),
        python_path=plan.pythonpath,
        outputs=plan.outputs.path,
        checkpoint=plan.checkpoint,
    )
