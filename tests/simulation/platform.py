"""What outlives every process of a seed, and the processes of the services: started, killed, stopped."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from cynthus.blobs.memory import MemoryBlobs
from cynthus.builder.adapters.memory_builds import MemoryBuilds
from cynthus.bus.ports import Delivery
from cynthus.events import (
    Event,
)
from cynthus.events.deciders import by_decider
from cynthus.gateway.adapters.memory_submissions import MemorySubmissions
from cynthus.orchestrator.adapters.memory_tables import MemoryTables
from cynthus.orchestrator.domain.limits import Limits
from cynthus.provisioner.adapters.memory_ledger import MemoryLedger
from cynthus.runtime.supervision import supervised
from cynthus.store.catch_up import CatchUp
from cynthus.store.catch_up import Rhythm as Following
from cynthus.store.consumer import Consumer, Handle, OnParked
from cynthus.store.inbox import MemoryInbox
from cynthus.store.memory import MemoryEventStore, MemoryProjection
from cynthus.store.relay import Relay
from tests.simulation.bus import Broker, BusClient
from tests.simulation.database import CheckpointClient, Database, History, Remote, StoreClient
from tests.simulation.loop import Process
from tests.simulation.network import Network, RemoteFeed, Server
from tests.simulation.provider import Provider
from tests.simulation.storage import FaultyBlobs
from tests.simulation.world import BEGINNING, World, inside

LEASE_S = 30.0
BEAT_S = 4.0
IDLE_S = 8.0
GRACE_S = 5.0
TICK_S = 4.0
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


Opener = Callable[["Platform", str], Awaitable[Incarnation]]


class Platform:
    """What outlives every process: database, broker, object store, provider; and the services' addresses."""

    def __init__(self, world: World, openers: Mapping[str, Opener], *, slots: int, lag_s: float) -> None:
        self.world = world
        self._openers = openers
        self.network = Network(world)
        self.database = Database(world)
        self.broker = Broker(world)
        self.blobs = FaultyBlobs(world, MemoryBlobs())
        self.provider = Provider(world, lag_s=lag_s, quota=slots + 2)
        self.slots = slots
        self.tables = MemoryTables(LIMITS, LEASE_S, world.true_time)
        self.ledger = MemoryLedger(world.true_time, memory=timedelta(seconds=10))
        self.provider.intended = lambda name: name in self.ledger.rows
        self.builds = MemoryBuilds(world.true_time)
        self.submissions = MemorySubmissions()
        self.histories = {
            "gateway": self._history("gateway", [self.submissions]),
            "builder": self._history("builder", [self.builds]),
            "datasets": self._history("datasets", []),
            "orchestrator": self._history("orchestrator", [self.tables]),
            "provisioner": self._history("provisioner", [self.ledger]),
        }
        self.servers: dict[str, Server] = {}
        self.skew: dict[str, float] = {}
        self.healed_at = 0.0
        self._lives: dict[str, asyncio.Task[None]] = {}
        self.programs: list[Any] = []
        self.promises: Any = None
        self.hears: dict[str, dict[str, Sequence[type[Event]]]] = {}
        self.handled: dict[tuple[str, str], float] = {}
        self.on_handled: Callable[[str, Event], None] = lambda *_: None
        self.workers: dict[Process, Any] = {}

    @property
    def addresses(self) -> list[str]:
        """All replicas of all services."""
        return list(self.servers)

    def server(self, service: str) -> Server:
        """One of its replicas, whether it is up or not."""
        replicas = [server for server in self.servers.values() if server.service == service]
        return replicas[0] if len(replicas) == 1 else self.world.chance.choice(replicas)

    def start(self, name: str) -> None:
        """A new process of a service; a replica's name is the service's with something added."""
        process = Process(name)
        server = self.servers.setdefault(name, Server(name))
        self.skew.setdefault(name, 0.0)
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
        try:
            incarnation = await self._openers[server.service](self, name)
        except Exception as error:
            self.world.wrong("services start", repr(error))
            raise
        server.served, server.store = incarnation.served, incarnation.store
        async with supervised(incarnation.tasks, service=name):
            await asyncio.get_running_loop().create_future()


async def exchange(
    platform: Platform,
    address: str,
    store: StoreClient,
    handlers: Mapping[type[Event], Handle],
    *,
    on_parked: OnParked | None = None,
) -> Sequence[Callable[[], Awaitable[None]]]:
    """The same as `cynthus.runtime.exchange`, with models."""
    name, bus = store.source, BusClient(platform.broker)
    history = platform.histories[name]
    inbox = Remote(platform.database, history.store.inbox)
    noted = {kind: _noted(platform, name, handle) for kind, handle in handlers.items()}
    consumer = Consumer(name, inbox, bus, noted, on_parked=on_parked)
    relay = Relay(store, bus, CheckpointClient(history))
    peers = platform.hears[name] = by_decider(handlers)
    follow = [
        CatchUp(
            consumer,
            inbox,
            RemoteFeed(platform.network, address, partial(platform.server, peer), wanted),
            CheckpointClient(history, f"facts:{peer}"),
            peer=peer,
            rhythm=Following(10.0, 3.0),
        ).run
        for peer, wanted in peers.items()
    ]
    await bus.ensure(name, tuple(handlers))
    return relay.run, consumer.run, *follow


def _noted(platform: Platform, name: str, handle: Handle) -> Handle:
    """The same, noting in truth what it came to an end with: not everything leaves a trace in a table."""

    async def noted(delivery: Delivery) -> None:
        await handle(delivery)
        platform.handled.setdefault((name, delivery.envelope.id), platform.world.now)
        platform.on_handled(name, delivery.envelope.event)

    return noted
