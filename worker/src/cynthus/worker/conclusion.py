"""After the program: the rest of its log, its outputs, and the report that ends the attempt."""

import threading
from contextlib import suppress
from typing import Any

from cynthus.worker.causes import Cause
from cynthus.worker.channel import Exit
from cynthus.worker.content import insist
from cynthus.worker.control import Control, Dropped
from cynthus.worker.heartbeat import Heartbeat
from cynthus.worker.journal import Journal
from cynthus.worker.link import Link, PlatformAway, Refused
from cynthus.worker.orders import WorkOrder
from cynthus.worker.outputs import Found, Outputs
from cynthus.worker.settings import say
from cynthus.worker.shipper import Shipper
from cynthus.worker.spool import SOURCES, Spool

_QUICK_S = 1.0
_NOTES = 20
_NOTHING = Exit(None, None, 0.0, 0, 0)


class Conclusion:
    """Ends one attempt. Nothing runs any more, so waiting for the platform does no harm."""

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
        outputs: Outputs,
        journal: Journal,
    ) -> None:
        self._link = link
        self._order = order
        self._control = control
        self._give_up_s = give_up_s
        self._beat = beat
        self._spool = spool
        self._shipper = shipper
        self._outputs = outputs
        self._journal = journal

    def conclude(self, folder: str, cause: Cause | None, ended: Exit, seconds: float) -> None:
        """Ship, upload, report. Raises Dropped, Refused, PlatformAway."""
        found = Found(folder)
        self._note(found.skipped)
        self._spool.close()
        self._shipper.hurry()
        upload = _Upload(self._outputs, found)
        if not found.empty:
            upload.start()
        if not (self._shipper.join(_QUICK_S) and upload.join(_QUICK_S)):
            with suppress(Refused, PlatformAway):
                self._link.ask(self._url("exited"), self._order.token, self._report(cause, ended, seconds))
        upload.join()
        if upload.problem is not None and cause is None:
            cause = Cause("outputs_failed", f"the outputs could not be kept: {upload.problem}")
        self.report(cause, ended, seconds, upload.digest)

    def report(
        self, cause: Cause | None, ended: Exit | None, seconds: float, outputs: str | None = None
    ) -> None:
        """Post `finished` until it is answered."""
        self._spool.close()
        self._shipper.join()
        self._control.check_ours()
        if self._shipper.refused:
            raise PlatformAway(f"the log is incomplete: {self._shipper.refused}")
        logs = {"chunks": self._shipper.chunks, "bytes": self._spool.shipped}
        message = {**self._report(cause, ended, seconds), "logs": logs, "outputs": outputs}
        with suppress(OSError):
            self._journal.keep_report(message)
        self.post(message)

    def post(self, message: dict[str, Any]) -> None:
        """Post a report until it is answered."""
        url, token = self._url("finished"), self._order.token
        control = self._control
        insist(control, lambda: self._link.ask(url, token, message), self._give_up_s, control.check_ours)

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


class _Upload:
    def __init__(self, outputs: Outputs, found: Found) -> None:
        self._outputs = outputs
        self._found = found
        self._thread = threading.Thread(target=self._run, name="upload", daemon=True)
        self.digest: str | None = None
        self.problem: str | None = None

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.digest = self._outputs.commit(self._found)
        except Dropped as dropped:
            self.problem = str(dropped)
        except (Refused, PlatformAway, OSError, ValueError) as error:
            say(f"outputs: {type(error).__name__} {error}")
            self.problem = str(error)
