"""The event bus beside the least that would do: bare NOTIFY and SKIP LOCKED; Google's own client."""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
from google.pubsub_v1.types import PubsubMessage

from bench.homes import folder
from bench.measure import Aim, Table, divide, median, number, percentile, spread
from cynthus.bus.ports import Delivery, EventBus, Undecodable
from cynthus.bus.postgres import open_postgres_bus
from cynthus.bus.pubsub import open_pubsub
from cynthus.bus.pubsub.clients import Clients, open_clients
from cynthus.embedded.postgres import PostgresServer
from cynthus.events import AttemptStarted, Envelope, new_id
from cynthus.events.codec import to_attributes, to_data, to_json
from cynthus.store.database import open_database
from tests.fixtures.needs import pubsub_emulator_jar
from tests.fixtures.pubsub import Emulator

ROUNDS = 11
ONE_BY_ONE = 100
BURST = 2_000
PULLED = 2_000
WAKE_AIM = 1.5
PUBSUB_AIM = 1.15

BARE_TABLE = """
CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, subscriber text NOT NULL,
                   claimed boolean NOT NULL DEFAULT false, data bytea NOT NULL);
CREATE INDEX ON bare (subscriber, id) WHERE NOT claimed"""
BARE_PUBLISH = """
WITH added AS (INSERT INTO bare (subscriber, data) SELECT 'a', unnest($1::bytea[]) RETURNING id)
SELECT pg_notify('bare', '') FROM (SELECT count(*) FROM added) AS counted"""
BARE_CLAIM = """
UPDATE bare SET claimed = true
WHERE id IN (SELECT id FROM bare WHERE subscriber = 'a' AND NOT claimed
             ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, data"""
BARE_DELETE = "DELETE FROM bare WHERE id = ANY($1)"

Publish = Callable[[int], Awaitable[None]]
Sample = TypeVar("Sample")
Side = tuple[Publish, "Arrivals"]
_numbers = itertools.count(1)


class Arrivals:
    """Counts what came."""

    def __init__(self) -> None:
        self.count = 0
        self._came = asyncio.Event()

    def add(self, number: int = 1) -> None:
        self.count += number
        self._came.set()

    async def handle(self, arrival: Delivery | Undecodable) -> None:
        assert isinstance(arrival, Delivery)
        self.add()

    async def reach(self, count: int) -> None:
        while self.count < count:
            self._came.clear()
            await asyncio.wait_for(self._came.wait(), 30)


async def run() -> list[Table]:
    """Every table; never one broker against another."""
    tables = []
    with folder() as home:
        server = PostgresServer(home)
        await asyncio.to_thread(server.start)
        try:
            async with (
                bare_queue(server.url) as bare,
                postgres_bus(server.url) as ours,
                postgres_bus_of_one_process(server.url) as near,
            ):
                sides = {"bare": bare, "ours": ours, "near": near}
                tables.append(await wake("PostgreSQL bus", sides))
                tables.append(await burst("PostgreSQL bus", sides))
        finally:
            await asyncio.to_thread(server.stop)
    jar = pubsub_emulator_jar()
    if jar is not None:
        tables += await pubsub(Emulator(jar))
    return tables


async def wake(title: str, sides: Mapping[str, Side]) -> Table:
    """One message at a time: from before it is published until a handler has it."""
    samples = await _alternate({name: partial(_one_by_one, side) for name, side in sides.items()})
    table = Table(f"{title}: publish to handler, one at a time (ms)", ["", "p50", "p99"])
    table.raw = dict(samples)
    found = {}
    for name, rounds in samples.items():
        p50, p99 = ([percentile(latencies, percent) or 0.0 for latencies in rounds] for percent in (50, 99))
        found[name] = median(p50), median(p99)
        table.rows.append([_NAMES[name], spread(p50, 1e3), spread(p99, 1e3)])
    for at, percent in enumerate(("p50", "p99")):
        value = divide(found["ours"][at], found["bare"][at])
        table.aims.append(Aim(f"{percent}, of the bare one", value, at_most=WAKE_AIM))
    return table


