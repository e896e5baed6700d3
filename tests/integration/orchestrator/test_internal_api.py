"""What the gateway is told about runs."""

import asyncio
import base64

import pytest

from cynthus.blobs import keys
from cynthus.events import BuildFailed, Cause, RunCancelRequested, new_id
from cynthus.snapshots.manifest import Entry
from tests.integration.orchestrator.scenes import built, pinned, ready, request, running
from tests.integration.orchestrator.stage import OWNER, open_replica, open_stage

UNBUILT = Cause(code="build_failed", message="No such package.")


async def test_only_the_platform_may_ask(stage):
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "nonsense"}):
        answer = await stage.client.get("/internal/v1/runs", params={"owner": OWNER}, headers=headers)
        assert answer.status_code == 401


async def test_a_run_is_found_by_id_prefix_and_name(stage):
    older, newer = sorted((request(name="digits"), request(name="digits")), key=lambda each: each.run_id)
    await stage.hear(older)
    await stage.hear(newer)
    found = [(await stage.run(key))["id"] for key in (older.run_id, older.run_id[:-1], "digits")]
    assert found == [older.run_id, older.run_id, newer.run_id]
    both = next(n for n in range(30) if older.run_id[:n] != newer.run_id[:n]) - 1
    if both >= 8:
        answer = await stage.ask(f"runs/{older.run_id[:both]}")
        assert (answer.status_code, answer.json()["code"]) == (409, "run_ambiguous")
    assert (await stage.ask("runs/nothing-like-it")).status_code == 404
    assert (await stage.ask("runs/run_%00")).status_code == 404


async def test_what_belongs_to_somebody_else_does_not_exist(stage):
    worker = await running(stage)
    for path in ("", "/events", "/logs"):
        assert (await stage.ask(f"runs/{worker.run_id}{path}", owner="bob")).status_code == 404
    assert (await stage.ask("runs", owner="bob")).json() == {"runs": [], "next_page_token": None}


async def test_runs_are_listed_newest_first_page_by_page(stage):
    ids = sorted(new_id("run") for _ in range(5))
    wanted = [
        request(run_id=run_id, name=f"n{n}", labels={"team": "a" if n % 2 else "b"})
        for n, run_id in enumerate(ids)
    ]
    await stage.hear(*wanted)
    await stage.hear(BuildFailed(run_id=wanted[0].run_id, cause=UNBUILT))
    names, token = [], None
    while True:
        query = {"page_size": 2} | ({"page_token": token} if token else {})
        page = (await stage.ask("runs", **query)).json()
        names += [run["name"] for run in page["runs"]]
        token = page["next_page_token"]
        if token is None:
            break
    assert names == ["n4", "n3", "n2", "n1", "n0"]

    async def listed(**query):
        return [run["name"] for run in (await stage.ask("runs", **query)).json()["runs"]]

    assert await listed(label="team:a") == ["n3", "n1"]
    assert await listed(label=["team:a", "other:x"]) == []
    assert await listed(state="failed") == ["n0"]
    assert await listed(state=["FAILED", "BUILDING"], name="n2") == ["n2"]
    assert await listed(project="other") == []
    assert (await stage.ask("runs", label="team")).status_code == 422
    assert (await stage.ask("status")).json() == {"runs": {"BUILDING": 4, "FAILED": 1}}


async def test_events_say_who_caused_what(stage):
    requested = request(secrets=("KEY",))
    (envelope,) = await stage.hear(requested)
    answer = (await stage.ask(f"runs/{requested.run_id}/events")).json()
    first, second, *_ = answer["events"]
    assert (first["id"], first["decided"], first["source"]) == (envelope.id, False, "gateway")
    assert (second["kind"], second["causation_id"], second["version"]) == ("run.queued", envelope.id, 2)
    assert (second["actor"], second["type"]) == ("service:orchestrator", "dev.cynthus.run.queued.v1")
    assert first["data"]["spec"]["secrets"] == ["KEY"]
    assert not answer["over"]


async def test_new_events_wake_whoever_waits(stage):
    worker = await running(stage)
    version = (await stage.run(worker.run_id))["version"]
    waiting = asyncio.create_task(stage.ask(f"runs/{worker.run_id}/events", after=version, wait=30))
    everything = asyncio.create_task(stage.ask("events", wait=0))
    cursor = (await everything).json()["cursor"]
    changes = asyncio.create_task(stage.ask("events", after=cursor, wait=30))
    await worker.finish()
    async with asyncio.timeout(5):
        answer = (await waiting).json()
        assert answer["over"]
        assert [event["kind"] for event in answer["events"]][-2:] == ["run.succeeded", "machine.released"]
        seen = (await changes).json()
    assert {event["run"] for event in seen["events"]} == {worker.run_id}
    assert seen["cursor"] == seen["events"][-1]["cursor"]
    again = (await stage.ask("events", after=seen["cursor"])).json()
    assert again == {"events": [], "cursor": seen["cursor"]}
    assert (await stage.ask("events", after=cursor, owner="bob")).json()["events"] == []


