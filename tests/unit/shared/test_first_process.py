"""The first process of a sandbox, as a file; what it does is tested inside sandboxes."""

import os
import subprocess
from pathlib import Path

import pytest

import cynthus.environments

FOLDER = Path(next(iter(cynthus.environments.__path__)))


@pytest.mark.needs("gcc")
def test_the_first_process_is_what_its_source_says(tmp_path: Path) -> None:
    subprocess.run([FOLDER / "build.sh", tmp_path / "built"], check=True, capture_output=True)

    assert (tmp_path / "built").read_bytes() == (FOLDER / f"first-process-{os.uname().machine}").read_bytes()
