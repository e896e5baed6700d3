"""What workers are told and what is taken from them."""

import asyncio

import pytest

from cynthus.events import Cause as WhyLost
from cynthus.events import RunCancelRequested, VMDeleted, VMLost
from cynthus.snapshots.manifest import Entry
from tests.integration.orchestrator.scenes import built, pinned, ready, request, running, starting
from tests.integration.orchestrator.stage import OWNER, SETTINGS, open_stage

HEX = "0" * 64


async def test_a_run_succeeds_when_its_worker_has_delivered_everything(stage):
    worker = await starting(stage)
    beat = (await worker.start()).json()
    assert beat["stop"] is None
    assert 0.9 <= beat["next_beat_s"] <= 1.1
    assert beat["lease_s"] == 60
    assert (await worker.log(0, b"hello\n")).json() == {"next_seq": 1}
    assert (await worker.log(1, b"world", offset=6)).json() == {"next_seq": 2}
    assert (await worker.call("exited", {"exit_code": 0, "cpu_seconds": 1.5})).status_code == 200
    assert (await stage.run(worker.run_id))["state"] == "UPLOADING"
    outputs = await stage.put_outputs(Entry("model.bin", 5, chunks=(HEX,)), Entry("empty", folder=True))
    assert (await worker.finish(chunks=2, stdout=11, outputs=outputs)).status_code == 200
    run = await stage.run(worker.run_id)
    assert (run["state"], run["epoch"], run["cause"]) == ("SUCCEEDED", 1, None)
    assert run["outputs"] == {"manifest": outputs, "files": 1, "bytes": 5}
    assert run["attempts"][0]["state"] == "SUCCEEDED"
    assert run["attempts"][0]["cpu_seconds"] == 1.5
    assert run["timeline"]["start.source"] == 3.5
    assert await stage.kinds(worker.run_id) == [
        *["run.requested", "run.queued", "machine.requested", "image.built", "dataset.ready", "vm.ready"],
        *["attempt.started", "attempt.exited", "logs.sealed", "outputs.committed", "run.succeeded"],
        "machine.released",
    ]
    assert await stage.rows("leases") == []


async def test_an_order_comes_as_soon_as_everything_is_there(stage):
    requested = request(secrets=("KEY",))
    run_id = requested.run_id
    await stage.platform.secrets.put(run_id, {"KEY": "hush"})
    await stage.hear(requested, ready(run_id))
    waiting = asyncio.create_task(stage.next_order(wait_s=30))
    await stage.hear(pinned(run_id), built(run_id))
    async with asyncio.timeout(4):
        answer = await waiting
    order = answer.json()
    assert answer.status_code == 200
    assert (order["run_id"], order["epoch"], order["project"]) == (run_id, 1, "digits")
    assert order["secrets"] == {"KEY": "hush"}
    assert order["data"] == [{"mount": "data", "manifest": "sha256:d"}]
    assert order["attempts_url"] == "http://orchestrator/worker/v1/attempts"
    assert order["blobs_url"] == "http://gateway/v1"
    claims = stage.platform.worker_tokens.verify_attempt(order["token"])
    assert (claims.run_id, claims.epoch, claims.owner, claims.machine) == (run_id, 1, OWNER, "m1")


async def test_an_order_is_given_again_until_its_attempt_has_started(stage):
    worker = await starting(stage)
    first, second = await stage.next_order(), await stage.next_order()
    assert first.json()["run_id"] == second.json()["run_id"] == worker.run_id
    await worker.start()
    assert (await stage.next_order()).status_code == 204


async def test_another_machine_gets_nothing(stage):
    await starting(stage)
    assert (await stage.next_order("m2")).status_code == 204


async def test_a_machine_that_was_deleted_is_told_to_leave(stage):
    worker = await running(stage)
    await worker.finish()
    assert (await stage.next_order()).status_code == 204
    await stage.hear(VMDeleted(run_id=worker.run_id, machine="m1"), source="provisioner")
    assert (await stage.next_order()).status_code == 410


