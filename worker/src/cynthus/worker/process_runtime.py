"""Programs as processes of this machine, below the worker's supervisor."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cynthus.worker import confinement, proctree
from cynthus.worker.cache import Cache
from cynthus.worker.causes import AttemptFailed, Cause, not_started
from cynthus.worker.channel import Command, Exit
from cynthus.worker.confined import SandboxFailed
from cynthus.worker.content import Content
from cynthus.worker.control import Control, Dropped
from cynthus.worker.handover import Held
from cynthus.worker.memory import PREFIX, Kills, Limits
from cynthus.worker.orders import WorkOrder
from cynthus.worker.preparation import Preparation, Ready
from cynthus.worker.process import UserProcess
from cynthus.worker.runtime import Made
from cynthus.worker.settings import Settings
from cynthus.worker.spool import Pump, Spool
from cynthus.worker.supervisor import LeaseOver, Supervisor, SupervisorGone
from cynthus.worker.workspace import Workspace

_ORPHANS_S = 10.0
_MOST_PROCESSES = 4096


class ProcessRuntime:
    """The Runtime of orders that need no container."""

    def __init__(
        self, settings: Settings, supervisor: Supervisor, order: WorkOrder, content: Content, control: Control
    ) -> None:
        self.unsupervised = False
        self._supervisor = supervisor
        self._control = control
        self._preparation = Preparation(order, Cache(f"{settings.home}/cache"), content, control)
        self._limits = Limits(
            f"{PREFIX}-{order.run_id}-{order.epoch}-{os.getpid()}",
            order.memory_bytes or settings.memory_bytes,
            settings.processes or _MOST_PROCESSES,
        )
        self._seen: set[int] = set()
        self._process = UserProcess(supervisor, control, timeout_s=order.timeout_s, grace_s=order.grace_s)
        self._settings = settings
        self._order = order
        self._ready: Ready | None = None
        self._workspace: Workspace | None = None
        self._pump: Pump | None = None
        self._spool: Spool | None = None
        self._facts: dict[str, Any] = {}
        """What a worker has to know that takes this one's place."""

    @property
    def stopped_for(self) -> str | None:
        """Why it was ended."""
        return self._process.stopped_for

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self._process.seconds

    def make(self, workspace: Workspace) -> Made:
        """Raises AttemptFailed, Dropped."""
        self._workspace = workspace
        self._hold()
        self._ready = ready = self._preparation.make(workspace)
        return Made(ready.outputs, ready.phases_ms)

    def adopt(self, workspace: Workspace, held: Held) -> Made:
        """A process dies with its worker; what is left are its log, its files, and perhaps its exit.

        Raises AttemptFailed when none had been started.
        """
        self._workspace, self._facts = workspace, dict(held.facts)
        if "pid" not in self._facts:
            raise AttemptFailed(Cause("worker_failed", "the worker was killed before the program began"))
        if self._order.image.checkpoint:
            workspace.checkpoint = workspace.inside(self._order.image.checkpoint)
        return Made(workspace.inside(self._order.image.outputs), {})

    def start(self, spool: Spool, disk_full: Callable[[OSError], None]) -> int:
        """Raises AttemptFailed, Dropped."""
        ready, workspace, limits = self._ready, self._workspace, self._limits
        if "pid" in self._facts:
            self._spool = spool
            return int(self._facts["pid"])
        assert ready is not None
        assert workspace is not None
        command = Command(
            ready.program,
            ready.arguments,
            ready.environment,
            workspace.work,
            limits.each_process_bytes,
            limits.cgroups,
            self._sandbox(ready, workspace),
        )
        self._spool, self._pump = spool, Pump(spool, disk_full)
        writers = self._pump.writers
        pid = self._process.start(lambda: self._spawn(command, *writers))
        self._seen.add(pid)
        ready.phases_ms["spawn"] = self._process.spawn_ms
        self._pump.start()
        self._hold(pid=pid, begun=self._process.begun)
        return pid

    def _sandbox(self, ready: Ready, workspace: Workspace) -> list[str] | None:
        if not confinement.sandboxed(self._settings, self._order):
            return None
        needs = confinement.Needs(ready.python, ready.data, self._settings.home)
        command = (ready.program, ready.arguments)
        return confinement.command_line(command, workspace, needs, self._order)

    def _spawn(self, command: Command, stdout: int, stderr: int) -> int:
        try:
            return self._supervisor.spawn(command, stdout, stderr)
        except SandboxFailed as failure:
            raise confinement.failed() from failure
        except LeaseOver as over:
            self._control.drop("lease_lost")
            raise Dropped("lease_lost") from over
        except OSError as error:
            exists = os.path.exists(os.path.join(command.folder, command.program))
            raise AttemptFailed(not_started(error, command.arguments, exists=exists)) from error

    def wait(self) -> Exit:
        """Until it and everything it started is gone."""
        if self._pump is None:
            return self._taken_over()
        try:
            ended = self._process.wait()
        except SupervisorGone:
            self.unsupervised = True
            self._process.stopped_for = "worker_failed"
            _end_orphans()
            return Exit(None, signal.SIGKILL, 0.0, 0, 0)
        self._hold(ended=ended._asdict(), seconds=self.seconds, stopped_for=self.stopped_for)
        return ended

    def _taken_over(self) -> Exit:
        facts, process = self._facts, self._process
        if "ended" in facts:
            process.seconds, process.stopped_for = facts["seconds"], facts["stopped_for"]
            return Exit(**facts["ended"])
        process.seconds, process.stopped_for = time.monotonic() - facts["begun"], "worker_killed"
        return Exit(None, signal.SIGKILL, 0.0, 0, 0)

    def _hold(self, **facts: Any) -> None:
        """Should this worker be killed, another one reports what became of the attempt."""
        assert self._workspace is not None
        self._facts |= facts
        with suppress(SupervisorGone):
            held = {"order": self._order.fields, "facts": self._facts}
            self._supervisor.hold(held, [self._workspace.lock])

    def end(self) -> None:
        """Kill it if it runs; the rest of its output goes into the spool."""
        self._process.end()
        if self._control.dropped and self._spool is not None:
            self._spool.abandon()
        if self._pump is not None:
            self._pump.finish()

    def usage(self) -> proctree.Usage:
        """Of everything below the supervisor."""
        below = proctree.descendants(self._supervisor.pid)
        self._seen.update(below)
        return proctree.used(below)

    def kills(self) -> Kills:
        """As the kernel counts."""
        return self._limits.kills(self._seen)

    def release(self) -> None:
        """What was used of the cache may be removed; the limit is."""
        with suppress(SupervisorGone):
            self._supervisor.let_go()
        self._limits.remove()
        self._preparation.release()


def _end_orphans() -> None:
    """What the dead supervisor looked after is ours now: end it."""
    deadline = time.monotonic() + _ORPHANS_S
    while (below := proctree.descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)
