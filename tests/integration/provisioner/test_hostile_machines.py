"""The adapter of the hostile provider: the contract, and what each trouble means."""

import asyncio
import socket
import time

import pytest

from cynthus.provisioner.adapters.hostile_machines import open_hostile_machines
from cynthus.provisioner.ports import (
    Listed,
    MachineRefused,
    OutOfStock,
    ProviderAway,
    QuotaReached,
    Standing,
    Throttled,
)
from tests.contracts.machines import MachinesContract, names, spec, until_gone, until_listed
from tests.fixtures.hostile import rehearsal


@pytest.fixture
async def cloud(tmp_path):
    async with rehearsal(tmp_path / "provider", still=False) as open_:
        yield open_


@pytest.fixture
async def machines(cloud):
    async with open_hostile_machines(str(cloud.client.base_url), timeout_s=0.5) as open_:
        yield open_


def placed(name: str, request: str = "") -> object:
    return spec(name, "zone-a", request)


class TestHostileMachines(MachinesContract):
    pass


class TestLaggingMachines(MachinesContract):
    @pytest.fixture
    async def machines(self, tmp_path):
        lag = {"list_new_s": 0.2, "list_gone_s": 0.3, "page_size": 1, "create_s": (0.05, 0.1)}
        async with (
            rehearsal(tmp_path / "provider", still=False, **lag) as cloud,
            open_hostile_machines(str(cloud.client.base_url)) as open_,
        ):
            yield open_


async def test_zones_and_lag_are_the_providers_words_and_follow_it(cloud, machines):
    assert machines.zones == ("zone-a", "zone-b", "zone-c")
    assert machines.lag_s == 0
    await cloud.set(list_new_s=3, list_gone_s=7)
    await machines.list()
    assert machines.lag_s == 7


async def test_what_a_machine_does_is_told_in_three_words(cloud, machines):
    await cloud.set(create_s=(0.2, 0.2), delete_s=(0.2, 0.2))
    creating = asyncio.create_task(machines.create(placed("cyn-a")))
    await cloud.until(lambda: "created" in cloud.whats("cyn-a"))
    assert await machines.list() == (Listed("cyn-a", "zone-a", Standing.COMING),)
    await creating
    assert await machines.list() == (Listed("cyn-a", "zone-a", Standing.RUNNING),)
    await machines.delete("cyn-a", "zone-a")
    assert await machines.list() == (Listed("cyn-a", "zone-a", Standing.LEAVING),)


async def test_machines_of_others_are_not_listed(cloud, machines):
    await cloud.client.post("/zones/zone-a/instances", json={"name": "somebody-elses"})
    await machines.create(placed("cyn-a"))
    assert await names(machines) == {"cyn-a"}


async def test_creating_again_with_the_same_request_is_the_same_machine(cloud, machines):
    await machines.create(placed("cyn-a", "r-1"))
    await machines.create(placed("cyn-a", "r-1"))
    await machines.create(placed("cyn-a", "r-2"))
    assert len(cloud.lines("create_asked")) == 1


@pytest.mark.parametrize("details", [0, 1])
async def test_a_zone_without_stock_is_out_of_stock(cloud, machines, details):
    await cloud.set(stock_out={"zone-a": 1}, stock_out_details=details)
    with pytest.raises(OutOfStock, match="ZONE_RESOURCE_POOL_EXHAUSTED"):
        await machines.create(placed("cyn-a"))
    await machines.create(spec("cyn-b", "zone-b"))
    assert await names(machines) == {"cyn-b"}


@pytest.mark.parametrize("late", [0, 1])
async def test_a_reached_quota_is_that_however_it_is_told(cloud, machines, late):
    await cloud.set(quota=0, quota_late=late)
    with pytest.raises(QuotaReached):
        await machines.create(placed("cyn-a"))


@pytest.mark.parametrize("knob", ["forbidden", "bad_image"])
async def test_what_will_never_be_is_refused_with_the_reason(cloud, machines, knob):
    await cloud.set(**{knob: 1})
    with pytest.raises(MachineRefused, match=r"permission|image"):
        await machines.create(placed("cyn-a"))


async def test_too_many_calls_are_throttled_with_the_time_that_was_said(cloud, machines):
    await cloud.set(throttled=1, retry_after_s=4)
    for call in (machines.list(), machines.create(placed("cyn-a")), machines.delete("cyn-a", "zone-a")):
        with pytest.raises(Throttled) as told:
            await call
        assert told.value.retry_after_s == 4


