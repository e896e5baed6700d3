"""Assembles the gateway: the only place that knows its concrete classes."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from cynthus.blobs.local import LocalBlobs
from cynthus.events import RunQueued
from cynthus.gateway.adapters.http_history import HttpRunHistory
from cynthus.gateway.adapters.postgres_projects import PostgresProjects
from cynthus.gateway.adapters.postgres_snapshots import PostgresSnapshots
from cynthus.gateway.adapters.postgres_submissions import PostgresSubmissions
from cynthus.gateway.adapters.postgres_tokens import PostgresTokens
from cynthus.gateway.adapters.word_file import read_words
from cynthus.gateway.api.parts import Parts
from cynthus.gateway.api.streams import EventStreams
from cynthus.gateway.handlers.acknowledgements import Acknowledgements
from cynthus.gateway.handlers.reading import RunReader
from cynthus.gateway.handlers.runs import SERVICE, RunHandler
from cynthus.gateway.handlers.snapshots import SnapshotHandler
from cynthus.gateway.handlers.submit import SubmitHandler
from cynthus.gateway.handlers.uploads import UploadHandler
from cynthus.gateway.main import create_app
from cynthus.gateway.ports import RunHistory
from cynthus.gateway.settings import GatewaySettings
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service
from cynthus.store.checkpoint import PostgresCheckpoint
from cynthus.store.consumer import Consumer
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.postgres_inbox import PostgresInbox
from cynthus.store.relay import Relay
from cynthus.web.auth import fingerprint

_LOCAL = "local"
_IN_PROCESS = "http://orchestrator"
_RANDOM_BITS = 48


@asynccontextmanager
async def open_gateway(
    settings: GatewaySettings, platform: Platform, *, transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[Service]:
    """The assembled service; `transport` leads to an orchestrator in the same process."""
    url = settings.orchestrator_url if transport is None else _IN_PROCESS
    async with _client(url, transport) as client:
        yield assemble(settings, platform, HttpRunHistory(client, platform.internal_token))


def assemble(settings: GatewaySettings, platform: Platform, history: RunHistory) -> Service:
    """The service over any run history."""
    database = platform.database
    submissions = PostgresSubmissions(database)
    store = PostgresEventStore(database, schema=SERVICE, source=SERVICE, projections=[submissions])
    acknowledgements = Acknowledgements()
    runs = RunHandler(store, platform.secrets, acknowledgements)
    streams = EventStreams(settings.streams_per_owner)
    parts = Parts(
        tokens=PostgresTokens(database, _fixed_tokens(settings)),
        worker_tokens=platform.worker_tokens,
        blobs=platform.blobs,
        projects=PostgresProjects(database),
        snapshots=SnapshotHandler(platform.blobs, PostgresSnapshots(database)),
        history=history,
        reader=RunReader(history, submissions, acknowledgements),
        submit=SubmitHandler(
            store, submissions, platform.secrets, read_words(), lambda: secrets.randbits(_RANDOM_BITS)
        ),
        runs=runs,
        upload=UploadHandler(store),
        streams=streams,
        digest_key=platform.internal_token.encode(),
        signer=platform.blobs.signer if isinstance(platform.blobs, LocalBlobs) else None,
    )
    consumer = Consumer(
        SERVICE, PostgresInbox(database, schema=SERVICE), platform.bus, {RunQueued: runs.queued}
    )
    relay = Relay(store, platform.bus, PostgresCheckpoint(database, schema=SERVICE))

    async def connected() -> bool:
        async with database.connection() as connection:
            return bool(await connection.fetchval("SELECT true"))

    return Service(
        SERVICE,
        create_app(parts),
        tasks=(relay.run, consumer.run, streams.run),
        checks={"database": connected},
    )


def _fixed_tokens(settings: GatewaySettings) -> dict[str, str]:
    token = settings.owner_token
    return {} if token is None else {fingerprint(token.get_secret_value()): _LOCAL}


def _client(url: str, transport: httpx2.AsyncBaseTransport | None) -> httpx2.AsyncClient:
    # Long polls hold a connection each, so that there must be many.
    limits = httpx2.Limits(max_connections=2000, max_keepalive_connections=50, keepalive_expiry=60)
    return httpx2.AsyncClient(base_url=url, transport=transport, limits=limits, trust_env=False)
