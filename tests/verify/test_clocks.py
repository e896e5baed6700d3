"""Clocks of services that jump make no difference to what is found."""

import copy

import pytest

from tests.verify import tampering as tamper
from tests.verify.corruptions import PLAIN
from tests.verify.evidence import Evidence
from tests.verify.report import verify
from tests.verify.synthetic import correct_world
from tests.verify.synthetic_world import World


@pytest.fixture(scope="module")
def correct() -> World:
    return correct_world()


def violated(world: World, folder) -> dict[str, list[str]]:
    outcomes = verify(Evidence(world.write(folder)), {})
    return {one.invariant.name: [found.what for found in one.checked] for one in outcomes if not one.holds}


def jump(world: World, ahead_s: float) -> None:
    """The orchestrator's clock is wrong during the second half of one run."""
    rows = world.rows(tamper.ORCHESTRATOR, stream=f"run-{PLAIN}")
    for row in rows[len(rows) // 2 :]:
        if row["decided"]:
            row["at"] += ahead_s
    world.fault(rows[0]["t"], rows[-1]["t"], "clock jump of a service", "orchestrator")


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0, 7 * 86400.0])
def test_a_clock_that_jumps_is_no_violation(correct, tmp_path, ahead_s):
    world = copy.deepcopy(correct)
    jump(world, ahead_s)
    assert violated(world, tmp_path) == {}


def test_an_outbox_that_is_late_is_no_violation_while_some_clock_jumps(correct, tmp_path):
    world = copy.deepcopy(correct)
    jump(world, 3600.0)
    other = tamper.run_id(1)
    for row in world.rows("bus", subject=f"runs/{other}"):
        row["t"] += 5.0
    assert violated(world, tmp_path) == {}


def test_what_is_wrong_is_found_while_clocks_jump(correct, tmp_path):
    world = copy.deepcopy(correct)
    jump(world, 3600.0)
    last = tamper.requests(world, PLAIN, "get")[-1]
    stale = {**last["answer"], "state": "RUNNING", "outputs": None}
    tamper.ask(world, PLAIN, "get", last["t1"] - 1_800_000_000.0 + 1.0, 200, stale)
    assert list(violated(world, tmp_path)) == ["I20"]
