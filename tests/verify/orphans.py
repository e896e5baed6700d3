"""I5: no machine, and no process of one, outlives its need by more than N seconds."""

from dataclasses import dataclass, field

from tests.verify.evidence import Evidence
from tests.verify.facts import Stream
from tests.verify.findings import Checked
from tests.verify.ledger import Life, lives

_FOR_EVER = float("inf")


@dataclass(slots=True)
class Need:
    """When machines were held, by name, and when anybody waited for one."""

    held: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    waited: list[tuple[float, float]] = field(default_factory=list)

    def last(self, life: Life) -> float:
        """The last moment up to which this machine was needed, or might have been."""
        until = life.born
        for t0, t1 in self.held.get(life.machine, []):
            if t1 >= life.born and (life.dead is None or t0 <= life.dead):
                until = max(until, t1)
        for t0, t1 in self.waited:
            if t0 <= (life.dead or _FOR_EVER) and t1 >= life.born:
                until = max(until, t1)
        return until


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    need = _need(evidence)
    left: list[tuple[float, Life]] = []
    machines = lives(evidence)
    for life in machines:
        checked.looked_at += 1
        unneeded = need.last(life)
        due = evidence.faults.deadline(unneeded, evidence.number("machine_grace_s"))
        until = evidence.ended_at if life.dead is None else life.dead
        if evidence.faults.during(unneeded, until):
            checked.lasted("a machine beyond its need, under faults", until - unneeded)
        else:
            checked.lasted("a machine beyond its need, without faults", until - unneeded)
        if until > due:
            left.append((until - unneeded, life))
    _report(evidence, left, checked)
    _processes(evidence, machines, need, checked)
    return checked


def _report(evidence: Evidence, left: list[tuple[float, Life]], checked: Checked) -> None:
    """So many idle machines may be kept ready at any one time."""
    warm = int(evidence.number("warm"))
    end = evidence.ended_at
    moments = sorted({life.dead or end for _, life in left})
    excess = {
        id(life): (over_s, life)
        for t in moments
        for over_s, life in _beyond(
            warm, [pair for pair in left if (pair[1].dead or end) >= t >= pair[1].born]
        )
    }
    for over_s, life in excess.values():
        lines = (life.born_at, life.dead_at) if life.dead_at else (life.born_at,)
        checked.found(f"machine {life.machine} was there {over_s:.1f} s beyond its need", *lines)


def _beyond(warm: int, there: list[tuple[float, Life]]) -> list[tuple[float, Life]]:
    return sorted(there, key=lambda pair: pair[0], reverse=True)[: max(0, len(there) - warm)]


def _need(evidence: Evidence) -> Need:
    need = Need()
    for stream in evidence.runs.values():
        for epoch in stream.epochs:
            _attempt(stream, epoch, need)
    return need


def _attempt(stream: Stream, epoch: int, need: Need) -> None:
    fence = stream.fence(epoch)
    asked = stream.first("machine.requested", epoch=epoch)
    assert asked is not None
    fenced = _FOR_EVER if fence is None else fence.at
    answers = stream.all("vm.ready", "vm.failed", epoch=epoch)
    answered = min((fact.at for fact in answers), default=_FOR_EVER)
    need.waited.append((asked.at, min(answered, fenced)))
    for ready in stream.all("vm.ready", epoch=epoch):
        machine = str(ready.data["machine"])
        released = [
            fact.at for fact in stream.all("machine.released", epoch=epoch)
            if fact.data.get("machine") in {machine, None}
        ]  # fmt: skip
        until = min([fenced, *released])
        need.held.setdefault(machine, []).append((ready.at, max(ready.at, until)))


def _processes(evidence: Evidence, machines: list[Life], need: Need, checked: Checked) -> None:
    """What is left on the host belongs to a machine that is there and needed."""
    there = {life.machine: life for life in machines if life.dead is None}
    live = any(stream.terminal is None for stream in evidence.runs.values())
    for line in evidence.lines("processes"):
        checked.saw("processes left")
        machine = line.get("machine")
        if machine is None and not live:
            checked.found(f"process {line['pid']} is left and no run needs it", line.where)
        elif machine is not None and machine not in there:
            due = _due(evidence, machines, str(machine))
            if evidence.ended_at > due:
                checked.found(
                    f"process {line['pid']} is left of machine {machine}, which is gone", line.where
                )


def _due(evidence: Evidence, machines: list[Life], machine: str) -> float:
    ends = [life.dead for life in machines if life.machine == machine and life.dead is not None]
    return evidence.faults.deadline(max(ends, default=0.0), evidence.number("machine_grace_s"))
