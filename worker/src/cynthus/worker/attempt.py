"""One attempt of a run: make everything ready, run the program, report what it did."""

import threading
import time
from contextlib import suppress
from signal import SIGKILL

from cynthus.worker.causes import AttemptFailed, Cause, Ending, cause_of, of_machine, stopped
from cynthus.worker.checkpoints import Checkpoints
from cynthus.worker.conclusion import Conclusion, unstarted_report
from cynthus.worker.content import Content, insist
from cynthus.worker.control import Control, Dropped, Notice
from cynthus.worker.found import Found
from cynthus.worker.handover import Held
from cynthus.worker.heartbeat import Heartbeat
from cynthus.worker.journal import Journal
from cynthus.worker.link import Link, PlatformAway, Refused
from cynthus.worker.orders import WorkOrder
from cynthus.worker.outputs import Outputs
from cynthus.worker.process_runtime import ProcessRuntime
from cynthus.worker.runtime import Runtime
from cynthus.worker.settings import Settings, say
from cynthus.worker.shipper import Shipper
from cynthus.worker.spool import Spool
from cynthus.worker.staging import Staging
from cynthus.worker.supervisor import Supervisor, SupervisorGone
from cynthus.worker.workspace import Workspace


class Attempt:
    """Runs once. `control` may be told from any thread to stop or drop it."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        link: Link,
        order: WorkOrder,
        held: Held | None = None,
        *,
        asked: float | None = None,
    ) -> None:
        """With `held` the program runs already: it is taken over from a worker that was killed.

        `asked`: when the order, and its lease with it, was asked for (monotonic).
        """
        self.control = Control()
        self.ran = False
        self.out_of_room = False
        self._word = threading.Lock()
        """Taken by whoever will report: the program's end, its failure to begin, or `leave`."""
        self._settings = settings
        self._link = link
        self._order = order
        self._held = held
        self._name = f"{order.run_id}/{order.epoch}"
        patience = (self.control, settings.give_up_s)
        content = Content(link, order.blobs_url, order.token, *patience)
        self._runtime = _runtime(settings, supervisor, order, content, self.control)
        self._outputs = Outputs(link, order.blobs_url, order.token, *patience)
        self._beat = Heartbeat(
            link,
            order.attempt_url,
            order.token,
            self.control,
            usage=self._runtime.usage,
            next_s=order.next_beat_s,
            lease_s=order.lease_s,
            renewed=asked,
            guard=lambda until: _guard(supervisor, until),
        )

    @property
    def unsupervised(self) -> bool:
        """The worker cannot look after another program."""
        return self._runtime.unsupervised

    def leave(self, notice: Notice) -> None:
        """End it in the time that the machine has left, also where a preparation hangs."""
        self.control.leave(notice)
        patience = max(0.0, notice.save_by - time.monotonic())
        timer = threading.Timer(patience, self._report_unprepared)
        timer.daemon = True
        timer.start()

    def run(self) -> None:
        """To the end, whatever the end is."""
        order = self._order
        mounts = [item.mount for item in order.data]
        lock = self._held.lock if self._held else None
        if lock is None:
            self._beat.start()
        try:
            runs = f"{self._settings.home}/runs"
            workspace = Workspace(runs, order.run_id, order.epoch, mounts, lock=lock)
            workspace.reserve()
            try:
                self._run_in(workspace)
            finally:
                self._runtime.release()
                workspace.remove(keep=self._settings.keep_runs)
        except Dropped as dropped:
            say(f"{self._name} is not ours any more: {dropped}")
        except (PlatformAway, Refused) as error:
            say(f"{self._name} could not be reported: {error}")
        except OSError as error:
            say(f"{self._name}: {error}")
            self._give_back(error)
        finally:
            self._runtime.release()
            self._beat.stop()

    def _run_in(self, workspace: Workspace) -> None:
        journal = Journal(workspace.folder)
        self._beat.keep(journal)
        if self._held:
            self._beat.arm()
        self._beat.start()
        spool = Spool(workspace.folder, self._settings.backlog_bytes, journal.shipped)
        give_up_s = self._settings.give_up_s
        shipper = Shipper(self._link, self._order, spool, self.control, give_up_s=give_up_s, journal=journal)
        conclusion = self._conclusion(spool, shipper, journal)
        try:
            if (report := journal.report) is None:
                self._supervise(workspace, spool, shipper, conclusion)
            else:
                self._take_word()
                self._beat.harmless()
                conclusion.post(report)
        except AttemptFailed as failure:
            workspace.free_reserve()
            self.out_of_room = failure.cause.code == "disk_full"
            self._take_word()
            conclusion.report(failure.cause.with_facts(*self._facts()), None, 0.0)
        finally:
            spool.abandon()
            journal.close()
            if shipper.join(1.0):
                spool.remove()

    def _supervise(
        self, workspace: Workspace, spool: Spool, shipper: Shipper, conclusion: Conclusion
    ) -> None:
        order, control, runtime = self._order, self.control, self._runtime

        def disk_full(_: OSError) -> None:
            workspace.free_reserve()
            self.out_of_room = True
            control.stop("disk_full")

        made = runtime.adopt(workspace, self._held) if self._held else runtime.make(workspace)
        checkpoints = self._checkpoints(workspace)
        try:
            self._hold_lease()
            self._take_word()
            self.ran = True
            pid = runtime.start(spool, disk_full)
            started = self._announce(pid, made.phases_ms, shipper)
            checkpoints.start()
            ended = runtime.wait()
        finally:
            checkpoints.stop()
            runtime.end()
        if ended.signal == SIGKILL and self._beat.expired:
            control.drop("lease_lost")
        self._beat.harmless()
        kills, free_bytes = runtime.kills(), workspace.free_bytes()
        workspace.free_reserve()
        started.join()
        control.check_ours()
        stopped_for, stderr = runtime.stopped_for, spool.tail("stderr")
        ending = Ending(ended.code, ended.signal, stopped_for, stderr, free_bytes, kills, order.timeout_s)
        cause = cause_of(ending._replace(facts=self._facts()))
        found = Found(workspace.folder, made.outputs)
        staging = Staging(self._outputs, found, checkpoints if cause else None)
        conclusion.conclude(staging, cause, ended, runtime.seconds)

    def _hold_lease(self) -> None:
        """Before anything runs. An order may have been on its way for long, or its worker frozen."""
        control, beat = self.control, self._beat
        if self._held is None and beat.stale:
            try:
                insist(control, beat.ask, self._settings.give_up_s, control.check_ours)
            except Refused as refusal:
                say(f"{self._name} came too late: {refusal}")
                control.drop("fenced")
                control.check_ours()
        beat.arm()

    def _checkpoints(self, workspace: Workspace) -> Checkpoints:
        return Checkpoints(
            self._link,
            self._order,
            self.control,
            root=workspace.folder,
            folder=workspace.checkpoint,
            new=self._held is None,
        )

    def _facts(self) -> tuple[str, ...]:
        """What the machine was told, if it was."""
        notice = self.control.notice
        if notice is None:
            return ()
        passed = time.monotonic() - notice.at
        return (f"notice: {notice.source}, {notice.leave_s:g} s before the end; ended after {passed:.1f} s",)

    def _give_back(self, error: OSError) -> None:
        """The machine itself failed, perhaps without a folder to work in."""
        self.control.stop("worker_failed")
        if self._word.acquire(blocking=False):
            cause = of_machine(error)
            self.out_of_room = cause.code == "disk_full"
            self._report_unstarted(cause)

    def _take_word(self) -> None:
        """Once. Raises Dropped when another has reported."""
        if not self._word.acquire(blocking=False) and not self.ran:
            raise Dropped("preempted")

    def _report_unprepared(self) -> None:
        if self._word.acquire(blocking=False):
            self._report_unstarted(stopped("preempted", self._facts()))
            self.control.drop("preempted")

    def _report_unstarted(self, cause: Cause) -> None:
        url, message = f"{self._order.attempt_url}/finished", unstarted_report(cause)
        with suppress(Dropped, PlatformAway, Refused):
            insist(
                self.control,
                lambda: self._link.ask(url, self._order.token, message),
                self._settings.give_up_s,
                self.control.check_ours,
            )

    def _conclusion(self, spool: Spool, shipper: Shipper, journal: Journal) -> Conclusion:
        return Conclusion(
            self._link,
            self._order,
            self.control,
            give_up_s=self._settings.give_up_s,
            beat=self._beat,
            spool=spool,
            shipper=shipper,
            journal=journal,
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


def _guard(supervisor: Supervisor, until: float | None) -> None:
    with suppress(SupervisorGone):
        supervisor.lease(until)


def _runtime(
    settings: Settings, supervisor: Supervisor, order: WorkOrder, content: Content, control: Control
) -> Runtime:
    if order.image.runtime == "container":
        from cynthus.worker.containers.runtime import ContainerRuntime

        return ContainerRuntime(settings, supervisor, order, content, control)
    return ProcessRuntime(settings, supervisor, order, content, control)
