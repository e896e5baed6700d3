"""One attempt of a run: make everything ready, run the program, report what it did."""

import os
import signal
import threading
import time
from contextlib import suppress

from cynthus.worker import proctree
from cynthus.worker.cache import Cache
from cynthus.worker.causes import AttemptFailed, Ending, cause_of, of_machine
from cynthus.worker.channel import Command, Exit
from cynthus.worker.conclusion import Conclusion, unstarted_report
from cynthus.worker.content import Content, insist
from cynthus.worker.control import Control, Dropped
from cynthus.worker.heartbeat import Heartbeat
from cynthus.worker.link import Link, PlatformAway, Refused
from cynthus.worker.memory import MemoryLimit
from cynthus.worker.orders import WorkOrder
from cynthus.worker.outputs import Outputs
from cynthus.worker.preparation import Preparation, Ready
from cynthus.worker.process import UserProcess
from cynthus.worker.settings import Settings, say
from cynthus.worker.shipper import Shipper
from cynthus.worker.spool import Pump, Spool
from cynthus.worker.supervisor import Supervisor, SupervisorGone
from cynthus.worker.workspace import Workspace

_ORPHANS_S = 10.0


class Attempt:
    """Runs once. `control` may be told from any thread to stop or drop it."""

    def __init__(self, settings: Settings, supervisor: Supervisor, link: Link, order: WorkOrder) -> None:
        self.control = Control()
        self.unsupervised = False
        self.ran = False
        self._settings = settings
        self._supervisor = supervisor
        self._link = link
        self._order = order
        self._name = f"{order.run_id}/{order.epoch}"
        cache = Cache(f"{settings.home}/cache")
        patience = (self.control, settings.give_up_s)
        content = Content(link, order.blobs_url, order.token, *patience)
        self._preparation = Preparation(order, cache, content, self.control)
        self._outputs = Outputs(link, order.blobs_url, order.token, *patience)
        self._beat = Heartbeat(
            link,
            order.attempt_url,
            order.token,
            self.control,
            root=supervisor.pid,
            next_s=order.next_beat_s,
            lease_s=order.lease_s,
        )

    def run(self) -> None:
        """To the end, whatever the end is."""
        self._beat.start()
        order = self._order
        mounts = [item.mount for item in order.data]
        try:
            workspace = Workspace(f"{self._settings.home}/runs", order.run_id, order.epoch, mounts)
            try:
                self._run_in(workspace)
            finally:
                self._preparation.release()
                workspace.remove(keep=self._settings.keep_runs)
        except Dropped as dropped:
            say(f"{self._name} is not ours any more: {dropped}")
        except (PlatformAway, Refused) as error:
            say(f"{self._name} could not be reported: {error}")
        except OSError as error:
            say(f"{self._name}: {error}")
            self._give_back(error)
        finally:
            self._beat.stop()

    def _run_in(self, workspace: Workspace) -> None:
        order = self._order
        memory = MemoryLimit(
            f"cynthus-{order.run_id}-{order.epoch}", order.memory_bytes or self._settings.memory_bytes
        )
        spool = Spool(workspace.folder, self._settings.backlog_bytes)
        shipper = Shipper(self._link, order, spool, self.control, self._settings.give_up_s)
        try:
            ready = self._preparation.make(workspace)
            self._supervise(workspace, ready, memory, spool, shipper)
        except AttemptFailed as failure:
            workspace.free_reserve()
            self._conclusion(spool, shipper).report(failure.cause, None, 0.0)
        finally:
            spool.abandon()
            shipper.join(1.0)
            memory.remove()

    def _supervise(
        self, workspace: Workspace, ready: Ready, memory: MemoryLimit, spool: Spool, shipper: Shipper
    ) -> None:
        order, control = self._order, self.control

        def disk_full(_: OSError) -> None:
            workspace.free_reserve()
            control.stop("disk_full")

        command = Command(
            ready.program,
            ready.arguments,
            ready.environment,
            workspace.work,
            memory.limit_bytes,
            memory.cgroup,
        )
        process = UserProcess(self._supervisor, control, timeout_s=order.timeout_s, grace_s=order.grace_s)
        pump = Pump(spool, disk_full)
        try:
            pid = process.start(command, *pump.writers)
            self.ran = True
            started = self._announce(pid, {**ready.phases_ms, "spawn": process.spawn_ms}, shipper)
            pump.start()
            workspace.reserve()
            ended = self._await(process)
        finally:
            process.end()
            if control.dropped:
                spool.abandon()
            pump.finish()
        self._beat.harmless()
        oom_kills = memory.kills()
        started.join()
        control.check_ours()
        ending = Ending(
            ended.code,
            ended.signal,
            process.stopped_for,
            spool.tail("stderr"),
            workspace.free_bytes(),
            oom_kills,
            order.timeout_s,
        )
        self._conclusion(spool, shipper).conclude(ready.outputs, cause_of(ending), ended, process.seconds)

    def _give_back(self, error: OSError) -> None:
        """The machine itself failed, perhaps without a folder to work in."""
        self.control.stop("worker_failed")
        url, message = f"{self._order.attempt_url}/finished", unstarted_report(of_machine(error))
        with suppress(Dropped, PlatformAway, Refused):
            insist(
                self.control,
                lambda: self._link.ask(url, self._order.token, message),
                self._settings.give_up_s,
                self.control.check_ours,
            )

    def _conclusion(self, spool: Spool, shipper: Shipper) -> Conclusion:
        return Conclusion(
            self._link,
            self._order,
            self.control,
            give_up_s=self._settings.give_up_s,
            beat=self._beat,
            spool=spool,
            shipper=shipper,
            outputs=self._outputs,
        )

    def _announce(self, pid: int, phases_ms: dict[str, float], shipper: Shipper) -> threading.Thread:
        """In a thread of its own: the user's process never waits for the platform."""
        thread = threading.Thread(target=self._started, args=(pid, phases_ms, shipper), daemon=True)
        thread.start()
        return thread

    def _started(self, pid: int, phases_ms: dict[str, float], shipper: Shipper) -> None:
        url = f"{self._order.attempt_url}/started"
        message = {"pid": pid, "phases_ms": phases_ms}

        def once() -> None:
            self._beat.renew(lambda timeout_s: self._link.ask(url, self._order.token, message, timeout_s))

        with suppress(Dropped):
            try:
                insist(self.control, once, self._settings.give_up_s, self.control.check_ours)
            except Refused as refusal:
                say(f"{self._name} could not be started: {refusal}")
                self.control.drop("fenced")
            except PlatformAway as away:
                say(f"{self._name} could not be reported as started: {away}")
                self.control.drop("platform_away")
            else:
                shipper.start()

    def _await(self, process: UserProcess) -> Exit:
        try:
            return process.wait()
        except SupervisorGone:
            self.unsupervised = True
            process.stopped_for = "worker_failed"
            _end_orphans()
            return Exit(None, signal.SIGKILL, 0.0, 0, 0)


def _end_orphans() -> None:
    """What the dead supervisor looked after is ours now: end it."""
    deadline = time.monotonic() + _ORPHANS_S
    while (below := proctree.descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)
