"""Which service decides which facts: whose history to ask when the bus may have lost one."""

from collections import defaultdict
from collections.abc import Iterable

from cynthus.events.event import Event
from cynthus.events.inputs import (
    BuildFailed,
    BuildStarted,
    DatasetFailed,
    DatasetReady,
    ImageBuilt,
    ProjectUploaded,
)
from cynthus.events.machines import MachineDelayed, VMDeleted, VMFailed, VMLost, VMReady
from cynthus.events.run import (
    AttemptExited,
    AttemptLost,
    AttemptStarted,
    AttemptSuspected,
    CheckpointSaved,
    Heartbeat,
    LogsSealed,
    MachineReleased,
    MachineRequested,
    OutputsCommitted,
    RetryScheduled,
    RunCancelled,
    RunCancelRequested,
    RunFailed,
    RunQueued,
    RunRequested,
    RunSucceeded,
)

DECIDED_BY: dict[str, tuple[type[Event], ...]] = {
    "gateway": (ProjectUploaded, RunRequested, RunCancelRequested),
    "builder": (BuildStarted, ImageBuilt, BuildFailed),
    "datasets": (DatasetReady, DatasetFailed),
    "provisioner": (MachineDelayed, VMReady, VMFailed, VMLost, VMDeleted),
    "orchestrator": (
        RunQueued,
        MachineRequested,
        AttemptStarted,
        AttemptSuspected,
        CheckpointSaved,
        AttemptExited,
        AttemptLost,
        RetryScheduled,
        LogsSealed,
        OutputsCommitted,
        RunSucceeded,
        RunFailed,
        RunCancelled,
        MachineReleased,
    ),
}
"""What a worker reports, the orchestrator decides: it is in its history or it did not happen."""

SIGNALS: tuple[type[Event], ...] = (Heartbeat,)
"""In nobody's history: the next one makes up for one that was lost."""

_DECIDER = {event: service for service, events in DECIDED_BY.items() for event in events}


def by_decider(types: Iterable[type[Event]]) -> dict[str, tuple[type[Event], ...]]:
    """The facts of `types` by the service that decides them; signals are left out."""
    found: defaultdict[str, list[type[Event]]] = defaultdict(list)
    for event in types:
        if event in _DECIDER:
            found[_DECIDER[event]].append(event)
    return {service: tuple(events) for service, events in found.items()}
