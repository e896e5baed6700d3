"""What killed builders left on the disk."""

import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TEMPORARY = ("source-*", "layer-*", "system-*", "imports-*", ".build-*")
_OLD_S = 2 * 3600.0
"""Longer than any build takes."""


def tidy(folders: Iterable[Path], *, older_than_s: float = _OLD_S) -> int:
    """Remove temporary folders that nobody has written to for so long; how many. Blocking."""
    removed = 0
    for folder in folders:
        for path in (found for pattern in _TEMPORARY for found in folder.glob(pattern)):
            with suppress(OSError):
                if path.is_dir() and time.time() - path.stat().st_mtime >= older_than_s:
                    shutil.rmtree(path, ignore_errors=True)
                    removed += 1
    return removed