async def burst(title: str, sides: Mapping[str, Side]) -> Table:
    """Many published at once: seconds until the last was handled."""
    samples = await _alternate({name: partial(_burst, side, BURST) for name, side in sides.items()})
    table = Table(f"{title}: {BURST:,} messages, published in hundreds (messages per second)", ["", "rate"])
    table.raw = dict(samples)
    for name, seconds in samples.items():
        table.rows.append([_NAMES[name], spread([BURST / each for each in seconds])])
    table.notes.append(f"ratio of times: {number(divide(median(samples['ours']), median(samples['bare'])))}")
    return table


async def pubsub(emulator: Emulator) -> list[Table]:
    """The adapter beside Google's asynchronous client, on one emulator."""
    await asyncio.to_thread(emulator.start)
    try:
        async with bare_client(emulator.address) as bare, pubsub_bus(emulator.address) as ours:
            samples = await _alternate(
                {"bare": partial(_burst, bare, PULLED), "ours": partial(_burst, ours, PULLED)}
            )
            waits = await _alternate({"bare": partial(_waits, bare), "ours": partial(_waits, ours)})
    finally:
        emulator.kill()
    many = Table(
        f"Pub/Sub adapter at the emulator: {PULLED:,} messages published, pulled, acknowledged (seconds)",
        ["", "time"],
        [[_NAMES[name], spread(seconds)] for name, seconds in samples.items()],
        raw=dict(samples),
    )
    value = divide(median(samples["ours"]), median(samples["bare"]))
    many.aims.append(Aim("time, of Google's client's", value, at_most=PUBSUB_AIM))
    one = Table(
        "Pub/Sub adapter at the emulator: publish to handler, one at a time (ms)",
        ["", "mean"],
        [[_NAMES[name], spread(seconds, 1e3)] for name, seconds in waits.items()],
        raw=dict(waits),
    )
    value = divide(median(waits["ours"]), median(waits["bare"]))
    one.aims.append(Aim("time, of Google's client's", value, at_most=PUBSUB_AIM))
    one.notes.append("the emulator looks at waiting pulls every 50 ms, whoever waits")
    return [many, one]


@asynccontextmanager
async def bare_queue(url: str) -> AsyncIterator[Side]:
    """NOTIFY, then UPDATE ... SKIP LOCKED, then DELETE: a connection each to publish, hear and claim."""
    arrivals, woken = Arrivals(), asyncio.Event()
    async with AsyncExitStack() as stack:
        connections = [await asyncpg.connect(url) for _ in range(4)]
        for connection in connections:
            stack.push_async_callback(connection.close)
        publisher, listener, claimer, deleter = connections
        await claimer.execute(BARE_TABLE)
        for connection in (claimer, deleter):  # as ours: only publishing waits for the disk
            await connection.execute("SET synchronous_commit = off")
        await listener.add_listener("bare", lambda *_: woken.set())

        async def publish(number: int) -> None:
            await publisher.fetch(BARE_PUBLISH, [to_json(_fact()) for _ in range(number)])

        async def claim() -> None:
            while True:
                woken.clear()
                while rows := await claimer.fetch(BARE_CLAIM, 16):
                    arrivals.add(len(rows))
                    await deletes.put([row["id"] for row in rows])
                await woken.wait()

        async def delete() -> None:
            while True:
                await deleter.execute(BARE_DELETE, await deletes.get())

        deletes: asyncio.Queue[list[int]] = asyncio.Queue()
        await _running(stack, claim(), delete())
        yield publish, arrivals


@asynccontextmanager
async def postgres_bus(url: str) -> AsyncIterator[Side]:
    """Publisher and subscriber on databases of their own, as two processes have them."""
    async with (
        open_database(url) as theirs,
        open_database(url) as mine,
        open_postgres_bus(theirs) as publisher,
        open_postgres_bus(mine) as subscriber,
        _subscribed(publisher, subscriber) as side,
    ):
        yield side


