"""The hostile provider's calls, as a platform meets them over HTTP."""

import asyncio
import time

import httpx2
import pytest

from tests.fixtures.hostile import rehearsal


@pytest.fixture
async def cloud(tmp_path):
    async with rehearsal(tmp_path / "provider") as open_:
        yield open_


async def test_an_insert_is_an_operation_that_is_pending_then_running_then_done(cloud):
    await cloud.set(pending_s=(2, 2), create_s=(4, 4))
    answer = await cloud.insert("cyn-a")
    assert answer.json()["status"] == "PENDING"
    assert await cloud.listed() == {}
    await cloud.passes(2)
    assert (await cloud.operation(answer))["status"] == "RUNNING"
    assert await cloud.listed() == {"cyn-a": "STAGING"}
    await cloud.passes(4)
    assert (await cloud.operation(answer))["status"] == "DONE"
    assert await cloud.listed() == {"cyn-a": "RUNNING"}


async def test_the_same_request_id_is_answered_by_the_same_operation(cloud):
    first = await cloud.insert("cyn-a", request="r-1")
    again = await cloud.insert("cyn-a", request="r-1")
    assert again.status_code == 200
    assert again.json()["name"] == first.json()["name"]
    assert len(cloud.lines("create_asked")) == 1


async def test_a_request_id_is_not_for_another_machine(cloud):
    await cloud.insert("cyn-a", request="r-1")
    assert (await cloud.insert("cyn-b", request="r-1")).status_code == 400


async def test_a_name_is_taken_in_its_zone_only(cloud):
    await cloud.insert("cyn-a", request="r-1")
    taken = await cloud.insert("cyn-a", request="r-2")
    assert taken.status_code == 409
    assert taken.json()["error"]["errors"][0]["reason"] == "alreadyExists"
    assert (await cloud.insert("cyn-a", "zone-b", "r-3")).status_code == 200


async def test_a_zone_or_machine_that_is_not_there_is_404(cloud):
    assert (await cloud.insert("cyn-a", "zone-z")).status_code == 404
    assert (await cloud.delete("cyn-a")).status_code == 404
    assert (await cloud.client.get("/operations/operation-9")).status_code == 404


@pytest.mark.parametrize("name", ["", "Upper", "under_score", "-dash", "a/../b", "a" * 64])
async def test_a_name_that_is_none_is_refused(cloud, name):
    assert (await cloud.insert(name)).status_code == 400


