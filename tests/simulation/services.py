"""The services as they are wired in production, with models behind their ports; any may be killed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from cynthus.blobs.memory import MemoryBlobs
from cynthus.builder.adapters.memory_builds import MemoryBuilds
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
from cynthus.events.deciders import by_decider
from cynthus.gateway.adapters.memory_submissions import MemorySubmissions
from cynthus.gateway.domain.names import Words
from cynthus.gateway.handlers.acknowledgements import Acknowledgements
from cynthus.gateway.handlers.runs import RunHandler as GatewayRuns
from cynthus.gateway.handlers.submit import SubmitHandler
from cynthus.orchestrator.adapters.bell import ProcessBell
from cynthus.orchestrator.adapters.memory_leases import MemoryLeases
from cynthus.orchestrator.adapters.memory_logs import MemoryLogIndex
from cynthus.orchestrator.adapters.memory_runs import MemoryRuns
from cynthus.orchestrator.adapters.memory_tables import MemoryTables
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.rhythm import Rhythm
from cynthus.orchestrator.handlers.attempts import Attempts
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.orchestrator.handlers.logs import Logs
from cynthus.orchestrator.handlers.orders import Orders, Terms
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.runs import FACTS, RunHandler
from cynthus.orchestrator.reaper import Reaper
from cynthus.provisioner.adapters.memory_ledger import MemoryLedger
from cynthus.provisioner.adapters.paced_machines import PacedMachines
from cynthus.provisioner.domain import pool
from cynthus.provisioner.handlers import DemandHandler
from cynthus.provisioner.ports import MachineSpec
from cynthus.provisioner.reconciler import Reconciler
from cynthus.runtime.supervision import supervised
from cynthus.store.catch_up import CatchUp
from cynthus.store.catch_up import Rhythm as Following
from cynthus.store.consumer import Consumer, Handle
from cynthus.store.inbox import MemoryInbox
from cynthus.store.memory import MemoryEventStore, MemoryProjection
from cynthus.store.relay import Relay
from tests.simulation.bus import Broker, BusClient
from tests.simulation.database import CheckpointClient, Database, History, Remote, StoreClient
from tests.simulation.loop import Process
from tests.simulation.network import Network, RemoteFeed, Server
from tests.simulation.provider import Provider, ProviderClient
from tests.simulation.storage import FaultyBlobs, NoSecrets
from tests.simulation.world import BEGINNING, World, inside

LEASE_S = 30.0
BEAT_S = 4.0
IDLE_S = 8.0
GRACE_S = 5.0
TICK_S = 3.0
LIMITS = Limits(
    building_s=300.0,
    provisioning_s=120.0,
    delayed_s=900.0,
    starting_s=60.0,
    stopping_s=30.0,
    uploading_s=120.0,
    timeout_slack_s=30.0,
    grace_s=GRACE_S,
)
SERVICES = ("gateway", "builder", "datasets", "orchestrator", "provisioner")


@dataclass(frozen=True, slots=True)
class Incarnation:
    """What one life of a service offers to callers, and the tasks it runs."""

    served: Any
    store: StoreClient
    tasks: Sequence[Callable[[], Awaitable[None]]]


class Platform:
    """What outlives every process: database, broker, object store, provider; and the services' addresses."""

    def __init__(self, world: World, *, slots: int, lag_s: float) -> None:
        self.world = world
        self.network = Network(world)
        self.database = Database(world)
        self.broker = Broker(world)
        self.blobs = FaultyBlobs(world, MemoryBlobs())
        self.provider = Provider(world, lag_s=lag_s, quota=slots + 2)
        self.slots = slots
        self.tables = MemoryTables(LIMITS, LEASE_S, world.true_time)
        self.ledger = MemoryLedger(world.true_time, memory=timedelta(seconds=10))
        self.builds = MemoryBuilds(world.true_time)
        self.submissions = MemorySubmissions()
        self.histories = {
            "gateway": self._history("gateway", [self.submissions]),
            "builder": self._history("builder", [self.builds]),
            "datasets": self._history("datasets", []),
            "orchestrator": self._history("orchestrator", [self.tables]),
            "provisioner": self._history("provisioner", [self.ledger]),
        }
        self.servers = {name: Server(name) for name in SERVICES}
        self.skew = dict.fromkeys(SERVICES, 0.0)
        self._lives: dict[str, asyncio.Task[None]] = {}
        self.programs: list[Any] = []
        self.workers: dict[Process, Any] = {}

    def start(self, name: str) -> None:
        """A new process of a service."""
        process = Process(name)
        server = self.servers[name]
        server.process, server.served, server.store = process, None, None
        self.world.trace("start", name)
        self._lives[name] = self.world.loop.create_task(
            self._live(name, server, process), context=inside(process)
        )

    def kill(self, name: str) -> None:
        """SIGKILL: nothing of it goes on, nothing is cleaned up."""
        server = self.servers[name]
        if server.process is not None:
            server.process.kill(self.world.now)
            server.served = server.store = None
            server.reset()
            self.world.trace("kill", name)

    async def stop(self, name: str) -> None:
        """SIGTERM: what is in hand is ended, then the process."""
        server = self.servers[name]
        process, task = server.process, self._lives.pop(name, None)
        if process is None or process.dead or task is None:
            return
        server.served = server.store = None
        self.world.trace("stop", name)
        task.cancel()
        await asyncio.wait([task], timeout=5.0)
        self.kill(name)

    def ledger_busy(self) -> list[str]:
        """Machines the provisioner still believes in."""
        return [f"{row.name} {row.stage}" for row in self.ledger.rows.values() if row.stage != "gone"]

    def clock(self, name: str) -> Callable[[], datetime]:
        """A service's own idea of the time."""
        return lambda: BEGINNING + timedelta(seconds=self.world.now + self.skew[name])

    def _history(self, name: str, projections: Sequence[MemoryProjection]) -> History:
        store = MemoryEventStore(
            source=name,
            inbox=MemoryInbox(self.world.true_time),
            projections=projections,
            clock=self.world.true_time,
        )
        return History(self.database, store)

    async def _live(self, name: str, server: Server, process: Process) -> None:
        incarnation = await OPENERS[name](self, name)
        server.served, server.store = incarnation.served, incarnation.store
        async with supervised(incarnation.tasks, service=name):
            await asyncio.get_running_loop().create_future()


