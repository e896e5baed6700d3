"""What the gateway may ask about machines."""

from datetime import timedelta

import httpx2
import pytest

from cynthus.provisioner.api import inventory
from cynthus.provisioner.main import create_app
from cynthus.provisioner.reconciler.audit import Audit
from tests.integration.provisioner.test_provider_troubles import TroubledPool, database  # noqa: F401 - a fixture

TOKEN = "internal-" + "x" * 32


@pytest.fixture
def pool(database):  # noqa: F811 - the fixture
    return TroubledPool(database)


async def ask(pool, path, token=TOKEN):
    audit = Audit(pool.ledger, pool.machines, pool.reconciler, timedelta(seconds=10))
    transport = httpx2.ASGITransport(create_app(inventory.router(audit, TOKEN)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://provisioner") as client:
        return await client.get(path, headers={"authorization": f"Bearer {token}"})


async def test_machines_are_told_with_their_stage_and_their_run(pool):
    machine = await pool.held()
    answer = (await ask(pool, "/internal/v1/machines")).json()
    (told,) = answer["machines"]
    assert (told["machine"], told["stage"], told["run"], told["epoch"]) == (machine, "held", "r1", 1)
    assert answer["waiting"] == 0


async def test_leaks_are_told_with_the_time_of_the_look(pool):
    machine = await pool.held()
    assert (await ask(pool, "/internal/v1/leaks")).json()["leaks"] == []
    await pool.release()
    pool.machines.troubles["delete"] += ["away"] * 3
    await pool.tick()
    await pool.later(60)
    await pool.tick()
    answer = (await ask(pool, "/internal/v1/leaks")).json()
    (leak,) = answer["leaks"]
    assert (leak["machine"], leak["zone"], leak["reason"]) == (machine, "here", "nobody needs it")
    assert leak["age_s"] > 10
    assert answer["machines"] == 1
    assert answer["checked_at"]


async def test_without_any_look_at_a_provider_that_is_away_nothing_is_claimed(pool):
    pool.machines.troubles["list"].append("away")
    answer = await ask(pool, "/internal/v1/leaks")
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_away")


async def test_a_provider_that_is_away_now_was_looked_at_before(pool):
    await pool.tick()
    pool.machines.troubles["list"].append("away")
    assert (await ask(pool, "/internal/v1/leaks")).json()["leaks"] == []


@pytest.mark.parametrize("path", ["/internal/v1/leaks", "/internal/v1/machines"])
async def test_nobody_else_is_told(pool, path):
    assert (await ask(pool, path, token="guess")).status_code in {401, 403}
