"""The least that a durable submit can be: FastAPI, one commit of run, event and NOTIFY, a subprocess.

`python -m bench.floor PORT DATABASE_URL` serves it; `serve()` starts that on a PostgreSQL of its own.
"""

import asyncio
import os
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from bench import homes, processes
from bench.client import Client, wait_until_answers
from cynthus.embedded.postgres import EmbeddedPostgres

TABLES = """
CREATE TABLE runs (id text PRIMARY KEY, state text NOT NULL, command text[]);
CREATE TABLE events (position bigserial PRIMARY KEY, run text NOT NULL, kind text NOT NULL, at timestamptz);
"""
ACCEPT = """
WITH run AS (INSERT INTO runs VALUES ($1, 'QUEUED', $2)),
event AS (INSERT INTO events (run, kind, at) VALUES ($1, 'run.requested', now()))
SELECT pg_notify('runs', $1)
"""
FINISH = """
WITH run AS (UPDATE runs SET state = 'SUCCEEDED' WHERE id = $1)
INSERT INTO events (run, kind, at) VALUES ($1, 'run.succeeded', now())
"""


class Floor:
    def __init__(self, url, mark):
        self.url, self.mark = url, mark

    def client(self):
        return Client(self.url)

    def submit(self, client, command=()):
        return client.json("POST", "/runs", {"command": list(command)})["id"]

    def runs(self, client):
        return set(client.json("GET", "/runs"))


@contextmanager
def serve():
    with homes.folder() as folder:
        server = EmbeddedPostgres(folder / "postgres")
        asyncio.run(server.start())
        port = homes.free_port()
        command = [sys.executable, "-m", "bench.floor", str(port), server.url]
        marked = {**os.environ, processes.MARK: str(folder)}
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log, env=marked) as process,
        ):
            try:
                url = f"http://127.0.0.1:{port}"
                wait_until_answers(url, "/runs", process)
                yield Floor(url, str(folder))
            finally:
                process.terminate()
                process.wait(10)
                asyncio.run(server.stop())


def application(database_url):
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Submission(BaseModel):
        command: list[str]

    codes: dict[str, asyncio.Future] = {}

    @asynccontextmanager
    async def lifespan(app):
        async with (
            asyncpg.create_pool(database_url, min_size=8, max_size=8) as pool,
            asyncio.TaskGroup() as group,
        ):
            app.state.pool = pool
            await pool.execute(TABLES)
            listener = await asyncpg.connect(database_url)
            await listener.add_listener("runs", lambda *call: group.create_task(_start(pool, codes, call[3])))
            yield
            await listener.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/runs")
    async def submit(submission: Submission):
        run = str(uuid.uuid4())
        codes[run] = asyncio.get_running_loop().create_future()
        await app.state.pool.execute(ACCEPT, run, submission.command)
        return {"id": run}

    @app.get("/runs")
    async def runs():
        return [row["id"] for row in await app.state.pool.fetch("SELECT id FROM runs")]

    @app.get("/runs/{run}")
    async def finished(run: str):
        return {"code": await codes[run]}

    return app


async def _start(pool, codes, run):
    command = await pool.fetchval("UPDATE runs SET state = 'RUNNING' WHERE id = $1 RETURNING command", run)
    if command:
        process = await asyncio.create_subprocess_exec(*command)
        code = await process.wait()
        await pool.execute(FINISH, run)
        codes[run].set_result(code)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(application(sys.argv[2]), port=int(sys.argv[1]), log_level="warning", access_log=False)
