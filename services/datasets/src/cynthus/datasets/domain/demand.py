"""The data one run reads, as its history in the datasets service tells."""

from dataclasses import dataclass

from cynthus.events import Cause, Dataset, DatasetFailed, DatasetReady, Event, RunRequested


@dataclass(frozen=True, slots=True)
class Demand:
    """Whether a run's data has been asked for and answered."""

    asked: bool = False
    answered: bool = False


def decide(
    demand: Demand, message: RunRequested, pins: tuple[Dataset, ...], missing: str | None
) -> list[Event]:
    """Answer a request whose data was looked up: all pinned, or `missing` names what is not there."""
    if demand.answered or not message.spec.data:
        return []
    taken: list[Event] = [] if demand.asked else [message]
    if missing is not None:
        cause = Cause(
            code="data_missing",
            message=f"The data {missing!r} was never uploaded completely.",
            fix="Submit the run again with `cynthus run`; only what is missing is sent.",
        )
        return [*taken, DatasetFailed(run_id=message.run_id, cause=cause)]
    return [*taken, DatasetReady(run_id=message.run_id, datasets=pins)]


def evolve(demand: Demand, event: Event) -> Demand:
    """Fold one fact in."""
    match event:
        case RunRequested():
            return Demand(asked=True, answered=demand.answered)
        case DatasetReady() | DatasetFailed():
            return Demand(asked=True, answered=True)
        case _:
            return demand