async def test_a_machine_that_nobody_planned_for_is_told_to_leave_in_time(database_url):
    async with open_stage(database_url, SETTINGS.model_copy(update={"machine_idle_s": 0.2})) as stage:
        answers = [(await stage.next_order("stranger")).status_code]
        async with asyncio.timeout(10):
            while answers[-1] == 204:
                answers.append((await stage.next_order("stranger", wait_s=0.05)).status_code)
    assert answers[0] == 204
    assert answers[-1] == 410


async def test_a_token_is_for_one_machine_and_one_attempt(stage):
    worker = await running(stage)
    machine_token = stage.platform.worker_tokens.machine("m1", ttl_s=60)
    url = f"/worker/v1/attempts/{worker.run_id}/1/heartbeat"
    bearer = {"Authorization": f"Bearer {machine_token}"}
    assert (await stage.client.post(url, json={}, headers=bearer)).status_code == 401
    assert (await stage.client.post(url, json={})).status_code == 401
    other = stage.worker(worker.run_id, epoch=2)
    answer = await stage.client.post(url, json={}, headers=other._headers())
    assert answer.status_code == 403
    body = {"machine": "m2", "wait_s": 0}
    answer = await stage.client.post("/worker/v1/orders:next", json=body, headers=bearer)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"no json", b'{"cpu_seconds": "x"}', b'{"memory_bytes": 1.5}', b" " * 10_000 + b"{"]
)
async def test_a_beat_that_is_not_in_order_is_refused_and_renews_nothing(stage, body):
    worker = await running(stage)
    url = f"/worker/v1/attempts/{worker.run_id}/1/heartbeat"
    headers = worker._headers() | {"Content-Type": "application/json"}
    answer = await stage.client.post(url, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await worker.call("heartbeat", {"cpu_seconds": 2, "unknown": True})).status_code == 200


async def test_what_a_failed_attempt_left_is_no_result_while_another_may_follow(stage):
    worker = await running(stage, request(retries=1))
    outputs = await stage.put_outputs(Entry("half.bin", 5, chunks=(HEX,)))
    assert (await worker.finish(code=1, outputs=outputs)).status_code == 200
    run = await stage.run(worker.run_id)
    assert not run["ended_at"]
    assert run["outputs"] is None
    assert run["attempts"][0]["outputs"]["manifest"] == outputs


async def test_reports_can_be_repeated(stage):
    worker = await running(stage)
    await worker.log(0, b"hello")
    for _ in range(2):
        assert (await worker.start()).status_code == 200
        assert (await worker.log(0, b"hello")).json() == {"next_seq": 1}
    for _ in range(2):
        assert (await worker.call("exited", {"exit_code": 0})).status_code == 200
    for _ in range(2):
        assert (await worker.finish(chunks=1, stdout=5)).status_code == 200
    kinds = await stage.kinds(worker.run_id)
    assert len(kinds) == len(set(kinds))


async def test_a_run_is_not_finished_before_its_log_is_complete(stage):
    worker = await running(stage)
    await worker.log(0, b"hello")
    for chunks, stdout in ((2, 9), (1, 9), (0, 0)):
        answer = await worker.finish(chunks=chunks, stdout=stdout)
        assert (answer.status_code, answer.json()["code"]) == (422, "logs_incomplete")
    assert (await stage.run(worker.run_id))["state"] == "RUNNING"


async def test_a_run_is_not_finished_without_its_manifest(stage):
    worker = await running(stage)
    answer = await worker.finish(outputs=f"sha256:{HEX}")
    assert (answer.status_code, answer.json()["code"]) == (422, "manifest_missing")
    assert (await stage.run(worker.run_id))["state"] == "RUNNING"


async def test_no_outputs_are_the_empty_snapshot(stage):
    worker = await running(stage)
    await worker.finish()
    empty = await stage.put_outputs()
    outputs = (await stage.run(worker.run_id))["outputs"]
    assert outputs == {"manifest": empty, "files": 0, "bytes": 0}


