"""The SQL of the event store. `@.` stands for the schema."""

import re
from dataclasses import dataclass
from typing import Literal

from cynthus.store.rows import FACT_COLUMNS

Gate = Literal["version", "message", "relaxed"]
"""What lets facts in: the expected version; also a message not handled yet; and without waiting for disk."""

MOST_SCALARS = 4
"""Up to so many facts travel as scalars."""

_HEAD = "head AS (SELECT coalesce(max(version), 0) AS version FROM @.events WHERE stream = $1)"

_MARK = """
    INSERT INTO @.inbox AS inbox (consumer, event_id, handled_at)
    SELECT $3, $4, now() FROM @FROM WHERE head.version = $2
    ON CONFLICT (consumer, event_id) DO UPDATE SET handled_at = excluded.handled_at
        WHERE inbox.handled_at IS NULL
    RETURNING 1"""

_DURABLE = "head"
_RELAXED = "head, (SELECT set_config('synchronous_commit', 'off', true)) AS relaxed"
"""What a message means comes again with the message, so its commit need not wait for the disk."""

_CURRENT = "SELECT FROM head WHERE version = $2"

_GATES: dict[Gate, str] = {
    "version": _CURRENT,
    "message": _MARK.replace("@FROM", _DURABLE),
    "relaxed": _MARK.replace("@FROM", _RELAXED),
}

_ADD = """
WITH @HEAD, gate AS (@GATE), clock AS (SELECT clock_timestamp() AS now), added AS (
    INSERT INTO @.events (stream, version, id, type, source, actor, correlation_id, causation_id,
                          traceparent, at, decided, data)
    SELECT $1, $2::int + e.n, e.id, e.type, e.source, e.actor, e.correlation_id, e.causation_id,
           e.traceparent, coalesce(e.at, clock.now), e.decided, e.data::jsonb
    FROM gate, clock, @ROWS AS
        e(id, type, source, actor, correlation_id, causation_id, traceparent, at, decided, data, n)
    RETURNING transaction_id, position, version)@TABLES
SELECT added.transaction_id, clock.now, array_agg(added.position ORDER BY added.version) AS positions
FROM added, clock GROUP BY added.transaction_id, clock.now"""

_ADD_ONE = """
INSERT INTO @.events (stream, version, id, type, source, actor, correlation_id, causation_id,
                      traceparent, at, decided, data)
SELECT $1, $2::int + 1, $3, $4, $5, $6, $7, $8, $9, coalesce($10::timestamptz, clock_timestamp()),
       $11::boolean, $12::text::jsonb
WHERE $2 = coalesce((SELECT max(version) FROM @.events WHERE stream = $1), 0)
RETURNING transaction_id, at, ARRAY[position]"""

_PARAMETER = re.compile(r"\$(\d+)")
_KINDS = ("text",) * 7 + ("timestamptz", "boolean", "text")

_HANDLED = """
SELECT EXISTS (SELECT FROM @.inbox WHERE consumer = $1 AND event_id = $2 AND handled_at IS NOT NULL)
    OR EXISTS (SELECT FROM @.events WHERE id = ANY($3::text[]))"""

_BY_ID = f"SELECT {FACT_COLUMNS} FROM @.events WHERE id = ANY($1::text[]) ORDER BY transaction_id, position"  # noqa: S608 - no value in it

_READ = f"SELECT {FACT_COLUMNS} FROM @.events WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3"  # noqa: S608 - no value in it

_TAIL = f"""
SELECT transaction_id < pg_snapshot_xmin(pg_current_snapshot()) AS settled, {FACT_COLUMNS}
FROM @.events WHERE (transaction_id, position) > ($1::xid8, $2::bigint)
ORDER BY transaction_id, position LIMIT $3"""  # noqa: S608 - no value in it

_SETTLED = """
SELECT transaction_id, position, EXISTS (
    SELECT FROM @.events WHERE transaction_id = $1::xid8 AND position = $2::bigint) AS known
FROM @.events WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY transaction_id DESC, position DESC LIMIT 1"""

_DECIDED = """
SELECT transaction_id, position, id FROM @.events
WHERE (transaction_id, position) > ($1::xid8, $2::bigint)
  AND (transaction_id, position) <= ($3::xid8, $4::bigint)
  AND decided AND type = ANY($5::text[])
ORDER BY transaction_id, position LIMIT $6"""

_POSITION_BEFORE = """
SELECT transaction_id, position FROM @.events WHERE decided AND at < clock_timestamp() - $1::interval
ORDER BY transaction_id DESC, position DESC LIMIT 1"""

_HISTORY = f"SELECT {FACT_COLUMNS} FROM @.events ORDER BY transaction_id, position"  # noqa: S608 - no value in it


def in_schema(sql: str, schema: str) -> str:
    """The statement for one schema."""
    return sql.replace("@.", f'"{schema}".')


def add(schema: str, *, gate: Gate, rows: int | None, tables: str = "") -> str:
    """Append `rows` facts given as scalars, which is quicker for a few, or (None) as one array a column.

    With a message the first parameters after stream and version are consumer and message. The one row of
    the answer has transaction id, time and positions; there is none if the facts were refused. `tables`
    are more expressions, their parameters after all others.
    """
    if rows == 1 and gate == "version" and not tables:
        return in_schema(_ADD_ONE, schema)
    first = 3 if gate == "version" else 5
    text = _values(first, rows) if rows else _unnested(first)
    before = first - 1 + len(_KINDS) * (rows or 1)
    sql = _ADD.replace("@HEAD", _HEAD).replace("@GATE", _GATES[gate]).replace("@ROWS", text)
    sql = sql.replace("@TABLES", f", {_shifted(tables, before)}" if tables else "")
    return in_schema(sql, schema)


def _shifted(sql: str, by: int) -> str:
    return _PARAMETER.sub(lambda match: f"${int(match[1]) + by}", sql)


def _values(first: int, rows: int) -> str:
    return "(VALUES " + ", ".join(_row(first + row * len(_KINDS), row + 1) for row in range(rows)) + ")"


def _row(first: int, n: int) -> str:
    values = (f"${first + index}::{kind}" for index, kind in enumerate(_KINDS))
    return f"({', '.join(values)}, {n})"


def _unnested(first: int) -> str:
    arrays = (f"${first + index}::{kind}[]" for index, kind in enumerate(_KINDS))
    return f"unnest({', '.join(arrays)}) WITH ORDINALITY"


@dataclass(frozen=True, slots=True)
class Statements:
    """Made once per store, so that asyncpg's statement cache finds them. `add` is by (gate, rows)."""

    add: dict[tuple[Gate, int | None], str]
    mark: dict[Gate, str]
    handled: str
    by_id: str
    read: str
    tail: str
    settled: str
    decided: str
    position_before: str
    history: str


def statements(schema: str) -> Statements:
    """All statements for `schema`."""
    return Statements(
        add={
            (gate, rows): add(schema, gate=gate, rows=rows)
            for gate in _GATES
            for rows in (None, *range(1, MOST_SCALARS + 1))
        },
        mark={
            gate: in_schema(f"WITH {_HEAD} {sql}", schema)
            for gate, sql in _GATES.items()
            if gate != "version"
        },
        handled=in_schema(_HANDLED, schema),
        by_id=in_schema(_BY_ID, schema),
        read=in_schema(_READ, schema),
        tail=in_schema(_TAIL, schema),
        settled=in_schema(_SETTLED, schema),
        decided=in_schema(_DECIDED, schema),
        position_before=in_schema(_POSITION_BEFORE, schema),
        history=in_schema(_HISTORY, schema),
    )
