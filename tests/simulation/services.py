"""The services as they are wired in production, with models behind their ports."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from cynthus.builder.domain.build import Built, Failed
from cynthus.builder.handlers import BuildHandler
from cynthus.builder.ports import Job
from cynthus.builder.workshop import Pace, Workshop
from cynthus.bus.ports import Delivery
from cynthus.datasets.handlers import DatasetHandler
from cynthus.datasets.ports import Contents
from cynthus.events import (
    AttemptLost,
    AttemptSuspected,
    Cause,
    Event,
    Image,
    MachineReleased,
    MachineRequested,
    RunCancelled,
    RunFailed,
    RunQueued,
    RunRequested,
    RunSucceeded,
)
from cynthus.gateway.domain.names import Words
from cynthus.gateway.handlers.acknowledgements import Acknowledgements
from cynthus.gateway.handlers.runs import RunHandler as GatewayRuns
from cynthus.gateway.handlers.submit import SubmitHandler
from cynthus.orchestrator.adapters.bell import ProcessBell
from cynthus.orchestrator.adapters.memory_logs import MemoryLogIndex
from cynthus.orchestrator.adapters.memory_runs import MemoryRuns
from cynthus.orchestrator.domain.rhythm import Rhythm
from cynthus.orchestrator.handlers.attempts import Attempts
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.orchestrator.handlers.logs import Logs
from cynthus.orchestrator.handlers.orders import Orders, Terms
from cynthus.orchestrator.handlers.parked import ParkedRequests
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.runs import FACTS, RunHandler
from cynthus.orchestrator.reaper import Reaper
from cynthus.provisioner.adapters.paced_machines import PacedMachines
from cynthus.provisioner.domain import pool
from cynthus.provisioner.handlers import DemandHandler
from cynthus.provisioner.ports import MachineSpec
from cynthus.provisioner.reconciler import Reconciler
from cynthus.store.consumer import Handle
from tests.simulation.database import Remote, StoreClient
from tests.simulation.platform import (
    BEAT_S,
    GRACE_S,
    IDLE_S,
    LEASE_S,
    LIMITS,
    TICK_S,
    Incarnation,
    Opener,
    Platform,
    exchange,
)
from tests.simulation.promises import WatchedLeases
from tests.simulation.provider import ProviderClient
from tests.simulation.storage import NoSecrets


async def _gateway(platform: Platform, address: str) -> Incarnation:
    store = StoreClient(platform.histories["gateway"])
    acknowledgements = Acknowledgements()
    submissions = Remote(platform.database, platform.submissions)
    runs = GatewayRuns(store, NoSecrets(), acknowledgements)
    submit = SubmitHandler(
        store,
        submissions,
        NoSecrets(),
        Words(("brave", "calm"), ("otter", "owl")),
        lambda: platform.world.chance.randrange(4),
        acknowledgements=acknowledgements,
    )
    tasks = await exchange(platform, address, store, {RunQueued: runs.queued})
    return Incarnation(Gateway(submit, runs), store, tasks)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What clients call."""

    submit: SubmitHandler
    runs: GatewayRuns


async def _builder(platform: Platform, address: str) -> Incarnation:
    store = StoreClient(platform.histories["builder"])
    builds = Remote(platform.database, platform.builds)
    nudged = asyncio.Event()
    handler = BuildHandler(store, builds, default_python="3.11", started=nudged.set)
    pace = Pace(lease=timedelta(seconds=10), poll_s=5.0, limit_s=60.0, first_delay_s=1.0, most_delay_s=8.0)
    work = partial(_build, platform, builds)
    workshop = Workshop(builds, work, handler.finished, nudged, concurrency=3, pace=pace)
    ended = dict.fromkeys((RunSucceeded, RunFailed, RunCancelled), handler.ended)
    tasks = await exchange(platform, address, store, {RunRequested: handler.requested, **ended})
    return Incarnation(None, store, (*tasks, workshop.run))


