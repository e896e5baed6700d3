"""Wheels from the real index, and how they are split into layers."""

import sys
from pathlib import Path

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
NAMES = ("numpy", "scikit-learn", "pandas", "pillow", "pyyaml", "requests", "setuptools", "greenlet",
         "jupyterlab-widgets", "ruff")  # fmt: skip
"""With compiled modules, namespace folders, commands, headers, data files and a compiled program."""

_HEAVY_BYTES = 5_000_000


def split(wheels: list[Path]) -> tuple[list[Path], list[Path]]:
    """The heavy ones, which get layers of their own, and the others."""
    heavy = [wheel for wheel in wheels if wheel.stat().st_size >= _HEAVY_BYTES]
    return heavy, [wheel for wheel in wheels if wheel not in heavy]
