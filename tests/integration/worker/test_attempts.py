import signal
import time

import psutil
import pytest

from tests.fixtures.platform_for_workers import PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, Worker

pytestmark = [BOTH_WAYS, pytest.mark.usefixtures("worker")]


def test_a_program_runs_and_its_log_and_outputs_arrive(platform: PlatformForWorkers) -> None:
    given = platform.give(
        "import os, sys\nprint('hello')\nprint('oh', file=sys.stderr)\n"
        "open(os.environ['CYNTHUS_OUTPUT_DIR'] + '/result.txt', 'w').write('42')\n"
    )

    result = given.result

    assert (result["exit_code"], result["signal"], result["cause"]) == (0, None, None)
    assert (given.text("stdout"), given.text("stderr")) == (b"hello\n", b"oh\n")
    assert platform.outputs(given) == {"result.txt": b"42"}
    assert given.started[0]["phases_ms"].keys() == {
        *("pull", "unpack", "environment", "source", "data", "spawn")
    }
    assert result["peak_memory_bytes"] > 1_000_000


def test_a_failing_program_is_reported_with_its_last_words(platform: PlatformForWorkers) -> None:
    given = platform.give("import sys\nprint('bye', file=sys.stderr)\nsys.exit(3)")

    assert given.result["exit_code"] == 3
    assert given.result["cause"]["code"] == "user_exit"
    assert given.result["cause"]["evidence"] == ["bye"]


def test_a_traceback_is_told_in_one_line(platform: PlatformForWorkers) -> None:
    given = platform.give("import nothing_like_this")

    cause = given.result["cause"]

    assert cause["message"].endswith("ModuleNotFoundError: No module named 'nothing_like_this'")
    assert "requirements" in cause["fix"]


def test_a_program_killed_by_a_signal_is_reported_so(platform: PlatformForWorkers) -> None:
    given = platform.give("import os\nos.kill(os.getpid(), 11)")

    assert given.result["signal"] == signal.SIGSEGV
    assert given.result["exit_code"] is None
    assert "SIGSEGV" in given.result["cause"]["message"]


def test_outputs_are_kept_when_the_program_fails(platform: PlatformForWorkers) -> None:
    given = platform.give("open('outputs/half', 'w').write('x')\nraise SystemExit(1)")

    assert given.result["exit_code"] == 1
    assert platform.outputs(given) == {"half": b"x"}


def test_no_outputs_are_no_snapshot(platform: PlatformForWorkers) -> None:
    assert platform.give("import os; os.mkdir('outputs/empty')").result["outputs"] is None


def test_an_unterminated_last_line_and_binary_junk_arrive_whole(platform: PlatformForWorkers) -> None:
    junk = bytes(range(256)) * 300
    given = platform.give(
        "import os\nos.write(1, bytes(range(256)) * 300)\nos.write(1, b'last')\nos.write(2, b'\\xf0\\x9f')"
    )

    assert given.result["exit_code"] == 0
    assert given.text("stdout") == junk + b"last"
    assert given.text("stderr") == b"\xf0\x9f"


def test_a_character_written_in_two_parts_is_in_one_chunk(platform: PlatformForWorkers) -> None:
    given = platform.give(
        "import os, time\nos.write(1, b'a\\xe2\\x82')\ntime.sleep(0.05)\nos.write(1, b'\\xac\\n')\n"
    )

    assert given.result["exit_code"] == 0
    assert [data for _, _, data, _ in given.chunks] == [b"a", "€\n".encode()]


def test_a_line_is_shipped_within_a_second(platform: PlatformForWorkers) -> None:
    given = platform.give(
        "import time\nfor n in range(4):\n    print(time.monotonic())\n    time.sleep(0.4)\n"
    )

    assert given.result["exit_code"] == 0
    written = [float(line) for line in given.text().split()]
    arrived = [at for _, _, data, at in given.chunks for _ in range(data.count(b"\n"))]
    assert max(at - line for at, line in zip(arrived, written, strict=True)) < 1.0


def test_a_program_may_close_its_outputs(platform: PlatformForWorkers) -> None:
    given = platform.give(
        "import os\nos.write(1, b'x')\nos.close(1)\nos.close(2)\n"
        "open('outputs/after', 'w').write('y')\nos._exit(0)"
    )

    assert given.result["exit_code"] == 0
    assert (given.text(), platform.outputs(given)) == (b"x", {"after": b"y"})


def test_a_hundred_megabytes_of_output_arrive_in_bounded_memory(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(
        "import os\nline = b'x' * 999 + b'\\n'\nfor _ in range(100):\n    os.write(1, line * 1000)\n"
    )
    given.begun.wait(20)
    agent, peak = psutil.Process(worker.process.pid), 0
    while not given.done.wait(0.05):
        peak = max(peak, agent.memory_info().rss)

    assert given.result["exit_code"] == 0
    assert given.size("stdout") == 100_000_000
    assert set(given.text()) == set(b"x\n")
    assert peak < 40_000_000


def test_a_daemon_left_behind_is_ended_with_the_attempt(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        open('outputs/pid', 'w').write(str(os.getpid()))\n"
        "        time.sleep(1000)\n"
        "    os._exit(0)\n"
        "while not os.path.exists('outputs/pid') or not open('outputs/pid').read(): time.sleep(0.01)\n"
        "print('done')\n"
    )
    begun = time.monotonic()

    assert given.result["exit_code"] == 0
    assert given.text() == b"done\n"
    assert worker.below_the_supervisor == []
    assert time.monotonic() - begun < 20


def test_a_program_that_is_not_there_is_named(platform: PlatformForWorkers) -> None:
    given = platform.give("", image={"command": ["no-such-program", "x"]})

    assert given.result["cause"]["code"] == "command_not_found"
    assert "no-such-program" in given.result["cause"]["message"]
    assert not given.started


def test_a_missing_interpreter_is_told_from_a_missing_program(platform: PlatformForWorkers) -> None:
    given = platform.give("", files={"run.sh": "#!/no/such/shell\n"}, image={"command": ["./run.sh"]})

    assert given.result["cause"]["code"] == "interpreter_missing"


def test_a_script_of_the_project_can_be_the_program(platform: PlatformForWorkers) -> None:
    given = platform.give(
        "", files={"run.sh": "#!/bin/sh\necho $0 $1\n"}, image={"command": ["./run.sh", "a b"]}
    )

    assert given.result["exit_code"] == 0
    assert given.text() == b"./run.sh a b\n"


def test_a_full_disk_is_named(platform: PlatformForWorkers) -> None:
    given = platform.give("import errno, os\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))")

    assert given.result["cause"]["code"] == "disk_full"


def test_attempts_follow_each_other_and_leave_nothing_behind(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    for number in range(3):
        given = platform.give(f"print({number})")
        assert given.result["exit_code"] == 0
        assert given.text() == f"{number}\n".encode()
    platform.idle.clear()
    assert platform.idle.wait(10)

    assert list((worker.home / "runs").iterdir()) == []
    assert len(worker.tree) == 1
