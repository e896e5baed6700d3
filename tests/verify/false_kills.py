"""I12: no fault shorter than the lease loses a healthy attempt."""

from tests.verify.evidence import Evidence, Line
from tests.verify.facts import Fact, Stream
from tests.verify.faults import Fault
from tests.verify.findings import Checked
from tests.verify.ledger import Life, lives

UNHEARD = frozenset({"lost_machine", "preempted"})
"""Causes that say the attempt was gone; all others are about what it did, or took too long to do."""
FATAL = ("kill", "vanish", "preempt", "freeze", "stop", "pause", "crash", "delete", "boot")
BEAT_S = 2.0
"""Faults with so little between them count as one: no heartbeat need have come through."""
ALIVE_S = 1.0


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
    if lost.cause not in UNHEARD or (cancelled is not None and cancelled.version < lost.version):
        checked.saw("lost for what they did")
        return
    at = evidence.time_of(lost)
    alive = _alive(evidence, stream, lost, at)
    if alive is None:
        checked.saw("lost and dead")
        return
    names = _machines(stream, lost.epoch)
    if any(
        life.machine in names and life.dead is not None and life.dead <= at + ALIVE_S for life in machines
    ):
        checked.saw("lost with their machines")
        return
    excuse = _excuse(evidence, stream, at, names)
    if excuse is not None:
        checked.saw("lost to faults as long as the lease, or of their own worker")
        return
    what = f"{stream.run}: attempt {lost.epoch} was healthy and was given up as {lost.cause}"
    checked.found(what, lost.where, alive.where)


def _alive(evidence: Evidence, stream: Stream, lost: Fact, at: float) -> Line | None:
    """The program's word from when it was given up, or after."""
    lines = [line for line in evidence.side.get(stream.run, []) if line["epoch"] == lost.epoch]
    ended = [line for line in lines if line["what"] == "end" and float(line["t"]) <= at]
    later = [line for line in lines if float(line["t"]) >= at - ALIVE_S]
    return later[-1] if later and not ended else None


def _machines(stream: Stream, epoch: int | None) -> set[str]:
    return {str(fact.data["machine"]) for fact in stream.all("vm.ready", epoch=epoch)}


def _excuse(evidence: Evidence, stream: Stream, at: float, names: set[str]) -> Fault | None:
    lease_s = evidence.number("lease_s")
    window = evidence.faults.during(at - 2 * lease_s - BEAT_S, at)
    for fault in window:
        own = any(name in fault.text for name in (stream.run, *names))
        if own and any(word in fault.kind for word in FATAL):
            return fault
    return _long(window, lease_s)


def _long(faults: list[Fault], lease_s: float) -> Fault | None:
    """Faults that follow each other so closely that together they last a lease."""
    begin = end = float("-inf")
    for fault in faults:
        if fault.t0 > end + BEAT_S:
            begin, end = fault.t0, fault.t1
        end = max(end, fault.t1)
        if end - begin >= lease_s - BEAT_S:
            return fault
    return None


def _deleted(evidence: Evidence, machines: list[Life], checked: Checked) -> None:
    """We delete no machine that an attempt holds."""
    asked = {str(line["machine"]) for line in evidence.lines("provider") if line["what"] == "delete_asked"}
    by_name: dict[str, list[Life]] = {}
    for life in [life for life in machines if life.machine in asked]:
        by_name.setdefault(life.machine, []).append(life)
    for stream in evidence.runs.values():
        for ready in stream.all("vm.ready"):
            checked.saw("machines held")
            epoch = ready.epoch or 0
            fence = stream.fence(epoch)
            until = float("inf") if fence is None else fence.at
            gone = stream.first("vm.lost", epoch=epoch)
            for life in by_name.get(str(ready.data["machine"]), []):
                if life.end == "deleted" and life.dead is not None and ready.at < life.dead < until - ALIVE_S:
                    if gone is not None and gone.at <= life.dead:
                        continue
                    what = f"{stream.run}: machine {life.machine} was deleted while attempt {epoch} held it"
                    checked.found(what, ready.where, life.dead_at)
