"""Assembles the gateway: the only place that knows its concrete classes."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from starlette.types import ASGIApp

from cynthus.blobs.local import LocalBlobs
from cynthus.events import RunQueued
from cynthus.gateway.adapters.http_history import HttpRunHistory
from cynthus.gateway.adapters.http_images import HttpImages
from cynthus.gateway.adapters.http_leaks import HttpLeaks
from cynthus.gateway.adapters.http_parked import HttpParkedMessages
from cynthus.gateway.adapters.http_services import HttpServices
from cynthus.gateway.adapters.postgres_projects import PostgresProjects
from cynthus.gateway.adapters.postgres_snapshots import PostgresSnapshots
from cynthus.gateway.adapters.postgres_submissions import PostgresSubmissions
from cynthus.gateway.adapters.postgres_tokens import PostgresTokens
from cynthus.gateway.adapters.word_file import read_words
from cynthus.gateway.api.parts import Parts
from cynthus.gateway.api.streams import EventStreams
from cynthus.gateway.handlers.acknowledgements import Acknowledgements
from cynthus.gateway.handlers.offers import Offers
from cynthus.gateway.handlers.reading import RunReader
from cynthus.gateway.handlers.runs import SERVICE, RunHandler
from cynthus.gateway.handlers.snapshots import SnapshotHandler
from cynthus.gateway.handlers.submit import SubmitHandler
from cynthus.gateway.handlers.uploads import UploadHandler
from cynthus.gateway.main import create_app
from cynthus.gateway.ports import RunHistory
from cynthus.gateway.settings import GatewaySettings
from cynthus.runtime.exchange import history as history_of
from cynthus.runtime.exchange import wired
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service
from cynthus.web.asgi_calls import AsgiCalls
from cynthus.web.auth import fingerprint
from cynthus.web.calls import ServiceCalls

_ASKED = ("orchestrator", "builder", "provisioner", "datasets")
_LOCAL = "local"
_RANDOM_BITS = 48


@asynccontextmanager
async def open_gateway(
    settings: GatewaySettings, platform: Platform, *, inside: Mapping[str, ASGIApp] | None = None
) -> AsyncIterator[Service]:
    """The assembled service; `inside` are the applications of services in this process, by their names."""
    async with AsyncExitStack() as stack:
        services: dict[str, ServiceCalls] = {name: AsgiCalls(app) for name, app in (inside or {}).items()}
        for name in _ASKED:
            url: str | None = getattr(settings, f"{name}_url")
            if url is not None:
                platform.peers.know(name, url)
            if name not in services and url is not None:
                services[name] = await stack.enter_async_context(_elsewhere(url))
        history = HttpRunHistory(services["orchestrator"], platform.internal_token)
        service = assemble(settings, platform, history, services, inside=frozenset(inside or ()))
        services[SERVICE] = AsgiCalls(service.app)
        await platform.bus.ensure(SERVICE, [RunQueued])
        yield service


def assemble(
    settings: GatewaySettings,
    platform: Platform,
    history: RunHistory,
    services: Mapping[str, ServiceCalls],
    *,
    inside: frozenset[str] = frozenset(),
) -> Service:
    """The service over any run history and these services, of which `inside` are in this process."""
    database = platform.database
    submissions = PostgresSubmissions(database)
    store = history_of(platform, SERVICE, [submissions])
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
            store,
            submissions,
            platform.secrets,
            read_words(),
            _random_bits,
            acknowledgements=acknowledgements,
        ),
        runs=runs,
        upload=UploadHandler(store),
        parked=HttpParkedMessages(services, platform.internal_token),
        leaks=HttpLeaks(services.get("provisioner"), platform.internal_token),
        images=HttpImages(services.get("builder"), platform.internal_token),
        services=HttpServices(
            {name: services[name] for name in _ASKED if name in services}, inside, platform.internal_token
        ),
        streams=streams,
        digest_key=platform.internal_token.encode(),
        signer=platform.blobs.signer if isinstance(platform.blobs, LocalBlobs) else None,
    )

    async def connected() -> bool:
        async with database.connection() as connection:
            return bool(await connection.fetchval("SELECT true"))

    app = create_app(parts)
    tasks = wired(platform, app, store, {RunQueued: runs.queued})
    offers = Offers(submissions, history, settings.offer_after_s, settings.offer_after_s / 10)
    return Service(
        SERVICE,
        app,
        tasks=(*tasks, streams.run, offers.run),
        checks={"database": connected},
    )


def _random_bits() -> int:
    return secrets.randbits(_RANDOM_BITS)


def _fixed_tokens(settings: GatewaySettings) -> dict[str, str]:
    token = settings.owner_token
    return {} if token is None else {fingerprint(token.get_secret_value()): _LOCAL}


def _elsewhere(url: str) -> AbstractAsyncContextManager[ServiceCalls]:
    # Only where it is needed: importing it takes a tenth of a second.
    from cynthus.web.httpx2_calls import open_calls

    return open_calls(url)
