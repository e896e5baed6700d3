"""Many seeds: no promise is broken, and each seed is always the same."""

import logging
import os
import re
import subprocess
import sys

import pytest
import structlog

from cynthus.provisioner.domain import pool
from tests.simulation.__main__ import quiet
from tests.simulation.seeds import simulate

SEEDS = int(os.environ.get("CYNTHUS_SIMULATION_SEEDS", "1000"))


def simulation(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONHASHSEED": hash_seed},
    )


@pytest.mark.timeout(600)
def test_no_seed_breaks_a_promise():
    done = simulation("--seeds", str(SEEDS), "--jobs", "2", "--stop-after", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    lifecycles = int(re.search(r"(\d+) run lifecycles", done.stdout)[1])
    faults = int(re.search(r"(\d+) faults", done.stdout)[1])
    assert lifecycles > 3 * SEEDS
    assert faults > 20 * SEEDS


@pytest.mark.timeout(300)
def test_a_seed_is_always_the_same():
    once = simulation("--seeds", "100", "--digests", hash_seed="1")
    again = simulation("--seeds", "100", "--digests", "--jobs", "2", hash_seed="2")
    digests = [sorted(re.findall(r"^seed \d+: \w+$", run.stdout, re.MULTILINE)) for run in (once, again)]
    assert len(set(digests[0])) == 100
    assert digests[0] == digests[1]


@pytest.fixture
def silence():
    quiet()
    yield
    logging.disable(logging.NOTSET)
    structlog.reset_defaults()


@pytest.mark.usefixtures("silence")
def test_a_failing_seed_fails_again(monkeypatch):
    """One listing that lags behind is taken for the truth."""
    monkeypatch.setattr(pool, "_confirmed_absent", lambda row, view: True)
    failed = next(outcome for seed in range(0, 400, 4) if (outcome := simulate(seed)).violations)
    assert simulate(failed.seed).violations == failed.violations
    assert simulate(failed.seed).digest == failed.digest