@pytest.mark.parametrize("knob", ["unavailable", "broken", "lost_before", "lost_after", "garbage"])
async def test_every_answer_that_is_none_leaves_the_outcome_unknown(cloud, machines, knob):
    await machines.create(placed("cyn-a"))
    await cloud.set(**{knob: 1}, hang_s=30)
    for call in (machines.list(), machines.create(placed("cyn-b")), machines.delete("cyn-a", "zone-a")):
        with pytest.raises(ProviderAway):
            await call


async def test_one_zone_that_is_away_makes_the_whole_listing_unknown(cloud, machines):
    await machines.create(placed("cyn-a"))
    await cloud.set(zones_away=["zone-b"])
    with pytest.raises(ProviderAway):
        await machines.list()


async def test_a_provider_that_is_not_there_is_away_and_zones_are_learnt_when_it_is(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with open_hostile_machines(nobody) as machines:
        assert machines.lag_s >= 60
        with pytest.raises(ProviderAway):
            await machines.list()
        with pytest.raises(ProviderAway):
            await machines.delete("cyn-a", "zone-a")


async def test_an_operation_is_waited_for_through_trouble(cloud, machines):
    await cloud.set(create_s=(0.5, 0.5), broken={"poll": 0.5}, throttled={"poll": 0.2}, retry_after_s=0.05)
    await machines.create(placed("cyn-a"))
    assert cloud.whats("cyn-a")[:3] == ["create_asked", "created", "running"]


async def test_an_operation_that_takes_too_long_is_unknown(cloud, machines):
    await cloud.set(create_s=(100, 100))
    machines._settle_s = 0.2
    began = time.monotonic()
    with pytest.raises(ProviderAway, match="not done"):
        await machines.create(placed("cyn-a"))
    assert time.monotonic() - began < 2


async def test_a_machine_that_is_being_created_is_deleted_later(cloud, machines):
    await cloud.set(create_s=(0.4, 0.4), delete_while_creating=False)
    creating = asyncio.create_task(machines.create(placed("cyn-a")))
    await cloud.until(lambda: "created" in cloud.whats("cyn-a"))
    with pytest.raises(Throttled):
        await machines.delete("cyn-a", "zone-a")
    await creating
    await machines.delete("cyn-a", "zone-a")


async def test_a_creation_whose_answer_was_lost_is_found_by_asking_again(cloud, machines):
    await cloud.set(lost_after={"insert": 1}, hang_s=0)
    with pytest.raises(ProviderAway):
        await machines.create(placed("cyn-a", "r-1"))
    await cloud.set(lost_after=0)
    await machines.create(placed("cyn-a", "r-1"))
    assert len(cloud.lines("create_asked")) == 1
    assert await names(machines) == {"cyn-a"}


async def test_a_storm_is_weathered(cloud, machines):
    """What a reconciler does, in short: ask until the listing agrees."""
    await cloud.set(
        throttled=0.1, unavailable=0.1, broken=0.1, lost_before=0.1, lost_after=0.3, garbage=0.05,
        hang_s=0, retry_after_s=0.01,
    )  # fmt: skip
    wanted = {f"cyn-{number}" for number in range(4)}
    await _until(machines, wanted, lambda name: machines.create(placed(name, f"r-{name}")))
    assert len(cloud.lines("created")) == 4
    await _until(machines, set(), lambda name: machines.delete(name, "zone-a"))
    await cloud.set(throttled=0, unavailable=0, broken=0, lost_before=0, lost_after=0, garbage=0)
    await until_listed(machines, set())


async def _until(machines, wanted, act):
    deadline = time.monotonic() + 30
    while True:
        assert time.monotonic() < deadline
        try:
            listed = await names(machines)
        except (ProviderAway, Throttled):
            continue
        if listed == wanted:
            return
        for name in wanted ^ listed:
            try:
                await act(name)
            except (ProviderAway, Throttled):
                continue


async def test_a_machine_that_was_deleted_may_be_named_again(cloud, machines):
    await machines.create(placed("cyn-a", "r-1"))
    await until_gone(machines, "cyn-a", "zone-a")
    await machines.create(placed("cyn-a", "r-2"))
    assert await names(machines) == {"cyn-a"}
