"""What every provider of machines promises."""

import asyncio
import time

from cynthus.provisioner.ports import Machines, MachineSpec


def spec(name: str) -> MachineSpec:
    return MachineSpec(name, "http://127.0.0.1:9", "canary-5d1f")


async def until_gone(machines: Machines, name: str, seconds: float = 20) -> None:
    """Deleting is asked for until the provider's own listing agrees."""
    deadline = time.monotonic() + seconds
    while name in await machines.list():
        assert time.monotonic() < deadline, f"{name} is still there"
        await machines.delete(name)
        await asyncio.sleep(0.02)


class MachinesContract:
    """Give `machines`: a provider with nothing of ours in it."""

    async def test_a_created_machine_is_listed_by_its_name(self, machines: Machines):
        await machines.create(spec("cyn-a"))
        assert await machines.list() == {"cyn-a"}

    async def test_creating_twice_makes_one_machine(self, machines: Machines):
        await machines.create(spec("cyn-a"))
        await machines.create(spec("cyn-a"))
        assert await machines.list() == {"cyn-a"}
        await until_gone(machines, "cyn-a")
        assert await machines.list() == frozenset()

    async def test_a_deleted_machine_is_gone_and_the_others_stay(self, machines: Machines):
        await machines.create(spec("cyn-a"))
        await machines.create(spec("cyn-b"))
        await until_gone(machines, "cyn-a")
        assert await machines.list() == {"cyn-b"}

    async def test_deleting_what_is_not_there_is_no_error(self, machines: Machines):
        await machines.delete("cyn-nobody")

    async def test_the_host_has_processors_and_memory_and_runs_processes(self, machines: Machines):
        assert machines.host.cpu >= 1
        assert machines.host.memory_bytes > 10**8
        assert "process" in machines.host.runtimes