async def test_the_only_process_tells_every_event_once_to_whoever_follows(database_url):
    async with open_stage(database_url, shared=False) as stage:
        requested = request()
        run_id = requested.run_id
        await stage.hear(requested)

        async def follow() -> list[int]:
            versions: list[int] = []
            while True:
                after = versions[-1] if versions else 0
                answer = (await stage.ask(f"runs/{run_id}/events", after=after, wait=30)).json()
                versions += [event["version"] for event in answer["events"]]
                if answer["over"]:
                    return versions

        following = asyncio.create_task(follow())
        for fact in (built(run_id), pinned(run_id), ready(run_id)):
            await stage.hear(fact)
        worker = stage.worker(run_id)
        await worker.start()
        await worker.finish()
        async with asyncio.timeout(10):
            versions = await following
        assert versions == list(range(1, (await stage.run(run_id))["version"] + 1))


async def test_what_another_replica_appends_wakes_as_well(stage):
    worker = await running(stage)
    async with open_replica(stage.platform) as other:
        version = (await stage.run(worker.run_id))["version"]
        waiting = asyncio.create_task(other.ask(f"runs/{worker.run_id}/events", after=version, wait=30))
        await worker.call("exited", {"exit_code": 0})
        async with asyncio.timeout(5):
            assert [event["kind"] for event in (await waiting).json()["events"]] == ["attempt.exited"]
        stranger = other.worker(worker.run_id)
        assert (await stranger.finish()).status_code == 200
        assert (await worker.finish()).status_code == 200
    assert (await stage.run(worker.run_id))["state"] == "SUCCEEDED"


async def test_a_log_reads_the_same_live_and_later(stage):
    worker = await running(stage)
    pieces = [b"first\n", "grüße\n".encode(), b"\xff\xfe junk", b"last, unterminated"]

    async def read(after=None, *, until_over=False):
        chunks = []
        while True:
            query = {"wait": 30, "limit": 2} | ({"after": after} if after else {})
            answer = (await stage.ask(f"runs/{worker.run_id}/logs", **query)).json()
            chunks += answer["chunks"]
            after = answer["cursor"]
            if answer["over"] or not until_over:
                return chunks

    live = asyncio.create_task(read(until_over=True))
    offset = 0
    for seq, piece in enumerate(pieces):
        await worker.log(seq, piece, offset=offset)
        offset += len(piece)
    await worker.finish(chunks=4, stdout=offset)
    async with asyncio.timeout(5):
        seen = await live
    assert seen == await read(until_over=True)
    shown = [
        chunk["text"].encode() if "text" in chunk else base64.b64decode(chunk["base64"]) for chunk in seen
    ]
    assert shown == pieces
    assert [chunk["attempt"] for chunk in seen] == [1, 1, 1, 1]
    assert await read(seen[1]["cursor"]) == seen[2:]


async def test_a_log_can_be_read_by_source_and_attempt(stage):
    worker = await running(stage)
    await worker.log(0, b"out")
    await worker.log(1, b"err", source="stderr")
    path = f"runs/{worker.run_id}/logs"
    chunks = (await stage.ask(path, source="stderr")).json()["chunks"]
    assert [chunk["text"] for chunk in chunks] == ["err"]
    assert (await stage.ask(path, attempt=2)).json()["chunks"] == []
    assert (await stage.ask(path, after="nonsense")).status_code == 422
    assert (await stage.ask(path, after="999999999999999999-1")).status_code == 200


@pytest.mark.parametrize("results", ["keep", "delete"])
async def test_a_deleted_run_is_gone_and_its_results_if_asked(stage, results):
    worker = await running(stage)
    headers = {"Authorization": "Bearer internal-token-of-the-tests"}
    url = f"/internal/v1/runs/{worker.run_id}"
    query = {"owner": OWNER, "results": results}
    answer = await stage.client.delete(url, params=query, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "run_is_not_over")
    await worker.log(0, b"hello")
    outputs = await stage.put_outputs(Entry("model.bin", 5, chunks=("0" * 64,)))
    await worker.finish(chunks=1, stdout=5, outputs=outputs)
    assert (await stage.client.delete(url, params=query, headers=headers)).status_code == 204
    assert (await stage.client.delete(url, params=query, headers=headers)).status_code == 404
    assert (await stage.ask("runs")).json()["runs"] == []
    assert (await stage.ask("status")).json() == {"runs": {}}
    kept = {stat.key async for stat in stage.platform.blobs.list("")}
    log = keys.log_chunk(OWNER, worker.run_id, 1, 0)
    assert (kept >= {log, keys.manifest(OWNER, outputs)}) is (results == "keep")


async def test_outputs_another_run_needs_are_kept(stage):
    first, second = await running(stage), await running(stage, machine="m2")
    outputs = await stage.put_outputs(Entry("model.bin", 5, chunks=("0" * 64,)))
    for worker in (first, second):
        await worker.finish(outputs=outputs)
    headers = {"Authorization": "Bearer internal-token-of-the-tests"}
    query = {"owner": OWNER, "results": "delete"}
    await stage.client.delete(f"/internal/v1/runs/{first.run_id}", params=query, headers=headers)
    assert await stage.platform.blobs.stat(keys.manifest(OWNER, outputs)) is not None


async def test_a_cancelled_run_says_so(stage):
    requested = request()
    await stage.hear(requested)
    await stage.hear(RunCancelRequested(run_id=requested.run_id, reason="changed my mind"))
    run = await stage.run(requested.run_id)
    assert (run["state"], run["reason"]) == ("CANCELLED", "changed my mind")
