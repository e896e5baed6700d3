"""What becomes of the hostile provider's machines: processes that boot, vanish, are taken away."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from cynthus.provisioner.hostile import process_table
from tests.fixtures.hostile import TINY, is_alive, rehearsal

SHELL = "/bin/sh"
STUBBORN = [SHELL, "-c", "trap '' TERM; while true; do sleep 0.1; done"]
FAMILY = [SHELL, "-c", "(setsid sleep 1000 & setsid sh -c 'trap \"\" TERM; sleep 1000' &) ; sleep 1000"]
ORPHANS = [SHELL, "-c", "(setsid sleep 1000 &); sleep 2"]


@pytest.fixture
async def cloud(tmp_path):
    async with rehearsal(tmp_path / "provider") as open_:
        yield open_


def below(pid: int) -> set[int]:
    """Everything of a worker's machine, below its first process."""
    table = process_table.living()
    return process_table.below(table, [table[pid].parent])


async def told(cloud, name: str) -> str:
    url = f"/metadata/{name}/instance/preempted"
    return (await cloud.client.get(url, params={"wait_for_change": "true", "timeout_sec": "5"})).text


async def test_a_machine_is_a_process_in_a_session_and_a_folder_of_its_own(cloud):
    first, second = await cloud.running("cyn-a"), await cloud.running("cyn-b")
    assert os.getsid(first) == first != os.getsid(second)
    homes = {Path(f"/proc/{pid}/cwd").resolve() for pid in (first, second)}
    assert homes == {cloud.folder / "machines" / f"zone-a.{name}" for name in ("cyn-a", "cyn-b")}


async def test_a_worker_is_told_its_platform_and_nothing_of_the_platforms_keys(cloud, monkeypatch):
    monkeypatch.setenv("CYNTHUS_SECRETS_KEY", "canary-7c20")
    monkeypatch.setenv("CYNTHUS_WORKER_SANDBOX", "off")
    metadata = {"worker_url": "http://127.0.0.1:9", "worker_token": "canary-5d1f"}
    await cloud.client.post("/zones/zone-a/instances", json={"name": "cyn-a", "metadata": metadata})
    (pid,) = await cloud.until(lambda: cloud.pids("cyn-a"))
    await cloud.until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/bin/sleep"))
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"CYNTHUS_WORKER_URL=http://127.0.0.1:9\0" in environment
    assert b"CYNTHUS_WORKER_TOKEN=canary-5d1f\0" in environment
    assert b"CYNTHUS_WORKER_SANDBOX=off\0" in environment
    assert b"/metadata/cyn-a/instance/preempted" in environment
    assert b"canary-7c20" not in environment
    everything = b"".join(Path(f"/proc/{each}/cmdline").read_bytes() for each in below(pid))
    assert b"canary-5d1f" not in everything


async def test_all_machines_may_share_one_folder(cloud):
    await cloud.set(home="shared")
    pids = [await cloud.running("cyn-a"), await cloud.running("cyn-b")]
    assert {Path(f"/proc/{pid}/cwd").resolve() for pid in pids} == {cloud.folder / "home"}
    await cloud.delete("cyn-a")
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    assert (cloud.folder / "home").is_dir()


async def test_a_deleted_machine_ends_with_everything_below_it_and_its_disk(cloud):
    await cloud.set(command=FAMILY)
    pid = await cloud.running("cyn-a")
    family = await cloud.until(lambda: len(below(pid)) >= 4 and below(pid))
    first = process_table.living()[pid].parent
    await cloud.delete("cyn-a")
    await cloud.passes(5)
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    assert not [each for each in {*family, first} if is_alive(each)]
    assert not (cloud.folder / "machines" / "zone-a.cyn-a").exists()


async def test_a_worker_that_ignores_sigterm_is_killed_after_a_while_and_not_before(cloud):
    await cloud.set(command=STUBBORN)
    pid = await cloud.running("cyn-a")
    await asyncio.sleep(0.2)
    await cloud.delete("cyn-a")
    await cloud.passes(4.9)
    await asyncio.sleep(0.2)
    assert is_alive(pid)
    await cloud.passes(0.2)
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    assert not is_alive(pid)


