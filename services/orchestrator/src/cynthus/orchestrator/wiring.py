"""Assembles the orchestrator: the only place that knows its concrete classes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from cynthus.orchestrator.adapters.bell import ProcessBell
from cynthus.orchestrator.adapters.postgres_feed import PostgresFeed
from cynthus.orchestrator.adapters.postgres_leases import PostgresLeases
from cynthus.orchestrator.adapters.postgres_logs import PostgresLogIndex
from cynthus.orchestrator.adapters.postgres_projection import RunTables
from cynthus.orchestrator.adapters.postgres_runs import PostgresRuns
from cynthus.orchestrator.api import internal, offers, worker
from cynthus.orchestrator.api.heartbeats import HeartbeatRoute
from cynthus.orchestrator.api.streams import Streams
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.rhythm import Rhythm
from cynthus.orchestrator.handlers.attempts import Attempts
from cynthus.orchestrator.handlers.deletion import Deletion
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.orchestrator.handlers.logs import Logs
from cynthus.orchestrator.handlers.offers import Offers
from cynthus.orchestrator.handlers.orders import Orders, RegistryAccess, Terms
from cynthus.orchestrator.handlers.parked import ParkedRequests
from cynthus.orchestrator.handlers.past import Past
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.runs import FACTS, SERVICE, RunHandler
from cynthus.orchestrator.handlers.signals import HeartbeatSignals
from cynthus.orchestrator.main import ANSWERS, create_app
from cynthus.orchestrator.reaper import Reaper
from cynthus.orchestrator.settings import OrchestratorSettings
from cynthus.runtime.exchange import exchange, history
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service, Task


@asynccontextmanager
async def open_orchestrator(settings: OrchestratorSettings, platform: Platform) -> AsyncIterator[Service]:
    """The assembled service."""
    database = platform.database
    limits = limits_of(settings)
    recent, bell = RecentRuns(alone=not database.shared), ProcessBell()
    tables = RunTables(recent, limits, settings.lease_s)
    store = history(platform, SERVICE, [tables])
    handler = RunHandler(store, recent, bell, limits)
    runs, index, leases = PostgresRuns(database), PostgresLogIndex(database), PostgresLeases(database)
    feed = PostgresFeed(database)
    logs = Logs(index, platform.blobs, bell)
    rhythm = Rhythm(settings.next_beat_s, settings.lease_s, settings.beats_per_second)
    heartbeats = Heartbeats(leases, rhythm)
    attempts = Attempts(handler, heartbeats, index, platform.blobs)
    orders = Orders(runs, leases, bell, platform.secrets, platform.worker_tokens, rhythm, terms_of(settings))
    app = create_app(
        worker.router(attempts, orders, logs, platform.worker_tokens),
        internal.router(
            runs,
            Streams(runs, recent, logs, feed, bell),
            Past(runs, feed),
            Deletion(runs, index, platform.blobs, platform.secrets, bell),
            platform.internal_token,
        ),
        offers.router(Offers(handler), platform.internal_token),
    )
    front = HeartbeatRoute(app, heartbeats, platform.worker_tokens, ANSWERS)
    reaper = Reaper(runs, leases, handler, heartbeats, settings.tick_s)
    signals = HeartbeatSignals(heartbeats.beats, platform.bus, SERVICE, settings.heartbeats_every_s)
    hears = await exchange(
        platform, app, store, dict.fromkeys(FACTS, handler.take), on_parked=ParkedRequests(handler)
    )
    tasks: tuple[Task, ...] = (*hears, reaper.run, signals.run, partial(bell.follow, store))
    yield Service(SERVICE, app, tasks, front=front)


def limits_of(settings: OrchestratorSettings) -> Limits:
    """The limits that can be set."""
    return Limits(
        grace_s=settings.grace_s,
        infrastructure_retries=settings.infrastructure_retries,
        machines_are_free=settings.machines_are_free,
    )


def terms_of(settings: OrchestratorSettings) -> Terms:
    """What all work orders have in common."""
    return Terms(
        attempts_url=f"{settings.public_url.rstrip('/')}/worker/v1/attempts",
        blobs_url=settings.blobs_url,
        grace_s=settings.grace_s,
        token_ttl_s=settings.token_ttl_s,
        machine_idle_s=settings.machine_idle_s,
        checkpoint_every_s=settings.checkpoint_every_s,
        registry=_registry(settings),
    )


def _registry(settings: OrchestratorSettings) -> RegistryAccess | None:
    if settings.registry_url is None:
        return None
    password = settings.registry_password
    return RegistryAccess(
        settings.registry_url.rstrip("/"),
        settings.registry_username,
        None if password is None else password.get_secret_value(),
    )
