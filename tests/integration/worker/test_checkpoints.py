import itertools
import os
import signal
import time

import pytest

from tests.fixtures.platform_for_workers import Fault, Given, PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, StartWorker, Worker

pytestmark = BOTH_WAYS

SAVING = """
import os, sys, time
folder = os.environ['CYNTHUS_CHECKPOINT_DIR']
def save(name, data):
    with open(f'{folder}/.{name}', 'w') as file:
        file.write(data)
    os.replace(f'{folder}/.{name}', f'{folder}/{name}')
"""


def saved(platform: PlatformForWorkers, given: Given, number: int = 1) -> dict[str, bytes | str]:
    return platform.files(given.wait_for_checkpoint(number)["manifest"])


def test_a_checkpoint_is_saved_while_the_program_runs_and_only_when_it_changed(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(
        SAVING + "save('state', '1')\ntime.sleep(1.5)\nsave('state', '2')\ntime.sleep(1.5)\n",
        checkpoint_every_s=0.2,
    )

    assert saved(platform, given, 1) == {"state": b"1"}
    assert saved(platform, given, 2) == {"state": b"2"}
    assert given.result["exit_code"] == 0
    assert len(given.checkpoints) == 2


def test_a_failed_program_leaves_its_last_checkpoint(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(SAVING + "save('state', '7')\nsys.exit(1)")

    assert given.result["cause"]["code"] == "user_exit"
    assert saved(platform, given) == {"state": b"7"}


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 11)", "time.sleep(100)"])
def test_a_checkpoint_is_saved_however_the_program_ends(
    platform: PlatformForWorkers, worker: Worker, end: str
) -> None:
    given = platform.give(SAVING + f"save('state', '7')\n{end}\n", timeout_s=1.0, grace_s=0.2)

    assert given.result["cause"]["code"] in {"signal", "timeout"}
    assert saved(platform, given) == {"state": b"7"}


def test_a_program_that_succeeds_or_saves_nothing_leaves_no_checkpoint(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    succeeded = platform.give(SAVING + "save('state', '7')\n")
    failed = platform.give("raise SystemExit(1)")

    assert succeeded.result["exit_code"] == 0
    assert failed.result["exit_code"] == 1
    assert succeeded.checkpoints == failed.checkpoints == []


@pytest.mark.parametrize("place", [None, "ckpt", "deep/er"])
def test_the_next_attempt_goes_on_from_the_checkpoint(
    platform: PlatformForWorkers, worker: Worker, place: str | None
) -> None:
    script = SAVING + (
        "path = f'{folder}/n'\n"
        "n = int(open(path).read()) if os.path.exists(path) else 0\n"
        "save('n', str(n + 1))\nos.makedirs(f'{folder}/sub', exist_ok=True)\n"
        "print(n, os.path.relpath(folder), flush=True)\nsys.exit(1)\n"
    )
    first = platform.give(script, image={"checkpoint": place}, files={f"{place}/n": "5"} if place else {})
    begun = 5 if place else 0
    assert saved(platform, first) == {"n": str(begun + 1).encode()}
    order = {key: first.order[key] for key in ("run_id", "image")}

    second = platform.give(
        script, **order, epoch=2, checkpoint=first.checkpoints[0]["manifest"], token="attempt-two"
    )

    assert second.result["exit_code"] == 1
    seen, folder = second.text().decode().split()
    assert (int(seen), folder if place else None) == (begun + 1, place)
    assert saved(platform, second) == {"n": str(begun + 2).encode()}


def test_a_restored_checkpoint_that_is_not_changed_is_not_sent_again(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(
        "import time\ntime.sleep(1)\nraise SystemExit(1)",
        checkpoint=platform.snapshot({"state": b"x" * 100_000}),
        checkpoint_every_s=0.2,
    )

    assert given.result["exit_code"] == 1
    assert given.checkpoints == []


def test_only_what_is_new_is_sent(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(
        SAVING + "save('large', 'x' * 3000000)\ntime.sleep(1.5)\nsave('small', 'y')\ntime.sleep(1.5)\n",
        checkpoint_every_s=0.2,
    )

    assert given.result["exit_code"] == 0
    assert set(saved(platform, given, 2)) == {"large", "small"}
    sent = [path for method, path in platform.requests if path == "/v1/blobs:put" or "/v1/blobs/" in path]
    assert len(sent) == 2


def test_a_file_that_is_always_being_written_puts_the_save_off_until_the_end(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(
        SAVING + "import threading\n"
        "file = open(f'{folder}/log', 'wb', buffering=0)\n"
        "end = time.monotonic() + 3\n"
        "while time.monotonic() < end:\n    file.write(b'x' * 1000)\n    time.sleep(0.002)\n"
        "sys.exit(1)\n",
        checkpoint_every_s=0.2,
    )

    assert given.result["exit_code"] == 1
    assert len(given.checkpoints) == 1
    assert "put off" in worker.log.read_text()
    (content,) = saved(platform, given).values()
    assert len(content) % 1000 == 0


def test_what_is_saved_was_there_at_one_moment(platform: PlatformForWorkers, worker: Worker) -> None:
    """Files counted up one after the other, in turns of five: at any moment the later ones are one behind."""
    names = [f"{number:02}" for number in range(40)]
    given = platform.give(
        SAVING + f"files = [open(f'{{folder}}/{{name}}', 'wb', 0) for name in {names}]\n"
        "n = 0\nend = time.monotonic() + 4\n"
        "while time.monotonic() < end:\n"
        "    n += 1\n"
        "    for file in files:\n"
        "        os.pwrite(file.fileno(), b'%d' % (n % 5), 0)\n"
        "    time.sleep(0.08 if n % 1000 == 0 else 0)\n",
        checkpoint_every_s=0.05,
    )

    assert given.result["exit_code"] == 0
    assert given.checkpoints
    for message in given.checkpoints:
        files = platform.files(message["manifest"])
        counts = [int(files.get(name) or 0) for name in names]
        ahead = counts.count(counts[0])
        assert set(counts[ahead:]) <= {(counts[0] - 1) % 5}


@pytest.mark.parametrize("status", ["404", "503", "422"])
def test_a_platform_that_takes_no_checkpoint_does_no_harm(
    platform: PlatformForWorkers, worker: Worker, status: str
) -> None:
    platform.faults.append(Fault("/checkpoint", status, times=1000))
    given = platform.give(
        SAVING + "save('state', '1')\ntime.sleep(1)\nsys.exit(3)", checkpoint_every_s=0.2, lease_s=3.0
    )

    assert given.result["exit_code"] == 3
    asked = [path for _, path in platform.requests if path.endswith("/checkpoint")]
    assert (len(asked) == 1) == (status == "404")


def test_a_checkpoint_of_a_fenced_attempt_ends_it(platform: PlatformForWorkers, worker: Worker) -> None:
    platform.faults.append(Fault("/checkpoint", "409", times=1000))
    given = platform.give(SAVING + "save('state', '1')\ntime.sleep(1000)", checkpoint_every_s=0.2)

    assert platform.give("print('next')").result["exit_code"] == 0
    assert not given.finished


def test_a_slow_save_delays_neither_heartbeats_nor_the_program(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    platform.faults.append(Fault("blobs:missing", "200x", seconds=3.0))
    given = platform.give(
        SAVING + "save('state', '1')\nfor n in range(20):\n    print(n, flush=True)\n    time.sleep(0.1)\n",
        checkpoint_every_s=0.2,
        next_beat_s=0.2,
    )

    assert given.result["exit_code"] == 0
    gaps = [later - sooner for sooner, later in itertools.pairwise(given.beaten_at)]
    assert max(gaps) < 1.0
    assert given.result["seconds"] < 3.5


def test_a_link_in_the_folder_never_leads_out_of_it(
    platform: PlatformForWorkers, worker: Worker, tmp_path: object
) -> None:
    given = platform.give(
        SAVING + "save('own', '1')\nos.symlink('/etc', f'{folder}/etc')\n"
        "os.symlink('/etc/passwd', f'{folder}/passwd')\nos.symlink('own', f'{folder}/same')\n"
        "os.rmdir('outputs')\nos.symlink('/etc', 'outputs')\nsys.exit(1)"
    )

    assert given.result["exit_code"] == 1
    assert given.result["outputs"] is None
    assert saved(platform, given) == {"own": b"1", "same": "own"}


@pytest.mark.parametrize("place", [".", "link", "main.py/x"])
def test_a_checkpoint_folder_has_to_be_one_of_the_project(
    platform: PlatformForWorkers, worker: Worker, place: str
) -> None:
    given = platform.give("", image={"checkpoint": place}, links={"link": "."})

    assert given.result["cause"]["code"] in {"order_invalid", "worker_failed"}


def test_a_killed_workers_successor_goes_on(platform: PlatformForWorkers, start_worker: StartWorker) -> None:
    first = start_worker()
    script = SAVING + (
        "done = [int(name) for name in os.listdir(folder) if name.isdigit()]\n"
        "for n in range(max(done, default=0) + 1, 6):\n"
        "    time.sleep(0.3)\n    print(n, flush=True)\n    save(str(n), 'x')\n"
    )
    given = platform.give(script, checkpoint_every_s=0.1)
    given.wait_for_checkpoint(2)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(10)
    time.sleep(0.1)
    given.fenced = True
    order = {key: given.order[key] for key in ("run_id", "image")}

    second = platform.give(
        script, **order, epoch=2, token="attempt-two", checkpoint=given.checkpoints[-1]["manifest"]
    )
    start_worker()

    assert second.result["exit_code"] == 0
    repeated = set(given.text().split()) & set(second.text().split())
    assert len(repeated) <= 1
    assert second.text().split()[-1] == b"5"
