"""The orchestrator over a real database, with the gateway, the provisioner and workers played by the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2

from cynthus.blobs import keys
from cynthus.blobs.memory import MemoryBlobs
from cynthus.bus.memory import MemoryBus
from cynthus.events import Envelope, RunEvent, new_id
from cynthus.orchestrator.settings import OrchestratorSettings
from cynthus.orchestrator.wiring import open_orchestrator
from cynthus.runtime.platform import Platform
from cynthus.runtime.supervision import supervised
from cynthus.secrets.memory import MemorySecrets
from cynthus.snapshots import manifest
from cynthus.store.database import Database, open_database
from cynthus.store.migrations import migrate
from cynthus.web.tokens import AttemptClaims, WorkerTokens

INTERNAL = "internal-token-of-the-tests"
OWNER = "ann"
SETTINGS = OrchestratorSettings(
    public_url="http://orchestrator",
    blobs_url="http://gateway/v1",
    tick_s=3600.0,
    machine_idle_s=30.0,
    machines_are_free=True,
)


@dataclass
class Worker:
    """A worker's view of the orchestrator: one attempt on one machine."""

    client: httpx2.AsyncClient
    tokens: WorkerTokens
    run_id: str
    epoch: int = 1
    machine: str = "m1"

    async def call(self, what: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        return await self.client.post(self._url(what), json=body or {}, headers=self._headers())

    async def log(self, seq: int, data: bytes, *, offset: int = 0, source: str = "stdout") -> httpx2.Response:
        query = {"seq": str(seq), "source": source, "offset": str(offset)}
        return await self.client.post(self._url("logs"), params=query, content=data, headers=self._headers())

    async def start(self) -> httpx2.Response:
        return await self.call("started", {"pid": 7, "phases_ms": {"source": 3.5}})

    async def finish(
        self, *, code: int = 0, chunks: int = 0, stdout: int = 0, outputs: str | None = None
    ) -> httpx2.Response:
        logs = {"chunks": chunks, "bytes": {"stdout": stdout, "stderr": 0}}
        return await self.call("finished", {"exit_code": code, "logs": logs, "outputs": outputs})

    def _url(self, what: str) -> str:
        return f"/worker/v1/attempts/{self.run_id}/{self.epoch}/{what}"

    def _headers(self) -> dict[str, str]:
        claims = AttemptClaims(self.run_id, self.epoch, OWNER, self.machine)
        return {"Authorization": f"Bearer {self.tokens.attempt(claims, ttl_s=60)}"}


@dataclass
class Stage:
    """One orchestrator process."""

    platform: Platform
    client: httpx2.AsyncClient

    @property
    def database(self) -> Database:
        return self.platform.database

    async def hear(self, *facts: RunEvent, source: str = "gateway") -> list[Envelope]:
        """Publish facts and wait until they are part of their runs' histories."""
        envelopes = [self._envelope(fact, source) for fact in facts]
        await self.platform.bus.publish(envelopes)
        async with asyncio.timeout(10):
            for envelope in envelopes:
                await self._taken(envelope)
        return envelopes

    async def _taken(self, envelope: Envelope) -> None:
        query = "SELECT EXISTS (SELECT FROM orchestrator.events WHERE id = $1)"
        store = "orchestrator_events"
        async with self.database.wakeups(store) as hint:
            while True:
                async with self.database.connection() as connection:
                    if await connection.fetchval(query, envelope.id):
                        return
                await hint.wait(0.1)

    async def ask(self, path: str, *, owner: str = OWNER, **query: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {INTERNAL}"}
        return await self.client.get(
            f"/internal/v1/{path}", params={"owner": owner, **query}, headers=headers
        )

    async def delete(self, run_id: str, **query: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {INTERNAL}"}
        url = f"/internal/v1/runs/{run_id}"
        return await self.client.delete(url, params={"owner": OWNER, **query}, headers=headers)

    async def run(self, run_id: str) -> dict[str, Any]:
        answer = await self.ask(f"runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def kinds(self, run_id: str) -> list[str]:
        answer = await self.ask(f"runs/{run_id}/events")
        return [event["kind"] for event in answer.json()["events"]]

    async def next_order(self, machine: str = "m1", *, wait_s: float = 0.0) -> httpx2.Response:
        token = self.platform.worker_tokens.machine(machine, ttl_s=60)
        return await self.client.post(
            "/worker/v1/orders:next",
            json={"machine": machine, "wait_s": wait_s},
            headers={"Authorization": f"Bearer {token}"},
        )

    def worker(self, run_id: str, *, epoch: int = 1, machine: str = "m1") -> Worker:
        return Worker(self.client, self.platform.worker_tokens, run_id, epoch, machine)

    async def put_outputs(self, *entries: manifest.Entry) -> str:
        lines = list(manifest.encode(entries))
        digest = manifest.digest(lines)
        await self.platform.blobs.put_many({keys.manifest(OWNER, digest): b"".join(lines)})
        return digest

    async def execute(self, statement: str, *arguments: object) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement, *arguments)

    async def rows(self, table: str) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            found = await connection.fetch(f"SELECT * FROM orchestrator.{table}")
        return sorted((dict(row) for row in found), key=repr)

    def _envelope(self, fact: RunEvent, source: str) -> Envelope:
        return Envelope(
            id=new_id("evt"),
            source=source,
            time=datetime.now(UTC),
            event=fact,
            stream=f"run-{fact.run_id}",
            sequence=1,
            actor=f"service:{source}",
            correlation_id=fact.run_id,
        )


@asynccontextmanager
async def open_stage(
    url: str, settings: OrchestratorSettings = SETTINGS, *, shared: bool = True
) -> AsyncIterator[Stage]:
    """A running orchestrator; without `shared` it is the only process."""
    await migrate(url, "orchestrator")
    async with open_database(url, shared=shared) as database:
        platform = Platform(
            database=database,
            bus=MemoryBus(),
            blobs=MemoryBlobs(),
            secrets=MemorySecrets(),
            worker_tokens=WorkerTokens("k" * 32),
            internal_token=INTERNAL,
        )
        async with open_replica(platform, settings) as stage:
            yield stage


@asynccontextmanager
async def open_replica(platform: Platform, settings: OrchestratorSettings = SETTINGS) -> AsyncIterator[Stage]:
    """One more orchestrator over the same platform."""
    async with open_orchestrator(settings, platform) as service, supervised(service.tasks, service="test"):
        transport = httpx2.ASGITransport(app=service.entry)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield Stage(platform, client)
