"""The machine's container engine, looked for once."""

import os
import threading

from cynthus.containers.discovery import discover
from cynthus.containers.engine import Engine

_lock = threading.Lock()
_known: list[Engine] = []


def current() -> Engine | None:
    """The engine, if one answers."""
    with _lock:
        if not _known:
            found = discover(os.environ)
            if found is not None:
                _known.append(found)
        return _known[0] if _known else None


def forget() -> None:
    """Look for it again next time."""
    with _lock:
        _known.clear()
