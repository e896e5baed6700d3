"""The runs last worked on, so that the next fact about one costs no read."""

from collections import OrderedDict

from cynthus.orchestrator.domain.run import Run

_KEPT = 4096


class RecentRuns:
    """A guess, not the truth: every append checks the version it was decided on."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def get(self, run_id: str) -> Run | None:
        """The run as this process knew it last."""
        return self._runs.get(run_id)

    def put(self, run: Run) -> None:
        """Remember a run whose history is committed up to its version."""
        known = self._runs.get(run.id)
        if known is None or known.version < run.version:
            self._runs[run.id] = run
        self._runs.move_to_end(run.id)
        if len(self._runs) > _KEPT:
            self._runs.popitem(last=False)

    def forget(self, run_id: str) -> None:
        """Read it again next time."""
        self._runs.pop(run_id, None)
