"""A report about an error that nobody foresaw."""

import sys
import traceback
from datetime import UTC, datetime

from cynthus.cli import folders
from cynthus.cli.version import VERSION


def report(error: BaseException) -> str:
    """Write the traceback to a file; its path, or the reason why there is none."""
    folder = folders.cache() / "crashes"
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.txt"
    text = "".join(traceback.format_exception(error))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(f"cynthus {VERSION}, Python {sys.version}\n\n{text}")
    except OSError as unwritable:
        return f"no report: {unwritable}"
    return str(path)