async def test_orphans_of_a_worker_are_the_machines_still(cloud):
    await cloud.set(command=ORPHANS)
    pid = await cloud.running("cyn-a")
    first = process_table.living()[pid].parent
    await cloud.until(lambda: not is_alive(pid))
    assert process_table.below(process_table.living(), [first])
    await cloud.delete("cyn-a")
    await cloud.passes(5)
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    assert not is_alive(first)


async def test_a_machine_vanishes_with_all_its_processes_from_one_moment_to_the_next(cloud):
    await cloud.set(command=STUBBORN)
    pid = await cloud.running("cyn-a")
    answer = await cloud.client.post("/machines/cyn-a:vanish")
    assert answer.status_code == 200
    assert not is_alive(pid)
    assert await cloud.listed() == {}
    assert cloud.whats("cyn-a")[-1] == "vanished"
    assert (await cloud.client.post("/machines/cyn-a:vanish")).status_code == 404


async def test_machines_vanish_by_chance(cloud):
    await cloud.set(vanishes=1, vanish_after_s=(30, 30))
    pid = await cloud.running("cyn-a")
    await cloud.passes(29)
    assert is_alive(pid)
    await cloud.passes(1)
    await cloud.until(lambda: "vanished" in cloud.whats("cyn-a"))
    assert not is_alive(pid)


async def test_a_machine_may_never_boot_and_is_there_all_the_same(cloud):
    await cloud.set(boots_never=1)
    await cloud.insert("cyn-a")
    await cloud.passes(10_000)
    assert await cloud.listed() == {"cyn-a": "RUNNING"}
    assert cloud.pids("cyn-a") == []


async def test_a_machine_may_boot_late(cloud):
    await cloud.set(boots_late=1, late_s=(900, 900))
    await cloud.insert("cyn-a")
    await cloud.passes(899)
    assert await cloud.listed() == {"cyn-a": "RUNNING"}
    assert cloud.pids("cyn-a") == []
    await cloud.passes(1)
    await cloud.until(lambda: cloud.pids("cyn-a"))


async def test_a_machine_may_boot_twice(cloud):
    await cloud.set(boots_twice=1)
    await cloud.running("cyn-a")
    await cloud.passes(5)
    first, second = await cloud.until(lambda: len(cloud.pids("cyn-a")) == 2 and cloud.pids("cyn-a"))
    assert is_alive(first)
    assert is_alive(second)
    await cloud.delete("cyn-a")
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    assert not is_alive(first)
    assert not is_alive(second)


async def test_a_preempted_machine_hears_a_notice_then_sigterm_then_sigkill(cloud):
    await cloud.set(command=STUBBORN)
    pid = await cloud.running("cyn-a")
    assert (await cloud.client.get("/metadata/cyn-a/instance/preempted")).text == "FALSE"
    waiting = asyncio.create_task(told(cloud, "cyn-a"))
    await asyncio.sleep(0.05)
    await cloud.client.post("/machines/cyn-a:preempt", json={"notice_s": 30})
    assert await waiting == "TRUE"
    assert await cloud.listed() == {"cyn-a": "STOPPING"}
    await cloud.passes(29)
    await asyncio.sleep(0.1)
    assert is_alive(pid)
    await cloud.passes(1)
    await cloud.until(lambda: "preempted" in cloud.whats("cyn-a"))
    assert not is_alive(pid)
    assert await cloud.listed() == {"cyn-a": "TERMINATED"}
    await cloud.passes(2)
    assert await cloud.listed() == {}
    assert cloud.whats("cyn-a")[-3:] == ["preempt_notice", "preempted", "deleted"]


async def test_the_signal_comes_thirty_seconds_before_the_end_however_early_the_notice(cloud):
    pid = await cloud.running("cyn-a")
    await cloud.client.post("/machines/cyn-a:preempt", json={"notice_s": 120})
    await cloud.passes(89)
    await asyncio.sleep(0.1)
    assert is_alive(pid)
    await cloud.passes(1)
    await cloud.until(lambda: not is_alive(pid))
    assert "preempted" not in cloud.whats("cyn-a")
    await cloud.passes(30)
    await cloud.until(lambda: "preempted" in cloud.whats("cyn-a"))


