"""Waiting until history has taken a run over, so that a reader who is early does not poll."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

_OUTSTANDING = 1000


class Acknowledgements:
    """A hint within this process; whoever waits also gives up and asks after a while."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[asyncio.Event]] = defaultdict(list)
        self._outstanding: dict[str, str] = {}

    def submit(self, owner: str, run_id: str) -> None:
        """A run is about to be accepted here."""
        self._outstanding[run_id] = owner
        if len(self._outstanding) > _OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]

    def take_outstanding(self, owner: str, run_id: str) -> bool:
        """Whether history hardly knows the owner's run yet; true only once for each."""
        if self._outstanding.get(run_id) != owner:
            return False
        del self._outstanding[run_id]
        return True

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
        self._outstanding.pop(run_id, None)
        for event in self._waiting.get(run_id, ()):
            event.set()
