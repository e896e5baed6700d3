"""The homes a platform can have, started as a user or an operator would start them."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CYNTHUS = Path(sys.executable).with_name("cynthus")
SERVICES = ("orchestrator", "gateway", "builder", "provisioner", "datasets")
START_S = 60.0


@dataclass
class Home:
    """A running platform and the environment in which the command line finds it."""

    folder: Path
    url: str
    token: str
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def cynthus(
        self, *arguments: str, cwd: Path, timeout_s: float = 150, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        return subprocess.run(
            [CYNTHUS, *arguments],
            cwd=cwd,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start_cynthus(self, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
        """Run the command line and leave it running."""
        return subprocess.Popen(
            [CYNTHUS, *arguments],
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def get(self, path: str):
        """GET a JSON document of the API."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=40) as response:
            return json.load(response)

    def run_of(self, name: str):
        """The Run resource of a name or id."""
        return self.get(f"/v1/runs/{name}")

    def wait_for(self, name: str, *states: str, timeout_s: float = 120):
        """The Run once it is in one of the states; follows its events, so nothing is polled blindly."""
        deadline, version = time.monotonic() + timeout_s, 0
        while True:
            run = self.run_of(name)
            if run["state"] in states:
                return run
            assert time.monotonic() < deadline, f"{name} is {run['state']}, not {states}: {run}"
            page = self.get(f"/v1/runs/{run['id']}/events?after={version}&wait=2")
            version = max([version, *(event["version"] for event in page["events"])])


def after_outage(home: Home, name: str, timeout_s: float = 120):
    """The Run once it is over, asked for again and again while the platform cannot answer."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return home.wait_for(name, "SUCCEEDED", "FAILED", "CANCELLED", timeout_s=timeout_s)
        except OSError:
            assert time.monotonic() < deadline, f"the platform stays away: {name}"
            time.sleep(0.1)


@contextmanager
def embedded(folder: Path, **environment: str) -> Iterator[Home]:
    """`cynthus up` in a state folder of its own, and `cynthus down` at the end."""
    state = folder / "state"
    outside = _outside(folder) | {"CYNTHUS_HOME": str(state), "CYNTHUS_PORT": "0", **environment}
    home = Home(folder, "", "", outside)
    up = home.cynthus("up", cwd=folder)
    assert up.returncode == 0, up.stderr
    refresh(home)
    try:
        yield home
    finally:
        down = home.cynthus("down", cwd=folder)
        assert down.returncode == 0, down.stderr


def refresh(home: Home) -> None:
    """Read where the embedded platform is now."""
    state = Path(home.environment["CYNTHUS_HOME"])
    home.url = json.loads((state / "platform.json").read_text())["url"]
    home.token = (state / "token").read_text().strip()


@contextmanager
def five_processes(folder: Path, database_url: str, **environment: str) -> Iterator[Home]:
    """Each service in a process of its own, on one database."""
    ports = dict(zip(SERVICES, _free_ports(len(SERVICES)), strict=True))
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    token = secrets.token_hex(32)
    settings = {
        "CYNTHUS_ENVIRONMENT": "embedded",
        "CYNTHUS_DATABASE_URL": database_url,
        "CYNTHUS_DATABASE_CONNECTIONS": "6",
        "CYNTHUS_BLOBS_FOLDER": str(folder / "blobs"),
        "CYNTHUS_SECRETS_FOLDER": str(folder / "secrets"),
        **{
            f"CYNTHUS_{key}": secrets.token_hex(32) for key in ("SECRETS_KEY", "WORKER_KEY", "INTERNAL_TOKEN")
        },
        **{f"CYNTHUS_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        "CYNTHUS_PEERS": json.dumps(urls),
        "CYNTHUS_GATEWAY_ORCHESTRATOR_URL": urls["orchestrator"],
        "CYNTHUS_GATEWAY_BUILDER_URL": urls["builder"],
        "CYNTHUS_GATEWAY_PROVISIONER_URL": urls["provisioner"],
        "CYNTHUS_GATEWAY_DATASETS_URL": urls["datasets"],
        "CYNTHUS_GATEWAY_OWNER_TOKEN": token,
        "CYNTHUS_BUILDER_IMAGES_FOLDER": str(folder / "images"),
        "CYNTHUS_PROVISIONER_URL": urls["provisioner"],
        "CYNTHUS_PROVISIONER_ORDERS_URL": urls["orchestrator"],
        "CYNTHUS_PROVISIONER_REGISTRY_URL": urls["builder"],
        "CYNTHUS_PROVISIONER_MACHINES_HOME": str(folder / "machines"),
        "CYNTHUS_ORCHESTRATOR_PUBLIC_URL": urls["orchestrator"],
        "CYNTHUS_ORCHESTRATOR_BLOBS_URL": f"{urls['gateway']}/v1",
        "CYNTHUS_ORCHESTRATOR_REGISTRY_URL": urls["builder"],
        "CYNTHUS_ORCHESTRATOR_MACHINES_ARE_FREE": "true",
        **environment,
    }
    outside = _outside(folder) | {"CYNTHUS_URL": urls["gateway"], "CYNTHUS_TOKEN": token}
    home = Home(folder, urls["gateway"], token, outside)
    inside = {**_outside(folder), **settings}
    try:
        for name in SERVICES:
            with (folder / f"{name}.log").open("ab") as log:
                command = [sys.executable, "-m", f"cynthus.{name}"]
                home.processes[name] = subprocess.Popen(command, env=inside, stdout=log, stderr=log)
        for name in SERVICES:
            _await_ready(home.processes[name], urls[name], folder / f"{name}.log")
        yield home
    finally:
        _stop(home)


def _stop(home: Home) -> None:
    for process in home.processes.values():
        process.send_signal(signal.SIGTERM)
    for process in home.processes.values():
        process.wait(timeout=20)
    for pid in workers_of(home.folder):
        os.kill(pid, signal.SIGKILL)


def workers_of(folder: Path) -> list[int]:
    """Process ids of the workers whose home is below a folder."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"cynthus.worker" in command and str(folder).encode() in command:
                pids.append(int(entry.name))
    return pids


def _outside(folder: Path) -> dict[str, str]:
    """A user's environment: a home of its own, no settings of the platform."""
    foreign = ("CYNTHUS_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **kept,
        "CI": "true",
        "HOME": str(folder),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
        "UV_SYSTEM_CERTS": "1",
    }


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=2) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} is not ready: {log.read_text()}")
