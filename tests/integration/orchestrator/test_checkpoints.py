"""A program that was interrupted goes on from where it was."""

from cynthus.blobs import keys
from cynthus.events import Cause, RunCancelRequested, VMLost
from cynthus.snapshots.manifest import Entry
from tests.integration.orchestrator.scenes import ready, running, starting
from tests.integration.orchestrator.stage import OWNER, SETTINGS, open_stage

HEX = "0" * 64
PREEMPTED = Cause(code="preempted", message="The machine was taken away.")


def state(size: int = 5) -> Entry:
    return Entry("state.bin", size, chunks=(HEX,))


async def lose(stage, run_id, epoch=1, machine="m1"):
    lost = VMLost(run_id=run_id, epoch=epoch, machine=machine, cause=PREEMPTED)
    await stage.hear(lost, source="provisioner")


async def test_the_next_order_begins_with_the_newest_checkpoint(stage):
    worker = await running(stage)
    for size in (5, 7):
        newest = await stage.put_outputs(state(size))
        for _ in range(2):
            answer = await worker.call("checkpoint", {"manifest": newest, "files": 1, "bytes": size})
            assert (answer.status_code, answer.json()) == (200, {})
    assert (await stage.kinds(worker.run_id)).count("checkpoint.saved") == 2
    await lose(stage, worker.run_id)
    await stage.hear(ready(worker.run_id, 2, "m2"), source="provisioner")
    order = (await stage.next_order("m2")).json()
    assert (order["epoch"], order["checkpoint"], order["checkpoint_every_s"]) == (2, newest, 60)


async def test_a_first_attempt_begins_with_nothing_and_is_told_how_often_to_save(database_url):
    async with open_stage(database_url, SETTINGS.model_copy(update={"checkpoint_every_s": 7.5})) as stage:
        await starting(stage)
        order = (await stage.next_order()).json()
    assert (order["checkpoint"], order["checkpoint_every_s"]) == (None, 7.5)


async def test_a_checkpoint_without_its_manifest_is_refused(stage):
    worker = await running(stage)
    answer = await worker.call("checkpoint", {"manifest": f"sha256:{HEX}", "files": 1, "bytes": 5})
    assert (answer.status_code, answer.json()["code"]) == (422, "manifest_missing")
    assert (await worker.call("checkpoint", {"manifest": "nonsense"})).status_code == 422
    assert "checkpoint.saved" not in await stage.kinds(worker.run_id)


async def test_an_attempt_that_was_lost_saves_nothing(stage):
    worker = await running(stage)
    digest = await stage.put_outputs(state())
    await lose(stage, worker.run_id)
    answer = await worker.call("checkpoint", {"manifest": digest, "files": 1, "bytes": 5})
    assert (answer.status_code, answer.json()["code"]) == (409, "fenced")
    await stage.hear(ready(worker.run_id, 2, "m2"), source="provisioner")
    assert (await stage.next_order("m2")).json()["checkpoint"] is None


async def test_checkpoints_go_with_the_results(stage):
    worker = await running(stage)
    digest = await stage.put_outputs(state())
    await worker.call("checkpoint", {"manifest": digest})
    await stage.hear(RunCancelRequested(run_id=worker.run_id))
    await worker.finish()
    answer = await stage.delete(worker.run_id, results="delete")
    assert answer.status_code == 204
    kept = [stat.key async for stat in stage.platform.blobs.list("")]
    assert keys.manifest(OWNER, digest) not in kept
