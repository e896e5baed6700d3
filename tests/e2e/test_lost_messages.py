"""A bus that loses every message for ever: runs are slower, and nothing else."""

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from cynthus.events.deciders import DECIDED_BY
from tests.e2e.conftest import database
from tests.e2e.homes import SERVICES, Home, embedded, five_processes

pytestmark = pytest.mark.timeout(240)

SOON = {"CYNTHUS_CATCH_UP_EVERY_S": "0.3", "CYNTHUS_CATCH_UP_SETTLE_S": "0.1"}
DEAF = """
CREATE FUNCTION bus.lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER lose BEFORE INSERT ON bus.messages FOR EACH ROW EXECUTE FUNCTION bus.lose();
"""
HANDLED_TWICE = """
SELECT stream, data->>'epoch' AS epoch, type, count(*) FROM {}.events GROUP BY 1, 2, 3 HAVING count(*) > 1
"""
POISON = """
CREATE FUNCTION bus.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''never this one''; END';
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON orchestrator.inbox FOR EACH ROW WHEN \
(NEW.event_id = 'evt_poison' AND NEW.handled_at IS NOT NULL) EXECUTE FUNCTION bus.refuse();
INSERT INTO gateway.events (stream, version, id, type, source, actor, decided, data) VALUES \
('run-run_x', 1, 'evt_poison', 'dev.cynthus.run.cancel-requested.v1', 'gateway', 'user:x', true, \
'{"run_id": "run_x"}');
"""
UNREADABLE = """
CREATE FUNCTION bus.garble() RETURNS trigger LANGUAGE plpgsql AS \
'BEGIN NEW.data = jsonb_set(NEW.data, ''{spec,retries}'', ''"two"''); RETURN NEW; END';
CREATE TRIGGER garble BEFORE INSERT ON gateway.events FOR EACH ROW \
WHEN (NEW.type = 'dev.cynthus.run.requested.v1') EXECUTE FUNCTION bus.garble();
"""


def execute(url: str, statement: str) -> list[asyncpg.Record]:
    async def ask() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


def lose_everything(url: str) -> None:
    for statement in DEAF.strip().splitlines():
        execute(url, statement)


def run_succeeds(home: Home, project: Path, name: str) -> dict:
    (project / "main.py").write_text("import pathlib\npathlib.Path('outputs/a.txt').write_text('yes')\n")
    detached = home.cynthus("run", "-d", "--name", name, cwd=project)
    assert detached.returncode == 0, detached.stderr
    return home.wait_for(name, "SUCCEEDED", "FAILED", "CANCELLED")


def test_a_run_succeeds_though_no_message_ever_arrives(postgres_server: str, tmp_path: Path, project: Path):
    with database(postgres_server) as url, five_processes(tmp_path, url, **SOON) as home:
        lose_everything(url)
        run = run_succeeds(home, project, "deaf")
        assert (run["state"], len(run["attempts"])) == ("SUCCEEDED", 1), run
        assert execute(url, "SELECT FROM bus.messages") == []
        for service in SERVICES:
            assert execute(url, HANDLED_TWICE.format(service)) == [], service
            assert execute(url, f"SELECT event_id, reason FROM {service}.parked") == []
            decided = {event.ce_type() for event in DECIDED_BY[service]}
            stored = execute(url, f"SELECT DISTINCT type FROM {service}.events WHERE decided")
            assert {row["type"] for row in stored} <= decided
        followed = execute(url, "SELECT name FROM orchestrator.checkpoints")
        assert {row["name"] for row in followed} >= {"relay", "facts:gateway", "facts:builder"}


def test_the_platform_in_one_process_follows_as_well(postgres_server: str, tmp_path: Path, project: Path):
    with (
        database(postgres_server) as url,
        embedded(tmp_path, CYNTHUS_DATABASE_URL=url, **SOON) as home,
    ):
        lose_everything(url)
        assert run_succeeds(home, project, "deaf")["state"] == "SUCCEEDED"


def test_a_fact_that_cannot_be_handled_is_parked_and_the_runs_behind_it_go_on(
    postgres_server: str, tmp_path: Path, project: Path
):
    with database(postgres_server) as url, five_processes(tmp_path, url, **SOON) as home:
        lose_everything(url)
        for statement in POISON.strip().splitlines():
            execute(url, statement)
        assert run_succeeds(home, project, "behind")["state"] == "SUCCEEDED"
        [parked] = execute(url, "SELECT event_id FROM orchestrator.parked")
        assert parked["event_id"] == "evt_poison"


def test_a_run_whose_request_nobody_can_read_fails_and_says_so(
    postgres_server: str, tmp_path: Path, project: Path
):
    (project / "main.py").write_text("")
    with (
        database(postgres_server) as url,
        five_processes(tmp_path, url, **SOON, CYNTHUS_GATEWAY_OFFER_AFTER_S="3") as home,
    ):
        lose_everything(url)
        for statement in UNREADABLE.strip().splitlines():
            execute(url, statement)
        home.cynthus("run", "-d", "--name", "garbled", cwd=project)
        deadline = time.monotonic() + 60
        while not execute(url, "SELECT FROM gateway.submissions WHERE acknowledged"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        run = home.run_of("garbled")
        assert (run["state"], run["cause"]["code"]) == ("FAILED", "internal_error")
        assert "spec.retries" in run["cause"]["evidence"][0]
