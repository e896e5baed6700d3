"""A worker is killed with everything it started, in whatever session and however fast it forks."""

import subprocess
import sys
import time

import psutil

from cynthus.provisioner.adapters import process_tree

LEAF = "import time; time.sleep(600)"
FORKING = """
import subprocess, sys, time
while True:
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
    time.sleep(0.05)
"""
KEEPER = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
children = [subprocess.Popen([sys.executable, "-S", "-c", program]) for program in sys.argv[1:]]
children[0].wait()
"""
WORKER = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-S", "-c", {KEEPER!r}, *sys.argv[1:]], start_new_session=True).wait()
"""


def started(*programs: str) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    worker = subprocess.Popen([sys.executable, "-S", "-c", WORKER, *programs])
    deadline = time.monotonic() + 20
    while len(below := psutil.Process(worker.pid).children(recursive=True)) < 1 + len(programs):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return worker, below


def test_nothing_is_left_of_a_worker_its_keeper_and_what_they_started():
    worker, below = started(LEAF, LEAF)
    process_tree.kill(worker.pid)
    assert worker.wait(10) == -9
    _, alive = psutil.wait_procs(below, 10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_a_program_that_forks_all_the_time_is_killed_with_all_its_forks():
    worker, below = started(FORKING, LEAF)
    group = set(below)
    for _ in range(20):
        group |= set(psutil.Process(worker.pid).children(recursive=True))
        time.sleep(0.02)
    process_tree.kill(worker.pid)
    worker.wait(10)
    _, alive = psutil.wait_procs(list(group), 10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_a_worker_that_is_gone_already_is_no_error():
    worker = subprocess.Popen([sys.executable, "-S", "-c", "pass"])
    worker.wait(10)
    process_tree.kill(worker.pid)
