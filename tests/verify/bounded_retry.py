"""I11: attempts and calls are bounded, hopeless runs end at once, and nobody pays for the infrastructure."""

from tests.verify.evidence import Evidence
from tests.verify.facts import Fact, Stream
from tests.verify.findings import Checked
from tests.verify.ledger import CALLS

AT_ONCE_S = 30.0
MOST_ATTEMPTS = 30
CALLS_PER_MINUTE = 60
NOT_THE_USERS = frozenset(
    {
        "boot_failed",
        "engine_restarted",
        "image_missing",
        "lost_machine",
        "no_capacity",
        "preempted",
        "registry_unreachable",
        "upload_stalled",
        "worker_failed",
        "worker_stopped",
    }
)
"""docs/protocols.md, "Worker protocol"."""


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    for stream in evidence.runs.values():
        checked.looked_at += 1
        checked.saw("attempts", len(stream.epochs))
        _attempts(evidence, stream, checked)
        _budgets(stream, checked)
        _hopeless(evidence, stream, checked)
    _calls(evidence, checked)
    return checked


def _attempts(evidence: Evidence, stream: Stream, checked: Checked) -> None:
    most = int(evidence.number("max_attempts", MOST_ATTEMPTS))
    asked = stream.all("machine.requested")
    if len(asked) > most:
        checked.found(f"{stream.run} was tried {len(asked)} times, {most} are allowed", asked[-1].where)


def _budgets(stream: Stream, checked: Checked) -> None:
    used: dict[str, int] = {}
    for fact in stream.all("run.retry-scheduled"):
        checked.saw("retries")
        budget = fact.data.get("budget")
        if budget == "user" and fact.cause in NOT_THE_USERS:
            checked.found(f"{stream.run}: {fact.cause} was counted as the user's failure", fact.where)
        count, allowed = fact.data.get("used"), fact.data.get("allowed")
        if count is not None and allowed is not None and count > allowed:
            checked.found(f"{stream.run}: {count} retries where {allowed} are allowed", fact.where)
        if budget is not None and count is not None:
            if count <= used.get(budget, 0):
                checked.found(f"{stream.run}: the {budget} budget does not count up", fact.where)
            used[budget] = count


def _hopeless(evidence: Evidence, stream: Stream, checked: Checked) -> None:
    end = stream.terminal
    for fact in stream.all("vm.failed", "build.failed", "dataset.failed"):
        if not _for_good(fact) or _moot(stream, fact):
            continue
        checked.saw("permanent failures")
        due = evidence.faults.deadline(max(fact.at, _known(stream)), AT_ONCE_S)
        if (evidence.ended_at if end is None else end.at) > due:
            lines = (fact.where,) if end is None else (fact.where, end.where)
            checked.found(f"{stream.run} was not over {AT_ONCE_S:.0f} s after {fact.kind} for good", *lines)


def _for_good(fact: Fact) -> bool:
    return fact.kind == "dataset.failed" or not fact.data.get("transient")


def _moot(stream: Stream, fact: Fact) -> bool:
    """What was missing came from elsewhere, or the attempt no longer counted."""
    if fact.kind == "build.failed":
        return stream.first("image.built") is not None
    if fact.kind == "dataset.failed":
        return stream.first("dataset.ready") is not None
    ready = stream.first("vm.ready", epoch=fact.epoch)
    return ready is not None or (fact.epoch or 0) < max(stream.epochs, default=0)


def _known(stream: Stream) -> float:
    requested = stream.first("run.queued")
    return 0.0 if requested is None else requested.at


def _calls(evidence: Evidence, checked: Checked) -> None:
    """So many calls a minute for each machine and kind of call, however often they fail."""
    most = int(evidence.number("calls_per_minute", CALLS_PER_MINUTE))
    times: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for line in evidence.lines("provider"):
        if line["what"] in CALLS:
            checked.saw("calls of the provider")
            key = (str(line["what"]), str(line.get("machine")))
            times.setdefault(key, []).append((float(line["t"]), line.where))
    for (call, machine), calls in times.items():
        calls.sort()
        for (begin, where), (end, last) in zip(calls, calls[most:], strict=False):
            if end - begin < 60.0:
                checked.found(f"more than {most} times {call} of {machine} in a minute", where, last)
                break
