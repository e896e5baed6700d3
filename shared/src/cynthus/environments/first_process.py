"""The first process inside a sandbox: `python -I -S first_process.py CHANNEL PROGRAM ARGUMENT...`.

bubblewrap says 128+N for a death by signal, as a program may say itself; this says which it was. CHANNEL is a
SOCK_SEQPACKET socket: `pid` comes from the program itself just before it is executed (so that credentials
tell its id outside), then `started` or `errno N`, and in the end
`ended WAIT-STATUS CPU-SECONDS PEAK-MEMORY-BYTES PROCESSES-LEFT-BEHIND`.
"""

import _signal as signal  # type: ignore[import-not-found] # the public module imports enum: a third of this start
import os
import sys
import time

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)
_SWEEP_S = 10.0
_LOOK_S = 0.002


def main(channel: int, program: str, arguments: list[str]) -> None:
    """Run the program and say what became of it; everything else in the sandbox ends with it."""
    environment = _environment()
    for number in _HANDLED[:3]:
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(channel, False)  # noqa: FBT003 - its only parameter
    failure, report = os.pipe()
    child = os.fork()
    if child == 0:
        _become(channel, report, program, arguments, environment)
    os.close(report)
    problem = os.read(failure, 16)
    os.write(channel, b"errno " + problem if problem else b"started")
    if problem:
        return
    while True:
        pid, status, used = os.wait4(-1, 0)
        if pid == child:
            break
    swept = _sweep()
    cpu_seconds = used.ru_utime + used.ru_stime
    os.write(channel, f"ended {status} {cpu_seconds:.6f} {used.ru_maxrss * 1024} {swept}".encode())


def _become(
    channel: int, report: int, program: str, arguments: list[str], environment: dict[bytes, bytes]
) -> None:
    try:
        os.setsid()
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        os.write(channel, b"pid")
        os.execve(program, arguments, environment)  # noqa: S606 - never a shell
    except OSError as error:
        os.write(report, str(error.errno).encode())
    os._exit(127)


def _environment() -> dict[bytes, bytes]:
    """As it was given: Python may have added to its own, and bubblewrap adds PWD."""
    with open("/proc/self/environ", "rb") as file:
        items = (item.partition(b"=") for item in file.read().split(b"\0") if item)
        return {name: value for name, _, value in items if name != b"PWD"}


def _sweep() -> int:
    """Kill whatever is left; how many that were."""
    left = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            left += _lives(name)
    deadline = time.monotonic() + _SWEEP_S
    try:
        while time.monotonic() < deadline:
            _kill_all()
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(_LOOK_S)
    except ChildProcessError:
        pass
    return left


def _kill_all() -> None:
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return


def _lives(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    os._exit(0)
