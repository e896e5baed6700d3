"""A Docker engine of a test's own, that may be killed, stopped and suspended."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cynthus.containers.discovery import connect
from cynthus.containers.errors import EngineUnavailable
from tests.integration.worker.conftest import wait_for

_BRIDGE = "cyn-docker0"


class PrivateDocker:
    """Everything in one folder, and a bridge of its own: without one it would remove the other engine's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = str(folder / "d.sock")
        self._process: subprocess.Popen[bytes] | None = None
        self._containerd: subprocess.Popen[bytes] | None = None

    def _start_containerd(self) -> None:
        """A service beside the engine, as packages install it; it is not restarted."""
        command = ["containerd", "--config", str(self.folder / "containerd.toml")]
        command += [f"--{name}={self.folder / name}" for name in ("root", "state")]
        command += [f"--address={self.folder / 'c.sock'}"]
        (self.folder / "containerd.toml").write_text(
            'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        )
        with (self.folder / "containerd.log").open("ab") as log:
            self._containerd = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for((self.folder / "c.sock").exists, 30)

    def start(self, *, live_restore: bool) -> None:
        if self._containerd is None:
            self._start_containerd()
        options = {
            "--data-root": self.folder / "data",
            "--exec-root": self.folder / "exec",
            "--pidfile": self.folder / "d.pid",
            "--host": f"unix://{self.socket}",
            "--bridge": _BRIDGE,
            "--containerd": self.folder / "c.sock",
        }
        command = [
            "dockerd",
            "--iptables=false",
            "--ip-masq=false",
            "--ip-forward=false",
            "--ip6tables=false",
        ]
        command += [f"{name}={value}" for name, value in options.items()]
        with (self.folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, f"--live-restore={str(live_restore).lower()}"], stdout=log, stderr=log
            )
        wait_for(self.answers, 60)

    def answers(self) -> bool:
        try:
            connect(self.socket)
        except EngineUnavailable:
            return False
        return True

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: int) -> None:
        """Send a signal and wait until it is gone."""
        assert self._process is not None
        self.signal(number)
        self._process.wait(60)

    def clean(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self.end(signal.SIGTERM)
        if self._containerd is not None:
            self._containerd.terminate()
            self._containerd.wait(20)
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if process.pid != os.getpid() and any(str(self.folder) in word for word in words):
                process.kill()
        for line in Path("/proc/self/mounts").read_text().splitlines()[::-1]:
            if str(self.folder) in line:
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def private_docker(folder: Path) -> Iterator[PrivateDocker]:
    subprocess.run(["ip", "link", "add", _BRIDGE, "type", "bridge"], check=False, capture_output=True)
    subprocess.run(
        ["ip", "address", "add", "10.213.77.1/24", "dev", _BRIDGE], check=False, capture_output=True
    )
    docker = PrivateDocker(folder)
    try:
        yield docker
    finally:
        docker.clean()
        subprocess.run(["ip", "link", "del", _BRIDGE], check=False, capture_output=True)