async def test_a_log_has_no_gaps(stage):
    worker = await running(stage)
    await worker.log(0, b"hello")
    for seq, offset in ((2, 5), (1, 6), (1, 4)):
        answer = await worker.log(seq, b"x", offset=offset)
        assert (answer.status_code, answer.json()["code"]) == (422, "log_gap")
    assert (await worker.log(0, b"other bytes")).status_code == 422
    assert (await worker.log(1, b"", offset=5)).status_code == 422
    assert (await worker.log(1, b"x" * (1024 * 1024 + 1), offset=5)).status_code == 413
    assert (await worker.log(1, b"!", offset=5)).json() == {"next_seq": 2}
    assert (await worker.log(2, b"err", source="stderr")).json() == {"next_seq": 3}


async def test_a_cancelled_attempt_is_told_to_stop_and_keeps_its_results(stage):
    worker = await running(stage)
    await stage.hear(RunCancelRequested(run_id=worker.run_id))
    assert (await stage.run(worker.run_id))["state"] == "TERMINATING"
    assert (await worker.call("heartbeat")).json()["stop"] == "cancelled"
    assert (await worker.start()).json()["stop"] == "cancelled"
    await worker.log(0, b"bye")
    outputs = await stage.put_outputs(Entry("part.bin", 5, chunks=(HEX,)))
    body = {"signal": 15, "logs": {"chunks": 1, "bytes": {"stdout": 3}}, "outputs": outputs}
    assert (await worker.call("finished", body)).status_code == 200
    run = await stage.run(worker.run_id)
    assert (run["state"], run["outputs"]["manifest"]) == ("CANCELLED", outputs)


async def test_a_failed_attempt_is_repeated_as_often_as_its_owner_said(stage):
    worker = await running(stage, request(retries=1))
    assert (await worker.finish(code=3)).status_code == 200
    run = await stage.run(worker.run_id)
    assert (run["state"], run["epoch"]) == ("PROVISIONING", 2)
    await stage.hear(ready(worker.run_id, 2, "m2"), source="provisioner")
    assert (await stage.next_order("m2")).json()["epoch"] == 2
    second = stage.worker(worker.run_id, epoch=2, machine="m2")
    await second.start()
    await second.finish(code=3)
    run = await stage.run(worker.run_id)
    assert (run["state"], run["cause"]["code"], run["cause"]["exit_code"]) == ("FAILED", "user_exit", 3)
    assert [attempt["exit_code"] for attempt in run["attempts"]] == [3, 3]


@pytest.mark.parametrize("how", ["lost", "cancelled"])
async def test_of_two_workers_the_stale_one_is_refused_everywhere_and_writes_nothing(stage, how):
    stale = await running(stage)
    await stale.log(0, b"hello")
    if how == "lost":
        cause = WhyLost(code="preempted", message="The machine was taken away.")
        lost = VMLost(run_id=stale.run_id, epoch=1, machine="m1", cause=cause)
        await stage.hear(lost, source="provisioner")
        await stage.hear(ready(stale.run_id, 2, "m2"), source="provisioner")
        current = stage.worker(stale.run_id, epoch=2, machine="m2")
        assert (await current.start()).status_code == 200
        assert (await current.log(0, b"again")).status_code == 200
    else:
        await stage.hear(RunCancelRequested(run_id=stale.run_id))
        await stale.finish(chunks=1, stdout=5)
    tables = ["events", "runs", "attempts", "leases", "log_chunks"]
    before = [await stage.rows(table) for table in tables]
    objects = [stat.key async for stat in stage.platform.blobs.list("")]
    answers = [await stale.call("heartbeat"), await stale.log(1, b"late", offset=5)]
    if how == "lost":
        answers += [await stale.start(), await stale.call("exited", {"exit_code": 0})]
        answers += [await stale.finish(chunks=1, stdout=5), await stale.finish(chunks=9)]
    assert [answer.status_code for answer in answers] == [409] * len(answers)
    assert {answer.json()["code"] for answer in answers} == {"fenced"}
    assert [await stage.rows(table) for table in tables] == before
    assert [stat.key async for stat in stage.platform.blobs.list("")] == objects
