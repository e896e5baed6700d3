"""The provisioner's tables in memory: the ledger, who holds a machine, and the requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cynthus.events import AttemptLost, Event, MachineReleased, MachineRequested, VMFailed, VMLost, VMReady
from cynthus.provisioner.adapters.memory_requests import MemoryRequests
from cynthus.provisioner.domain.machine import Listed, MachineRow, Snapshot, Stage
from cynthus.provisioner.domain.pool import Limits, Marks, lacking
from cynthus.provisioner.ports import Greeting, Intent, Refusal, Waiting
from cynthus.store.clock import Clock, utc_now
from cynthus.store.ports import ConcurrentAppend, Recorded

_COMING = frozenset({Stage.INTENDED, Stage.BOOTING})
_UP = frozenset({Stage.IDLE, Stage.HELD})


@dataclass(frozen=True, slots=True)
class _Refused:
    zone: str
    refusal: Refusal
    asked_at: datetime


class MemoryLedger:
    """The Ledger port, and the projection that the provisioner's history keeps up to date."""

    def __init__(self, clock: Clock = utc_now, *, memory: timedelta = timedelta(seconds=30)) -> None:
        self.rows: dict[str, MachineRow] = {}
        self.requests = MemoryRequests()
        self._clock = clock
        self._memory = memory
        self._boots: dict[str, str] = {}
        self._asked: dict[str, datetime] = {}
        self._refusals: list[_Refused] = []
        self._looked: datetime | None = None

    async def claim_look(self, gap_s: float) -> bool:
        """One replica at a time."""
        now = self._clock()
        if self._looked is not None and self._looked <= now < self._looked + timedelta(seconds=gap_s):
            return False
        self._looked = now
        return True

    async def snapshot(self) -> Snapshot:
        """Everything at one moment."""
        now = self._clock()
        lately = [one for one in self._refusals if one.asked_at > now - self._memory]
        return Snapshot(
            now,
            tuple(row for row in self.rows.values() if row.stage is not Stage.GONE),
            len(self.requests.waiting()),
            frozenset(one.zone for one in lately if one.refusal is Refusal.OUT_OF_STOCK),
            any(one.refusal is Refusal.QUOTA for one in lately),
        )

    async def find(self, name: str) -> MachineRow | None:
        """One row."""
        return self.rows.get(name)

    async def waiting(self, limit: int = 100) -> Sequence[Waiting]:
        """Requests without a machine, oldest first."""
        return self.requests.waiting()[:limit]

    async def idle_machine(self) -> str | None:
        """The idle machine that was used last."""
        idle = [row for row in self.rows.values() if row.stage is Stage.IDLE and not row.leaving]
        return max(idle, key=lambda row: row.since).name if idle else None

    async def held(self) -> int:
        """How many machines are held."""
        return sum(row.stage is Stage.HELD for row in self.rows.values())

    async def intend(self, intent: Intent, limits: Limits, pause: timedelta) -> bool:
        """Only when a machine is lacking."""
        snapshot = await self.snapshot()
        if intent.name in self.rows or not lacking(snapshot.rows, snapshot.waiting, limits):
            return False
        self._asked[intent.name] = snapshot.now
        self.rows[intent.name] = MachineRow(
            intent.name,
            Stage.INTENDED,
            snapshot.now,
            zone=intent.zone,
            request_id=intent.request_id,
            attempts=1,
            next_try=snapshot.now + pause,
        )
        return True

    async def asking(self, machine: MachineRow, pause: timedelta) -> bool:
        """Count a call before it is made."""
        row = self._still(machine)
        if row is None or row.attempts != machine.attempts:
            return False
        self._asked[row.name] = self._clock()
        self.rows[row.name] = replace(row, attempts=row.attempts + 1, next_try=self._clock() + pause)
        return True

    async def put_off(self, name: str, pause: timedelta) -> None:
        """Not before the pause is over."""
        row = self._alive(name)
        if row is not None:
            until = self._clock() + pause
            self.rows[name] = replace(row, next_try=max(row.next_try or until, until))

    async def created(self, name: str) -> None:
        """The provider has it."""
        row = self._alive(name)
        if row is not None and row.stage is Stage.INTENDED:
            self._enter(row, Stage.BOOTING)

    async def refused(self, name: str, refusal: Refusal, why: str) -> None:
        """The provider has it not, unless an earlier call made it."""
        row = self._alive(name)
        if row is None or row.stage is not Stage.INTENDED:
            return
        self._refusals.append(_Refused(row.zone, refusal, self._asked[name]))
        if row.attempts > 1:
            self._send_away(row, why)
        else:
            self._enter(replace(row, why=why), Stage.GONE)

    async def hello(self, name: str, boot: str | None) -> Greeting:
        """A worker said hello."""
        row = self._alive(name)
        if row is None or row.stage not in _COMING | _UP:
            return Greeting.UNWANTED
        if boot is not None and self._boots.setdefault(name, boot) != boot:
            return Greeting.AGAIN if row.stage in _UP else Greeting.UNWANTED
        if row.stage in _COMING:
            self._enter(row, Stage.IDLE)
        else:
            self.rows[name] = replace(row, absent_since=None)
        return Greeting.WELCOME

    async def close(self, machine: MachineRow, why: str, pause: timedelta) -> bool:
        """Decide to delete a machine nobody holds."""
        row = self._still(machine)
        if row is None or row.stage in {Stage.HELD, Stage.DELETING, Stage.GONE}:
            return False
        self._send_away(row, why)
        self.rows[row.name] = replace(self.rows[row.name], attempts=1, next_try=self._clock() + pause)
        return True

    async def adopt(self, listed: Listed, why: str) -> bool:
        """Take in what should not be there."""
        if self._alive(listed.name) is not None:
            return False
        known = self.rows.get(listed.name) or MachineRow(listed.name, Stage.GONE, self._clock())
        self._send_away(replace(known, zone=listed.zone, needless_since=None), why)
        return True

    async def mark(self, marks: Marks) -> None:
        """What a listing showed."""
        now = self._clock()
        for name in marks.names():
            if (row := self._alive(name)) is not None:
                self.rows[name] = _marked(row, marks, now)

    async def gone(self, machine: MachineRow) -> bool:
        """The provider no longer lists it."""
        row = self._still(machine)
        if row is None or row.stage is Stage.GONE:
            return False
        self._enter(row, Stage.GONE)
        return True

    def check(self, recorded: Sequence[Recorded]) -> None:
        """Raises ConcurrentAppend when somebody else holds the machine."""
        for fact in recorded:
            event = fact.envelope.event
            if isinstance(event, VMReady):
                row = self.rows.get(event.machine)
                if row is None or row.stage is not Stage.IDLE or row.leaving:
                    raise ConcurrentAppend(event.machine)

    def apply(self, recorded: Sequence[Recorded]) -> None:
        """Hold and let go; follow the requests."""
        for fact in recorded:
            self.requests.follow(fact.envelope.event)
            self._hold(fact.envelope.event)

    def reset(self) -> None:
        """Forget the requests; machines are intents, which no history can tell again."""
        self.requests = MemoryRequests()

    def _hold(self, event: Event) -> None:
        if isinstance(event, MachineRequested | MachineReleased | AttemptLost):
            newest, why = event.epoch, "its run went on to another attempt"
            self._drop(event.run_id, lambda row: row.stage is Stage.HELD and (row.epoch or 0) < newest, why)
        match event:
            case VMReady(run_id=run_id, epoch=epoch, machine=machine):
                row = replace(self.rows[machine], run_id=run_id, epoch=epoch, needless_since=None)
                self.rows[machine] = replace(row, stage=Stage.HELD, since=self._clock())
            case MachineReleased(run_id=run_id, epoch=epoch, lost=True):
                self._drop(run_id, lambda row: row.epoch == epoch, "its attempt was lost on it")
            case MachineReleased(run_id=run_id, epoch=epoch):
                for row in list(self.rows.values()):
                    if row.stage is Stage.HELD and (row.run_id, row.epoch) == (run_id, epoch):
                        self.rows[row.name] = replace(row, stage=Stage.IDLE, since=self._clock())
            case AttemptLost(run_id=run_id, epoch=epoch):
                self._drop(run_id, lambda row: row.epoch == epoch, "its attempt was fenced")
            case VMLost(run_id=run_id, epoch=epoch):
                self._drop(run_id, lambda row: row.epoch == epoch, "it went away")
            case VMFailed() | _:
                return

    def _drop(self, run_id: str, which: Callable[[MachineRow], bool], why: str) -> None:
        for row in list(self.rows.values()):
            if row.run_id == run_id and row.stage in _UP and which(row):
                self._send_away(row, why)

    def _alive(self, name: str) -> MachineRow | None:
        row = self.rows.get(name)
        return None if row is None or row.stage is Stage.GONE else row

    def _still(self, seen: MachineRow) -> MachineRow | None:
        row = self.rows.get(seen.name)
        return row if row and (row.stage, row.since) == (seen.stage, seen.since) else None

    def _enter(self, row: MachineRow, stage: Stage) -> None:
        now = self._clock()
        begun = replace(row, stage=stage, since=now, attempts=0, next_try=None, absent_since=None)
        self.rows[row.name] = begun

    def _send_away(self, row: MachineRow, why: str) -> None:
        since = row.needless_since or self._clock()
        self._enter(replace(row, why=why, needless_since=since), Stage.DELETING)


def _marked(row: MachineRow, marks: Marks, now: datetime) -> MachineRow:
    absent_since, needless_since = row.absent_since, row.needless_since
    if row.name in marks.seen:
        absent_since = None
    elif row.name in marks.absent:
        absent_since = absent_since or now
    if row.name in marks.needed or row.stage is Stage.HELD:
        needless_since = None
    elif row.name in marks.needless:
        needless_since = needless_since or now
    leaving = row.leaving or row.name in marks.leaving
    return replace(row, absent_since=absent_since, needless_since=needless_since, leaving=leaving)
