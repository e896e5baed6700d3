"""Tables are a function of the history."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cynthus.bus.ports import Delivery, Undecodable
from cynthus.events import EVENTS, BuildFailed, Cause, Event, Heartbeat, RunCancelRequested
from cynthus.orchestrator.adapters.postgres_projection import RunTables
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.signals import HeartbeatSignals
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.rebuild import rebuild
from cynthus.web.tokens import AttemptClaims
from tests.integration.orchestrator.scenes import request, running, starting
from tests.integration.orchestrator.stage import Stage, open_replica


async def test_rebuilt_tables_equal_the_live_ones(stage):
    done, failed = await running(stage), await running(stage, request(retries=1), "m2")
    await done.finish()
    await failed.finish(code=1)
    await running(stage, machine="m3")
    await starting(stage, machine="m4")
    stopping = await running(stage, machine="m5")
    await stage.hear(RunCancelRequested(run_id=stopping.run_id))
    odd = request(labels={"a": "nul \x00 here"})
    await stage.hear(odd)
    unbuilt = BuildFailed(run_id=odd.run_id, cause=Cause(code="build_failed", message="\x00"))
    await stage.hear(unbuilt)
    tables = ["runs", "attempts"]
    live = [await stage.rows(table) for table in tables]
    leases = {(row["run_id"], row["epoch"], row["stop"]) for row in await stage.rows("leases")}
    projection = RunTables(RecentRuns(), Limits(), 60.0)
    store = PostgresEventStore(stage.database, schema="orchestrator", source="orchestrator")
    assert await rebuild(store, [projection]) == len(await stage.rows("events"))
    assert [await stage.rows(table) for table in tables] == live
    assert {(row["run_id"], row["epoch"], row["stop"]) for row in await stage.rows("leases")} == leases
    assert len(leases) == 3


async def test_a_restarted_orchestrator_goes_on_where_it_was(stage):
    worker = await running(stage)
    async with open_replica(stage.platform) as again:
        resumed = again.worker(worker.run_id)
        assert (await resumed.call("heartbeat")).status_code == 200
        assert (await resumed.finish()).status_code == 200
        assert (await again.run(worker.run_id))["state"] == "SUCCEEDED"


@asynccontextmanager
async def heard(stage: Stage, *types: type[Event]) -> AsyncIterator[asyncio.Queue[Event]]:
    """What another service hears on the bus."""
    queue: asyncio.Queue[Event] = asyncio.Queue()

    async def note(message: Delivery | Undecodable) -> None:
        assert isinstance(message, Delivery)
        queue.put_nowait(message.envelope.event)

    async with stage.platform.bus.subscribe("tests", types, note), asyncio.timeout(10):
        yield queue


async def test_what_was_decided_is_published_and_what_was_taken_over_is_not(stage):
    async with heard(stage, *EVENTS) as queue:
        worker = await running(stage)
        await worker.finish()
        kinds = [(await queue.get()).kind]
        while kinds[-1] != "machine.released":
            kinds.append((await queue.get()).kind)
    assert sorted(kinds) == sorted(await stage.kinds(worker.run_id))


async def test_beats_are_published_once_per_round(stage):
    worker = await running(stage)
    beats = {}
    signals = HeartbeatSignals(beats, stage.platform.bus, "orchestrator", 10.0)
    beat = Heartbeat(run_id=worker.run_id, epoch=1, machine="m1", cpu_seconds=1)
    async with heard(stage, Heartbeat) as queue:
        beats[worker.run_id] = (AttemptClaims(worker.run_id, 1, "local", "m1"), 1.0, 0)
        await signals.publish()
        await signals.publish()
        assert await queue.get() == beat
    assert queue.empty()
