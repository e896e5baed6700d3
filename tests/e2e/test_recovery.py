"""A worker is killed in the middle: what its user is told then, and what nobody else is."""

import json
import os
import signal
import time

import pytest

from tests.e2e.homes import embedded, workers_of

pytestmark = pytest.mark.timeout(240)

PROGRAM = """\
import os, pathlib, time
kept = pathlib.Path(os.environ["CYNTHUS_CHECKPOINT_DIR"]) / "step"
if kept.exists():
    raise SystemExit(0)
kept.write_text("1")
time.sleep(120)
"""


@pytest.fixture
def laptop(tmp_path):
    with embedded(tmp_path, CYNTHUS_ORCHESTRATOR_CHECKPOINT_EVERY_S="0.3") as home:
        yield home


def until_saved(laptop, name):
    deadline = time.monotonic() + 60
    while not any(attempt["checkpoint"] for attempt in laptop.run_of(name)["attempts"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_lost_a_worker_learns_what_happened_and_what_was_done(laptop, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text(PROGRAM)

    def told(*arguments):
        done = laptop.cynthus(*arguments, cwd=project)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told("run", "-d", "--name", "mine", "main.py")
    until_saved(laptop, "mine")
    for worker in workers_of(tmp_path):
        os.kill(worker, signal.SIGKILL)
    run = laptop.wait_for("mine", "SUCCEEDED", "FAILED")

    assert run["state"] == "SUCCEEDED", run["cause"]
    lost = run["attempts"][0]
    shown = told("show", "mine")
    for part in ("worker_failed", "(infrastructure 1 of 5)", "from  the last checkpoint of attempt 1"):
        assert part in shown
    story = told("why", "mine")
    places = [story.index(part) for part in ("Attempt 1 ran", lost["cause"]["message"], "Attempt 2 ran")]
    assert places == sorted(places)
    assert "now SUCCEEDED" in story
    then = json.loads(told("show", "mine", "--as-of", lost["started_at"], "-o", "json"))
    assert (then["state"], len(then["attempts"]), then["attempts"][0]["cause"]) == ("RUNNING", 1, None)
    assert laptop.cynthus("show", "mine", "--as-of", "1h", cwd=project).returncode == 5
    assert told("leaks").startswith("no machine is left behind; ")
