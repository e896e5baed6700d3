"""What programs and machines were really there, and when."""

from collections import Counter, defaultdict
from itertools import pairwise

from cynthus.events import (
    AttemptExited,
    AttemptLost,
    Event,
    MachineDelayed,
    MachineReleased,
    MachineRequested,
    VMFailed,
    VMReady,
)
from cynthus.provisioner.domain.machine import Stage
from tests.simulation.platform import IDLE_S, Platform
from tests.simulation.program import Program
from tests.simulation.world import BEGINNING

RECOVERED_S = 60.0
"""After the last fault: the bus has redelivered, what it lost was caught up, pauses are over."""
OUTLIVE_S = 10.0
_ROUNDED_S = 0.000_01
"""Beyond the time a machine is kept for the next run and the lag of listings."""


def judge_machines(platform: Platform) -> None:
    """None is there long after the last run that had it needed it, says the provider's truth."""
    ends: dict[str, float] = {}
    for fact in platform.histories["orchestrator"].store.facts:
        event, machine = fact.envelope.event, None
        at = (fact.envelope.time - BEGINNING).total_seconds()
        if isinstance(event, MachineReleased):
            machine = event.machine
        elif isinstance(event, AttemptLost):
            attempt = platform.tables.runs[event.run_id].attempts[event.epoch]
            machine = attempt.machine
        if machine is not None:
            ends[machine] = max(at, ends.get(machine, 0.0))
    healthy = platform.healed_at + RECOVERED_S
    for machine, end in ends.items():
        gone = platform.provider.ended.get(machine, platform.world.now)
        outlived = gone - max(end, healthy)
        if outlived > IDLE_S + 2 * platform.provider.lag_s + OUTLIVE_S:
            platform.world.wrong("no machine outlives its need", f"{machine} by {outlived:.1f} s")


def judge_losses(platform: Platform) -> None:
    """What is said to be gone is gone: a provider that cannot be asked, or lags, condemns no machine."""
    world = platform.world
    for fact in platform.histories["orchestrator"].store.facts:
        event = fact.envelope.event
        if not isinstance(event, AttemptLost):
            continue
        attempt = platform.tables.runs[event.run_id].attempts[event.epoch]
        at = (fact.envelope.time - BEGINNING).total_seconds()
        if attempt.vanished is None or attempt.machine is None or _booted_twice(platform, attempt.machine):
            continue
        if event.cause.message == attempt.vanished.message and platform.provider.lived(attempt.machine, at):
            world.wrong("gone is gone", f"{event.run_id}/{event.epoch} on {attempt.machine}")


def judge_handed_on(platform: Platform) -> None:
    """A machine that an attempt was lost on, or that said it goes, is nobody else's any more."""
    held: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for fact in platform.histories["provisioner"].store.facts:
        if isinstance(event := fact.envelope.event, VMReady):
            held[event.machine].append((event.run_id, event.epoch))
    spoilt = _spoilt(platform)
    for machine, holders in held.items():
        for one, other in pairwise(holders):
            if one in spoilt:
                what = f"{machine} of {one[0]}/{one[1]} given to {other[0]}/{other[1]}"
                platform.world.wrong("no lost machine is handed on", what)


def judge_served(platform: Platform) -> None:
    """Once it is heard that an attempt needs no machine, or that another one does, it is given none."""
    needless: dict[tuple[str, int], float] = {}
    newest: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for fact in platform.histories["orchestrator"].store.facts:
        event, at = fact.envelope.event, platform.handled.get(("provisioner", fact.envelope.id))
        if at is not None and isinstance(event, AttemptLost | MachineReleased):
            needless.setdefault((event.run_id, event.epoch), at)
        elif at is not None and isinstance(event, MachineRequested):
            newest[event.run_id].append((event.epoch, at))
    for fact in platform.histories["provisioner"].store.facts:
        if not isinstance(answer := fact.envelope.event, VMReady | VMFailed | MachineDelayed):
            continue
        given = (fact.envelope.time - BEGINNING).total_seconds() - _ROUNDED_S
        late = any(epoch > answer.epoch and at < given for epoch, at in newest[answer.run_id])
        if late or needless.get((answer.run_id, answer.epoch), given) < given:
            what = f"{answer.kind} for {answer.run_id}/{answer.epoch}"
            platform.world.wrong("who needs no machine is given none", what)


def watch_fences(platform: Platform) -> None:
    """As soon as it is heard that an attempt was lost, it holds no machine any more."""

    def handled(name: str, event: Event) -> None:
        if name != "provisioner" or not isinstance(event, AttemptLost):
            return
        for row in platform.ledger.rows.values():
            if row.stage is Stage.HELD and (row.run_id, row.epoch) == (event.run_id, event.epoch):
                what = f"{row.name} of {event.run_id}/{event.epoch}"
                platform.world.wrong("what is lost holds no machine", what)

    platform.on_handled = handled


def _spoilt(platform: Platform) -> set[tuple[str, int]]:
    """Attempts whose machine, or its worker, was given up or went."""
    found = set[tuple[str, int]]()
    for fact in platform.histories["orchestrator"].store.facts:
        match fact.envelope.event:
            case AttemptLost(run_id=run_id, epoch=epoch):
                found.add((run_id, epoch))
            case AttemptExited(run_id=run_id, epoch=epoch, cause=cause) if cause is not None:
                if cause.code == "preempted":
                    found.add((run_id, epoch))
    return found


def _booted_twice(platform: Platform, machine: str) -> bool:
    return sum(worker.name == machine for worker in platform.workers.values()) > 1


def judge_programs(platform: Platform) -> None:
    """No two programs of a run at once; none twice in one epoch; none after a cancel that was carried out."""
    world = platform.world
    by_run: defaultdict[str, list[Program]] = defaultdict(list)
    for program in platform.programs:
        by_run[program.run_id].append(program)
    for run_id, programs in by_run.items():
        for epoch, count in Counter(program.epoch for program in programs).items():
            if count > 1 and not _twice_booted(platform, programs, epoch):
                world.wrong("a program runs once in an epoch", f"{run_id}/{epoch}: {count} times")
        programs.sort(key=lambda program: program.epoch)
        for one, other in pairwise(programs):
            if _overlap(world.now, one, other) and not (one.frozen or other.frozen):
                cause = _lost(platform, run_id, one.epoch)
                if cause in {None, "lost_machine"}:
                    world.wrong(
                        "no two programs at once",
                        f"{run_id}: epochs {one.epoch} until {_end(one, world.now):.3f}"
                        f" and {other.epoch} from {other.started:.3f} ({cause})",
                    )


def _twice_booted(platform: Platform, programs: list[Program], epoch: int) -> bool:
    return len({program.process for program in programs if program.epoch == epoch}) > 1


def _overlap(now: float, one: Program, other: Program) -> bool:
    return one.epoch != other.epoch and one.started < _end(other, now) and other.started < _end(one, now)


def _end(program: Program, now: float) -> float:
    ends = [end for end in (program.ended, program.process.died_at) if end is not None]
    return min(ends, default=now)


def _lost(platform: Platform, run_id: str, epoch: int) -> str | None:
    """Why an epoch was fenced: a deadline may end one whose worker has a lease still."""
    for fact in platform.histories["orchestrator"].store._streams[f"run-{run_id}"]:
        event = fact.envelope.event
        if isinstance(event, AttemptLost) and event.epoch == epoch:
            return event.cause.code
    return None
