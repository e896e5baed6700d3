"""How long each part of a build took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Phases:
    """Milliseconds by name; parts that ran several times are added up."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count the time spent inside."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - begun) * 1000
            self.ms[name] = round(self.ms.get(name, 0.0) + spent, 3)
