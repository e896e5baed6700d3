"""Machines that are worker processes on this host."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cynthus.provisioner.adapters import process_tree
from cynthus.provisioner.adapters.left_containers import LeftContainers
from cynthus.provisioner.adapters.this_host import ThisHost
from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.ports import Listed, MachineRefused, MachineSpec, NoCapacity

_PROC = Path("/proc")
_WORKER, _KEEPER = b"cynthus.worker", b"cynthus-supervisor"
_PREFIX = "CYNTHUS_WORKER_"
_FOR_NOW = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT})
_SETTINGS = (
    "SANDBOX",
    "PROCESSES",
    "MEMORY_BYTES",
    "CACHE_BYTES",
    "BACKLOG_BYTES",
    "KEEP_RUNS",
    "GIVE_UP_S",
    "IDLE_S",
)
"""What the operator may say to workers. The platform's other variables hold its keys."""


class ProcessMachines:
    """The Machines port on this host. What exists is read from the process table, not from notes of ours.

    A worker outlives the platform that started it; it is found again by its command line, which names the
    machine and the home folder. Its keeper outlives the worker, to replace it, and so does a container: a
    machine is there while it has any of them. A container that nobody takes over is removed.
    """

    def __init__(
        self,
        home: Path,
        *,
        kill_after_s: float = 2.0,
        take_over_s: float = 10.0,
        containers: LeftContainers | None = None,
    ) -> None:
        self._home = home.resolve()
        self._kill_after_s = kill_after_s
        self._take_over_s = take_over_s
        self._containers = containers or LeftContainers(self._home)
        self._orphaned: dict[str, float] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._asked: dict[str, float] = {}
        self._here = ThisHost()

    @property
    def host(self) -> Host:
        """This machine."""
        return self._here.look()

    @property
    def zones(self) -> tuple[str, ...]:
        """This host."""
        return ("here",)

    @property
    def lag_s(self) -> float:
        """The process table is the truth."""
        return 0.0

    async def create(self, spec: MachineSpec) -> None:
        """Start a worker, unless it is there already."""
        if spec.name not in {machine.name for machine in await self.list()}:
            await asyncio.to_thread(self._start, spec)

    async def list(self) -> tuple[Listed, ...]:
        """The workers in the process table, and machines whose container is left."""
        return tuple(map(Listed, sorted(await asyncio.to_thread(self._list))))

    async def delete(self, name: str, zone: str = "here") -> None:  # noqa: ARG002 - there is one
        """SIGTERM at first; SIGKILL, for all that it started too, when it is still there after a while."""
        await asyncio.to_thread(self._delete, name)

    def _list(self) -> frozenset[str]:
        workers = self._scan().keys()
        now, left = time.monotonic(), self._containers.machines() - workers
        self._orphaned = {name: self._orphaned.get(name, now) for name in left}
        for name, since in self._orphaned.items():
            if now - since > self._take_over_s:
                self._containers.remove(name)
        return frozenset(workers | left)

    def _delete(self, name: str) -> None:
        pid = self._scan().get(name)
        if pid is None:
            self._asked.pop(name, None)
            self._containers.remove(name)
            return
        asked = self._asked.setdefault(name, time.monotonic())
        if time.monotonic() - asked > self._kill_after_s:
            process_tree.kill(pid)
            self._containers.remove(name)
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    def _start(self, spec: MachineSpec) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if _is_for_workers(name)},
            "CYNTHUS_WORKER_URL": spec.worker_url,
            "CYNTHUS_WORKER_TOKEN": spec.worker_token,
            "CYNTHUS_WORKER_HOME": str(self._home),
        }
        command = [sys.executable, "-m", _WORKER.decode(), "--machine", spec.name, "--home", str(self._home)]
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with (self._home / "workers.log").open("ab") as output:
                self._children[spec.name] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    cwd=self._home,
                    start_new_session=True,
                )
        except OSError as error:
            refusal = NoCapacity if error.errno in _FOR_NOW else MachineRefused
            raise refusal(f"{error.strerror}: {error.filename or 'a process'}") from error

    def _scan(self) -> dict[str, int]:
        self._reap()
        workers: dict[str, int] = {}
        keepers: dict[str, int] = {}
        marker = f"--home\0{self._home}\0".encode()
        for entry in os.scandir(_PROC):
            if not entry.name.isdigit():
                continue
            try:
                command = (_PROC / entry.name / "cmdline").read_bytes()
            except OSError:
                continue
            if marker in command and (_WORKER in command or _KEEPER in command):
                arguments = command.split(b"\0")
                found = workers if _WORKER in arguments else keepers
                found[arguments[arguments.index(b"--machine") + 1].decode()] = int(entry.name)
        # A child that has only just been started may not show its command line yet.
        return keepers | {name: child.pid for name, child in self._children.items()} | workers

    def _reap(self) -> None:
        for name, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[name]


def _is_for_workers(variable: str) -> bool:
    return not variable.startswith("CYNTHUS_") or variable.removeprefix(_PREFIX) in _SETTINGS
