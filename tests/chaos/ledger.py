"""What exists according to the host's process table: the truth about machines that are processes."""

import asyncio
from pathlib import Path

from tests.chaos.journal import Journal
from tests.chaos.processes import state_of, workers

_LOOK_S = 0.3


class ProcessLedger:
    """Writes provider.jsonl for machines that have no provider of their own to write it."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._known: dict[str, int] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)

    def look(self) -> None:
        """Write down what came and what went."""
        now = {
            one.machine: one.pid
            for one in workers(self._folder)
            if one.machine is not None and state_of(one.pid) not in {"", "Z"}
        }
        for machine in now.keys() - self._known.keys():
            self._journal.write("provider", what="running", machine=machine, zone="here", pid=now[machine])
        for machine in self._known.keys() - now.keys():
            self._journal.write("provider", what="deleted", machine=machine, zone="here")
        self._known = now
