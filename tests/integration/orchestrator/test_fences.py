"""A write that meets a fence being raised is decided by the fence."""

import asyncio

import pytest

from cynthus.orchestrator.adapters.postgres_leases import PostgresLeases
from cynthus.orchestrator.adapters.postgres_logs import PostgresLogIndex
from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.domain.rhythm import Rhythm
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.orchestrator.ports import LogChunk
from cynthus.web.tokens import AttemptClaims
from tests.integration.orchestrator.scenes import running

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