@asynccontextmanager
async def postgres_bus_of_one_process(url: str) -> AsyncIterator[Side]:
    """Publisher and subscriber on one bus, as the embedded platform has them; in a database of its own."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE DATABASE near")
    await connection.close()
    async with (
        open_database(urlsplit(url)._replace(path="/near").geturl()) as database,
        open_postgres_bus(database) as bus,
        _subscribed(bus, bus) as side,
    ):
        yield side


@asynccontextmanager
async def pubsub_bus(emulator: str) -> AsyncIterator[Side]:
    async with (
        open_pubsub("ours", emulator=emulator) as publisher,
        open_pubsub("ours", emulator=emulator) as subscriber,
        _subscribed(publisher, subscriber, concurrency=100) as side,
    ):
        yield side


@asynccontextmanager
async def bare_client(emulator: str) -> AsyncIterator[Side]:
    """The same requests, written straight down."""
    arrivals = Arrivals()
    topic, subscription = "projects/bare/topics/facts", "projects/bare/subscriptions/facts"
    async with (
        open_clients(emulator) as theirs,
        open_clients(emulator) as mine,
        AsyncExitStack() as stack,
    ):
        await theirs.publisher.create_topic(name=topic)
        await mine.subscriber.create_subscription(name=subscription, topic=topic)

        async def publish(number: int) -> None:
            facts = [_fact() for _ in range(number)]
            messages = [PubsubMessage(data=to_data(fact), attributes=to_attributes(fact)) for fact in facts]
            await theirs.publisher.publish(topic=topic, messages=messages)

        await _running(stack, _pull(mine, subscription, arrivals))
        yield publish, arrivals


async def _pull(clients: Clients, subscription: str, arrivals: Arrivals) -> None:
    waiting: asyncio.Queue[list[str]] = asyncio.Queue()

    async def acknowledge() -> None:
        while True:
            ids = await waiting.get()
            await clients.subscriber.acknowledge(subscription=subscription, ack_ids=ids)

    acknowledging = asyncio.create_task(acknowledge())
    try:
        while True:
            response = await clients.subscriber.pull(subscription=subscription, max_messages=100, timeout=10)
            received = response.received_messages
            for message in received:
                assert dict(message.message.attributes)
                assert message.message.data
            arrivals.add(len(received))
            if received:
                await waiting.put([message.ack_id for message in received])
    finally:
        acknowledging.cancel()


@asynccontextmanager
async def _subscribed(
    publisher: EventBus, subscriber: EventBus, *, concurrency: int = 16
) -> AsyncIterator[Side]:
    arrivals = Arrivals()

    async def publish(number: int) -> None:
        await publisher.publish([_fact() for _ in range(number)])

    async with subscriber.subscribe("a", [AttemptStarted], arrivals.handle, concurrency=concurrency):
        yield publish, arrivals


async def _running(stack: AsyncExitStack, *loops: Awaitable[None]) -> None:
    for loop in loops:
        task = asyncio.ensure_future(loop)
        stack.callback(task.cancel)


async def _one_by_one(side: Side) -> list[float]:
    publish, arrivals = side
    seconds = []
    for _ in range(ONE_BY_ONE):
        wanted = arrivals.count + 1
        started = time.perf_counter()
        await publish(1)
        await arrivals.reach(wanted)
        seconds.append(time.perf_counter() - started)
        await asyncio.sleep(0.002)
    return seconds


async def _burst(side: Side, number_of_messages: int) -> float:
    publish, arrivals = side
    wanted = arrivals.count + number_of_messages
    started = time.perf_counter()
    for _ in range(0, number_of_messages, 100):
        await publish(100)
    await arrivals.reach(wanted)
    return time.perf_counter() - started


async def _waits(side: Side) -> float:
    """The mean over one whole tick of the emulator: whatever the phase, both sides get the same."""
    publish, arrivals = side
    seconds = []
    for turn in range(10):
        await asyncio.sleep(0.06 + turn * 0.005)
        wanted = arrivals.count + 1
        started = time.perf_counter()
        await publish(1)
        await arrivals.reach(wanted)
        seconds.append(time.perf_counter() - started)
    return statistics.fmean(seconds)


async def _alternate(sides: Mapping[str, Callable[[], Awaitable[Sample]]]) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    for turn in range(-1, ROUNDS):
        for name, side in sides.items():
            sample = await side()
            if turn >= 0:
                samples[name].append(sample)
    return samples


def _fact() -> Envelope:
    number_of_run = next(_numbers)
    return Envelope(
        id=new_id("evt"),
        source="orchestrator",
        time=datetime.now(UTC),
        event=AttemptStarted(run_id=f"run_{number_of_run}", epoch=1, machine="m-1", pid=4711),
        stream=f"run-run_{number_of_run}",
        sequence=7,
        actor="worker:m-1",
        correlation_id=f"run_{number_of_run}",
        causation_id="evt_01",
    )


_NAMES = {"bare": "bare", "ours": "cynthus", "near": "cynthus, one process"}
