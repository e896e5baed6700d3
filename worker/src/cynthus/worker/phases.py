"""How long each part of making ready took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(phases: dict[str, float], name: str) -> Iterator[None]:
    """Add the milliseconds that the block takes."""
    begun = time.perf_counter()
    yield
    phases[name] = round(phases.get(name, 0.0) + (time.perf_counter() - begun) * 1000, 3)
