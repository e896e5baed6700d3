"""Appends and their lag, beside bare asyncpg that inserts the same rows."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping

import asyncpg
import uvloop
from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateSchema, CreateTable

from bench.homes import folder
from bench.measure import Aim, Table, divide, median, number, percentile, spread
from cynthus.embedded.postgres import PostgresServer
from cynthus.events import RunQueued, RunSucceeded
from cynthus.store.checkpoint import PostgresCheckpoint
from cynthus.store.database import open_database
from cynthus.store.ports import START, Why
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.relay import Relay
from cynthus.store.tables import add_store_tables

ROUNDS = 11
BATCHES = {1: 300, 100: 12, 1000: 2}
LAGS = 500
AIM = 0.7
WHY = Why(actor="service:bench")

INSERT = """
INSERT INTO bare.events (stream, version, id, type, source, actor, correlation_id, decided, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""

_numbers = itertools.count(1)

Candidate = Callable[[], Awaitable[float]]


def run() -> list[Table]:
    """Every table, on the event loop that the platform uses."""
    return uvloop.run(_run())


async def _run() -> list[Table]:
    with folder() as home:
        server = PostgresServer(home)
        await asyncio.to_thread(server.start)
        try:
            return [await appends(server.url), await lags(server.url)]
        finally:
            await asyncio.to_thread(server.stop)


async def appends(url: str) -> Table:
    """Events per second, at several batch sizes; one writer."""
    table = Table(
        "Event store: appends (events per second, one writer)",
        ["batch", "commit", "asyncpg alone", "cynthus", "ratio"],
    )
    async with open_database(url) as database:
        await _create(database, "bare")
        await _create(database, "bench")
        store = PostgresEventStore(database, schema="bench", source="bench")
        for durable, batch in itertools.product((False, True), BATCHES):
            async with database.connection() as bare:
                commit = "on" if durable else "off"
                await bare.execute(f"ALTER SYSTEM SET synchronous_commit = {commit}")
                await bare.execute("SELECT pg_reload_conf()")
                while await bare.fetchval("SHOW synchronous_commit") != commit:
                    await bare.execute("SELECT pg_sleep(0.01)")
                candidates = {"bare": _bare(bare, batch), "store": _store(store, batch)}
                samples = await _alternate(candidates)
            found = divide(median(samples["store"]), median(samples["bare"]))
            table.rows.append(
                [
                    batch,
                    "durable" if durable else "not waited for",
                    spread(samples["bare"]),
                    spread(samples["store"]),
                    number(found),
                ]
            )
            table.raw[f"{batch} {commit}"] = samples
            what = f"batch {batch}, {'durable' if durable else 'not waited for'}, of asyncpg's rate"
            table.aims.append(Aim(what, found, at_least=AIM))
    table.notes.append("asyncpg alone checks no version, marks no inbox and learns neither position nor time")
    return table


async def lags(url: str) -> Table:
    """From the return of an append until the fact is seen, paced so that readers have gone to sleep."""
    table = Table("Event store: lag after commit (ms)", ["seen by", "p50", "p99", "most"])
    async with open_database(url) as database, open_database(url) as other:
        here = PostgresEventStore(database, schema="bench", source="bench")
        there = PostgresEventStore(other, schema="bench", source="bench")
        samples = {
            "a relay in this process, at bus.publish": await _relay_lag(here, database),
            "a tail in this process": await _tail_lag(here, here),
            "a tail elsewhere, through NOTIFY": await _tail_lag(here, there),
        }
    for name, lag in samples.items():
        table.rows.append(
            [name, *(number(value * 1000) for value in (percentile(lag, 50), percentile(lag, 99), max(lag)))]
        )
    table.raw = {name: list(lag) for name, lag in samples.items()}
    return table


def _bare(connection: asyncpg.Connection, batch: int) -> Candidate:
    async def candidate() -> float:
        stream = f"run-{next(_numbers)}"
        data = RunSucceeded(run_id=stream, epoch=1).model_dump_json()
        loads = [
            [
                (stream, first + n, f"evt_{stream}_{first + n}", "t", "bench", "a", stream, True, data)
                for n in range(batch)
            ]
            for first in range(1, BATCHES[batch] * batch + 1, batch)
        ]
        await connection.reset_type_codec("jsonb", schema="pg_catalog")
        await connection.execute("SELECT 1 FROM bare.events LIMIT 1")
        start = time.perf_counter()
        for rows in loads:
            if batch == 1:
                await connection.execute(INSERT, *rows[0])
            else:
                await connection.executemany(INSERT, rows)
        return BATCHES[batch] * batch / (time.perf_counter() - start)

    return candidate


def _store(store: PostgresEventStore, batch: int) -> Candidate:
    async def candidate() -> float:
        stream = f"run-{next(_numbers)}"
        events = [RunSucceeded(run_id=stream, epoch=1) for _ in range(batch)]
        start = time.perf_counter()
        for n in range(BATCHES[batch]):
            await store.append(stream, events, expected=n * batch, why=WHY)
        return BATCHES[batch] * batch / (time.perf_counter() - start)

    return candidate


async def _alternate(candidates: Mapping[str, Candidate]) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(-1, ROUNDS):
        for name, candidate in candidates.items():
            sample = await candidate()
            if turn >= 0:
                samples[name].append(sample)
    return samples


class _Published:
    """A bus that notes when it was asked to publish."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.came = asyncio.Event()

    async def publish(self, envelopes) -> None:
        now = time.perf_counter()
        self.at.update((envelope.id, now) for envelope in envelopes)
        self.came.set()

    def on_loss(self, callback) -> None:
        """Never."""


async def _relay_lag(store: PostgresEventStore, database) -> list[float]:
    bus = _Published()
    checkpoint = PostgresCheckpoint(database, schema="bench")
    await checkpoint.save(await _end(store))
    task = asyncio.create_task(Relay(store, bus, checkpoint).run())
    try:
        return [await _one_lag(store, bus) for _ in range(LAGS)]
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _one_lag(store: PostgresEventStore, bus: _Published) -> float:
    bus.came.clear()
    run_id = f"run-{next(_numbers)}"
    [fact] = await store.append(run_id, [RunQueued(run_id=run_id)], expected=0, why=WHY)
    returned = time.perf_counter()
    while fact.envelope.id not in bus.at:
        await bus.came.wait()
        bus.came.clear()
    await asyncio.sleep(0.002)
    return bus.at[fact.envelope.id] - returned


async def _tail_lag(store: PostgresEventStore, seen_by: PostgresEventStore) -> list[float]:
    position = await _end(store)
    lag = []
    async with seen_by.appended() as appended:
        for _ in range(LAGS):
            run_id = f"run-{next(_numbers)}"
            returned = asyncio.get_running_loop().create_future()

            async def write(run_id=run_id, returned=returned) -> None:
                await asyncio.sleep(0.002)
                await store.append(run_id, [RunQueued(run_id=run_id)], expected=0, why=WHY)
                returned.set_result(time.perf_counter())

            writing = asyncio.create_task(write())
            while not (facts := await seen_by.tail(after=position)):
                await appended.wait(5)
            seen = time.perf_counter()
            position = facts[-1].position
            lag.append(max(0.0, seen - await returned))
            await writing
    return lag


async def _end(store: PostgresEventStore):
    position = START
    while facts := await store.tail(after=position, limit=10_000):
        position = facts[-1].position
    return position


async def _create(database, schema: str) -> None:
    metadata = MetaData(schema=schema)
    add_store_tables(metadata)
    clauses = [CreateSchema(schema), *(CreateTable(table) for table in metadata.sorted_tables)]
    dialect = postgresql.dialect()
    async with database.connection() as connection:
        await connection.execute(";".join(str(clause.compile(dialect=dialect)) for clause in clauses))
