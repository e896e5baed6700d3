"""What is kept of an attempt: its checkpoint first, then its outputs."""

import threading

from cynthus.worker.checkpoints import Checkpoints
from cynthus.worker.control import Dropped
from cynthus.worker.found import Found
from cynthus.worker.link import PlatformAway, Refused
from cynthus.worker.outputs import Outputs
from cynthus.worker.settings import say


class Staging:
    """A thread. `checkpoints` is None where the program succeeded: nobody goes on from there."""

    def __init__(self, outputs: Outputs, found: Found, checkpoints: Checkpoints | None) -> None:
        self._outputs = outputs
        self._found = found
        self._checkpoints = checkpoints
        self._thread = threading.Thread(target=self._run, name="staging", daemon=True)
        self.digest: str | None = None
        self.problem: Exception | None = None
        self.checkpoint: str | None = None
        """What became of it, once that is known."""

    @property
    def skipped(self) -> list[str]:
        """What cannot be part of the outputs, and why."""
        return self._found.skipped

    def start(self) -> None:
        """Begin, if there is anything to keep."""
        if self._checkpoints is not None or not self._found.empty:
            self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """True once it has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            if self._checkpoints is not None:
                self._checkpoints.finish()
                self.checkpoint = self._checkpoints.said or "there was no new checkpoint to save"
            self.digest = self._outputs.commit(self._found)
        except (Dropped, Refused, PlatformAway, OSError, ValueError) as error:
            say(f"outputs: {type(error).__name__} {error}")
            self.problem = error
