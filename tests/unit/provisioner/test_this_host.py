"""What a host is seen to have, in folders made for it."""

import socket
from pathlib import Path

import pytest

from cynthus.provisioner.adapters.this_host import Places, ThisHost
from cynthus.provisioner.domain.host import Gpu

CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.161.07  Sat Feb 17 22:55:48 UTC 2024\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"
SMI = "#!/bin/sh\necho 'NVIDIA L4, 23034'\necho 'NVIDIA A100-SXM4-40GB, 40960'\necho 'odd line'\n"


class Machine:
    """A host of folders; time stands still unless moved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        (folder / "bin").mkdir()
        places = Places(
            {"PATH": str(folder / "bin")}, folder / "nvidia", lambda _: iter([str(folder / "engine")])
        )
        self.host = ThisHost(places, lambda: self.now)

    def install(self, program: str, text: str = "#!/bin/sh\n") -> None:
        path = self.folder / "bin" / program
        path.write_text(text)
        path.chmod(0o755)

    def listen(self, name: str) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(self.folder / name))
        server.listen()
        return server

    def later(self):
        self.now += 60
        return self.host.look()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_plain_machine_runs_processes(machine):
    host = machine.host.look()
    assert host.runtimes == {"process"}
    assert (host.gpus, host.driver) == ((), None)


def test_an_engine_is_seen_while_it_listens(machine):
    assert "container" not in machine.host.look().runtimes
    with machine.listen("engine"):
        assert "container" not in machine.host.look().runtimes
        assert "container" in machine.later().runtimes
    assert "container" not in machine.later().runtimes


def test_an_engine_that_the_environment_names_is_seen(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "mine"))
        server.listen()
        places = Places({"DOCKER_HOST": f"unix://{tmp_path}/mine"}, tmp_path / "nvidia")
        assert "container" in ThisHost(places).look().runtimes
        remote = Places({"DOCKER_HOST": "tcp://elsewhere:2375"}, tmp_path / "nvidia")
        assert "container" not in ThisHost(remote).look().runtimes


def test_bubblewrap_is_seen(machine):
    machine.install("bwrap")
    assert machine.host.look().runtimes == {"process", "bubblewrap"}


@pytest.mark.parametrize(("text", "driver"), [(CLOSED, "535.161.07"), (OPEN, "580.65.06"), ("odd", None)])
def test_gpus_and_driver_are_read_once(machine, text, driver):
    (machine.folder / "nvidia").write_text(text)
    machine.install("nvidia-smi", SMI)
    host = machine.host.look()
    assert host.driver == driver
    assert host.gpus == (Gpu("NVIDIA L4", 23034 * 1024**2), Gpu("NVIDIA A100-SXM4-40GB", 40960 * 1024**2))
    (machine.folder / "bin" / "nvidia-smi").unlink()
    assert machine.later() == host


@pytest.mark.parametrize(
    "program", [None, "#!/bin/sh\nexit 9\n", "#!/bin/sh\nprintf '\\377\\n'\n", "no program"]
)
def test_a_driver_without_answers_has_no_gpus(machine, program):
    (machine.folder / "nvidia").write_text(CLOSED)
    if program is not None:
        machine.install("nvidia-smi", program)
    assert machine.host.look().gpus == ()
    assert machine.host.look().driver == "535.161.07"