async def test_a_preemption_without_notice_kills_at_once(cloud):
    await cloud.set(command=STUBBORN)
    pid = await cloud.running("cyn-a")
    await cloud.client.post("/machines/cyn-a:preempt", json={"notice_s": 0})
    await cloud.until(lambda: "preempted" in cloud.whats("cyn-a"))
    assert not is_alive(pid)


async def test_machines_are_preempted_by_chance_with_one_of_the_notices(cloud):
    await cloud.set(preempted=1, preempt_after_s=(10, 10), notices_s=[30])
    await cloud.running("cyn-a")
    await cloud.passes(10)
    (notice,) = cloud.lines("preempt_notice")
    assert notice["notice_s"] == 30


async def test_a_waiting_worker_is_told_nothing_when_nothing_happens(cloud):
    await cloud.running("cyn-a")
    url = "/metadata/cyn-a/instance/preempted"
    answer = await cloud.client.get(url, params={"wait_for_change": "true", "timeout_sec": "0.1"})
    assert answer.text == "FALSE"


async def test_old_machines_delete_themselves(cloud):
    await cloud.set(max_age_s=600)
    pid = await cloud.running("cyn-a")
    await cloud.passes(599)
    assert is_alive(pid)
    await cloud.passes(1)
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    assert [line["reason"] for line in cloud.lines("delete_asked")] == ["max_age"]
    assert not is_alive(pid)


@pytest.mark.parametrize("stays", [True, False])
async def test_a_machine_stays_when_its_worker_ends_or_stops_too(cloud, stays):
    await cloud.set(stays_without_worker=stays)
    pid = await cloud.running("cyn-a")
    os.kill(pid, signal.SIGKILL)
    if stays:
        await cloud.until(lambda: not is_alive(pid))
        await cloud.passes(1000)
        assert await cloud.listed() == {"cyn-a": "RUNNING"}
    else:
        await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))


async def test_a_machine_whose_program_is_missing_is_a_machine_without_worker(cloud):
    await cloud.set(command=["/no/such/program"])
    await cloud.insert("cyn-a")
    await cloud.until(lambda: cloud.pids("cyn-a"))
    assert await cloud.listed() == {"cyn-a": "RUNNING"}
    assert "No such file" in (cloud.folder / "logs" / "cyn-a.log").read_text()


async def test_seconds_are_divided_by_the_speed(cloud):
    await cloud.set(speed=10, pending_s=(10, 10), create_s=(10, 10), list_gone_s=50)
    await cloud.insert("cyn-a")
    await cloud.passes(0.9)
    assert "created" not in cloud.whats("cyn-a")
    await cloud.passes(0.1)
    assert "running" not in cloud.whats("cyn-a")
    await cloud.passes(1)
    assert "running" in cloud.whats("cyn-a")
    assert (await cloud.client.get("/zones")).json()["lag_s"] == 5


async def test_a_machine_deleted_while_it_is_created_comes_to_nothing(cloud):
    await cloud.set(create_s=(5, 5))
    created = await cloud.insert("cyn-a")
    deleted = await cloud.delete("cyn-a")
    await cloud.passes(5)
    await cloud.until(lambda: "deleted" in cloud.whats("cyn-a"))
    for answer in (created, deleted):
        assert (await cloud.operation(answer))["status"] == "DONE"
    assert cloud.pids("cyn-a") == []


async def test_many_machines_are_started_and_ended_in_seconds(tmp_path):
    began = time.monotonic()
    async with rehearsal(tmp_path / "many", command=TINY) as cloud:
        for number in range(20):
            await cloud.insert(f"cyn-{number}")
        await cloud.until(lambda: all(cloud.pids(f"cyn-{number}") for number in range(20)), 20)
    assert time.monotonic() - began < 20
