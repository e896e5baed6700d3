"""Why an attempt ended: a stable code, a sentence, what to do, the evidence."""

import errno
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from cynthus.worker.memory import Kills

_EVIDENCE_LINES = 20
_LINE_CHARACTERS = 500
_FREE_SPACE = "Write less, or free space on the machine."
_FULL_BYTES = 4 * 1024 * 1024
_NO_SPACE = re.compile(r"no space left on device|ENOSPC|Errno 28|disk quota exceeded", re.IGNORECASE)
_LAST_OF_TRACEBACK = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Warning|Interrupt|Exit|Iteration)\b.*")


class Cause(NamedTuple):
    """See cynthus.events.run.Cause; plain here, for the worker starts without pydantic."""

    code: str
    message: str
    fix: str | None = None
    evidence: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: int | None = None

    def encode(self) -> dict[str, Any]:
        """As JSON."""
        return {**self._asdict(), "evidence": list(self.evidence)}

    def with_facts(self, *facts: str) -> "Cause":
        """More evidence; what was seen goes before what the program said."""
        return self._replace(evidence=(*facts, *self.evidence))


class AttemptFailed(Exception):
    """The attempt ended before its process ran."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.message)
        self.cause = cause


class Ending(NamedTuple):
    """What is known when the user's process is gone; `free_bytes` of the disk, `kills` seen meanwhile."""

    code: int | None
    signal: int | None
    reason: str | None
    stderr: bytes
    free_bytes: int
    kills: Kills
    timeout_s: float | None
    facts: tuple[str, ...] = ()
    """Evidence besides the program's last words."""


def cause_of(ending: Ending) -> Cause | None:
    """None when the program ended by itself with exit code 0."""
    lines = last_lines(ending.stderr)
    if ending.reason is not None:
        cause = _asked(ending)
    elif ending.code == 0:
        return None
    elif ending.kills.number and (ending.kills.ours or ending.signal == signal.SIGKILL):
        cause = _out_of_memory(ending)
    elif any(_NO_SPACE.search(line) for line in lines) or ending.free_bytes < _FULL_BYTES:
        cause = Cause("disk_full", "the disk was full while the program ran", _FREE_SPACE)
    elif ending.signal is not None:
        cause = Cause("signal", f"the program was killed by {_signal(ending.signal)}")
    else:
        cause = _exited(ending.code or 0, lines)
    evidence = (*ending.facts, *ending.kills.evidence, *lines)
    return cause._replace(evidence=evidence, exit_code=ending.code, signal=ending.signal)


def not_started(error: OSError, command: Sequence[str], *, exists: bool) -> Cause:
    """The user's process could not be executed."""
    name = command[0]
    if error.errno == errno.ENOENT and exists:
        return Cause(
            "interpreter_missing",
            f"{name!r} names an interpreter in its first line that is not on the machine",
            "Use a line like #!/usr/bin/env python3, or run it as an argument of its interpreter.",
            (str(error),),
        )
    if error.errno == errno.ENOENT:
        fix = "Check the name; programs are looked up in the environment and on the machine's PATH."
        return Cause("command_not_found", f"there is no program {name!r}", fix, (str(error),))
    fix = "Give it a first line like #!/usr/bin/env python3 and the executable bit."
    return Cause(
        "command_not_executable", f"{name!r} cannot be executed: {error.strerror}", fix, (str(error),)
    )


def stopped(reason: str, facts: Sequence[str] = ()) -> Cause:
    """Asked to stop before the user's process ran."""
    return _asked(Ending(None, None, reason, b"", _FULL_BYTES, Kills(), None))._replace(evidence=tuple(facts))


def unprepared(code: str, problem: Exception) -> Cause:
    """Source or data cannot be had."""
    fixes = {
        "content_missing": "Run it again: missing files are uploaded again.",
        "order_invalid": "Change the path in the project's settings.",
    }
    return Cause(code, f"{problem}", fixes.get(code))


def of_machine(error: OSError, what: str = "the run's files") -> Cause:
    """The machine itself cannot do it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return full(what, (str(error),))
    return Cause("worker_failed", f"the machine cannot hold {what}", None, (str(error),))


def of_outputs(problem: Exception) -> Cause:
    """The program succeeded, but what it left cannot be kept."""
    if isinstance(problem, OSError) and problem.errno in {errno.ENOSPC, errno.EDQUOT}:
        return full("staging the outputs", (str(problem),))
    return Cause("outputs_failed", f"the outputs could not be kept: {problem}")


def overtaken() -> Cause:
    """The program succeeded, but its machine went before all of it was safe."""
    message = "the machine was told to stop before the results of the finished program were safe"
    return Cause("preempted", message)


def full(what: str, evidence: Sequence[str] = ()) -> Cause:
    """There is no room for something."""
    message = f"the machine's disk is full: there is no room for {what}"
    return Cause("disk_full", message, _FREE_SPACE, tuple(evidence))


def is_full(said: str) -> bool:
    """Somebody says that a disk is full."""
    return _NO_SPACE.search(said) is not None


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Raises AttemptFailed, naming what the machine could not hold."""
    try:
        yield
    except OSError as error:
        raise AttemptFailed(of_machine(error, what)) from error


def last_lines(tail: bytes) -> tuple[str, ...]:
    """The last lines that say something."""
    lines = [line.rstrip()[:_LINE_CHARACTERS] for line in tail.decode(errors="replace").splitlines()]
    return tuple([line for line in lines if line][-_EVIDENCE_LINES:])


def _asked(ending: Ending) -> Cause:
    causes: Mapping[str, Cause] = {
        "cancelled": Cause("cancelled", "the run was cancelled"),
        "timeout": Cause(
            "timeout",
            f"the program was still running after its time limit of {ending.timeout_s or 0:g} s",
            "Give it more with --timeout.",
        ),
        "disk_full": full("the program's log"),
        "preempted": Cause("preempted", "the machine was told to stop"),
        "worker_failed": Cause("worker_failed", "the program's supervisor was killed"),
        "worker_killed": Cause("worker_failed", "the worker was killed, and the program with it"),
    }
    reason = ending.reason or ""
    return causes.get(reason, Cause(reason, f"the attempt was stopped: {reason}"))


def _out_of_memory(ending: Ending) -> Cause:
    message = "the program used more memory than there is"
    if ending.signal != signal.SIGKILL:
        ended = "ended" if ending.code is None else f"ended with exit code {ending.code}"
        message = f"a process of the program used more memory than there is, and the program {ended}"
    return Cause("oom", message, "Ask for more with --memory.")


def _exited(code: int, lines: Sequence[str]) -> Cause:
    message = f"the program ended with exit code {code}"
    said = next((line for line in reversed(lines) if _LAST_OF_TRACEBACK.match(line)), None)
    if said is None:
        return Cause("user_exit", message)
    fixes = {
        "MemoryError": "Ask for more memory with --memory.",
        "ModuleNotFoundError": "Add the package to the project's requirements.",
    }
    return Cause("user_exit", f"{message}: {said}", fixes.get(said.partition(":")[0].strip()))


def _signal(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"
