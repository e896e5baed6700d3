"""After the program: the rest of its log, its outputs, and the report that ends the attempt."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cynthus.worker.causes import Cause, of_outputs, overtaken
from cynthus.worker.channel import Exit
from cynthus.worker.content import insist
from cynthus.worker.control import Control, Notice
from cynthus.worker.heartbeat import Heartbeat
from cynthus.worker.journal import Journal
from cynthus.worker.link import Link, PlatformAway, Refused
from cynthus.worker.orders import WorkOrder
from cynthus.worker.settings import say
from cynthus.worker.shipper import Shipper
from cynthus.worker.spool import SOURCES, Spool
from cynthus.worker.staging import Staging

_QUICK_S = 1.0
_LOOK_S = 0.2
_NOTES = 20
_CALL_S = 10.0
_INCOMPLETE = 422
_NOTHING = Exit(None, None, 0.0, 0, 0)


class Conclusion:
    """Ends one attempt. Nothing runs any more, so waiting for the platform does no harm.

    Unless the machine goes: then what cannot be finished in time is left out, and said to be.
    """

    def __init__(
        self,
        link: Link,
        order: WorkOrder,
        control: Control,
        *,
        give_up_s: float,
        beat: Heartbeat,
        spool: Spool,
        shipper: Shipper,
        journal: Journal,
    ) -> None:
        self._link = link
        self._order = order
        self._control = control
        self._give_up_s = give_up_s
        self._beat = beat
        self._spool = spool
        self._shipper = shipper
        self._journal = journal

    def conclude(self, staging: Staging, cause: Cause | None, ended: Exit, seconds: float) -> None:
        """Ship, upload, report. Raises Dropped, Refused, PlatformAway."""
        self._note(staging.skipped)
        self._spool.close()
        self._shipper.hurry()
        staging.start()
        if not (self._shipper.join(_QUICK_S) and staging.join(_QUICK_S)):
            with suppress(Refused, PlatformAway):
                url, report = self._url("exited"), self._report(cause, ended, seconds)
                self._link.ask(url, self._order.token, report, self._patience_s())
        self._await(staging.join, lambda notice: notice.save_by)
        staged = staging.join(0)
        notice = self._control.notice
        if staged and staging.problem is not None and cause is None:
            cause = of_outputs(staging.problem)
        if notice is not None and not staged and cause is None:
            cause = overtaken()
        if notice is not None and cause is not None:
            cause = cause.with_facts(*_saved(staging, staged=staged))
        self.report(cause, ended, seconds, staging.digest if staged else None)

    def report(
        self, cause: Cause | None, ended: Exit | None, seconds: float, outputs: str | None = None
    ) -> None:
        """Post `finished` until it is answered."""
        self._spool.close()
        self._await(self._shipper.join, lambda notice: notice.report_by)
        self._control.check_ours()
        if self._shipper.refused:
            raise PlatformAway(f"the log is incomplete: {self._shipper.refused}")
        if not self._shipper.join(0):
            self._report_cut(cause, ended, seconds, outputs)
            return
        self._keep_and_post(self._message(cause, ended, seconds, outputs))

    def post(self, message: dict[str, Any]) -> None:
        """Post a report until it is answered."""
        url, token = self._url("finished"), self._order.token
        control = self._control

        def once() -> None:
            self._link.ask(url, token, message, self._patience_s())

        insist(control, once, self._give_up_s, control.check_ours)

    def _report_cut(
        self, cause: Cause | None, ended: Exit | None, seconds: float, outputs: str | None
    ) -> None:
        """The machine goes before the log has arrived. Of the chunk on its way nobody knows if it has."""
        self._shipper.leave()
        missing = "the rest of the log could not be sent in time"
        cause = (cause or overtaken()).with_facts(missing)
        arrived = False
        while True:
            try:
                self._keep_and_post(self._message(cause, ended, seconds, outputs, arrived=arrived))
            except Refused as refusal:
                if refusal.status != _INCOMPLETE:
                    raise
                arrived = not arrived
                self._control.pause(_LOOK_S)
            else:
                return

    def _message(
        self,
        cause: Cause | None,
        ended: Exit | None,
        seconds: float,
        outputs: str | None,
        *,
        arrived: bool = False,
    ) -> dict[str, Any]:
        position = self._shipper.position(arrived=arrived)
        logs = {"chunks": position.chunks, "bytes": position.shipped}
        return {**self._report(cause, ended, seconds), "logs": logs, "outputs": outputs}

    def _keep_and_post(self, message: dict[str, Any]) -> None:
        with suppress(OSError):
            self._journal.keep_report(message)
        self.post(message)

    def _await(self, join: Callable[[float], bool], until: Callable[[Notice], float]) -> None:
        """Until something has ended, or the machine has no time for it."""
        while not join(_LOOK_S):
            notice = self._control.notice
            if notice is not None and time.monotonic() >= until(notice):
                return

    def _patience_s(self) -> float:
        """For one call."""
        notice = self._control.notice
        if notice is None:
            return _CALL_S
        return min(_CALL_S, max(1.0, notice.report_by - time.monotonic()))

    def _url(self, call: str) -> str:
        return f"{self._order.attempt_url}/{call}"

    def _report(self, cause: Cause | None, ended: Exit | None, seconds: float) -> dict[str, Any]:
        beat = self._beat
        return _measures(cause, ended or _NOTHING, seconds, beat.used.cpu_seconds, beat.peak_bytes)

    def _note(self, skipped: list[str]) -> None:
        lines = [f"cynthus: not in the outputs: {line}" for line in skipped[:_NOTES]]
        if len(skipped) > _NOTES:
            lines.append(f"cynthus: and {len(skipped) - _NOTES} more")
        if lines:
            with suppress(OSError):
                self._spool.append("stderr", "".join(f"{line}\n" for line in lines).encode())


def unstarted_report(cause: Cause) -> dict[str, Any]:
    """`finished` of an attempt that has neither a process nor a log."""
    return {
        **_measures(cause, _NOTHING, 0.0, 0.0, 0),
        "logs": {"chunks": 0, "bytes": dict.fromkeys(SOURCES, 0)},
        "outputs": None,
    }


def _saved(staging: Staging, *, staged: bool) -> list[str]:
    said = [staging.checkpoint or "the checkpoint was not saved: there was no time"]
    if not staged:
        said.append("the outputs were not saved: there was no time")
    elif staging.problem is not None:
        said.append(f"the outputs were not saved: {staging.problem}")
    say("; ".join(said))
    return said


def _measures(
    cause: Cause | None, ended: Exit, seconds: float, cpu_seconds: float, memory_bytes: int
) -> dict[str, Any]:
    return {
        "exit_code": ended.code,
        "signal": ended.signal,
        "cause": cause.encode() if cause else None,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(max(ended.cpu_seconds, cpu_seconds), 3),
        "peak_memory_bytes": max(ended.peak_memory_bytes, memory_bytes),
    }
