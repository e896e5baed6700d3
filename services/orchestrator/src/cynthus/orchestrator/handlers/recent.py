"""The runs last worked on, so that the next fact about one costs no read, and watching it few."""

from collections import OrderedDict
from collections.abc import Sequence

from cynthus.orchestrator.domain.run import Run
from cynthus.store.ports import Recorded

_KEPT = 4096
_FACTS_KEPT = 64


class RecentRuns:
    """A guess, not the truth: every append checks the version it was decided on.

    With `alone` no other process appends, so that what is unknown here has not happened.
    """

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._facts: dict[str, list[Recorded]] = {}

    def get(self, run_id: str) -> Run | None:
        """The run as this process knew it last."""
        return self._runs.get(run_id)

    def put(self, run: Run, recorded: Sequence[Recorded] = ()) -> None:
        """Remember a run whose history is committed up to its version, with its newest facts."""
        known = self._runs.get(run.id)
        if known is None or known.version < run.version:
            self._runs[run.id] = run
            self._remember(run, recorded)
        self._runs.move_to_end(run.id)
        if len(self._runs) > _KEPT:
            dropped, _ = self._runs.popitem(last=False)
            self._facts.pop(dropped, None)

    def forget(self, run_id: str) -> None:
        """Read it again next time."""
        self._runs.pop(run_id, None)
        self._facts.pop(run_id, None)

    def is_newest(self, owner: str, run_id: str, version: int) -> bool:
        """Certainty that a run goes on and nothing happened after this version."""
        run = self._runs.get(run_id) if self._alone else None
        return run is not None and not run.over and (run.owner, run.version) == (owner, version)

    def facts(self, owner: str, run_id: str, after: int) -> list[Recorded]:
        """All facts known here after a version, of a run that is not over; none if any is missing.

        Only a run that is over can be hidden from its owner.
        """
        run = self._runs.get(run_id)
        if run is None or run.over or run.owner != owner:
            return []
        newer = [fact for fact in self._facts.get(run_id, ()) if fact.envelope.sequence > after]
        return newer if newer and newer[0].envelope.sequence == after + 1 else []

    def _remember(self, run: Run, recorded: Sequence[Recorded]) -> None:
        """Facts without a gap, up to the run's version; none of a run that is over."""
        known = self._facts.pop(run.id, [])
        if run.over or not recorded:
            return
        if known and known[-1].envelope.sequence + 1 != recorded[0].envelope.sequence:
            known = []
        self._facts[run.id] = [*known, *recorded][-_FACTS_KEPT:]
