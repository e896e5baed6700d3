"""Messages that cannot be handled: their runs end, and everybody else's go on."""

from cynthus.bus.ports import Delivery
from cynthus.orchestrator.adapters.bell import ProcessBell
from cynthus.orchestrator.adapters.postgres_projection import RunTables
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.handlers.parked import ParkedRequests
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.runs import RunHandler
from cynthus.store.parked import park
from cynthus.store.postgres import PostgresEventStore
from tests.integration.orchestrator.scenes import request
from tests.integration.orchestrator.stage import Stage

NEVER_KEPT = (
    "ALTER TABLE orchestrator.runs ADD CONSTRAINT poison CHECK (name <> 'poison' OR state = 'FAILED')"
)


async def test_a_run_whose_request_cannot_be_handled_fails_and_says_why(stage: Stage) -> None:
    await stage.execute(NEVER_KEPT)
    await stage.hear(request(run_id="run_1", name="poison"))
    run = await stage.run("run_1")
    assert (run["state"], run["cause"]["code"], run["name"]) == ("FAILED", "internal_error", "poison")
    assert "poison" in run["cause"]["evidence"][0]
    assert await stage.kinds("run_1") == ["run.requested", "run.queued", "run.failed"]
    await stage.hear(request(run_id="run_2"))
    assert (await stage.run("run_2"))["state"] == "BUILDING"


def handler_of(stage: Stage) -> RunHandler:
    limits, recent = Limits(), RecentRuns()
    tables = [RunTables(recent, limits, 60.0)]
    store = PostgresEventStore(
        stage.database, schema="orchestrator", source="orchestrator", projections=tables
    )
    return RunHandler(store, recent, ProcessBell(), limits)


async def test_a_run_that_was_taken_over_after_all_goes_on(stage: Stage) -> None:
    (envelope,) = await stage.hear(request(run_id="run_1"))
    before = await stage.kinds("run_1")
    parked = park("orchestrator", Delivery(envelope, 1), reason="ValueError: x", attempts=5)
    for _ in range(2):
        await ParkedRequests(handler_of(stage))(parked)
    assert await stage.kinds("run_1") == before


async def test_being_told_twice_ends_the_run_once(stage: Stage) -> None:
    (envelope,) = await stage.hear(request(run_id="run_1"))
    requested = request(run_id="run_2")
    other = Delivery(stage._envelope(requested, "gateway"), 1)
    for _ in range(2):
        parked = park("orchestrator", other, reason="ValueError: x", attempts=5)
        await ParkedRequests(handler_of(stage))(parked)
    assert (await stage.kinds("run_2")).count("run.failed") == 1
    assert envelope.id != other.envelope.id
