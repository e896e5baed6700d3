"""What workers are told about images, and how long a start took."""

import pytest
from pydantic import SecretStr

from tests.integration.orchestrator.scenes import request, starting
from tests.integration.orchestrator.stage import SETTINGS, Stage, open_stage

URL = "http://registry:5000/"


async def registry_told(stage: Stage) -> tuple[dict[str, str] | None, str]:
    await starting(stage)
    order = (await stage.next_order()).json()
    return order["registry"], order["token"]


async def test_without_a_registry_there_is_nothing_to_pull_from(stage):
    assert (await registry_told(stage))[0] is None


@pytest.mark.parametrize("password", [None, "hunter2"])
async def test_an_order_says_where_the_image_is_and_what_to_show_there(database_url, password):
    own = {"registry_username": "robot", "registry_password": SecretStr(password)} if password else {}
    settings = SETTINGS.model_copy(update={"registry_url": URL, **own})
    async with open_stage(database_url, settings) as stage:
        registry, token = await registry_told(stage)
    username = "robot" if password else "attempt"
    shown = {"url": "http://registry:5000", "username": username, "password": password or token}
    assert registry == shown


async def test_the_timeline_ends_with_the_first_line(stage):
    worker = await starting(stage, request())
    await worker.start()
    assert "first_line" not in (await stage.run(worker.run_id))["timeline"]
    await worker.log(0, b"hello\n")
    timeline = (await stage.run(worker.run_id))["timeline"]
    assert timeline["first_line"] >= timeline["queue"] >= 0
    await worker.log(1, b"world\n", offset=6)
    assert (await stage.run(worker.run_id))["timeline"]["first_line"] == timeline["first_line"]


@pytest.mark.parametrize("free", [False, True])
async def test_a_machine_that_costs_money_is_asked_for_when_there_is_an_image(database_url, free):
    async with open_stage(database_url, SETTINGS.model_copy(update={"machines_are_free": free})) as stage:
        worker = await starting(stage)
        kinds = await stage.kinds(worker.run_id)
    assert (kinds.index("image.built") > kinds.index("machine.requested")) is free
