"""What the gateway decides about a run: that it was asked for, and that it shall stop."""

from dataclasses import dataclass, field, replace
from typing import assert_never

from cynthus.events import Event, RunCancelRequested, RunQueued, RunRequested, RunSpec


@dataclass(frozen=True, slots=True)
class SubmitRun:
    """Ask for a run; with `name` None one is made up."""

    owner: str
    project: str
    spec: RunSpec
    request_digest: str
    name: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    idempotency_key: str | None = None
    rerun_of: str | None = None

    def requested(self, run_id: str, name: str) -> RunRequested:
        """The fact that this becomes."""
        return RunRequested(
            run_id=run_id,
            owner=self.owner,
            project=self.project,
            name=name,
            labels=self.labels,
            spec=self.spec,
            rerun_of=self.rerun_of,
            name_generated=self.name is None,
            idempotency_key=self.idempotency_key,
            request_digest=self.request_digest,
        )


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Ask for a run to be stopped."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What the gateway knows of one run."""

    requested: RunRequested | None = None
    queued: bool = False
    cancel_requested: bool = False


Message = CancelRun | RunRequested | RunQueued


def decide(state: Submission, message: Message) -> list[Event]:
    """New facts, or none when there is no news in the message."""
    match message:
        case RunRequested():
            return [] if state.requested else [message]
        case RunQueued():
            return [] if state.queued else [message]
        case CancelRun(run_id=run_id):
            return [] if state.cancel_requested else [RunCancelRequested(run_id=run_id)]
        case _:
            assert_never(message)


def evolve(state: Submission, event: Event) -> Submission:
    """The state after a fact; unknown facts change nothing."""
    match event:
        case RunRequested():
            return replace(state, requested=event)
        case RunQueued():
            return replace(state, queued=True)
        case RunCancelRequested():
            return replace(state, cancel_requested=True)
        case _:
            return state
