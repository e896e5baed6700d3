"""What one run wants of the machine pool, as its history in the provisioner tells."""

from dataclasses import dataclass, replace

from cynthus.events import (
    AttemptLost,
    Cause,
    Event,
    MachineDelayed,
    MachineReleased,
    MachineRequested,
    VMDeleted,
    VMFailed,
    VMLost,
    VMReady,
)
from cynthus.provisioner.domain.host import Host, unsuitable


@dataclass(frozen=True, slots=True)
class Demand:
    """The newest request of a run: waiting, held (`machine`), or over.

    `over` and `fenced` are the newest epochs that were released and lost, heard of before their request or
    after it: they are never served (again).
    """

    epoch: int = 0
    over: int = 0
    fenced: int = 0
    machine: str | None = None
    waiting: bool = False
    delayed: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What the pool can do now: an idle machine, or a reason why it takes longer (None: one is coming)."""

    machine: str | None = None
    reused: bool = True
    delay: str | None = None


@dataclass(frozen=True, slots=True)
class Assign:
    """Hold a machine for a waiting request."""

    run_id: str
    epoch: int
    machine: str
    reused: bool


@dataclass(frozen=True, slots=True)
class Fail:
    """Give a waiting request up."""

    run_id: str
    epoch: int
    cause: Cause
    transient: bool


@dataclass(frozen=True, slots=True)
class Delay:
    """Tell why a waiting request takes longer."""

    run_id: str
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Lose:
    """A held machine is gone, says the provider."""

    run_id: str
    epoch: int
    machine: str
    cause: Cause


def request(demand: Demand, message: MachineRequested, offer: Offer, host: Host) -> list[Event]:
    """Take a request in, and answer it at once where that is possible."""
    if message.epoch <= max(demand.epoch, demand.over):
        return []
    taken: list[Event] = [message]
    run_id, epoch = message.run_id, message.epoch
    if (cause := unsuitable(message, host)) is not None:
        return [*taken, VMFailed(run_id=run_id, epoch=epoch, cause=cause, transient=False)]
    if offer.machine is not None:
        return [*taken, VMReady(run_id=run_id, epoch=epoch, machine=offer.machine, reused=offer.reused)]
    if offer.delay is not None:
        return [*taken, MachineDelayed(run_id=run_id, epoch=epoch, reason=offer.delay)]
    return taken


def release(demand: Demand, message: MachineReleased) -> list[Event]:
    """The run needs its machine no longer, or never will: the message may come before its request."""
    live = demand.epoch == message.epoch and (demand.waiting or demand.machine is not None)
    early = message.epoch > max(demand.epoch, demand.over)
    return [message] if live or early else []


def fence(demand: Demand, message: AttemptLost) -> list[Event]:
    """The attempt counts no more, so its machine does nothing more for anybody."""
    return [message] if message.epoch > demand.fenced and message.epoch >= demand.epoch else []


def settle(demand: Demand, command: Assign | Fail | Delay | Lose) -> list[Event]:
    """Answer a request that was taken in earlier; a late answer says nothing."""
    if command.epoch != demand.epoch:
        return []
    match command:
        case Assign(run_id, epoch, machine, reused):
            ready = VMReady(run_id=run_id, epoch=epoch, machine=machine, reused=reused)
            return [ready] if demand.waiting else []
        case Fail(run_id, epoch, cause, transient):
            failed = VMFailed(run_id=run_id, epoch=epoch, cause=cause, transient=transient)
            return [failed] if demand.waiting else []
        case Delay(run_id, epoch, reason):
            delayed = MachineDelayed(run_id=run_id, epoch=epoch, reason=reason)
            return [delayed] if demand.waiting and not demand.delayed else []
        case Lose(run_id, epoch, machine, cause):
            lost = VMLost(run_id=run_id, epoch=epoch, machine=machine, cause=cause)
            return [lost] if demand.machine == machine else []


def evolve(demand: Demand, event: Event) -> Demand:
    """Fold one fact in."""
    match event:
        case MachineRequested(epoch=epoch) if epoch > demand.epoch:
            return replace(demand, epoch=epoch, machine=None, waiting=epoch > demand.over, delayed=False)
        case VMReady(epoch=epoch, machine=machine) if epoch == demand.epoch:
            return replace(demand, machine=machine, waiting=False)
        case MachineDelayed(epoch=epoch) if epoch == demand.epoch:
            return replace(demand, delayed=True)
        case VMFailed(epoch=epoch) | VMLost(epoch=epoch) if epoch == demand.epoch:
            return replace(demand, machine=None, waiting=False)
        case MachineReleased(epoch=epoch):
            return _ended(replace(demand, over=max(demand.over, epoch)))
        case AttemptLost(epoch=epoch):
            return _ended(replace(demand, over=max(demand.over, epoch), fenced=max(demand.fenced, epoch)))
        case VMDeleted() | _:
            return demand


def _ended(demand: Demand) -> Demand:
    return replace(demand, machine=None, waiting=False) if demand.over >= demand.epoch else demand
