"""What several tests of the builder share."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.builder.real_wheels import NAMES


@pytest.fixture(scope="session")
def real_wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """NAMES and what they need."""
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(folder),
         *NAMES],
        check=True, capture_output=True,
    )  # fmt: skip
    return sorted(folder.glob("*.whl"))
