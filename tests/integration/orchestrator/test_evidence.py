"""A run's past: how it stood at a moment, and what led to where it stands."""

from datetime import datetime, timedelta

from cynthus.events import Cause, RunCancelRequested, VMDeleted, VMLost
from tests.integration.orchestrator.scenes import ready, request, running
from tests.integration.orchestrator.stage import Stage, Worker

LOST = Cause(code="lost_machine", message="The provider no longer lists it.", evidence=("listed: m9",))


async def lost(stage: Stage, worker: Worker) -> None:
    fact = VMLost(run_id=worker.run_id, epoch=worker.epoch, machine=worker.machine, cause=LOST)
    await stage.hear(fact, source="provisioner")


async def failed_at_second(stage: Stage) -> str:
    """A run whose first machine was lost and whose second attempt failed."""
    worker = await running(stage)
    await lost(stage, worker)
    await stage.hear(ready(worker.run_id, 2, "m2"), source="provisioner")
    second = stage.worker(worker.run_id, epoch=2, machine="m2")
    await second.start()
    await second.finish(code=3)
    return worker.run_id


async def events(stage: Stage, run_id: str) -> list[dict]:
    return (await stage.ask(f"runs/{run_id}/events")).json()["events"]


async def why(stage: Stage, run_id: str) -> dict:
    answer = await stage.ask(f"runs/{run_id}/why")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_each_attempt_says_how_it_ended_and_what_was_done_about_it(stage):
    run_id = await failed_at_second(stage)
    await stage.hear(VMDeleted(run_id=run_id, machine="m1"), source="provisioner")
    first, second = (await stage.run(run_id))["attempts"]
    assert first["then"] == "tried again at once (infrastructure 1 of 5)"
    assert (first["cause"]["code"], first["cause"]["evidence"]) == ("lost_machine", ["listed: m9"])
    assert first["machine_deleted_at"] is not None
    assert (second["then"], second["exit_code"]) == ("run failed", 3)
    assert (second["machine_deleted_at"], second["suspected"], second["checkpoint"]) == (None, None, None)


async def test_history_answers_for_every_moment_of_a_run(stage):
    run_id = await failed_at_second(stage)
    for event in await events(stage, run_id):
        then = (await stage.ask(f"runs/{run_id}", as_of=event["time"])).json()
        assert then["version"] >= event["version"]
    moments = {event["kind"]: event["time"] for event in await events(stage, run_id)}
    then = (await stage.ask(f"runs/{run_id}", as_of=moments["run.queued"])).json()
    assert (then["state"], then["attempts"][0]["machine"], then["cause"]) == ("BUILDING", None, None)
    now = (await stage.ask(f"runs/{run_id}", as_of=moments["run.failed"])).json()
    assert now["state"] == "FAILED"


async def test_before_it_was_asked_for_there_was_no_run(stage):
    run_id = await failed_at_second(stage)
    first = datetime.fromisoformat((await events(stage, run_id))[0]["time"])
    answer = await stage.ask(f"runs/{run_id}", as_of=(first - timedelta(seconds=1)).isoformat())
    assert (answer.status_code, answer.json()["code"]) == (404, "run_not_found")
    assert (await stage.ask(f"runs/{run_id}", as_of="yesterday")).status_code == 422
    assert (await stage.ask(f"runs/{run_id}", as_of=first.isoformat(), owner="bob")).status_code == 404
    assert (await stage.ask(f"runs/{run_id}/why", owner="bob")).status_code == 404


async def test_a_failed_run_says_why_back_to_the_lost_machine_and_the_request(stage):
    answer = await why(stage, await failed_at_second(stage))
    assert answer["state"] == "FAILED"
    chain = answer["chain"]
    kinds = [link["kind"] for link in chain]
    assert kinds[0] == "run.requested"
    assert kinds[-1] == "run.failed"
    wanted = ["vm.lost", "attempt.lost", "run.retry-scheduled", "machine.requested", "attempt.exited"]
    found = [kind for kind in kinds if kind in wanted]
    assert found == ["machine.requested", *wanted]
    texts = {link["kind"]: link["text"] for link in chain}
    assert "m1" in texts["vm.lost"]
    assert texts["attempt.exited"] == "The program of attempt 2 ended with exit code 3."
    assert texts["run.failed"] == "The run failed. user_exit: The program ended with exit code 3."
    versions = {link["version"] for link in chain}
    for link in chain:
        assert set(link["because"]) <= versions
        assert all(version < link["version"] for version in link["because"])
        assert bool(link["because"]) == (
            link["kind"] not in {"run.requested", "image.built", "dataset.ready"}
        )


async def test_a_cancelled_run_says_who_asked_and_a_waiting_one_for_what(stage):
    worker = await running(stage)
    await stage.hear(RunCancelRequested(run_id=worker.run_id))
    answer = await why(stage, worker.run_id)
    assert (answer["state"], answer["chain"][-1]["kind"]) == ("TERMINATING", "run.cancel-requested")
    requested = request()
    await stage.hear(requested)
    answer = await why(stage, requested.run_id)
    assert answer["state"] == "BUILDING"
    assert answer["chain"][0]["kind"] == "run.requested"
