"""A provider is asked no more often than it may be, and waited for no longer than agreed."""

import asyncio

import pytest

from cynthus.provisioner.adapters.memory_machines import MemoryMachines
from cynthus.provisioner.adapters.paced_machines import PacedMachines
from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.ports import ProviderAway, Throttled
from tests.contracts.machines import MachinesContract, spec

HOST = Host(cpu=2, memory_bytes=10**9)


class Provider(MemoryMachines):
    """Says when it is asked, and has moods."""

    def __init__(self):
        super().__init__(HOST)
        self.asked = 0
        self.mood = None

    async def list(self):
        self.asked += 1
        if self.mood == "silent":
            await asyncio.get_running_loop().create_future()
        if self.mood is not None:
            raise Throttled("too many", self.mood)
        return await super().list()


class TestPacedMachines(MachinesContract):
    @pytest.fixture
    def machines(self):
        return PacedMachines(MemoryMachines(HOST), calls_per_s=1000, timeout_s=10)


@pytest.fixture
def provider():
    return Provider()


async def test_beyond_the_budget_the_provider_is_not_asked(provider):
    machines = PacedMachines(provider, calls_per_s=0.5, timeout_s=1)
    await machines.list()
    with pytest.raises(Throttled, match="budget for list") as refused:
        await machines.list()
    assert 0 < refused.value.retry_after_s <= 2
    assert provider.asked == 1


async def test_listing_too_often_leaves_the_budget_for_deleting_alone(provider):
    machines = PacedMachines(provider, calls_per_s=0.5, timeout_s=1)
    await machines.create(spec("cyn-a"))
    await machines.list()
    await machines.delete("cyn-a")
    assert provider.specs == {}


async def test_a_pause_that_the_provider_asks_for_is_kept_by_all_operations(provider):
    machines = PacedMachines(provider, calls_per_s=100, timeout_s=1)
    provider.mood = 60.0
    with pytest.raises(Throttled, match="too many"):
        await machines.list()
    provider.mood = None
    for call in (machines.list(), machines.create(spec("cyn-a")), machines.delete("cyn-a")):
        with pytest.raises(Throttled, match="asked for a pause") as refused:
            await call
        assert 50 < refused.value.retry_after_s <= 60
    assert provider.asked == 1


async def test_a_provider_that_does_not_answer_in_time_is_away(provider):
    machines = PacedMachines(provider, calls_per_s=100, timeout_s=0.01)
    provider.mood = "silent"
    with pytest.raises(ProviderAway, match="no answer to list"):
        await machines.list()
