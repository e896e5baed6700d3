"""A run as its clients see it, one request at a time. The whole contract is on this page.

A run comes into being by `create`; the same key always brings the same run. `get` shows whether it is over,
and as what. It ends once, by `commit`. `cancel` is accepted while it is not over; some time after that
(`cancel_effect`) it can only end CANCELLED, unless it is over by then. It ends CANCELLED only if somebody
asked. `delete` hides a run that is over.
"""

from dataclasses import dataclass, replace

from tests.verify.linearizability import Operation

FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class Shown:
    """What an answer told: its status, the run's id, state and version as far as the answer has them."""

    status: int
    run: str | None = None
    state: str | None = None
    version: int | None = None

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a client can tell of a run."""

    id: str | None = None
    asked_to_stop: bool = False
    stopping: bool = False
    outcome: str | None = None
    deleted: bool = False
    version: int = 0


NOTHING = Run()


def step(run: Run, operation: Operation) -> list[Run]:
    """The runs that an operation may leave; none when it cannot have been answered so."""
    shown: Shown | None = operation.result
    match operation.name:
        case "create":
            return _create(run, operation.argument, shown)
        case "get":
            return _get(run, shown)
        case "cancel":
            return _cancel(run, shown)
        case "cancel_effect":
            return [replace(run, stopping=run.outcome is None)] if run.asked_to_stop else []
        case "commit":
            return _commit(run, operation.argument)
        case "delete":
            return _delete(run, shown)
        case name:
            raise ValueError(f"no such operation: {name}")


def _create(run: Run, wanted: str | None, shown: Shown | None) -> list[Run]:
    """A repeated request gets the first answer again, so it says nothing of the run's state.

    Without an answer the id is the one that others came to know (`wanted`).
    """
    if shown is not None and not shown.good:
        return [run]
    made = shown.run if shown is not None else wanted
    if run.id is None:
        return [replace(run, id=made)]
    return [run] if made in {run.id, None} else []


def _get(run: Run, shown: Shown | None) -> list[Run]:
    if shown is None or shown.status >= 500 or shown.status == 429:
        return [run]
    if shown.status == 404:
        return [run] if run.id is None or run.deleted else []
    if run.id is None or run.deleted:
        return []
    return _seen(run, shown)


def _seen(run: Run, shown: Shown | None) -> list[Run]:
    """The answer fits the run; versions only grow."""
    if shown is None:
        return [run]
    if shown.state is not None and (shown.state if shown.state in FINAL else None) != run.outcome:
        return []
    if shown.version is None:
        return [run]
    return [replace(run, version=shown.version)] if shown.version >= run.version else []


def _cancel(run: Run, shown: Shown | None) -> list[Run]:
    asked = replace(run, asked_to_stop=True) if run.id is not None and run.outcome is None else run
    if shown is None:
        return [asked]
    if shown.good:
        return _seen_version(asked, shown) if run.id is not None and run.outcome is None else []
    if shown.status == 409:
        return [run] if run.outcome is not None else []
    if shown.status == 404:
        return [run] if run.id is None or run.deleted else []
    return [run, asked] if asked != run else [run]


def _seen_version(run: Run, shown: Shown) -> list[Run]:
    if shown.version is None:
        return [run]
    return [replace(run, version=shown.version)] if shown.version >= run.version else []


def _commit(run: Run, outcome: str) -> list[Run]:
    if run.id is None or run.outcome is not None:
        return []
    if outcome == "CANCELLED":
        return [replace(run, outcome=outcome)] if run.asked_to_stop else []
    return [] if run.stopping else [replace(run, outcome=outcome)]


def _delete(run: Run, shown: Shown | None) -> list[Run]:
    hidden = replace(run, deleted=True)
    over = run.id is not None and run.outcome is not None
    if shown is None:
        return [hidden] if over else [run]
    if shown.good:
        return [hidden] if over else []
    if shown.status == 409:
        return [run] if run.id is not None and run.outcome is None else []
    if shown.status == 404:
        return [run] if run.id is None or run.deleted else []
    return [run, hidden] if over else [run]
