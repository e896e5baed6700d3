"""What the gateway expects of run history, whoever keeps it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cynthus.gateway.adapters.memory_history import MemoryRunHistory
from cynthus.gateway.domain.problems import HistoryRefused, HistoryUnavailable, RunMissing
from cynthus.gateway.ports import RunFilter, RunHistory, Untaken

ANY = RunFilter()
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_run(number: int, **fields: Any) -> dict[str, Any]:
    run = {
        "id": f"run_{number:026d}",
        "name": f"n-{number}",
        "project": "demo",
        "state": "RUNNING",
        "labels": {},
    }
    return run | fields


class RunHistoryContract:
    @pytest.fixture
    def kept(self) -> MemoryRunHistory:
        return MemoryRunHistory()

    async def test_runs_are_found_by_id_prefix_and_name(self, history: RunHistory, kept) -> None:
        await kept.tell("ann", a_run(1))
        for reference in (a_run(1)["id"], a_run(1)["id"][:30], "n-1"):
            assert (await history.run("ann", reference)).read() == a_run(1)
        for owner, reference in (("bob", a_run(1)["id"]), ("ann", "n-2")):
            with pytest.raises(RunMissing):
                await history.run(owner, reference)

    async def test_an_ambiguous_prefix_is_refused(self, history: RunHistory, kept) -> None:
        await kept.tell("ann", a_run(1))
        await kept.tell("ann", a_run(2))
        with pytest.raises(HistoryRefused) as refused:
            await history.run("ann", "run_00000000")
        assert (refused.value.status, refused.value.code) == (409, "run_ambiguous")

    async def test_a_run_is_told_as_it_stood(self, history: RunHistory, kept) -> None:
        run = a_run(1)
        await kept.tell("ann", run | {"state": "QUEUED"}, at=NOON)
        await kept.tell("ann", run, at=NOON + MINUTE)
        for moment, state in ((NOON, "QUEUED"), (NOON + MINUTE / 2, "QUEUED"), (NOON + MINUTE, "RUNNING")):
            assert (await history.run_at("ann", run["id"], moment)).read()["state"] == state
        for owner, moment in (("ann", NOON - MINUTE), ("bob", NOON)):
            with pytest.raises(RunMissing):
                await history.run_at(owner, run["id"], moment)

    async def test_a_state_has_its_chain(self, history: RunHistory, kept) -> None:
        for event in ("run.requested", "run.queued"):
            await kept.tell("ann", a_run(1), event=event)
        told = (await history.why("ann", a_run(1)["id"])).read()
        assert (told["run"], told["state"]) == (a_run(1)["id"], "RUNNING")
        assert [(link["kind"], link["because"]) for link in told["chain"]] == [
            ("run.requested", []),
            ("run.queued", [1]),
        ]
        with pytest.raises(RunMissing):
            await history.why("bob", a_run(1)["id"])

    async def test_pages_go_from_new_to_old(self, history: RunHistory, kept) -> None:
        for number in range(5):
            await kept.tell("ann", a_run(number))
        page = (await history.runs("ann", ANY, page_size=3, page_token=None)).read()
        assert [run["name"] for run in page["runs"]] == ["n-4", "n-3", "n-2"]
        rest = (await history.runs("ann", ANY, page_size=3, page_token=page["next_page_token"])).read()
        assert [run["name"] for run in rest["runs"]] == ["n-1", "n-0"]
        assert rest["next_page_token"] is None

    async def test_filters(self, history: RunHistory, kept) -> None:
        await kept.tell("ann", a_run(1, labels={"a": "b:c", "d": "e&f"}))
        await kept.tell("ann", a_run(2, state="FAILED", project="other"))

        async def names(wanted: RunFilter) -> list[str]:
            page = (await history.runs("ann", wanted, page_size=10, page_token=None)).read()
            return [run["name"] for run in page["runs"]]

        assert await names(RunFilter(labels=("a:b:c", "d:e&f"))) == ["n-1"]
        assert await names(RunFilter(states=("FAILED", "CANCELLED"))) == ["n-2"]
        assert await names(RunFilter(project="other", name="n-2")) == ["n-2"]
        assert await names(RunFilter(project="other", name="n-1")) == []

    async def test_events_wait_for_news(self, history: RunHistory, kept) -> None:
        run = a_run(1)
        await kept.tell("ann", run, event="one")
        first = (await history.events("ann", run["id"], after=0, wait_s=0)).read()
        assert ([event["kind"] for event in first["events"]], first["over"]) == (["one"], False)
        waiting = asyncio.create_task(history.events("ann", run["id"], after=1, wait_s=30))
        await asyncio.sleep(0)
        await kept.tell("ann", run | {"state": "SUCCEEDED"}, event="two")
        async with asyncio.timeout(5):
            second = (await waiting).read()
        assert ([event["kind"] for event in second["events"]], second["over"]) == (["two"], True)

    async def test_logs_go_on_from_a_cursor(self, history: RunHistory, kept) -> None:
        run = a_run(1)
        for text in ("a", "b", "c"):
            await kept.tell("ann", run, log=text)
        first = (await history.logs("ann", run["id"], {"limit": "2"}, wait_s=0)).read()
        assert [chunk["text"] for chunk in first["chunks"]] == ["a", "b"]
        rest = (await history.logs("ann", run["id"], {"after": first["cursor"]}, wait_s=0)).read()
        assert [chunk["text"] for chunk in rest["chunks"]] == ["c"]

    async def test_only_what_is_over_is_deleted(self, history: RunHistory, kept) -> None:
        run = a_run(1)
        await kept.tell("ann", run)
        with pytest.raises(HistoryRefused) as refused:
            await history.delete("ann", run["id"], results="keep")
        assert refused.value.status == 409
        await kept.tell("ann", run | {"state": "FAILED"})
        await history.delete("ann", run["id"], results="delete")
        with pytest.raises(RunMissing):
            await history.run("ann", run["id"])

    async def test_changes_and_status_are_the_owners(self, history: RunHistory, kept) -> None:
        await kept.tell("ann", a_run(1))
        await kept.tell("bob", a_run(2))
        changes = (await history.changes("ann", after="0-0", wait_s=0)).read()
        assert [change["run"] for change in changes["events"]] == [a_run(1)["id"]]
        assert (await history.changes("ann", after=changes["cursor"], wait_s=0)).read()["events"] == []
        assert (await history.changes("ann", after=None, wait_s=0)).read()["events"] == []
        assert (await history.status("ann"))["runs"] == {"RUNNING": 1}

    async def test_a_run_is_offered_with_all_that_was_asked_for(self, history: RunHistory, kept) -> None:
        offered = Untaken(a_run(1)["id"], "ann", "demo", "n-1", {"spec": {"env": {"NAME": "ä"}}})
        await history.offer(offered)
        assert kept.offered == [offered]
        kept.away = True
        with pytest.raises(HistoryUnavailable):
            await history.offer(offered)

    async def test_being_away_is_told(self, history: RunHistory, kept) -> None:
        kept.away = True
        with pytest.raises(HistoryUnavailable):
            await history.status("ann")
        with pytest.raises(HistoryUnavailable):
            await history.run("ann", a_run(1)["id"])
