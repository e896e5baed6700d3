"""What every record of accepted runs promises."""

from datetime import UTC, datetime, timedelta

import pytest

from cynthus.events import RunQueued, RunRequested, RunSpec
from cynthus.gateway.ports import KeyTaken, RunFilter, Submissions
from cynthus.store.ports import EventStore, Why

WHY = Why("user:ann")
ONE, TWO = "run_00000000000000000000000001", "run_00000000000000000000000002"


def requested(run_id: str = ONE, **fields: object) -> RunRequested:
    given = {"owner": "ann", "project": "demo", "name": "n-1", "spec": RunSpec(snapshot="sha256:s")}
    return RunRequested.model_validate({"run_id": run_id, **given, **fields})


async def accept(store: EventStore, run: RunRequested) -> None:
    await store.append(f"run-{run.run_id}", [run], expected=0, why=WHY)


class SubmissionsContract:
    """Inherited with fixtures `submissions` and the `store` whose appends it follows."""

    async def test_under_one_key_of_an_owner_one_run_is_accepted(
        self, submissions: Submissions, store: EventStore
    ) -> None:
        run = requested(idempotency_key="k")
        await accept(store, run)
        with pytest.raises(KeyTaken):
            await accept(store, requested(TWO, idempotency_key="k", name="n-2"))
        assert await store.read(f"run-{TWO}") == []
        await accept(store, requested(TWO, idempotency_key="k", owner="bob"))
        found = await submissions.by_key("ann", "k")
        assert found is not None
        assert found.requested == run
        assert await submissions.by_key("ann", "other") is None

    async def test_a_generated_name_is_free_once_and_its_number_goes_up(
        self, submissions: Submissions, store: EventStore
    ) -> None:
        assert await submissions.next_number("ann", "demo", "owl") == 1
        await accept(store, requested(ONE, name="owl-1", name_generated=True))
        with pytest.raises(KeyTaken):
            await accept(store, requested(TWO, name="owl-1", name_generated=True))
        await accept(store, requested(TWO, name="owl-1"))
        assert await submissions.next_number("ann", "demo", "owl") == 2
        assert await submissions.next_number("ann", "other", "owl") == 1

    async def test_a_run_is_pending_until_history_has_taken_it_over(
        self, submissions: Submissions, store: EventStore
    ) -> None:
        run = requested()
        await accept(store, run)
        for reference in (ONE, ONE[:29], "n-1"):
            found = await submissions.pending("ann", reference)
            assert found is not None
            assert found.requested == run
        assert await submissions.pending("ann", ONE[:7]) is None
        assert await submissions.pending("bob", ONE) is None
        await store.append(f"run-{ONE}", [RunQueued(run_id=ONE)], expected=1, why=WHY)
        assert await submissions.pending("ann", ONE) is None

    async def test_pending_runs_are_listed_newest_first(
        self, submissions: Submissions, store: EventStore
    ) -> None:
        await accept(store, requested(ONE, labels={"a": "b"}))
        await accept(store, requested(TWO, name="n-2", project="other"))

        async def names(**wanted: object) -> list[str]:
            found = await submissions.list_pending("ann", RunFilter(**wanted), limit=10)
            return [run.requested.name for run in found]

        assert await names() == ["n-2", "n-1"]
        assert await names(project="demo") == ["n-1"]
        assert await names(name="n-2") == ["n-2"]
        assert await names(labels=("a:b",)) == ["n-1"]
        assert await names(states=("RUNNING",)) == []
        assert await names(states=("QUEUED",)) == ["n-2", "n-1"]

    async def test_what_history_has_not_taken_over_in_time_is_told_by_id(
        self, submissions: Submissions, store: EventStore
    ) -> None:
        for run_id, owner in ((TWO, "bob"), (ONE, "ann")):
            await accept(store, requested(run_id, owner=owner, name=run_id))
        accepted = await submissions.pending("ann", ONE)
        assert accepted is not None
        later = datetime.now(UTC) + timedelta(seconds=60)

        async def ids(before: datetime = later, after: str = "", limit: int = 10) -> list[str]:
            found = await submissions.untaken(before, after=after, limit=limit)
            assert all(run.request["run_id"] == run.run_id for run in found)
            return [run.run_id for run in found]

        assert await ids() == [ONE, TWO]
        assert await ids(limit=1) == [ONE]
        assert await ids(after=ONE) == [TWO]
        assert await ids(before=accepted.created_at - timedelta(seconds=60)) == []
        await store.append(f"run-{ONE}", [RunQueued(run_id=ONE)], expected=1, why=WHY)
        assert await ids() == [TWO]