async def _exchange(
    platform: Platform, name: str, store: StoreClient, handlers: Mapping[type[Event], Handle]
) -> Sequence[Callable[[], Awaitable[None]]]:
    """The same as `cynthus.runtime.exchange`, with models."""
    bus = BusClient(platform.broker)
    history = platform.histories[name]
    inbox = Remote(platform.database, history.store.inbox)
    consumer = Consumer(name, inbox, bus, handlers)
    relay = Relay(store, bus, CheckpointClient(history))
    follow = [
        CatchUp(
            consumer,
            inbox,
            RemoteFeed(platform.network, name, platform.servers[peer], wanted),
            CheckpointClient(history, f"facts:{peer}"),
            peer=peer,
            rhythm=Following(15.0, 3.0),
        ).run
        for peer, wanted in by_decider(handlers).items()
    ]
    await bus.ensure(name, tuple(handlers))
    return relay.run, consumer.run, *follow


async def _gateway(platform: Platform, name: str) -> Incarnation:
    store = StoreClient(platform.histories[name])
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
    tasks = await _exchange(platform, name, store, {RunQueued: runs.queued})
    return Incarnation(Gateway(submit, runs), store, tasks)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What clients call."""

    submit: SubmitHandler
    runs: GatewayRuns


async def _builder(platform: Platform, name: str) -> Incarnation:
    store = StoreClient(platform.histories[name])
    builds = Remote(platform.database, platform.builds)
    nudged = asyncio.Event()
    handler = BuildHandler(store, builds, default_python="3.11", started=nudged.set)
    pace = Pace(lease=timedelta(seconds=10), poll_s=5.0, limit_s=60.0, first_delay_s=1.0, most_delay_s=8.0)
    work = partial(_build, platform, builds)
    workshop = Workshop(builds, work, handler.finished, nudged, concurrency=3, pace=pace)
    ended = dict.fromkeys((RunSucceeded, RunFailed, RunCancelled), handler.ended)
    tasks = await _exchange(platform, name, store, {RunRequested: handler.requested, **ended})
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


async def _datasets(platform: Platform, name: str) -> Incarnation:
    store = StoreClient(platform.histories[name])
    handler = DatasetHandler(store, Remote(platform.database, _Pins()))
    tasks = await _exchange(platform, name, store, {RunRequested: handler.requested})
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


async def _orchestrator(platform: Platform, name: str) -> Incarnation:
    store = StoreClient(platform.histories[name])
    recent, bell = RecentRuns(), ProcessBell()
    database, tables = platform.database, platform.tables
    handler = RunHandler(store, recent, bell, LIMITS, clock=platform.clock(name))
    runs = Remote(database, MemoryRuns(tables))
    index = Remote(database, MemoryLogIndex(tables))
    leases = Remote(database, MemoryLeases(tables))
    logs = Logs(index, platform.blobs, bell)
    rhythm = Rhythm(BEAT_S, LEASE_S)
    heartbeats = Heartbeats(leases, rhythm, jitter=platform.world.chance.random)
    attempts = Attempts(handler, heartbeats, index, platform.blobs)
    terms = Terms("attempts", "blobs", GRACE_S, 86400.0, 60.0)
    orders = Orders(
        runs, leases, bell, NoSecrets(), _Tokens(), rhythm, terms, monotonic=platform.world.loop.time
    )
    reaper = Reaper(runs, leases, handler, heartbeats, TICK_S)
    hears = await _exchange(platform, name, store, dict.fromkeys(FACTS, handler.take))
    return Incarnation(
        Orchestrator(attempts, orders, logs), store, (*hears, reaper.run, partial(bell.follow, store))
    )


async def _provisioner(platform: Platform, name: str) -> Incarnation:
    store = StoreClient(platform.histories[name])
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
    tasks = await _exchange(platform, name, store, heard)
    return Incarnation(reconciler, store, (*tasks, reconciler.run))


OPENERS: dict[str, Callable[[Platform, str], Awaitable[Incarnation]]] = {
    "gateway": _gateway,
    "builder": _builder,
    "datasets": _datasets,
    "orchestrator": _orchestrator,
    "provisioner": _provisioner,
}
