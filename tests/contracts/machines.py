"""What every provider of machines promises. A listing may be behind the truth by `lag_s`, both ways."""

import asyncio

from cynthus.provisioner.ports import Listed, Machines, MachineSpec

_LOOK_S = 0.02


def spec(name: str, zone: str = "here", request_id: str = "") -> MachineSpec:
    return MachineSpec(name, "http://127.0.0.1:9", "canary-5d1f", zone, request_id or f"req-{name}")


async def names(machines: Machines) -> set[str]:
    return {machine.name for machine in await machines.list()}


async def until_listed(machines: Machines, expected: set[str], seconds: float = 20) -> None:
    """The listing tells exactly these, at the latest when its lag is over; and goes on telling them."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds + machines.lag_s
    while await names(machines) != expected:
        assert loop.time() < deadline, f"{await names(machines)} instead of {expected}"
        await asyncio.sleep(_LOOK_S)
    await asyncio.sleep(2 * machines.lag_s)
    assert await names(machines) == expected


async def until_gone(machines: Machines, name: str, zone: str = "here", seconds: float = 20) -> None:
    """Deleting is asked for until the provider's own listing agrees."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds + machines.lag_s
    while True:
        await machines.delete(name, zone)
        await asyncio.sleep(machines.lag_s)
        if name not in await names(machines):
            return
        assert loop.time() < deadline, f"{name} is still there"
        await asyncio.sleep(_LOOK_S)


class MachinesContract:
    """Give `machines`: a provider with nothing of ours in it."""

    async def test_a_created_machine_is_listed_by_its_name_and_zone(self, machines: Machines):
        zone = machines.zones[0]
        await machines.create(spec("cyn-a", zone))
        await until_listed(machines, {"cyn-a"})
        (machine,) = await machines.list()
        assert isinstance(machine, Listed)
        assert machine.zone == zone

    async def test_creating_twice_makes_one_machine(self, machines: Machines):
        zone = machines.zones[0]
        await machines.create(spec("cyn-a", zone))
        await machines.create(spec("cyn-a", zone))
        await until_listed(machines, {"cyn-a"})
        await until_gone(machines, "cyn-a", zone)
        await until_listed(machines, set())

    async def test_a_deleted_machine_is_gone_and_the_others_stay(self, machines: Machines):
        zone = machines.zones[0]
        await machines.create(spec("cyn-a", zone))
        await machines.create(spec("cyn-b", zone))
        await until_gone(machines, "cyn-a", zone)
        await until_listed(machines, {"cyn-b"})

    async def test_deleting_what_is_not_there_is_no_error(self, machines: Machines):
        await machines.delete("cyn-nobody", machines.zones[0])

    async def test_deleting_what_is_being_deleted_is_no_error(self, machines: Machines):
        zone = machines.zones[0]
        await machines.create(spec("cyn-a", zone))
        await machines.delete("cyn-a", zone)
        await machines.delete("cyn-a", zone)
        await until_gone(machines, "cyn-a", zone)

    async def test_machines_of_every_zone_are_listed(self, machines: Machines):
        for number, zone in enumerate(machines.zones):
            await machines.create(spec(f"cyn-{number}", zone))
        await until_listed(machines, {f"cyn-{number}" for number in range(len(machines.zones))})
        assert {machine.zone for machine in await machines.list()} == set(machines.zones)

    async def test_a_provider_has_a_zone_and_says_how_late_its_listing_may_be(self, machines: Machines):
        assert len(set(machines.zones)) == len(machines.zones) >= 1
        assert machines.lag_s >= 0

    async def test_the_host_has_processors_and_memory_and_runs_processes(self, machines: Machines):
        assert machines.host.cpu >= 1
        assert machines.host.memory_bytes > 10**8
        assert "process" in machines.host.runtimes
