"""A write that meets a fence being raised is decided by the fence."""

import asyncio

import pytest

from cynthus.orchestrator.adapters.postgres_leases import PostgresLeases
from cynthus.orchestrator.adapters.postgres_logs import PostgresLogIndex
from cynthus.orchestrator.adapters.postgres_runs import PostgresRuns
from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.domain.rhythm import Rhythm
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.orchestrator.ports import LogChunk
from cynthus.web.tokens import AttemptClaims
from tests.integration.orchestrator.scenes import running, starting

_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def someone_waits(stage):
    async with asyncio.timeout(10), stage.database.connection() as connection:
        while not await connection.fetchval(_WAITING):
            await asyncio.sleep(0)


def writes(stage, run_id):
    chunk = LogChunk(run_id, 1, 0, "stdout", 0, 5)
    return {
        "log": lambda: PostgresLogIndex(stage.database).add(chunk),
        "beat": lambda: Heartbeats(PostgresLeases(stage.database), Rhythm()).beat(
            AttemptClaims(run_id, 1, "local", "m"), 0.0, 0
        ),
    }


DELETED = "DELETE FROM orchestrator.leases"
EXPIRED = "UPDATE orchestrator.leases SET expired = true"


@pytest.mark.parametrize(("what", "fence"), [("log", DELETED), ("beat", DELETED), ("beat", EXPIRED)])
async def test_a_write_waits_for_the_fence_and_is_refused(stage, what, fence):
    worker = await running(stage)
    async with stage.database.transaction() as connection:
        await connection.execute(fence)
        writing = asyncio.create_task(writes(stage, worker.run_id)[what]())
        await someone_waits(stage)
    with pytest.raises(Fenced):
        await writing
    assert await stage.rows("log_chunks") == []


LOSE = """
    INSERT INTO orchestrator.events
        (stream, version, id, type, source, actor, correlation_id, at, decided, data)
    SELECT stream, version + 1, 'evt_fence', 'dev.cynthus.attempt.lost.v1', source, actor, correlation_id,
           clock_timestamp(), true,
           jsonb_build_object('run_id', $1::text, 'epoch', 1,
                              'cause', '{"code": "lost_machine", "message": "Gone."}'::jsonb)
    FROM orchestrator.events WHERE stream = 'run-' || $1 ORDER BY version DESC LIMIT 1"""


@pytest.mark.parametrize("what", ["started", "checkpoint", "exited", "finished"])
async def test_a_report_waits_for_the_fence_of_history_and_is_refused(stage, what):
    worker = await (starting if what == "started" else running)(stage)
    digest = await stage.put_outputs()
    bodies = {"started": {"pid": 7}, "checkpoint": {"manifest": digest}}
    async with stage.database.transaction() as connection:
        await connection.execute(LOSE, worker.run_id)
        reporting = asyncio.create_task(worker.call(what, bodies.get(what, {"exit_code": 0})))
        await someone_waits(stage)
    answer = await reporting
    assert (answer.status_code, answer.json()["code"]) == (409, "fenced")
    told = [row["type"] for row in await stage.rows("events") if row["stream"] == f"run-{worker.run_id}"]
    assert f"dev.cynthus.attempt.{what}.v1" not in told
    assert {"dev.cynthus.checkpoint.saved.v1", "dev.cynthus.run.succeeded.v1"}.isdisjoint(told)


async def test_of_a_lease_that_ended_and_an_attempt_that_is_not_lost_yet_history_decides(stage):
    worker = await running(stage)
    digest = await stage.put_outputs()
    await stage.execute(EXPIRED)
    assert (await worker.call("heartbeat")).status_code == 409
    assert (await worker.log(0, b"late")).status_code == 409
    assert (await worker.call("checkpoint", {"manifest": digest})).status_code == 200
    assert (await worker.finish()).status_code == 200
    assert (await stage.run(worker.run_id))["state"] == "SUCCEEDED"
    assert await PostgresLeases(stage.database).expire(await PostgresRuns(stage.database).now()) == []


async def test_a_fence_waits_for_a_write_that_came_first(stage):
    worker = await running(stage)
    async with stage.database.transaction() as connection:
        await connection.execute(
            "SELECT 1 FROM orchestrator.leases WHERE run_id = $1 FOR KEY SHARE", worker.run_id
        )
        fencing = asyncio.create_task(worker.finish())
        await someone_waits(stage)
    assert (await fencing).status_code == 200
    assert await stage.rows("leases") == []
