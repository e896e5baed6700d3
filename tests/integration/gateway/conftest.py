"""A gateway over a real PostgreSQL and a folder; run history is told by the test."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from cynthus.blobs.local import LocalBlobs
from cynthus.blobs.signing import UrlSigner
from cynthus.builder.api import internal
from cynthus.builder.main import create_app
from cynthus.builder.ports import ImageEntry
from cynthus.bus.memory import MemoryBus
from cynthus.events import RunQueued
from cynthus.gateway.adapters.memory_history import MemoryRunHistory
from cynthus.gateway.settings import GatewaySettings
from cynthus.gateway.wiring import assemble
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service
from cynthus.secrets.memory import MemorySecrets
from cynthus.snapshots import manifest
from cynthus.store.database import Database, open_database
from cynthus.store.migrations import migrate
from cynthus.web.asgi_calls import AsgiCalls
from cynthus.web.auth import fingerprint
from cynthus.web.calls import ServiceCalls
from cynthus.web.tokens import AttemptClaims, WorkerTokens
from tests.fixtures.images import MemoryCatalogue
from tests.fixtures.postgres import fresh_database

LOCAL_TOKEN = "local-owner-token-0123456789abcdef"
TOKENS = {"ann": "ann-token-0123456789", "bob": "bob-token-0123456789"}
BASE = "http://gateway"


@pytest.fixture(scope="session")
def gateway_template(postgres_server: str) -> Iterator[str]:
    """DSN of a database with the gateway's tables, to be copied."""

    async def make(ready: asyncio.Event, done: asyncio.Event, urls: list[str]) -> None:
        async with fresh_database(postgres_server) as url:
            await migrate(url, "gateway")
            urls.append(url)
            ready.set()
            await done.wait()

    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        ready, done, urls = asyncio.Event(), asyncio.Event(), list[str]()
        task = runner.get_loop().create_task(make(ready, done, urls))
        runner.run(_first(task, ready))
        yield urlsplit(urls[0]).path.strip("/")
        done.set()
        runner.get_loop().run_until_complete(task)


async def _first(task: "asyncio.Task[None]", ready: asyncio.Event) -> None:
    await asyncio.wait([task, waiting := asyncio.ensure_future(ready.wait())], return_when="FIRST_COMPLETED")
    if task.done():
        task.result()
    await waiting


@pytest.fixture
async def database(postgres_server: str, gateway_template: str) -> AsyncIterator[Database]:
    async with (
        fresh_database(postgres_server, template=gateway_template) as url,
        open_database(url) as database,
    ):
        async with database.connection() as connection:
            for owner, token in TOKENS.items():
                await connection.execute(
                    "INSERT INTO gateway.tokens (fingerprint, owner) VALUES ($1, $2)",
                    fingerprint(token),
                    owner,
                )
        yield database


@pytest.fixture
def history() -> MemoryRunHistory:
    return MemoryRunHistory()


@dataclass
class Gateway:
    """The service under test and the world around it."""

    service: Service
    platform: Platform
    history: MemoryRunHistory
    images: dict[str, list[ImageEntry]]
    """What the builder beside it has made, by owner."""
    services: dict[str, ServiceCalls]
    clients: dict[str, httpx2.AsyncClient] = field(default_factory=dict)

    def client(self, token: str | None) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx2.ASGITransport(self.service.app)
        return httpx2.AsyncClient(transport=transport, base_url=BASE, headers=headers, timeout=30)

    def worker(self, owner: str) -> httpx2.AsyncClient:
        claims = AttemptClaims("run_1", 1, owner, "m1")
        return self.client(self.platform.worker_tokens.attempt(claims, ttl_s=60))


@pytest.fixture
def gateway(database: Database, history: MemoryRunHistory, tmp_path: Path) -> Gateway:
    images: dict[str, list[ImageEntry]] = {}
    platform = Platform(
        database=database,
        bus=MemoryBus(),
        blobs=LocalBlobs(tmp_path / "blobs", UrlSigner("s" * 32, f"{BASE}/v1/objects")),
        secrets=MemorySecrets(),
        worker_tokens=WorkerTokens("w" * 32),
        internal_token="i" * 32,
    )
    settings = GatewaySettings(
        orchestrator_url="http://orchestrator", owner_token=LOCAL_TOKEN, streams_per_owner=2
    )
    builder = create_app(internal.router(MemoryCatalogue(images), platform.internal_token))
    services = {"builder": AsgiCalls(builder)}
    service = assemble(settings, platform, history, services, inside=frozenset(services))
    return Gateway(service, platform, history, images, services)


@pytest.fixture
async def ann(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    async with gateway.client(TOKENS["ann"]) as client:
        yield client


@pytest.fixture
async def bob(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    async with gateway.client(TOKENS["bob"]) as client:
        yield client


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest_of(files: dict[str, bytes]) -> bytes:
    entries = [
        manifest.Entry(path, len(data), chunks=(digest_of(data),) if data else ())
        for path, data in files.items()
    ]
    return b"".join(manifest.encode(entries))


async def upload(client: httpx2.AsyncClient, files: dict[str, bytes]) -> str:
    """Send the blobs and the manifest; the snapshot's digest."""
    for data in files.values():
        if data:
            answer = await client.put(f"/v1/blobs/{digest_of(data)}", content=data)
            assert answer.status_code in {200, 201}, answer.text
    content = manifest_of(files)
    snapshot = f"sha256:{digest_of(content)}"
    answer = await client.put(f"/v1/snapshots/{snapshot}", content=content)
    assert answer.status_code in {200, 201}, answer.text
    return snapshot


@dataclass
class Ready:
    """A project with a snapshot, ready for runs."""

    client: httpx2.AsyncClient
    snapshot: str
    project: str = "demo"

    async def submit(self, *, key: str | None = None, **body: Any) -> httpx2.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await self.client.post(
            f"/v1/projects/{self.project}/runs", json={"snapshot": self.snapshot, **body}, headers=headers
        )

    async def run(self, **body: Any) -> dict[str, Any]:
        answer = await self.submit(**body)
        assert answer.status_code == 202, answer.text
        return json.loads(answer.content)


async def prepare(client: httpx2.AsyncClient) -> Ready:
    snapshot = await upload(client, {"main.py": b"print('hello')\n"})
    assert (await client.post("/v1/projects", json={"name": "demo"})).status_code in {200, 201}
    return Ready(client, snapshot)


@pytest.fixture
async def ready(ann: httpx2.AsyncClient) -> Ready:
    return await prepare(ann)


def queued(run_id: str) -> RunQueued:
    return RunQueued(run_id=run_id)
