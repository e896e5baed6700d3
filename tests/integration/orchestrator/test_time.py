"""Leases that end, retries that are due, deadlines that pass."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from cynthus.events import Cause, RunCancelRequested, VMFailed
from cynthus.orchestrator.adapters.bell import ProcessBell
from cynthus.orchestrator.adapters.postgres_leases import PostgresLeases
from cynthus.orchestrator.adapters.postgres_projection import RunTables
from cynthus.orchestrator.adapters.postgres_runs import PostgresRuns
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.rhythm import Rhythm
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.runs import RunHandler
from cynthus.orchestrator.reaper import Reaper
from cynthus.store.postgres import PostgresEventStore
from tests.integration.orchestrator.scenes import built, pinned, ready, request, running, starting
from tests.integration.orchestrator.stage import Stage

LEASE_S = 60.0


def make_reaper(stage: Stage) -> Reaper:
    """The reaper of another replica."""
    limits, recent = Limits(), RecentRuns()
    tables = [RunTables(recent, limits, LEASE_S)]
    store = PostgresEventStore(
        stage.database, schema="orchestrator", source="orchestrator", projections=tables
    )
    handler = RunHandler(store, recent, ProcessBell(), limits)
    leases = PostgresLeases(stage.database)
    heartbeats = Heartbeats(leases, Rhythm(lease_s=LEASE_S))
    return Reaper(PostgresRuns(stage.database), leases, handler, heartbeats)


@dataclass
class Time:
    """A reaper that has been watching for a while."""

    stage: Stage
    reaper: Reaper
    now: datetime

    async def pass_(self, seconds: float = 1.0) -> None:
        """Time goes by; the reaper looks all along."""
        self.reaper._last = self.now = self.now + timedelta(seconds=seconds)
        await self.reaper.tick(self.now)

    async def end_leases(self) -> None:
        await self.stage.execute("UPDATE orchestrator.leases SET expires_at = now() - interval '1 s'")


@pytest.fixture
async def time(stage):
    reaper = make_reaper(stage)
    now = await reaper.runs.now() - timedelta(seconds=LEASE_S + 1)
    await reaper.tick(now)
    later = Time(stage, reaper, now)
    await later.pass_(LEASE_S + 1)
    return later


async def test_a_worker_that_is_not_heard_for_a_lease_is_replaced(stage, time):
    worker = await running(stage)
    await time.pass_()
    assert (await stage.run(worker.run_id))["state"] == "RUNNING"
    await time.end_leases()
    await time.pass_()
    run = await stage.run(worker.run_id)
    assert (run["state"], run["epoch"]) == ("PROVISIONING", 2)
    assert (run["attempts"][0]["state"], run["attempts"][0]["cause"]["code"]) == ("LOST", "lost_machine")
    assert (await worker.call("heartbeat")).status_code == 409
    assert (await stage.kinds(worker.run_id))[-4:] == [
        *["attempt.lost", "run.retry-scheduled", "machine.released", "machine.requested"]
    ]


async def test_a_machine_that_never_asks_for_its_order_is_replaced(stage, time):
    worker = await starting(stage)
    await time.pass_(LEASE_S)
    assert (await stage.run(worker.run_id))["state"] == "STARTING"
    await time.pass_(LEASE_S + 1)
    assert (await stage.run(worker.run_id))["attempts"][0]["cause"]["code"] == "lost_machine"


async def test_an_attempt_that_is_being_prepared_beats_and_is_kept(stage, time):
    worker = await starting(stage)
    for _ in range(3):
        await stage.execute("UPDATE orchestrator.leases SET expires_at = now()")
        assert (await worker.call("heartbeat")).status_code == 200
        await time.pass_(LEASE_S / 2)
        time.now -= timedelta(seconds=LEASE_S / 2)
    assert (await stage.run(worker.run_id))["state"] == "STARTING"


async def test_an_order_is_handed_out_with_a_whole_lease_before_it_or_not_at_all(stage, time):
    run = await starting(stage)
    await stage.execute("UPDATE orchestrator.leases SET expires_at = now() + interval '1 s'")
    assert (await stage.next_order()).json()["run_id"] == run.run_id
    (lease,) = await stage.rows("leases")
    assert lease["expires_at"] > time.now + timedelta(seconds=LEASE_S - 5)
    await stage.execute("UPDATE orchestrator.leases SET expired = true")
    assert (await stage.next_order(wait_s=0)).status_code == 204


async def test_a_beat_renews_the_lease(stage, time):
    worker = await running(stage)
    await time.end_leases()
    assert (await worker.call("heartbeat", {"cpu_seconds": 1.5, "memory_bytes": 2})).status_code == 200
    await time.pass_()
    assert (await stage.run(worker.run_id))["state"] == "RUNNING"
    (lease,) = await stage.rows("leases")
    assert (lease["cpu_seconds"], lease["memory_bytes"], lease["expired"]) == (1.5, 2, False)


async def test_a_start_that_is_reported_again_renews_the_lease(stage, time):
    worker = await running(stage)
    await time.end_leases()
    assert (await worker.call("started", {"pid": 7})).json()["lease_s"] == LEASE_S
    await time.pass_()
    assert (await stage.run(worker.run_id))["state"] == "RUNNING"


async def test_a_silent_worker_is_suspected_once_and_again_after_it_was_heard(stage, time):
    worker = await running(stage)
    assert (await worker.call("heartbeat")).status_code == 200
    for _ in range(2):
        await time.pass_(6)
    kinds = await stage.kinds(worker.run_id)
    assert kinds[-1] == "attempt.suspected"
    assert kinds.count("attempt.suspected") == 1
    assert (await stage.run(worker.run_id))["state"] == "RUNNING"
    assert (await worker.call("heartbeat")).status_code == 200
    await stage.execute("UPDATE orchestrator.leases SET renewed_at = renewed_at + interval '20 s'")
    await time.pass_(30)
    assert (await stage.kinds(worker.run_id)).count("attempt.suspected") == 2


async def test_no_beat_brings_back_a_lease_that_was_judged(stage, time):
    worker = await running(stage)
    await time.end_leases()
    await time.reaper.leases.expire(time.now)
    assert (await worker.call("heartbeat")).status_code == 409
    assert (await worker.log(0, b"late")).status_code == 409
    await time.pass_()
    assert (await stage.run(worker.run_id))["epoch"] == 2


async def test_who_could_not_look_does_not_judge(stage, time):
    worker = await running(stage)
    await time.end_leases()
    time.reaper._last = time.now - timedelta(hours=1)
    await time.reaper.tick(time.now)
    assert (await stage.run(worker.run_id))["state"] == "RUNNING"
    assert (await worker.call("heartbeat")).status_code == 200


@pytest.mark.parametrize(("left_s", "gap_s", "then_s"), [(50, 20, 50), (50, 3600, 50), (1, 20, LEASE_S / 2)])
async def test_time_in_which_nobody_looked_uses_up_no_lease(stage, time, left_s, gap_s, then_s):
    """A worker that died before is noticed as late as if the gap had not been; one that lives has time."""
    await running(stage)
    await stage.execute(f"UPDATE orchestrator.leases SET expires_at = now() + interval '{left_s - gap_s} s'")
    now = await time.reaper.runs.now()
    time.reaper._last = now - timedelta(seconds=gap_s)
    await time.reaper.tick(now)
    (lease,) = await stage.rows("leases")
    assert abs((lease["expires_at"] - now).total_seconds() - then_s) < 5
    assert not lease["expired"]


async def test_after_a_start_every_lease_is_extended(stage):
    worker = await running(stage)
    await stage.execute("UPDATE orchestrator.leases SET expires_at = now() - interval '1 h'")
    reaper = make_reaper(stage)
    await reaper.tick(await reaper.runs.now())
    assert (await stage.run(worker.run_id))["state"] == "RUNNING"
    (lease,) = await stage.rows("leases")
    assert lease["expires_at"] > await reaper.runs.now() + timedelta(seconds=LEASE_S - 5)


async def test_a_retry_is_made_when_it_is_due(stage, time):
    requested = request()
    await stage.hear(requested)
    cause = Cause(code="quota", message="The quota is used up.")
    failed = VMFailed(run_id=requested.run_id, epoch=1, cause=cause, transient=True)
    await stage.hear(failed, source="provisioner")
    run = await stage.run(requested.run_id)
    assert run["state"] == "RETRYING"
    assert "quota" in run["reason"]
    await time.pass_(1)
    assert (await stage.run(requested.run_id))["state"] == "RETRYING"
    await time.pass_(3)
    run = await stage.run(requested.run_id)
    assert (run["state"], run["epoch"]) == ("BUILDING", 2)


async def test_a_run_that_is_never_built_fails(stage, time):
    requested = request()
    await stage.hear(requested)
    await time.pass_(Limits().building_s + 5)
    run = await stage.run(requested.run_id)
    assert (run["state"], run["cause"]["code"]) == ("FAILED", "build_failed")
    assert run["cause"]["fix"]


async def test_a_cancelled_worker_that_never_answers_is_given_up(stage, time):
    worker = await running(stage)
    await stage.hear(RunCancelRequested(run_id=worker.run_id))
    await time.pass_(Limits().stopping_s + Limits().grace_s + 5)
    run = await stage.run(worker.run_id)
    assert (run["state"], run["attempts"][0]["state"]) == ("CANCELLED", "LOST")
    assert (await worker.finish()).status_code == 409


async def test_several_reapers_lose_an_attempt_once(stage, time):
    worker = await running(stage)
    await time.end_leases()
    others = [make_reaper(stage) for _ in range(3)]
    for other in others:
        other._last = time.now
    await asyncio.gather(*(reaper.tick(time.now) for reaper in [time.reaper, *others]))
    kinds = await stage.kinds(worker.run_id)
    assert kinds.count("attempt.lost") == 1
    assert (await stage.run(worker.run_id))["epoch"] == 2


async def test_two_runs_on_one_machine_after_another(stage):
    first = await running(stage)
    await first.finish()
    second = await starting(stage)
    assert (await stage.next_order()).json()["run_id"] == second.run_id


async def test_order_of_the_inputs_does_not_matter(stage):
    requested = request()
    run_id = requested.run_id
    await stage.hear(built(run_id))
    await stage.hear(pinned(run_id))
    assert (await stage.ask(f"runs/{run_id}")).status_code == 404
    await stage.hear(requested)
    await stage.hear(ready(run_id))
    assert (await stage.run(run_id))["state"] == "STARTING"
