"""I12: no fault shorter than the lease loses a healthy attempt."""

from tests.verify.evidence import Evidence
from tests.verify.facts import Fact, Stream
from tests.verify.faults import Fault
from tests.verify.findings import Checked
from tests.verify.ledger import Life, lives
from tests.verify.lines import Line

UNHEARD = frozenset({"lost_machine", "preempted"})
"""Causes that say the attempt was gone; all others are about what it did, or took too long to do."""
FATAL = ("kill", "vanish", "preempt", "crash", "boot")
PATH = ("worker", "machines", "orchestrator", "database", "postgres", "network", "host")
"""What lies between a program and the lease of its attempt; other machines and services do not."""
BEAT_S = 2.0
"""Faults with so little between them count as one: no heartbeat need have come through."""
ALIVE_S = 1.0
SELF_STOP = 2 / 3
"""The part of an unrenewed lease after which a worker stops the program by itself."""


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    machines = lives(evidence)
    for stream in evidence.runs.values():
        checked.looked_at += len(stream.all("attempt.started"))
        for lost in stream.all("attempt.lost"):
            checked.saw("attempts lost")
            _judge(evidence, stream, lost, machines, checked)
    _deleted(evidence, machines, checked)
    return checked


def _judge(evidence: Evidence, stream: Stream, lost: Fact, machines: list[Life], checked: Checked) -> None:
    cancelled = stream.first("run.cancel-requested")
    at = lost.at
    told = [line for line in evidence.side.get(stream.run, []) if line["epoch"] == lost.epoch]
    if lost.cause not in UNHEARD or (cancelled is not None and cancelled.version < lost.version):
        checked.saw("lost for what they did")
    elif _died(stream, lost, at, machines):
        checked.saw("lost with their machines")
    elif (
        _excuse(evidence, stream, lost, alive=bool(told) and float(told[-1]["t"]) >= at - ALIVE_S) is not None
    ):
        checked.saw("lost to faults that were long enough, or of their own worker")
    else:
        what = f"{stream.run}: attempt {lost.epoch} was healthy and was given up as {lost.cause}"
        checked.found(what, lost.where, *(line.where for line in told[-1:]))


def _alive(told: list[Line], at: float) -> bool:
    """The program was running when it was given up."""
    return bool(told) and told[-1]["what"] != "end" and float(told[-1]["t"]) >= at - ALIVE_S


def _machines(stream: Stream, epoch: int | None) -> set[str]:
    return {str(fact.data["machine"]) for fact in stream.all("vm.ready", epoch=epoch)}


def _died(stream: Stream, lost: Fact, at: float, machines: list[Life]) -> bool:
    names = _machines(stream, lost.epoch)
    return any(
        life.machine in names and life.dead is not None and life.dead <= at + ALIVE_S for life in machines
    )


def _excuse(evidence: Evidence, stream: Stream, lost: Fact, *, alive: bool) -> Fault | None:
    """A worker that is not heard stops its program before the lease ends; then less than a lease will do."""
    lease_s = evidence.number("lease_s")
    names = (stream.run, *_machines(stream, lost.epoch))
    window = evidence.faults.during(lost.at - 2 * lease_s - BEAT_S, lost.at)
    for fault in window:
        if fault.hits(*names) and any(word in fault.kind for word in FATAL):
            return fault
    between = [fault for fault in window if fault.hits(*names) or any(word in fault.target for word in PATH)]
    return _long(between, lease_s if alive else lease_s * SELF_STOP)


def _long(faults: list[Fault], least_s: float) -> Fault | None:
    """Faults that follow each other so closely that together they last so long."""
    begin = end = float("-inf")
    for fault in faults:
        if fault.t0 > end + BEAT_S:
            begin, end = fault.t0, fault.t1
        end = max(end, fault.t1)
        if end - begin >= least_s - BEAT_S:
            return fault
    return None


def _deleted(evidence: Evidence, machines: list[Life], checked: Checked) -> None:
    """We delete no machine that an attempt holds."""
    asked = {
        str(line["machine"])
        for line in evidence.lines("provider")
        if line["what"] == "delete_asked" and not line.get("reason")  # a provider's own has a reason
    }
    ended: dict[str, list[Life]] = {}
    for life in machines:
        if life.machine in asked and life.end == "deleted":
            ended.setdefault(life.machine, []).append(life)
    for stream in evidence.runs.values():
        for ready in stream.all("vm.ready"):
            checked.saw("machines held")
            until = _held_until(stream, ready)
            for life in ended.get(str(ready.data["machine"]), []):
                if life.dead is not None and ready.at < life.dead < until - ALIVE_S:
                    what = f"{stream.run}: {life.machine} was deleted while attempt {ready.epoch} held it"
                    checked.found(what, ready.where, life.dead_at)


def _held_until(stream: Stream, ready: Fact) -> float:
    """Until it is given back, its attempt is fenced, or the provider said that it is gone."""
    epoch = ready.epoch or 0
    ends = [stream.fence(epoch), stream.first("vm.lost", epoch=epoch)]
    ends += [
        fact
        for fact in stream.all("machine.released", epoch=epoch)
        if fact.data.get("machine") in {ready.data["machine"], None}
    ]
    return min((fact.at for fact in ends if fact is not None), default=float("inf"))
