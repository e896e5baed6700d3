"""Why an attempt ended: a stable code, a sentence, what to do, the evidence."""

import errno
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_EVIDENCE_LINES = 20
_LINE_CHARACTERS = 500
_FREE_SPACE = "Write less, or free space on the machine."
_FULL_BYTES = 4 * 1024 * 1024
_NO_SPACE = re.compile(r"No space left on device|ENOSPC|Errno 28|Disk quota exceeded")
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


class AttemptFailed(Exception):
    """The attempt ended before its process ran."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.message)
        self.cause = cause


class Ending(NamedTuple):
    """What is known when the user's process is gone; `free_bytes` of the disk, `oom_kills` seen meanwhile."""

    code: int | None
    signal: int | None
    reason: str | None
    stderr: bytes
    free_bytes: int
    oom_kills: int
    timeout_s: float | None


def cause_of(ending: Ending) -> Cause | None:
    """None when the program ended by itself with exit code 0."""
    lines = last_lines(ending.stderr)
    if ending.reason is not None:
        cause = _asked(ending)
    elif ending.code == 0:
        return None
    elif ending.signal == signal.SIGKILL and ending.oom_kills:
        cause = Cause("oom", "the program used more memory than there is", "Ask for more with --memory.")
    elif any(_NO_SPACE.search(line) for line in lines) or ending.free_bytes < _FULL_BYTES:
        cause = Cause("disk_full", "the disk is full", _FREE_SPACE)
    elif ending.signal is not None:
        cause = Cause("signal", f"the program was killed by {_signal(ending.signal)}")
    else:
        cause = _exited(ending.code or 0, lines)
    return cause._replace(evidence=lines, exit_code=ending.code, signal=ending.signal)


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


def stopped(reason: str) -> Cause:
    """Asked to stop before the user's process ran."""
    return _asked(Ending(None, None, reason, b"", _FULL_BYTES, 0, None))


def unprepared(code: str, problem: Exception) -> Cause:
    """Source or data cannot be had."""
    fixes = {
        "content_missing": "Run it again: missing files are uploaded again.",
        "order_invalid": "Change the path in the project's settings.",
    }
    return Cause(code, f"{problem}", fixes.get(code))


def of_machine(error: OSError) -> Cause:
    """The machine itself cannot do it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Cause("disk_full", "the machine's disk is full: the run's files do not fit", _FREE_SPACE)
    return Cause("worker_failed", "the machine cannot hold the run's files", None, (str(error),))


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
        "disk_full": Cause(
            "disk_full",
            "the machine's disk is full: the program's output could not be kept",
            _FREE_SPACE,
        ),
        "preempted": Cause("preempted", "the machine was told to stop"),
        "worker_failed": Cause("worker_failed", "the program's supervisor was killed"),
    }
    reason = ending.reason or ""
    return causes.get(reason, Cause(reason, f"the attempt was stopped: {reason}"))


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
