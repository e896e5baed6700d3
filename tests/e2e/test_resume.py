"""A training whose worker is killed goes on where its checkpoint was: the example of that, as it stands."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.homes import embedded, workers_of

pytestmark = pytest.mark.timeout(240)

EXAMPLE = Path(__file__).parents[2] / "examples" / "resume"
EPOCHS, SAMPLES = 20, 200_000


@pytest.fixture
def laptop(tmp_path):
    with embedded(tmp_path, CYNTHUS_ORCHESTRATOR_CHECKPOINT_EVERY_S="0.3") as home:
        yield home


def epochs(log: str) -> list[int]:
    return [int(number) for number in re.findall(r"^epoch (\d+):", log, re.MULTILINE)]


def saved(home, name: str) -> list[dict]:
    run = home.run_of(name)
    page = home.get(f"/v1/runs/{run['id']}/events")
    return [event for event in page["events"] if event["kind"] == "checkpoint.saved"]


def test_a_killed_training_goes_on_where_its_checkpoint_was(laptop, tmp_path):
    project = tmp_path / "resume"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("checkpoint", "outputs"))
    settings = {"EPOCHS": EPOCHS, "SAMPLES": SAMPLES}
    given = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]

    whole = laptop.cynthus("run", "--name", "whole", *given, cwd=project)
    assert whole.returncode == 0, whole.stderr
    started = laptop.cynthus("run", "-d", "--name", "killed", *given, cwd=project)
    assert started.returncode == 0, started.stderr
    deadline = time.monotonic() + 60
    while len(saved(laptop, "killed")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for worker in workers_of(tmp_path):
        os.kill(worker, signal.SIGKILL)

    run = laptop.wait_for("killed", "SUCCEEDED", "FAILED")

    assert run["state"] == "SUCCEEDED", run["cause"]
    assert [attempt["epoch"] for attempt in run["attempts"]] == [1, 2]
    first, second = (
        laptop.cynthus("logs", "killed", "--attempt", str(attempt), cwd=project).stdout for attempt in (1, 2)
    )
    begun = int(re.search(r"beginning after epoch (\d+)", second).group(1))
    assert 3 <= begun < EPOCHS
    assert epochs(second) == list(range(begun + 1, EPOCHS + 1))
    assert epochs(first)[0] == 1
    models = []
    for name in ("whole", "killed"):
        place = tmp_path / f"{name}-outputs"
        pulled = laptop.cynthus("pull", name, "--to", str(place), cwd=project)
        assert pulled.returncode == 0, pulled.stderr
        models.append(json.loads(next(place.rglob("model.json")).read_text()))
    assert models[0] == models[1]
