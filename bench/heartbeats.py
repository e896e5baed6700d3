"""Heartbeats: what one costs the orchestrator and PostgreSQL with thousands of connections open.

The orchestrator is pinned to the first core, the load to the last. Beside it a service as one would write
it first: FastAPI, a model, one upsert for each beat. Every beat is in the database before it is answered.
"""

import asyncio
import json
import os
import resource
import secrets
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import asyncpg
import psutil

from bench import homes, processes
from bench.client import wait_until_answers
from bench.measure import Aim, Table, divide, number, percentile
from cynthus.embedded.postgres import EmbeddedPostgres
from cynthus.events import new_id
from cynthus.web.tokens import AttemptClaims, WorkerTokens

CONNECTIONS = 10_000
SECONDS = 20.0
RATE = 10_000
NAIVE_RATE = 2_000

LEASES = """
INSERT INTO orchestrator.leases (run_id, epoch, machine, expires_at)
SELECT unnest($1::text[]), 1, 'bench', now() + interval '1 hour'
"""
RECENT = "SELECT count(*) FROM orchestrator.leases WHERE renewed_at > now() - interval '5 minutes'"


def run():
    connections = int(os.environ.get("BENCH_CONNECTIONS", CONNECTIONS))
    rate = float(os.environ.get("BENCH_RATE", RATE))
    seconds = float(os.environ.get("BENCH_SECONDS", SECONDS))
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    with ExitStack() as stack:
        folder = stack.enter_context(homes.folder())
        server = EmbeddedPostgres(folder / "postgres")
        asyncio.run(server.start())
        stack.callback(lambda: asyncio.run(server.stop()))
        key, naive_url = secrets.token_hex(32), server.url
        with _orchestrator(folder, server.url, key) as ours:
            beats = asyncio.run(_prepare(server.url, key, connections))
            durable = _measure(ours, beats, rate, seconds)
            durable["rows"] = asyncio.run(_recent(server.url))
        with _naive(folder, naive_url) as theirs:
            naive = _measure(theirs, beats, NAIVE_RATE, seconds)
        return [_table(durable, naive, connections, rate)]


@contextmanager
def _orchestrator(folder, database_url, key):
    port = homes.free_port()
    settings = {
        "CYNTHUS_ENVIRONMENT": "embedded",
        "CYNTHUS_DATABASE_URL": database_url,
        "CYNTHUS_BUS": "postgres",
        "CYNTHUS_BLOBS_FOLDER": str(folder / "blobs"),
        "CYNTHUS_SECRETS_FOLDER": str(folder / "secrets"),
        "CYNTHUS_SECRETS_KEY": secrets.token_hex(32),
        "CYNTHUS_WORKER_KEY": key,
        "CYNTHUS_INTERNAL_TOKEN": secrets.token_hex(32),
        "CYNTHUS_ORCHESTRATOR_PORT": str(port),
        "CYNTHUS_ORCHESTRATOR_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "CYNTHUS_ORCHESTRATOR_BLOBS_URL": f"http://127.0.0.1:{port}/v1",
    }
    with _served(folder, port, ["-m", "cynthus.orchestrator"], settings, "/health/ready") as process:
        yield process, port


@contextmanager
def _naive(folder, database_url):
    port = homes.free_port()
    command = ["-m", "bench.heartbeats", str(port), database_url]
    with _served(folder, port, command, {}, "/health/ready") as process:
        yield process, port


@contextmanager
def _served(folder, port, command, settings, path):
    environment = {**os.environ, **settings, processes.MARK: str(folder)}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, *command], env=environment, stdout=log, stderr=log)
    try:
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        wait_until_answers(f"http://127.0.0.1:{port}", path, process)
        for thread in psutil.Process(process.pid).threads():
            os.sched_setaffinity(thread.id, {min(os.sched_getaffinity(0))})
        yield process
    finally:
        process.terminate()
        process.wait(20)


async def _prepare(url, key, count):
    tokens, runs = WorkerTokens(key), [new_id("run") for _ in range(count)]
    connection = await asyncpg.connect(url)
    await connection.execute(LEASES, runs)
    await connection.execute("VACUUM ANALYZE orchestrator.leases")
    await connection.close()
    return [
        f"/worker/v1/attempts/{run}/1/heartbeat\t"
        + tokens.attempt(AttemptClaims(run, 1, "local", "bench"), ttl_s=3600)
        for run in runs
    ]


