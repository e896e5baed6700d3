"""Layers far larger than the memory that a builder may have."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.needs("docker-registry"), pytest.mark.timeout(240)]

MEGABYTES = int(os.environ.get("CYNTHUS_TEST_LARGE_WHEEL_MB", "300"))
MOST_MB = 300


async def test_a_large_wheel_is_packed_and_pushed_in_bounded_memory(database_url, tmp_path, registry):
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fixtures.large_build", database_url, str(tmp_path),
         f"{registry.url}/large", str(MEGABYTES)],
        cwd=root, capture_output=True, text=True, check=False, timeout=220,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["size"] > MEGABYTES * 1_000_000
    assert told["peak_mb"] < MOST_MB, told
