"""What an attempt asks of whatever runs the program."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from cynthus.worker.channel import Exit
from cynthus.worker.handover import Held
from cynthus.worker.memory import Kills
from cynthus.worker.proctree import Usage
from cynthus.worker.spool import Spool
from cynthus.worker.workspace import Workspace


class Made(NamedTuple):
    """Everything is in place: where the results will be, and how long each phase took."""

    outputs: str
    phases_ms: dict[str, float]


class Runtime(Protocol):
    """Runs the program of one order, once."""

    @property
    def stopped_for(self) -> str | None:
        """Why it was ended, if it was."""
        ...

    @property
    def seconds(self) -> float:
        """How long it ran."""
        ...

    @property
    def unsupervised(self) -> bool:
        """The worker cannot look after another program."""
        ...

    def make(self, workspace: Workspace) -> Made:
        """Image or environment, source and data in place. Raises AttemptFailed, Dropped."""
        ...

    def adopt(self, workspace: Workspace, held: Held) -> Made:
        """Take over what a killed worker left running.

        Raises AttemptFailed.
        """
        ...

    def start(self, spool: Spool, disk_full: Callable[[OSError], None]) -> int:
        """The process id of the running program, or of an adopted one. Raises AttemptFailed."""
        ...

    def wait(self) -> Exit:
        """Until nothing of it is left, obeying the attempt's control."""
        ...

    def end(self) -> None:
        """Kill what still runs, and bring the rest of its output into the spool."""
        ...

    def usage(self) -> Usage:
        """What the program uses."""
        ...

    def kills(self) -> Kills:
        """What the kernel has killed of it for lack of memory."""
        ...

    def release(self) -> None:
        """Give back everything that was held for it."""
        ...