async def _recent(url):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(RECENT)
    finally:
        await connection.close()


def _measure(served, beats, rate, seconds):
    process, port = served
    last = max(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "bench.beating", "127.0.0.1", str(port), str(len(beats))]
    load = subprocess.Popen(
        [*command, str(rate), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {last}),  # noqa: PLW1509 - nothing else runs in between
    )
    threading.Thread(target=_feed, args=(load, beats), daemon=True).start()
    assert load.stdout.readline() == "begin\n", "the load did not begin"
    before = _used(process)
    tally = json.loads(load.stdout.readline())
    load.wait(10)
    after = _used(process)
    done = max(1, tally["ok"])
    return tally | {
        "server_us": (after[0] - before[0]) / done * 1e6,
        "postgres_us": (after[1] - before[1]) / done * 1e6,
        "per_second": tally["ok"] / tally["seconds"],
        "p50": percentile(tally["lags"], 50),
        "p99": percentile(tally["lags"], 99),
        "most": percentile(tally["lags"], 100),
        "rss_mib": psutil.Process(process.pid).memory_info().rss / 2**20,
    }


def _feed(load, beats):
    load.stdin.write("\n".join(beats))
    load.stdin.close()


def _used(process):
    """CPU seconds of the server, and of every PostgreSQL process of ours."""
    postgres = [found for found in psutil.process_iter(["name"]) if found.info["name"] == "postgres"]
    return processes.cpu_seconds([psutil.Process(process.pid)]), processes.cpu_seconds(
        postgres, children=True
    )


def _table(ours, naive, connections, rate):
    columns = ["", "asked /s", "answered /s", "server us", "PostgreSQL us", "lag p50, p99, most (ms)", "late"]
    table = Table(f"Heartbeats: {connections:,} connections open, one core", columns)
    for name, asked, found in (("cynthus", rate, ours), ("FastAPI, an upsert each", NAIVE_RATE, naive)):
        lags = ", ".join(number(1000 * (found[key] or 0)) for key in ("p50", "p99", "most"))
        cells = [number(found[key]) for key in ("per_second", "server_us", "postgres_us")]
        table.rows.append([name, number(asked), *cells, lags, found["late"]])
    table.aims = [
        Aim("answered beats per second", ours["per_second"], at_least=rate * 0.99, is_ratio=False),
        Aim("longest lag in seconds", ours["most"], at_most=2.0, is_ratio=False),
        Aim("of the leases renewed", ours["rows"] / connections, at_least=1.0, is_ratio=False),
        Aim("cheaper than an upsert each", divide(naive["server_us"], ours["server_us"]), at_least=8),
    ]
    table.notes = [
        f"server's memory {number(ours['rss_mib'])} MiB; refused {ours['refused']}, cut {ours['cut']}"
    ]
    table.raw = {
        name: {key: value for key, value in found.items() if key != "lags"}
        for name, found in (("cynthus", ours), ("naive", naive))
    }
    return table


def application(url):
    """What one would write first."""
    from contextlib import asynccontextmanager

    from fastapi import FastAPI
    from pydantic import BaseModel

    upsert = """INSERT INTO naive_beats VALUES ($1, $2, now(), $3, $4) ON CONFLICT (run_id, epoch)
        DO UPDATE SET at = now(), cpu_seconds = excluded.cpu_seconds, memory_bytes = excluded.memory_bytes"""
    table = """CREATE TABLE IF NOT EXISTS naive_beats (run_id text, epoch int, at timestamptz,
        cpu_seconds float8, memory_bytes int8, PRIMARY KEY (run_id, epoch))"""

    class Usage(BaseModel):
        cpu_seconds: float
        memory_bytes: int

    @asynccontextmanager
    async def lifespan(app):
        async with asyncpg.create_pool(url, min_size=8, max_size=8) as pool:
            app.state.pool = pool
            await pool.execute(table)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/worker/v1/attempts/{run}/{epoch}/heartbeat")
    async def beat(run: str, epoch: int, usage: Usage):
        await app.state.pool.execute(upsert, run, epoch, usage.cpu_seconds, usage.memory_bytes)
        return {"next_beat_s": 1.0, "lease_s": 60.0, "stop": None}

    @app.get("/health/ready")
    async def ready():
        return {}

    return app


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        application(sys.argv[2]),
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        timeout_keep_alive=75,
    )
