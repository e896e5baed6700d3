"""What requests are told while the provider has no machine for them, and when they are given up."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from cynthus.events import Cause
from cynthus.provisioner.domain.demand import Delay, Fail
from cynthus.provisioner.domain.machine import Snapshot, Stage
from cynthus.provisioner.handlers import DemandHandler
from cynthus.provisioner.ports import Ledger, Refusal, Waiting
from cynthus.provisioner.reconciler.calls import Refused

_COMING = frozenset({Stage.INTENDED, Stage.BOOTING, Stage.IDLE})
_CODES = {
    Refusal.OUT_OF_STOCK: "no_capacity",
    Refusal.QUOTA: "quota",
    Refusal.REFUSED: "machine_refused",
}
_FIXES = {
    Refusal.OUT_OF_STOCK: "Try again later, or ask for another kind of machine.",
    Refusal.QUOTA: "Raise the limit at the provider, or let fewer runs go at once.",
    Refusal.REFUSED: "See `cynthus doctor`.",
}


class Patience:
    """Requests wait so long for a provider without room; for one that says never, not at all."""

    def __init__(self, ledger: Ledger, handler: Callable[[], DemandHandler], patience: timedelta) -> None:
        self._ledger = ledger
        self._handler = handler
        self._patience = patience
        self._since: dict[tuple[str, int], datetime] = {}

    async def explain(self, refused: Refused | None, snapshot: Snapshot) -> None:
        """Tell those for whom nothing is coming; give up those who waited too long."""
        waiting = await self._ledger.waiting() if refused or self._since else ()
        coming = sum(row.stage in _COMING for row in snapshot.rows)
        without = list(waiting)[coming:] if refused else []
        known = {(one.run_id, one.epoch) for one in waiting}
        self._since = {key: since for key, since in self._since.items() if key in known}
        if refused is None:
            return
        for one in without:
            self._since.setdefault((one.run_id, one.epoch), snapshot.now)
        if refused.refusal is Refusal.REFUSED:
            for one in without[:1]:  # each refusal is paid for by one request
                await self._fail(one, refused, transient=False)
            return
        await self._tell(without, refused, snapshot.now)

    async def _tell(self, without: Sequence[Waiting], refused: Refused, now: datetime) -> None:
        for one in without:
            if now - self._since[one.run_id, one.epoch] >= self._patience:
                await self._fail(one, refused, transient=refused.refusal is not Refusal.QUOTA)
            elif not one.delayed:
                await self._handler().settle(Delay(one.run_id, one.epoch, refused.message))

    async def fail_oldest(self, reason: str) -> None:
        """Machines are made, but they do not come up: one request at a time is tried again elsewhere."""
        cause = Cause(
            code="boot_failed",
            message=f"No machine came up: {reason}",
            fix="See `cynthus doctor`.",
        )
        for waiting in await self._ledger.waiting(limit=1):
            await self._handler().settle(Fail(waiting.run_id, waiting.epoch, cause, transient=True))

    async def _fail(self, waiting: Waiting, refused: Refused, *, transient: bool) -> None:
        await self._handler().settle(Fail(waiting.run_id, waiting.epoch, _cause(refused), transient))


def _cause(refused: Refused) -> Cause:
    return Cause(
        code=_CODES[refused.refusal],
        message=f"No machine could be started: {refused.message}",
        fix=_FIXES[refused.refusal],
    )
