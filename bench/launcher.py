"""Starts programs for `bench.processes.Launcher` and says how long they took and how large they grew.

It is a process of its own because a child's peak memory counts from its parent's size at the fork: this
one is small (`python -I -S`).
"""

import json
import os
import sys
import time


def main():
    for line in sys.stdin:
        command, environment, folder = json.loads(line)
        os.chdir(folder)
        quiet = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in (0, 1)]
        error = (
            os.POSIX_SPAWN_OPEN,
            2,
            environment["BENCH_STDERR"],
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
            0o600,
        )
        start = time.perf_counter()
        pid = os.posix_spawn(command[0], command, environment, file_actions=[*quiet, error])
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - start
        print(json.dumps([seconds, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]), flush=True)


main()
