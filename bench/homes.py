"""The servers under test, each in a folder of its own, and gone afterwards."""

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from bench import processes
from bench.client import Client, wait_until_answers
from bench.peers import CYNTHUS, peer
from cynthus.snapshots import manifest


@contextmanager
def folder():
    """A short path (Unix sockets have a limit); whatever still runs from it is ended."""
    path = Path(tempfile.mkdtemp(prefix="cyb-", dir="/tmp"))
    try:
        yield path
    finally:
        processes.end(str(path))
        shutil.rmtree(path, ignore_errors=True)


class Cynthus:
    """The embedded platform with its state in `folder`."""

    project = "bench"

    def __init__(self, folder: Path, **environment: str):
        self.folder = folder
        self.mark = str(folder)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CYNTHUS_")},
            "CYNTHUS_HOME": str(folder / "state"),
            "CYNTHUS_PORT": "0",
            "HOME": str(folder),
            "UV_CACHE_DIR": str(folder / "uv"),
            "CI": "true",
            processes.MARK: self.mark,
            **environment,
        }

    def up(self):
        self._cynthus("up")
        described = json.loads((self.folder / "state" / "platform.json").read_text())
        self.url, self.pid = described["url"], described["pid"]
        self.token = (self.folder / "state" / "token").read_text().strip()

    def down(self):
        self._cynthus("down")

    def _cynthus(self, *arguments):
        ended = subprocess.run(
            [CYNTHUS, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if ended.returncode != 0:
            raise RuntimeError(f"cynthus {' '.join(arguments)}: {ended.stderr[-1000:]}{self.log()}")

    def log(self):
        path = self.folder / "state" / "logs" / "platform.log"
        return path.read_text(errors="replace")[-1500:] if path.exists() else ""

    def client(self):
        return Client(self.url, self.token)

    def upload(self, script: str, **more: bytes) -> str:
        """A project of `main.py` and more files; the snapshot's digest."""
        files = {"main.py": script.encode(), **more}
        blobs = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
        entries = [manifest.Entry(path, len(files[path]), chunks=(blob,)) for path, blob in blobs.items()]
        lines = list(manifest.encode(entries))
        digest = manifest.digest(lines)
        with self.client() as client:
            client.json("POST", "/v1/projects", {"name": self.project})
            for path, blob in blobs.items():
                client.call("PUT", f"/v1/blobs/{blob}", files[path])
            client.call("PUT", f"/v1/snapshots/{digest}", b"".join(lines))
            client.json("POST", f"/v1/projects/{self.project}/snapshots", {"snapshot": digest})
        return digest

    def submit(
        self,
        client: Client,
        digest: str,
        *arguments: str,
        env: dict[str, str] | None = None,
        runtime: str | None = None,
    ) -> str:
        """The id of the accepted run."""
        body = {"snapshot": digest, "entry": "main.py", "arguments": list(arguments), "env": env or {},
                "runtime": runtime}  # fmt: skip
        key = f"Idempotency-Key: {secrets.token_hex(8)}\r\n"
        return client.json("POST", f"/v1/projects/{self.project}/runs", body, key)["id"]

    def finish(self, client: Client, run: str):
        """Wait for the end of a run that prints nothing (one held request); the Run resource."""
        cursor, over = "", False
        while not over:
            page = client.json("GET", f"/v1/runs/{run}/logs?wait=20{cursor}")
            cursor, over = f"&after={page['cursor']}" if page["cursor"] else "", page["over"]
        return client.json("GET", f"/v1/runs/{run}")

    def text(self, client: Client, run: str) -> str:
        """What a run that is over printed, less than a piece of log."""
        page = client.json("GET", f"/v1/runs/{run}/logs")
        return "".join(chunk["text"] for chunk in page["chunks"])

    def runs(self, client: Client) -> list[dict]:
        """All runs there are."""
        found, token = [], ""
        while True:
            page = client.json("GET", f"/v1/runs?page_size=1000{token}")
            found += page["runs"]
            if page["next_page_token"] is None:
                return found
            token = f"&page_token={page['next_page_token']}"


@contextmanager
def cynthus(**environment: str):
    with folder() as path:
        home = Cynthus(path, **environment)
        home.up()
        try:
            yield home
        finally:
            home.down()


class Dstack:
    """`dstack server` on SQLite, with its state in `folder`; without a backend runs stay accepted."""

    token = "bench-token"

    def __init__(self, folder: Path):
        self.bin, self.folder, self.mark = peer("dstack"), folder, str(folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {**os.environ, "HOME": str(folder), processes.MARK: self.mark}

    def up(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "dstack", "server", "--port", str(self.port), "--token", self.token, "-y"],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until_answers(self.url, "/healthcheck", self.process)

    def down(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def client(self):
        return Client(self.url, self.token)

    def submit(self, client: Client) -> str:
        spec = {
            "configuration": {"type": "task", "commands": ["true"], "python": "3.11"},
            "profile": {"name": "bench", "retry": {"on_events": ["no-capacity"], "duration": "4h"}},
            "ssh_key_pub": "ssh-rsa AAAA",
        }
        return client.json(
            "POST", "/api/project/main/runs/apply", {"plan": {"run_spec": spec}, "force": False}
        )["id"]

    def runs(self, client: Client) -> list[dict]:
        """All runs there are."""
        found: list[dict] = []
        while True:
            body = {"limit": 100, "include_jobs": False}
            if found:
                body |= {"prev_submitted_at": found[-1]["submitted_at"], "prev_run_id": found[-1]["id"]}
            page = client.json("POST", "/api/runs/list", body)
            found += page
            if len(page) < 100:
                return found


@contextmanager
def dstack():
    """None where dstack is absent."""
    if peer("dstack") is None:
        yield None
        return
    with folder() as path:
        home = Dstack(path)
        home.up()
        try:
            yield home
        finally:
            home.down()


class Ray:
    """A Ray head with its job server, two processors, on the loopback address."""

    def __init__(self, folder: Path):
        self.bin, self.folder, self.mark = peer("ray"), folder, str(folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def up(self):
        options = {
            "node-ip-address": "127.0.0.1",
            "port": free_port(),
            "dashboard-port": self.port,
            "num-cpus": 2,
            "object-store-memory": 100_000_000,
            "include-dashboard": "true",
            "temp-dir": self.folder,
        }
        subprocess.run(
            [
                self.bin / "ray",
                "start",
                "--head",
                "--disable-usage-stats",
                *(f"--{k}={v}" for k, v in options.items()),
            ],
            env={**os.environ, processes.MARK: self.mark},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=60,
        )
        wait_until_answers(self.url, "/api/jobs/")

    def client(self):
        return Client(self.url)

    def submit(self, client: Client, entrypoint: str) -> str:
        return client.json("POST", "/api/jobs/", {"entrypoint": entrypoint})["submission_id"]

    def state(self, client: Client, job: str) -> str:
        return client.json("GET", f"/api/jobs/{job}")["status"]


@contextmanager
def ray():
    """None where Ray is absent."""
    if peer("ray") is None:
        yield None
        return
    with folder() as path:
        home = Ray(path)
        home.up()
        yield home


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
