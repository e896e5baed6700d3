"""Runs, attempts and leases as tables: a function of the history, written with it."""

from collections.abc import Sequence
from itertools import groupby

from cynthus.orchestrator.domain.evolve import evolve
from cynthus.orchestrator.domain.limits import Limits, deadline
from cynthus.orchestrator.domain.rhythm import UNHEARD_LEASES
from cynthus.orchestrator.domain.run import Run, State
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.store.database import Connection
from cynthus.store.ports import Recorded
from cynthus.store.projections import Tables
from cynthus.store.storable import storable_json

_LEASED = frozenset({State.STARTING, State.RUNNING, State.TERMINATING, State.UPLOADING})

_LOAD = "SELECT document FROM orchestrator.runs WHERE id = $1"
_RUN = """
    run AS (
        INSERT INTO orchestrator.runs
            (id, owner, project, name, state, created_at, labels, deadline_at, version, document)
        SELECT $1::text, $2::text, $3::text, $4::text, $5::text, $6::timestamptz,
               $9::text::jsonb -> 'labels', $7::timestamptz, $8::int, $9::text::jsonb FROM gate
        ON CONFLICT (id) DO UPDATE SET
            owner = excluded.owner, project = excluded.project, name = excluded.name,
            state = excluded.state, created_at = excluded.created_at, labels = excluded.labels,
            deadline_at = excluded.deadline_at, version = excluded.version, document = excluded.document)"""
_LEASE = """
    closed AS (
        DELETE FROM orchestrator.leases USING gate
        WHERE run_id = $1::text AND epoch IS DISTINCT FROM $14::int),
    leased AS (
        INSERT INTO orchestrator.leases AS lease (run_id, epoch, machine, stop, expires_at)
        SELECT $1::text, $14::int, $15::text, $16::text, now() + make_interval(secs => $17) FROM gate
        WHERE $14::int IS NOT NULL
        ON CONFLICT (run_id, epoch) DO UPDATE SET
            stop = excluded.stop,
            expires_at = CASE WHEN $18::bool THEN excluded.expires_at ELSE lease.expires_at END)"""
_ATTEMPTS = """
    tried AS (
        INSERT INTO orchestrator.attempts (run_id, epoch, machine, state, gone)
        SELECT $1::text, a.epoch, a.machine, a.state, a.gone
        FROM gate, unnest($10::int[], $11::text[], $12::text[], $13::bool[]) AS a(epoch, machine, state, gone)
        ON CONFLICT (run_id, epoch) DO UPDATE SET
            machine = excluded.machine, state = excluded.state, gone = excluded.gone)"""
_SAVE = f"{_RUN}, {_ATTEMPTS}"
_SAVE_WITH_LEASE = f"{_RUN}, {_LEASE}, {_ATTEMPTS}"


class RunTables:
    """Only for attempts that count is there a lease; the first one is for the order's way to the worker too.

    From the order on a worker beats, also while it prepares: one that does not is gone, whatever its
    provider says of the machine.
    """

    def __init__(self, recent: RecentRuns, limits: Limits, lease_s: float) -> None:
        self._recent = recent
        self._limits = limits
        self._lease_s = lease_s

    async def apply(self, connection: Connection, recorded: Sequence[Recorded]) -> None:
        """Write what the facts mean."""
        facts = sorted(recorded, key=lambda fact: (fact.envelope.stream, fact.envelope.sequence))
        for stream, history in groupby(facts, key=lambda fact: fact.envelope.stream):
            await self._apply(connection, stream.removeprefix("run-"), list(history))

    async def reset(self, connection: Connection) -> None:
        """Empty the tables; leases stay, since only workers can renew them."""
        await connection.execute("TRUNCATE orchestrator.runs, orchestrator.attempts")

    def tables(self, foreseen: Sequence[Recorded]) -> Tables | None:
        """The same as part of the append, when the run is remembered."""
        first = foreseen[0].envelope
        before = self._remembered(first.stream.removeprefix("run-"), first.sequence - 1)
        return None if before is None else self._written(before, foreseen)

    async def _apply(self, connection: Connection, run_id: str, history: list[Recorded]) -> None:
        before = self._remembered(run_id, history[0].envelope.sequence - 1)
        if before is None:
            before = Run.model_validate(await connection.fetchval(_LOAD, run_id))
        tables = self._written(before, history)
        await connection.execute(f"WITH gate AS (SELECT), {tables.sql} SELECT", *tables.arguments)

    def _written(self, before: Run, history: Sequence[Recorded]) -> Tables:
        after = before
        for fact in history:
            after = evolve(after, fact.envelope.event, fact.envelope.time)
        row = self._row(after, before)
        if _lease(before) == _lease(after):
            return Tables(_SAVE, row)
        return Tables(_SAVE_WITH_LEASE, (*row, *self._lease_row(after)))

    def _remembered(self, run_id: str, version: int) -> Run | None:
        if version == 0:
            return Run(id=run_id)
        known = self._recent.get(run_id)
        return known if known is not None and known.version == version else None

    def _row(self, run: Run, before: Run) -> tuple[object, ...]:
        changed = [a for a in run.attempts.values() if _attempt(run, a.epoch) != _attempt(before, a.epoch)]
        return (
            run.id,
            run.owner or None,
            run.project,
            run.name,
            run.state,
            run.created_at,
            deadline(run, self._limits),
            run.version,
            storable_json(run.model_dump_json()),
            [attempt.epoch for attempt in changed],
            [attempt.machine for attempt in changed],
            [run.attempt_state(attempt) for attempt in changed],
            [attempt.gone for attempt in changed],
        )

    def _lease_row(self, run: Run) -> tuple[object, ...]:
        epoch, machine, stop, started = _lease(run) or (None, None, None, False)
        return epoch, machine, stop, self._lease_s * (1 if started else UNHEARD_LEASES), started


def _attempt(run: Run, epoch: int) -> tuple[str | None, str, bool] | None:
    attempt = run.attempts.get(epoch)
    return None if attempt is None else (attempt.machine, run.attempt_state(attempt), attempt.gone)


def _lease(run: Run) -> tuple[int, str | None, str | None, bool] | None:
    """Epoch, machine, stop and whether a worker was heard: of the attempt that counts, if one does."""
    attempt = run.current
    if attempt is None or attempt.machine is None or run.state not in _LEASED:
        return None
    started = attempt.started_at is not None or attempt.exited_at is not None
    stop = "cancelled" if run.cancel_reason is not None else None
    return attempt.epoch, attempt.machine, stop, started