async def test_a_zone_without_stock_says_so_when_the_call_was_accepted_and_nothing_appears(cloud):
    await cloud.set(stock_out={"zone-a": 1}, stock_out_details=0, pending_s=(1, 1))
    answer = await cloud.insert("cyn-a")
    assert answer.status_code == 200
    await cloud.passes(1)
    done = await cloud.operation(answer)
    assert done["status"] == "DONE"
    assert done["error"]["errors"][0]["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED"
    await cloud.set(stock_out_details=1)
    other = await cloud.insert("cyn-b")
    await cloud.passes(1)
    error = (await cloud.operation(other))["error"]["errors"][0]
    assert error["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    assert await cloud.listed() == {}
    assert cloud.whats("cyn-a") == ["create_asked", "refused"]
    assert (await cloud.insert("cyn-c", "zone-b")).status_code == 200


async def test_a_quota_is_told_at_once_or_by_the_operation(cloud):
    await cloud.set(quota=1)
    await cloud.insert("cyn-a")
    refused = await cloud.insert("cyn-b")
    assert refused.status_code == 403
    assert refused.json()["error"]["errors"][0]["reason"] == "quotaExceeded"
    await cloud.set(quota_late=1)
    accepted = await cloud.insert("cyn-c", "zone-b")
    await cloud.passes(0)
    assert (await cloud.operation(accepted))["error"]["errors"][0]["code"] == "QUOTA_EXCEEDED"


@pytest.mark.parametrize(("knob", "status"), [("forbidden", 403), ("bad_image", 400)])
async def test_a_permanent_refusal(cloud, knob, status):
    await cloud.set(**{knob: 1})
    assert (await cloud.insert("cyn-a")).status_code == status
    assert await cloud.listed() == {}


async def test_a_deletion_is_an_operation_and_asking_again_is_the_same_one(cloud):
    await cloud.set(delete_s=(5, 5))
    await cloud.running("cyn-a")
    first = await cloud.delete("cyn-a")
    again = await cloud.delete("cyn-a")
    assert first.json()["name"] == again.json()["name"]
    assert await cloud.listed() == {"cyn-a": "STOPPING"}
    await cloud.passes(5)
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    assert (await cloud.operation(first))["status"] == "DONE"
    assert (await cloud.delete("cyn-a")).status_code == 404
    assert await cloud.listed() == {}


async def test_a_machine_that_is_being_created_may_not_be_deleted(cloud):
    await cloud.set(create_s=(3, 3), delete_while_creating=False)
    await cloud.insert("cyn-a")
    await cloud.passes(0)
    assert (await cloud.delete("cyn-a")).status_code == 409
    await cloud.passes(3)
    assert (await cloud.delete("cyn-a")).status_code == 200


async def test_a_new_machine_is_invisible_and_a_deleted_one_visible_for_a_while(cloud):
    await cloud.set(list_new_s=5, list_gone_s=8)
    await cloud.running("cyn-a")
    assert await cloud.listed() == {}
    await cloud.passes(5)
    assert set(await cloud.listed()) == {"cyn-a"}
    await cloud.passes(5)
    await cloud.delete("cyn-a")
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    await cloud.passes(7)
    assert await cloud.listed() == {"cyn-a": "RUNNING"}
    await cloud.passes(2)
    assert await cloud.listed() == {}
    page = (await cloud.client.get("/zones/zone-a/instances")).json()
    assert page["lag_s"] == 8


async def test_a_listing_comes_in_pages(cloud):
    await cloud.set(page_size=2)
    for name in ("cyn-a", "cyn-b", "cyn-c", "cyn-d", "cyn-e"):
        await cloud.insert(name)
    await cloud.passes(0)
    first = (await cloud.client.get("/zones/zone-a/instances")).json()
    assert [item["name"] for item in first["items"]] == ["cyn-a", "cyn-b"]
    assert set(await cloud.listed()) == {"cyn-a", "cyn-b", "cyn-c", "cyn-d", "cyn-e"}


@pytest.mark.parametrize("knob", ["throttled", "unavailable", "broken"])
@pytest.mark.parametrize("call", ["insert", "delete", "list"])
async def test_a_call_that_is_refused_at_the_door_does_nothing(cloud, knob, call):
    await cloud.running("cyn-a")
    await cloud.set(**{knob: {call: 1}}, retry_after_s=3)
    answer = await {
        "insert": lambda: cloud.insert("cyn-b"),
        "delete": lambda: cloud.delete("cyn-a"),
        "list": lambda: cloud.client.get("/zones/zone-a/instances"),
    }[call]()
    statuses = {"throttled": {429}, "unavailable": {503}, "broken": {500, 502, 504}}
    assert answer.status_code in statuses[knob]
    assert answer.headers.get("retry-after") == ("3" if knob == "throttled" else None)
    await cloud.set(**{knob: 0})
    assert set(await cloud.listed()) == {"cyn-a"}
    assert [line["call"] for line in cloud.lines("refused")] == [call]


async def test_more_calls_than_allowed_are_throttled(cloud):
    await cloud.set(calls_per_s=5)
    await cloud.passes(10)
    statuses = [(await cloud.client.get("/zones/zone-a/instances")).status_code for _ in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    await cloud.passes(1)
    assert (await cloud.client.get("/zones/zone-a/instances")).status_code == 200


async def test_a_zone_can_be_away_alone(cloud):
    await cloud.set(zones_away=["zone-b"])
    assert (await cloud.client.get("/zones/zone-b/instances")).status_code == 503
    assert (await cloud.client.get("/zones/zone-a/instances")).status_code == 200


async def test_an_insert_whose_answer_is_lost_has_happened(cloud):
    await cloud.set(lost_after={"insert": 1}, hang_s=0.05)
    for number in range(6):
        with pytest.raises((httpx2.TransportError, AssertionError)):
            assert (await cloud.insert(f"cyn-{number}")).status_code != 504
    await cloud.passes(0)
    assert len(await cloud.listed()) == 6
    assert len(cloud.lines("answer_lost")) == 6


async def test_a_delete_whose_answer_is_lost_has_happened(cloud):
    await cloud.running("cyn-a")
    await cloud.set(lost_after={"delete": 1}, hang_s=0.05)
    with pytest.raises((httpx2.TransportError, AssertionError)):
        assert (await cloud.delete("cyn-a")).status_code != 504
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))


async def test_a_call_that_is_cut_off_before_has_not_happened(cloud):
    await cloud.set(lost_before={"insert": 1})
    with pytest.raises(httpx2.TransportError):
        await cloud.insert("cyn-a")
    await cloud.passes(0)
    assert await cloud.listed() == {}


async def test_an_answer_may_be_garbage(cloud):
    await cloud.set(garbage=1)
    answers = [await cloud.client.get("/zones/zone-a/instances") for _ in range(12)]
    assert all("lag_s" not in answer.text for answer in answers)
    assert len({answer.text for answer in answers}) > 2


async def test_thirty_percent_are_thirty_percent(cloud):
    await cloud.set(broken=0.3)
    answers = [(await cloud.client.get("/zones/zone-a/instances")).status_code for _ in range(400)]
    assert 80 < sum(status >= 500 for status in answers) < 160


async def test_a_schedule_turns_knobs_and_turns_them_back(cloud):
    window = {"from_s": 10, "to_s": 20, "every_s": 60, "set": {"unavailable": 1}}
    await cloud.set(schedule=[window])
    statuses = []
    for _ in range(9):
        statuses.append((await cloud.client.get("/zones/zone-a/instances")).status_code)
        await cloud.passes(9)
    assert statuses == [200, 200, 503, 200, 200, 200, 200, 200, 503]


async def test_configuration_is_read_changed_and_healed(cloud):
    assert (await cloud.client.put("/config", json={"preset": "storm"})).status_code == 200
    assert (await cloud.client.get("/config")).json()["knobs"]["list_gone_s"] == 60
    answer = await cloud.client.put("/config", json={"no_such_knob": 1})
    assert answer.status_code == 400
    assert "no_such_knob" in answer.json()["error"]["message"]
    assert (await cloud.client.put("/config", json={"broken": 1.5})).status_code == 400
    assert (await cloud.client.put("/config", json={"preset": "mild"})).status_code == 400
    healed = (await cloud.client.post("/:heal")).json()["knobs"]
    assert (healed["list_gone_s"], healed["broken"], healed["stock_out"]) == (0, 0, 0)


async def test_the_truth_is_told_whatever_the_listing_says(cloud):
    await cloud.set(list_new_s=100)
    await cloud.running("cyn-a")
    assert await cloud.listed() == {}
    truth = (await cloud.client.get("/ledger")).json()
    assert [machine["machine"] for machine in truth["machines"]] == ["cyn-a"]
    await cloud.delete("cyn-a")
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    truth = (await cloud.client.get("/ledger")).json()
    assert truth["machines"] == []
    (past,) = truth["past"]
    assert past["created"] <= past["gone"] <= truth["t"]


async def test_what_a_worker_is_told_stays_out_of_ledger_and_truth(cloud):
    body = {"name": "cyn-a", "metadata": {"worker_token": "canary-5d1f"}}
    await cloud.client.post("/zones/zone-a/instances", json=body)
    await cloud.passes(0)
    assert "canary-5d1f" not in (cloud.folder / "provider.jsonl").read_text()
    assert "canary-5d1f" not in (await cloud.client.get("/ledger")).text
    (told,) = (cloud.folder / "told").iterdir()
    assert told.stat().st_mode & 0o077 == 0


async def _story(folder, seed):
    async with rehearsal(folder, seed=seed, preset="storm", slow_s=0, hang_s=0, command=[]) as cloud:
        await cloud.set(command=["/bin/sleep", "1000"])
        answers = []
        for number in range(30):
            try:
                answers.append((await cloud.insert(f"cyn-{number}")).status_code)
            except httpx2.TransportError:
                answers.append(0)
        return answers, [line["fate"] for line in cloud.lines("create_asked")]


async def test_the_same_seed_makes_the_same_decisions(tmp_path):
    first = await _story(tmp_path / "one", 11)
    assert first == await _story(tmp_path / "two", 11)
    assert first != await _story(tmp_path / "three", 12)
    assert {0, 200}.issubset(first[0])


async def test_many_calls_at_once_are_served(cloud):
    await cloud.set(slow_s=0.2)
    began = time.monotonic()
    answers = await asyncio.gather(*(cloud.client.get("/zones/zone-a/instances") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert time.monotonic() - began < 3
