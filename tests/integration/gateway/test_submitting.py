import asyncio
import re

import pytest

from cynthus.events import ProjectUploaded, RunCancelRequested, RunRequested
from cynthus.store.postgres import PostgresEventStore
from tests.integration.gateway.conftest import Gateway, Ready, prepare, upload


async def facts(gateway: Gateway) -> list[object]:
    store = PostgresEventStore(gateway.platform.database, schema="gateway", source="gateway")
    return [recorded.envelope.event for recorded in await store.tail()]


async def requested(gateway: Gateway) -> list[RunRequested]:
    return [fact for fact in await facts(gateway) if isinstance(fact, RunRequested)]


async def test_a_run_is_accepted_and_can_be_seen_at_once(ready: Ready, gateway: Gateway) -> None:
    answer = await ready.submit(arguments=["--epochs", "3"], labels={"team": "vision"}, retries=2)
    run = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/runs/{run['id']}"
    assert run["state"] == "QUEUED"
    assert run["project"] == "demo"
    assert run["spec"]["arguments"] == ["--epochs", "3"]
    for reference in (run["id"], run["id"][:25], run["name"]):
        shown = await ready.client.get(f"/v1/runs/{reference}")
        assert (shown.status_code, shown.json()) == (200, run)
    listed = (await ready.client.get("/v1/runs")).json()
    assert listed == {"runs": [run], "next_page_token": None}
    (fact,) = await requested(gateway)
    assert (fact.run_id, fact.owner, fact.labels) == (run["id"], "ann", {"team": "vision"})


async def test_what_is_tried_again_and_when_is_part_of_the_run(ready: Ready) -> None:
    wish = {"retries": 2, "retry_on": ["infra", "failure", "infra"], "retry_backoff_s": 1.5}
    spec = (await ready.submit(**wish)).json()["spec"]
    assert (spec["retries"], spec["retry_on"], spec["retry_backoff_s"]) == (2, ["infra", "failure"], 1.5)
    plain = (await ready.submit(arguments=["other"])).json()["spec"]
    assert plain["retry_on"] == ["preemption", "no_capacity", "infra", "failure"]
    assert (plain["retries"], plain["retry_backoff_s"]) == (0, None)


async def test_a_name_is_made_up_when_none_is_given(ready: Ready) -> None:
    assert re.fullmatch(r"[a-z]+-[a-z]+-1", (await ready.run())["name"])
    assert (await ready.run(name="baseline"))["name"] == "baseline"


async def test_made_up_names_are_counted_up_and_given_ones_may_repeat(ready: Ready, gateway: Gateway) -> None:
    gateway.service.app.state.parts.submit._random = lambda: 0
    names = [(await ready.run())["name"] for _ in range(3)]
    stem = names[0].removesuffix("-1")
    assert names == [f"{stem}-1", f"{stem}-2", f"{stem}-3"]
    racing = await asyncio.gather(*(ready.run() for _ in range(10)))
    assert len({run["name"] for run in racing}) == 10
    first, second = await ready.run(name="same"), await ready.run(name="same")
    assert (await ready.client.get("/v1/runs/same")).json()["id"] == second["id"] != first["id"]


async def test_one_key_makes_one_run_however_often_it_is_sent(ready: Ready, gateway: Gateway) -> None:
    first = await ready.submit(key="k1")
    again = await ready.submit(key="k1")
    assert again.status_code == 202
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(await requested(gateway)) == 1


