"""Worker processes on this host as machines."""

import asyncio
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from cynthus.provisioner.adapters.processes import ProcessMachines
from cynthus.provisioner.ports import MachineRefused
from tests.contracts.machines import MachinesContract, names, spec, until_gone, until_listed


@pytest.fixture
async def machines(tmp_path):
    provider = ProcessMachines(tmp_path / "home", kill_after_s=1)
    yield provider
    for name in await names(provider):
        await until_gone(provider, name)


async def until(condition):
    """What another process does takes a moment."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class TestProcessMachines(MachinesContract):
    async def test_another_provider_on_the_same_home_sees_the_same_machines(self, machines, tmp_path):
        await machines.create(spec("cyn-a"))
        assert await names(ProcessMachines(tmp_path / "home")) == {"cyn-a"}
        assert await names(ProcessMachines(tmp_path / "elsewhere")) == set()

    async def test_a_machine_that_was_killed_is_not_listed(self, machines, tmp_path):
        await machines.create(spec("cyn-a"))
        (pid,) = machines._scan().values()
        os.kill(pid, signal.SIGKILL)
        await until_gone(machines, "cyn-a")

    async def test_a_machine_is_there_while_somebody_can_take_its_workers_place(self, machines):
        await machines.create(spec("cyn-a"))
        worker = psutil.Process(machines._scan()["cyn-a"])
        await until(
            lambda: "cynthus-supervisor" in [line for one in worker.children() for line in one.cmdline()]
        )
        (keeper,) = worker.children()
        keeper.suspend()
        worker.kill()
        worker.wait()
        assert await names(machines) == {"cyn-a"}
        await until_gone(machines, "cyn-a")
        assert not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE

    async def test_a_machine_that_does_not_react_is_killed(self, machines):
        await machines.create(spec("cyn-a"))
        (pid,) = machines._scan().values()
        os.kill(pid, signal.SIGSTOP)
        await until_gone(machines, "cyn-a")

    async def test_a_home_that_cannot_be_used_refuses_with_the_reason(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(MachineRefused, match="file"):
            await ProcessMachines(tmp_path / "file" / "home").create(spec("cyn-a"))

    async def test_the_token_is_not_in_the_process_table(self, machines, tmp_path):
        await machines.create(spec("cyn-a"))
        (pid,) = machines._scan().values()
        assert "canary-5d1f" not in Path(f"/proc/{pid}/cmdline").read_text()

    async def test_the_operators_settings_reach_workers_and_the_platforms_keys_do_not(
        self, machines, monkeypatch
    ):
        monkeypatch.setenv("CYNTHUS_WORKER_SANDBOX", "off")
        monkeypatch.setenv("CYNTHUS_WORKER_KEY", "canary-7c20")
        monkeypatch.setenv("CYNTHUS_SECRETS_KEY", "canary-7c20")
        await machines.create(spec("cyn-a"))
        (pid,) = machines._scan().values()
        await until(Path(f"/proc/{pid}/environ").read_bytes)
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"CYNTHUS_WORKER_SANDBOX=off" in environment
        assert b"canary-7c20" not in environment

    async def test_a_worker_without_work_leaves_when_its_platform_stays_away(self, machines, monkeypatch):
        monkeypatch.setenv("CYNTHUS_WORKER_IDLE_S", "0.3")
        await machines.create(spec("cyn-a"))
        await until_listed(machines, set())
