import errno

import pytest

from cynthus.containers.errors import EngineRefused
from cynthus.events import Cause as Fact
from cynthus.worker.causes import (
    Cause,
    Ending,
    cause_of,
    full,
    last_lines,
    not_started,
    of_machine,
    stopped,
)
from cynthus.worker.containers.materials import refused
from cynthus.worker.memory import Kills

_PLENTY = 1 << 40
_OURS = Kills(1, ("memory.oom_control: oom_kill 0 -> 1",))
_SOMEBODYS = Kills(1, ("vmstat: oom_kill 3 -> 4",), ours=False)


def ending(
    code: int | None = None,
    signal: int | None = None,
    *,
    reason: str | None = None,
    stderr: bytes = b"",
    free: int = _PLENTY,
    oom: Kills = Kills(),  # noqa: B008 - it is a value
) -> Cause | None:
    return cause_of(Ending(code, signal, reason, stderr, free, oom, 2.5))


def test_a_clean_end_has_no_cause() -> None:
    assert ending(0) is None


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (ending(3), "user_exit"),
        (ending(None, 11), "signal"),
        (ending(None, 9), "signal"),
        (ending(None, 9, oom=_OURS), "oom"),
        (ending(None, 9, oom=_SOMEBODYS), "oom"),
        (ending(1, oom=_OURS), "oom"),
        (ending(137, oom=_OURS), "oom"),
        (ending(1, oom=_SOMEBODYS), "user_exit"),
        (ending(137), "user_exit"),
        (ending(1, stderr=b"OSError: [Errno 28] No space left on device\n"), "disk_full"),
        (ending(1, free=1000), "disk_full"),
        (ending(None, 9, reason="timeout", oom=_OURS), "timeout"),
        (ending(0, reason="cancelled"), "cancelled"),
        (ending(None, 15, reason="preempted"), "preempted"),
        (ending(None, 15, reason="disk_full"), "disk_full"),
        (ending(None, 9, reason="worker_failed"), "worker_failed"),
        (ending(1, reason="something new"), "something new"),
    ],
)
def test_every_end_has_its_code(found: Cause | None, code: str) -> None:
    assert found is not None
    assert found.code == code
    assert Fact.model_validate(found.encode()).code == code


def test_the_last_line_of_a_traceback_is_in_the_message() -> None:
    found = ending(
        1, stderr=b"Traceback (most recent call last):\n  x\npandas.errors.ParserError: bad line 3\n\n"
    )

    assert found is not None
    assert "pandas.errors.ParserError: bad line 3" in found.message
    assert found.evidence[0].startswith("Traceback")


def test_the_counter_that_names_a_cause_is_part_of_its_evidence() -> None:
    found = ending(1, oom=_OURS, stderr=b"a worker of the pool died\n")

    assert found is not None
    assert found.evidence == ("memory.oom_control: oom_kill 0 -> 1", "a worker of the pool died")
    assert "exit code 1" in found.message


def test_a_memory_error_says_what_to_do() -> None:
    found = ending(1, stderr=b"MemoryError\n")

    assert found is not None
    assert found.fix is not None
    assert "--memory" in found.fix


def test_evidence_is_short_and_survives_junk() -> None:
    lines = last_lines(b"\xff\n" * 50 + b"y" * 10_000)

    assert len(lines) == 20
    assert max(map(len, lines)) <= 500


def test_a_program_that_cannot_be_executed_says_why() -> None:
    refused = not_started(OSError(errno.EACCES, "Permission denied"), ["./x"], exists=True)

    assert refused.code == "command_not_executable"
    assert not_started(OSError(errno.ENOENT, "No"), ["x"], exists=False).code == "command_not_found"
    assert not_started(OSError(errno.ENOENT, "No"), ["x"], exists=True).code == "interpreter_missing"


def test_a_machine_without_room_is_named() -> None:
    assert of_machine(OSError(errno.ENOSPC, "full")).code == "disk_full"
    assert of_machine(OSError(errno.EIO, "broken")).code == "worker_failed"
    assert stopped("cancelled").code == "cancelled"


def test_what_did_not_fit_is_said() -> None:
    said = of_machine(OSError(errno.EDQUOT, "Disk quota exceeded"), "the data")
    engine = refused(EngineRefused(500, "write /var/lib/layer: no space left on device"))

    assert said.message == "the machine's disk is full: there is no room for the data"
    assert (engine.code, engine.message) == ("disk_full", full("the image").message)
    assert "no space left" in engine.evidence[0]
    assert refused(EngineRefused(500, "no such thing")).code == "container_refused"
