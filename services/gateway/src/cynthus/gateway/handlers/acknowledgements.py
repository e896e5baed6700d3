"""Waiting until history has taken a run over, so that a reader who is early does not poll."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Acknowledgements:
    """A hint within this process; whoever waits also gives up and asks after a while."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[asyncio.Event]] = defaultdict(list)

    @contextmanager
    def expecting(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the run's acknowledgement arrives from now on."""
        arrived = asyncio.Event()
        self._waiting[run_id].append(arrived)
        try:
            yield arrived
        finally:
            self._waiting[run_id].remove(arrived)
            if not self._waiting[run_id]:
                del self._waiting[run_id]

    def arrived(self, run_id: str) -> None:
        """History knows the run."""
        for event in self._waiting.get(run_id, ()):
            event.set()
