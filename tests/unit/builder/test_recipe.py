"""From a snapshot to an image, with everything around the recipe in memory."""

import asyncio

from cynthus.builder.domain.build import Built, Failed
from cynthus.builder.domain.lock import Lock, LockedPackage, LockRefused
from cynthus.builder.ports import Job, ResolverUnavailable, SourceMissing
from cynthus.builder.recipe import Recipe
from cynthus.events import RunRequested, RunSpec
from cynthus.planning import MemoryTree


class MemoryBuilds:
    def __init__(self):
        self.images, self.locks = {}, {}

    async def find(self, key):
        return self.images.get(key)

    async def keep(self, key, built):
        self.images[key] = built

    async def find_lock(self, key):
        return self.locks.get(key)

    async def keep_lock(self, key, lock):
        self.locks[key] = lock


class MemorySources:
    def __init__(self, **snapshots):
        self.snapshots, self.kept = snapshots, {}

    async def open(self, owner, snapshot):
        try:
            return MemoryTree(self.snapshots[snapshot])
        except KeyError:
            raise SourceMissing(snapshot) from None

    async def keep(self, owner, text):
        self.kept[owner] = text
        return f"{len(text):064x}"


class CountingResolver:
    def __init__(self, refusal=None):
        self.resolved, self.refusal = [], refusal

    def backend(self, plan):
        return None

    async def resolve(self, plan, tree, target, secrets):
        await asyncio.sleep(0)
        self.resolved.append([requirement.name for requirement in plan.requirements])
        if self.refusal is not None:
            raise self.refusal
        return Lock("", (LockedPackage("numpy", "2.0", "numpy.whl", "https://x/numpy.whl", "0" * 64),))


def job(snapshot="source", key="k", **spec) -> Job:
    message = RunRequested(
        run_id="run_1", owner="o", project="p", name="n", spec=RunSpec(snapshot=snapshot, **spec)
    )
    return Job("run_1", key, message)


def recipe(resolver, **files):
    sources = MemorySources(source={name.replace("_", "."): text for name, text in files.items()})
    return Recipe(MemoryBuilds(), sources, resolver, default_python="3.11")


async def test_an_image_names_its_source_and_its_lock_by_digest():
    resolver = CountingResolver()
    built = await recipe(resolver, main_py="import numpy").make(job())
    assert isinstance(built, Built)
    assert resolver.resolved == [["numpy"]]
    assert built.image.source == "source"
    assert built.image.lock.startswith("sha256:")
    assert built.image.command[-1] == "main.py"


async def test_two_builds_at_once_do_the_work_once():
    resolver = CountingResolver()
    one = recipe(resolver, main_py="import numpy")
    outcomes = await asyncio.gather(one.make(job()), one.make(job()))
    assert outcomes[0] == outcomes[1]
    assert len(resolver.resolved) == 1


async def test_other_code_with_the_same_needs_is_not_resolved_again():
    resolver = CountingResolver()
    one = recipe(resolver, main_py="import numpy", other_py="import numpy as np")
    await one.make(job(key="a", entry="main.py"))
    await one.make(job(key="b", entry="other.py"))
    assert len(resolver.resolved) == 1


async def test_a_refused_lock_is_a_failed_build_with_the_resolvers_words():
    refusal = LockRefused("dependency_conflict", "do not fit", "loosen", ("Because you require ...",))
    failed = await recipe(CountingResolver(refusal), main_py="import numpy").make(job())
    assert isinstance(failed, Failed)
    assert failed.cause.code == "dependency_conflict"
    assert failed.cause.evidence == ("Because you require ...",)


async def test_no_index_no_entry_point_and_no_source_have_causes_of_their_own():
    offline = await recipe(CountingResolver(ResolverUnavailable("dns")), main_py="import numpy").make(job())
    nothing = await recipe(CountingResolver(), readme_md="# hi").make(job())
    gone = await recipe(CountingResolver(), main_py="1").make(job(snapshot="other"))
    assert [one.cause.code for one in (offline, nothing, gone)] == [
        "index_unreachable", "no_entry_point", "source_missing",
    ]  # fmt: skip
    assert all(one.cause.fix for one in (offline, nothing, gone))