async def test_a_hundred_parallel_submits_with_one_key_make_one_run(ready: Ready, gateway: Gateway) -> None:
    answers = await asyncio.gather(*(ready.submit(key="race") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert len(await requested(gateway)) == 1


@pytest.mark.parametrize("change", [{"retries": 1}, {"env": {"A": "1"}}, {"secrets": {"S": "other"}}])
async def test_another_request_under_the_same_key_is_refused(ready: Ready, change: dict[str, object]) -> None:
    await ready.submit(key="k", secrets={"S": "one"})
    answer = await ready.submit(key="k", **({"secrets": {"S": "one"}} | change))
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_keys_of_owners_are_apart(ready: Ready, gateway: Gateway, bob) -> None:
    other = await prepare(bob)
    assert (await ready.submit(key="k")).json()["id"] != (await other.submit(key="k")).json()["id"]


async def test_secret_values_are_kept_apart_from_everything_else(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run(secrets={"TOKEN": "hunter2-canary"})
    assert run["spec"]["secrets"] == ["TOKEN"]
    assert await gateway.platform.secrets.get(run["id"]) == {"TOKEN": "hunter2-canary"}
    async with gateway.platform.database.connection() as connection:
        for table in ("events", "submissions"):
            rows = await connection.fetch(f"SELECT t::text AS text FROM gateway.{table} t")
            assert not any("canary" in row["text"] for row in rows)


async def test_a_replayed_submission_leaves_no_second_copy_of_its_secrets(
    ready: Ready, gateway: Gateway
) -> None:
    for _ in range(3):
        await ready.submit(key="k", secrets={"TOKEN": "x"})
    assert len(gateway.platform.secrets._scopes) == 1


async def test_a_run_needs_its_project_and_its_snapshots(ready: Ready) -> None:
    absent = "sha256:" + "0" * 64
    answer = await ready.client.post("/v1/projects/absent/runs", json={"snapshot": ready.snapshot})
    assert (answer.status_code, answer.json()["code"]) == (404, "project_missing")
    answer = await ready.submit(snapshot=absent)
    assert (answer.status_code, answer.json()["code"]) == (422, "snapshot_missing")
    answer = await ready.submit(data=[{"source": "./data", "snapshot": absent, "mount": "data"}])
    assert (answer.status_code, answer.json()["code"]) == (422, "snapshot_missing")


async def test_data_is_mounted_where_it_was(ready: Ready) -> None:
    data = await upload(ready.client, {"x.csv": b"1,2\n"})
    run = await ready.run(data=[{"source": "./data", "snapshot": data, "mount": "./data/"}])
    assert run["spec"]["data"] == [{"source": "./data", "snapshot": data, "mount": "data"}]


@pytest.mark.parametrize("source", ["hf://org/set", "kaggle://a/b", "gs://bucket/x", "HF://x"])
async def test_remote_data_is_not_supported_yet(ready: Ready, source: str) -> None:
    answer = await ready.submit(data=[{"source": source, "mount": "data"}])
    assert (answer.status_code, answer.json()["code"]) == (422, "not_supported_yet")
    assert "hint" in answer.json()


async def test_a_new_source_is_told_once_per_digest(ready: Ready, gateway: Gateway) -> None:
    path = "/v1/projects/demo/snapshots"
    second = await upload(ready.client, {"main.py": b"print(2)\n", "empty": b""})
    statuses = []
    for snapshot in (ready.snapshot, second, ready.snapshot):
        answer = await ready.client.post(path, json={"snapshot": snapshot})
        statuses.append(answer.status_code)
    assert statuses == [201, 201, 200]
    uploaded = [fact for fact in await facts(gateway) if isinstance(fact, ProjectUploaded)]
    assert [(fact.snapshot, fact.files, fact.bytes) for fact in uploaded] == [
        (ready.snapshot, 1, 15),
        (second, 2, 9),
    ]
    shown = (await ready.client.get("/v1/projects/demo")).json()
    assert shown["snapshot"] == ready.snapshot


async def test_a_cancelled_run_is_asked_to_stop_once(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run()
    for _ in range(2):
        answer = await ready.client.post(f"/v1/runs/{run['name']}:cancel")
        assert (answer.status_code, answer.json()["id"]) == (202, run["id"])
    asked = [fact for fact in await facts(gateway) if isinstance(fact, RunCancelRequested)]
    assert [fact.run_id for fact in asked] == [run["id"]]


async def test_a_run_that_is_over_cannot_be_cancelled(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run()
    await gateway.history.tell("ann", run | {"state": "SUCCEEDED"})
    answer = await ready.client.post(f"/v1/runs/{run['id']}:cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_is_over")


async def test_a_rerun_has_the_same_inputs_and_secrets(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run(arguments=["-x"], labels={"a": "b"}, secrets={"TOKEN": "s"}, name="first")
    headers = {"Idempotency-Key": "again"}
    answers = [await ready.client.post("/v1/runs/first:rerun", headers=headers) for _ in range(2)]
    again = answers[0].json()
    assert answers[0].status_code == 202
    assert answers[1].content == answers[0].content
    assert again["id"] != run["id"]
    assert (again["spec"], again["labels"], again["rerun_of"]) == (run["spec"], run["labels"], run["id"])
    assert await gateway.platform.secrets.get(again["id"]) == {"TOKEN": "s"}


async def test_a_rerun_without_its_secrets_is_refused(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run(secrets={"TOKEN": "s"})
    await gateway.platform.secrets.delete(run["id"])
    answer = await ready.client.post(f"/v1/runs/{run['id']}:rerun")
    assert (answer.status_code, answer.json()["code"]) == (409, "secrets_gone")
    assert "TOKEN" in answer.json()["detail"]