async def _build(platform: Platform, builds: Any, job: Job) -> Built | Failed:
    """An instant builder: some builds fail, for good or for now."""
    await asyncio.sleep(3.0 * platform.world.chance.random())
    if job.message.spec.entry == "broken.py":
        return Failed(Cause(code="build_failed", message="it cannot be built"))
    if platform.world.faults.hit("build hiccup"):
        return Failed(Cause(code="registry_unreachable", message="not now"), transient=True)
    image = Image(
        digest=f"sha256:{job.key}", source=job.message.spec.snapshot, lock="", python="3.11", command=("run",)
    )
    built = Built(image, 3)
    await builds.keep(job.key, built)
    return built


class _Pins:
    async def contents(self, owner: str, snapshot: str) -> Contents | None:
        return Contents(1, 10) if snapshot != "missing" else None


async def _datasets(platform: Platform, address: str) -> Incarnation:
    store = StoreClient(platform.histories["datasets"])
    handler = DatasetHandler(store, Remote(platform.database, _Pins()))
    tasks = await exchange(platform, address, store, {RunRequested: handler.requested})
    return Incarnation(None, store, tasks)


class _Tokens:
    def attempt(self, claims: Any, *, ttl_s: float) -> Any:
        """The claims themselves: nobody forges tokens here."""
        return f"{claims.run_id}/{claims.epoch}/{claims.owner}/{claims.machine}"


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """What workers call."""

    attempts: Attempts
    orders: Orders
    logs: Logs


async def _orchestrator(platform: Platform, address: str) -> Incarnation:
    store = StoreClient(platform.histories["orchestrator"])
    recent, bell = RecentRuns(), ProcessBell()
    database, tables = platform.database, platform.tables
    handler = RunHandler(store, recent, bell, LIMITS, clock=platform.clock(address))
    runs = Remote(database, MemoryRuns(tables))
    index = Remote(database, MemoryLogIndex(tables))
    leases = Remote(database, WatchedLeases(platform))
    logs = Logs(index, platform.blobs, bell)
    rhythm = Rhythm(BEAT_S, LEASE_S)
    heartbeats = Heartbeats(leases, rhythm, jitter=platform.world.chance.random)
    attempts = Attempts(handler, heartbeats, index, platform.blobs)
    terms = Terms("attempts", "blobs", GRACE_S, 86400.0, 60.0)
    orders = Orders(
        runs, leases, bell, NoSecrets(), _Tokens(), rhythm, terms, monotonic=platform.world.loop.time
    )
    reaper = Reaper(runs, leases, handler, heartbeats, TICK_S)
    hears = await exchange(
        platform, address, store, dict.fromkeys(FACTS, handler.take), on_parked=ParkedRequests(handler)
    )
    return Incarnation(
        Orchestrator(attempts, orders, logs), store, (*hears, reaper.run, partial(bell.follow, store))
    )


async def _provisioner(platform: Platform, address: str) -> Incarnation:
    store = StoreClient(platform.histories["provisioner"])
    ledger = Remote(platform.database, platform.ledger)
    machines = PacedMachines(ProviderClient(platform.provider), calls_per_s=20.0, timeout_s=15.0)
    limits = pool.Limits(
        slots=platform.slots,
        warm=0,
        idle_ttl=timedelta(seconds=IDLE_S),
        boot_timeout=timedelta(seconds=20),
    )
    reconciler = Reconciler(
        ledger,
        machines,
        lambda: handler,
        lambda machine: MachineSpec(machine, "provisioner", machine),
        limits=limits,
        patience=timedelta(seconds=60),
        interval_s=TICK_S,
    )
    handler = DemandHandler(store, ledger, machines, slots=platform.slots, changed=reconciler.nudge)

    async def suspected(_: Delivery) -> None:
        reconciler.suspect()

    heard: dict[type[Event], Handle] = {
        MachineRequested: handler.requested,
        MachineReleased: handler.released,
        AttemptLost: handler.fenced,
        AttemptSuspected: suspected,
    }
    tasks = await exchange(platform, address, store, heard)
    return Incarnation(reconciler, store, (*tasks, reconciler.run))


OPENERS: dict[str, Opener] = {
    "gateway": _gateway,
    "builder": _builder,
    "datasets": _datasets,
    "orchestrator": _orchestrator,
    "provisioner": _provisioner,
}
