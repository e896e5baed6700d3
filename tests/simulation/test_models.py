"""The models keep the contracts of the real adapters, as long as nothing goes wrong."""

import asyncio
from collections.abc import Callable

import pytest

from cynthus.bus import arrivals
from cynthus.bus.ports import Delivery, EventBus
from cynthus.events import Event, RunQueued
from cynthus.events.codec import STRUCTURED
from cynthus.store.inbox import MemoryInbox
from cynthus.store.memory import MemoryEventStore
from cynthus.store.ports import Why
from cynthus.store.recording import draft
from tests.contracts.event_bus import EventBusContract
from tests.contracts.event_store import EventStoreContract
from tests.contracts.inbox import InboxContract
from tests.contracts.machines import MachinesContract
from tests.contracts.relay import RelayContract
from tests.simulation.bus import Broker, BusClient
from tests.simulation.database import CheckpointClient, Database, History, Remote, StoreClient
from tests.simulation.provider import Provider, ProviderClient
from tests.simulation.world import World


@pytest.fixture
async def world() -> World:
    return World(1, asyncio.get_running_loop())


@pytest.fixture
def inbox(world: World) -> MemoryInbox:
    return MemoryInbox()


@pytest.fixture
def history(world: World, inbox: MemoryInbox) -> History:
    return History(Database(world), MemoryEventStore(source="here", inbox=inbox))


class TestSimulatedStore(EventStoreContract):
    @pytest.fixture
    def store(self, history: History) -> StoreClient:
        return StoreClient(history)


class TestLateCommits(EventStoreContract):
    """Transactions that end in another order than they began lose and double nothing either."""

    @pytest.fixture
    def store(self, world: World, history: History) -> StoreClient:
        world.faults.allow("late commit", 0.5)
        return StoreClient(history)


async def test_an_append_whose_reply_is_lost_is_read_back(world: World, history: History) -> None:
    store, transact = StoreClient(history), history.database.transact

    async def without_reply(*steps):
        world.faults.allow("reply lost", 1.0)
        try:
            return await transact(*steps)
        finally:
            world.faults.allow("reply lost", 0.0)

    history.database.transact = without_reply
    recorded = await store.append("s", [RunQueued(run_id="run_1")], expected=0, why=Why("a"))
    assert world.faults.injected["reply lost"] == 1
    assert await store.read("s") == recorded


async def test_a_fact_that_commits_late_is_not_skipped(world: World, history: History) -> None:
    early, late = StoreClient(history), history.store.begin(1)
    why, event = Why("a"), RunQueued(run_id="run_1")
    await early.append("s", [event], expected=0, why=why)
    assert await early.tail() == []
    history.store.commit(late, "t", draft([event], why, "here"), expected=0, why=why)
    assert [fact.envelope.stream for fact in await early.tail()] == ["t", "s"]


class TestSimulatedRelay(RelayContract):
    @pytest.fixture
    def store(self, history: History) -> StoreClient:
        return StoreClient(history)

    @pytest.fixture
    def checkpoint(self, history: History) -> Callable[[], CheckpointClient]:
        return lambda: CheckpointClient(history)


class TestSimulatedInbox(InboxContract):
    @pytest.fixture
    def inbox(self, history: History) -> Remote:
        return Remote(history.database, MemoryInbox())

    @pytest.fixture
    def history(self, world: World) -> History:
        return History(Database(world), MemoryEventStore(source="here"))


class _Place:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def bus(self) -> EventBus:
        return BusClient(self._broker)

    async def put(self, event: type[Event], data: bytes) -> None:
        arrival = arrivals.read("1", {"content-type": STRUCTURED}, data, 1)
        self._broker.put(event.ce_type(), arrival.envelope if isinstance(arrival, Delivery) else arrival)


class TestSimulatedBus(EventBusContract):
    @pytest.fixture
    def broker(self, world: World) -> _Place:
        return _Place(Broker(world))


@pytest.mark.parametrize("lag_s", [0.0, 5.0])
class TestSimulatedProvider(MachinesContract):
    @pytest.fixture
    def machines(self, world: World, lag_s: float) -> ProviderClient:
        return ProviderClient(Provider(world, lag_s=lag_s, quota=10))
