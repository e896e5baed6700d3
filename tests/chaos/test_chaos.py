"""The real stack under faults, in short: services, PostgreSQL, broker, provider and workers as processes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIXED = (
    *("--minutes", "0.4", "--in-flight", "24", "--lease", "8"),
    *("--min", "5"),
)
EACH = ("1", "5", "6", "12", "16", "23", "25", "37")


def chaos(folder: Path, *arguments: str) -> None:
    """Run the harness to its verdict."""
    command = [sys.executable, "-m", "tests.chaos", "--folder", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=270, check=False)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"


@pytest.mark.needs("pubsub-emulator")
@pytest.mark.timeout(300)
def test_what_was_promised_holds_under_faults_at_random(tmp_path):
    chaos(tmp_path / "evidence", "--seed", "1", *MIXED)


@pytest.mark.needs("pubsub-emulator")
@pytest.mark.timeout(300)
def test_what_was_promised_holds_under_each_of_some_faults_alone(tmp_path):
    faults = [argument for number in EACH for argument in ("--fault", number)]
    chaos(tmp_path / "evidence", "--seed", "2", "--one-by-one", *faults, *MIXED)
