"""What must hold whatever happened: read from the truth of the models, not from what services believe."""

from datetime import datetime

from cynthus.events import (
    AttemptExited,
    AttemptLost,
    AttemptStarted,
    CheckpointSaved,
    LogsSealed,
    MachineRequested,
    OutputsCommitted,
    RetryScheduled,
    RunCancelled,
    RunCancelRequested,
    RunFailed,
    RunRequested,
    RunSucceeded,
)
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.run import Run
from cynthus.orchestrator.ports import LogChunk
from cynthus.store.ports import Recorded
from tests.simulation.bookkeeping import judge_heard, judge_inputs, judge_outbox, judge_rebuild
from tests.simulation.clients import OWNER, Wish
from tests.simulation.platform import LIMITS, Platform
from tests.simulation.remains import (
    judge_handed_on,
    judge_losses,
    judge_machines,
    judge_programs,
    judge_served,
)

REPORTS = (AttemptStarted, AttemptExited, LogsSealed, OutputsCommitted, CheckpointSaved)
TERMINAL = (RunSucceeded, RunFailed, RunCancelled)


class Watch:
    """Looks at every fact as it is committed."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._ended: dict[str, str] = {}

    def check(self, recorded: list[Recorded]) -> None:
        """Nothing is refused."""

    def apply(self, recorded: list[Recorded]) -> None:
        world = self._platform.world
        about = world.faults.about()
        self._platform.promises.follow(recorded)
        for fact in recorded:
            event, stream = fact.envelope.event, fact.envelope.stream
            run = self._platform.tables.runs.get(stream.removeprefix("run-"))
            world.cells.hit(str(run.state) if run else "UNKNOWN", event.kind, about)
            if isinstance(event, TERMINAL):
                if stream in self._ended:
                    world.wrong("one terminal state", f"{stream}: {self._ended[stream]}, then {event.kind}")
                self._ended[stream] = event.kind

    def reset(self) -> None:
        self._ended.clear()


def converged(platform: Platform, wishes: list[Wish]) -> bool:
    """Every accepted run is over, and no machine is left."""
    runs = platform.tables.runs
    over = all(wish.run_id is not None and wish.run_id in runs and runs[wish.run_id].over for wish in wishes)
    return over and not platform.provider.machines and not platform.ledger_busy()


def what_is_left(platform: Platform, wishes: list[Wish]) -> str:
    """For people: why it did not converge."""
    runs = platform.tables.runs
    left = [
        f"{wish.run_id} {runs[wish.run_id].state if wish.run_id in runs else 'unknown'}"
        for wish in wishes
        if wish.run_id not in runs or not runs[wish.run_id].over
    ]
    machines = [f"{name} {machine.standing}" for name, machine in platform.provider.machines.items()]
    return f"runs {left}, machines {machines}, ledger {platform.ledger_busy()}"


def judge(platform: Platform, wishes: list[Wish], *, gentle: bool) -> None:
    """Everything that is told at the end."""
    for wish in wishes:
        if wish.run_id is not None and wish.run_id in platform.tables.runs:
            _judge_run(platform, wish)
    judge_programs(platform)
    judge_machines(platform)
    judge_losses(platform)
    judge_handed_on(platform)
    judge_served(platform)
    judge_outbox(platform)
    judge_heard(platform)
    judge_inputs(platform)
    if gentle:
        _judge_kills(platform)
    judge_rebuild(platform)


def _judge_kills(platform: Platform) -> None:
    """No fault was as long as a lease. An order that was lost several times in a row is no attempt yet."""
    begun = {(program.run_id, program.epoch) for program in platform.programs}
    for fact in platform.histories["orchestrator"].store.facts:
        event = fact.envelope.event
        if isinstance(event, AttemptLost) and (event.run_id, event.epoch) in begun:
            platform.world.wrong("no false kill", f"{fact.envelope.stream} {event.cause.code}")


def _judge_run(platform: Platform, wish: Wish) -> None:
    world, run_id = platform.world, wish.run_id
    facts = platform.histories["orchestrator"].store._streams[f"run-{run_id}"]
    versions = [fact.envelope.sequence for fact in facts]
    if versions != list(range(1, len(facts) + 1)):
        world.wrong("versions have no gap", f"{run_id}: {versions}")
    events = [fact.envelope.event for fact in facts]
    terminal = [event for event in events if isinstance(event, TERMINAL)]
    if len(terminal) != 1:
        world.wrong("one terminal state", f"{run_id}: {[event.kind for event in terminal]}")
        return
    _judge_fences(platform, str(run_id), facts)
    asked = [index for index, event in enumerate(events) if isinstance(event, RunCancelRequested)]
    if asked and any(isinstance(event, MachineRequested) for event in events[asked[0] :]):
        world.wrong("a cancelled run begins nothing", str(run_id))
    if isinstance(terminal[0], RunSucceeded):
        _judge_success(platform, platform.tables.runs[str(run_id)], terminal[0].epoch, events)
    if sum(isinstance(event, RunRequested) for event in events) != 1:
        world.wrong("handled once", f"{run_id} was requested more than once")
    most = 1 + LIMITS.infrastructure_retries + wish.command.spec.retries + _more(LIMITS)
    attempts = sum(isinstance(event, MachineRequested) for event in events)
    if attempts > most:
        world.wrong("attempts are bounded", f"{run_id}: {attempts} of at most {most}")
    world.counts[terminal[0].kind] += 1
    world.counts["attempts"] += attempts


def _judge_fences(platform: Platform, run_id: str, facts: list[Recorded]) -> None:
    """Of an epoch that counts no more nothing is taken any more: no report, no piece of log."""
    fenced: dict[int, datetime] = {}
    for fact in facts:
        event, at = fact.envelope.event, fact.envelope.time
        if isinstance(event, REPORTS) and event.epoch in fenced:
            platform.world.wrong("fences hold", f"{run_id}/{event.epoch} {event.kind} after its end")
        if isinstance(event, (AttemptLost, RetryScheduled, *TERMINAL)) and event.epoch is not None:
            fenced.setdefault(event.epoch, at)
    for epoch, at in fenced.items():
        late = [chunk.seq for chunk in platform.tables.chunks.get((run_id, epoch), []) if _after(chunk, at)]
        if late:
            platform.world.wrong("fences hold", f"{run_id}/{epoch} log chunks {late} after its end")


def _after(chunk: LogChunk, at: datetime) -> bool:
    return chunk.at is not None and chunk.at > at


def _more(limits: Limits) -> int:
    """Budgets that later versions have beside the first."""
    names = ("preemption_retries", "capacity_retries")
    return sum(int(getattr(limits, name, 0)) for name in names)


def _judge_success(platform: Platform, run: Run, epoch: int, events: list[object]) -> None:
    """Exit 0, the log to the last byte, the outputs of this very attempt."""
    world = platform.world
    ran = [one for one in platform.programs if (one.run_id, one.epoch) == (run.id, epoch)]
    if len(ran) != 1 or ran[0].exit_code != 0:
        world.wrong("success is exit 0", f"{run.id}/{epoch}: {[one.exit_code for one in ran]}")
        return
    chunks = platform.tables.chunks.get((run.id, epoch), [])
    end = 0
    for chunk in chunks:
        stored = platform.blobs.truth._blobs.get(
            f"owners/{OWNER}/runs/{run.id}/{epoch}/logs/{chunk.seq:010d}"
        )
        if chunk.offset != end or stored is None or len(stored[1]) != chunk.size:
            world.wrong("the log is complete", f"{run.id}/{epoch} chunk {chunk.seq}")
        end = chunk.offset + chunk.size
    if end != ran[0].written:
        world.wrong("the log is complete", f"{run.id}/{epoch}: {end} of {ran[0].written} bytes")
    committed = [event for event in events if isinstance(event, OutputsCommitted) and event.epoch == epoch]
    if len(committed) != 1 or (ran[0].outputs is not None and committed[0].manifest != ran[0].outputs):
        world.wrong("one visible result", f"{run.id}/{epoch}: {committed}")
        return
    key = f"owners/{OWNER}/manifests/{committed[0].manifest.removeprefix('sha256:')}"
    if key not in platform.blobs.truth._blobs:
        world.wrong("one visible result", f"{run.id}/{epoch}: no manifest")
