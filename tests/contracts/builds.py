"""What every record of builds promises, and how it follows the history."""

from datetime import timedelta

from cynthus.builder.domain.build import Built
from cynthus.builder.ports import Builds
from cynthus.events import (
    BuildFailed,
    BuildStarted,
    Cause,
    Event,
    Image,
    ImageBuilt,
    RunCancelled,
    RunEvent,
    RunFailed,
    RunRequested,
    RunSpec,
)
from cynthus.store.ports import EventStore, Why

LEASE = timedelta(seconds=30)
AT_ONCE = timedelta(0)
BUILT = Built(
    Image(digest="sha256:i", source="sha256:s", lock="l", python="3.11", command=("main.py",)), 3, ("a note",)
)


def requested(run_id: str) -> RunRequested:
    return RunRequested(
        run_id=run_id, owner="ann", project="demo", name="n", spec=RunSpec(snapshot="sha256:s")
    )


async def tell(store: EventStore, *events: Event) -> None:
    for event in events:
        assert isinstance(event, RunEvent)
        stream = f"run-{event.run_id}"
        known = len(await store.read(stream))
        await store.append(stream, [event], expected=known, why=Why("service:builder"))


async def started(store: EventStore, run_id: str, key: str) -> None:
    await tell(store, requested(run_id), BuildStarted(run_id=run_id, key=key))


class BuildsContract:
    """Inherited with fixtures `builds` and the `store` whose appends it follows."""

    async def test_what_was_built_is_found_by_its_key(self, builds: Builds) -> None:
        assert await builds.find("k") is None
        await builds.keep("k", BUILT)
        await builds.keep("k", BUILT)
        assert await builds.find("k") == BUILT

    async def test_builds_are_claimed_in_the_order_they_were_started_and_once(
        self, builds: Builds, store: EventStore
    ) -> None:
        await started(store, "run_1", "one")
        await started(store, "run_2", "two")
        jobs = [await builds.claim(LEASE) for _ in range(3)]
        assert [job and (job.run_id, job.key, job.attempts) for job in jobs] == [
            ("run_1", "one", 1),
            ("run_2", "two", 1),
            None,
        ]
        assert jobs[0] is not None
        assert jobs[0].message == requested("run_1")

    async def test_of_equal_builds_one_is_worked_on_at_a_time(
        self, builds: Builds, store: EventStore
    ) -> None:
        await started(store, "run_1", "same")
        await started(store, "run_2", "same")
        assert await builds.claim(LEASE) is not None
        assert await builds.claim(LEASE) is None
        await tell(store, ImageBuilt(run_id="run_1", image=BUILT.image))
        job = await builds.claim(LEASE)
        assert job is not None
        assert job.run_id == "run_2"

    async def test_a_build_whose_lease_ended_or_that_was_given_back_is_claimed_again(
        self, builds: Builds, store: EventStore
    ) -> None:
        await started(store, "run_1", "one")
        assert await builds.claim(LEASE) is not None
        await builds.put_off("run_1", AT_ONCE)
        again = await builds.claim(AT_ONCE)
        assert again is not None
        assert again.attempts == 2
        assert await builds.claim(LEASE) is not None
        await builds.renew("run_1", LEASE)
        assert await builds.claim(LEASE) is None

    async def test_a_build_that_ended_or_whose_run_is_over_is_claimed_no_more(
        self, builds: Builds, store: EventStore
    ) -> None:
        cause = Cause(code="build_failed", message="no")
        ends = [
            BuildFailed(run_id="run_1", cause=cause),
            ImageBuilt(run_id="run_2", image=BUILT.image),
            RunCancelled(run_id="run_3"),
            RunFailed(run_id="run_4", cause=cause),
        ]
        for end in ends:
            await started(store, end.run_id, end.run_id)
            await tell(store, end)
        assert await builds.claim(LEASE) is None

    async def test_a_build_that_is_tried_again_stays(self, builds: Builds, store: EventStore) -> None:
        await started(store, "run_1", "one")
        trouble = Cause(code="registry_unreachable", message="not now")
        await tell(store, BuildFailed(run_id="run_1", cause=trouble, transient=True))
        assert await builds.claim(LEASE) is not None

    async def test_an_image_that_was_not_found_is_forgotten(self, builds: Builds, store: EventStore) -> None:
        await builds.keep("k", BUILT)
        await started(store, "run_1", "k")
        await tell(store, ImageBuilt(run_id="run_1", image=BUILT.image))
        await tell(store, RunFailed(run_id="run_1", cause=Cause(code="image_missing", message="gone")))
        assert await builds.find("k") is None
