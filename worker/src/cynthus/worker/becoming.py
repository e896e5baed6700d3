"""What a forked copy of the supervisor does until it is the user's program."""

import errno
import fcntl
import os
import resource
import signal
from contextlib import suppress
from typing import NoReturn

from cynthus.worker import kernel
from cynthus.worker.channel import SANDBOX_CHANNEL, Command

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
"""Signals whose handling is not the program's."""


def become(
    command: Command, descriptors: list[int], report: int, parent: int, channel: int | None
) -> NoReturn:
    """Descriptors become its outputs; what hinders it is written to `report`."""
    try:
        os.setsid()
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(descriptors[0], 1)
        os.dup2(descriptors[1], 2)
        os.umask(0o022)
        _limit(command)
        os.chdir(command.folder)
        if command.sandbox and channel is not None:
            report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, SANDBOX_CHANNEL + 1)
            os.dup2(channel, SANDBOX_CHANNEL)
            os.set_inheritable(SANDBOX_CHANNEL, True)  # noqa: FBT003 - its only parameter
            os.execve(command.sandbox[0], command.sandbox, command.environment)  # noqa: S606 - the same
        os.execve(command.program, command.arguments, command.environment)  # noqa: S606 - never a shell
    except OSError as error:
        os.write(report, str(error.errno or errno.EIO).encode())
    except BaseException:  # noqa: BLE001 - a forked copy must end here, whatever happens
        os.write(report, str(errno.EINVAL).encode())
    os._exit(127)


def _limit(command: Command) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _first_to_be_killed()
    for cgroup in command.cgroups:
        descriptor = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY)
        os.write(descriptor, b"0")
        os.close(descriptor)
    if command.memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (command.memory_bytes, command.memory_bytes))


def _first_to_be_killed() -> None:
    """Where memory gets short, the program goes, not who looks after it."""
    with suppress(OSError):
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(descriptor, b"500")
        os.close(descriptor)
