"""The SQL of the event store. `@.` stands for the schema."""

from dataclasses import dataclass

from cynthus.store.rows import FACT_COLUMNS

_HEAD = "head AS (SELECT coalesce(max(version), 0) AS version FROM @.events WHERE stream = $1)"

_ADDED = """added AS (
    INSERT INTO @.events (stream, version, id, type, source, actor, correlation_id, causation_id,
                          traceparent, at, decided, data)
    SELECT $1, $2::int + e.n, e.id, e.type, e.source, e.actor, e.correlation_id, e.causation_id,
           e.traceparent, coalesce(e.at, clock_timestamp()), e.decided, e.data::jsonb
    FROM %s, unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                    $10::timestamptz[], $11::boolean[], $12::text[]) WITH ORDINALITY AS
        e(id, type, source, actor, correlation_id, causation_id, traceparent, at, decided, data, n)
    RETURNING transaction_id, position, version, at)
SELECT transaction_id, position, version, at, (SELECT pg_notify($14, $13)) FROM added ORDER BY version"""

_MARK = """
    INSERT INTO @.inbox AS inbox (consumer, event_id, handled_at)
    SELECT %s, now() FROM head WHERE head.version = $2
    ON CONFLICT (consumer, event_id) DO UPDATE SET handled_at = excluded.handled_at
        WHERE inbox.handled_at IS NULL
    RETURNING 1"""

_APPEND = f"WITH {_HEAD}, current AS (SELECT FROM head WHERE version = $2), {_ADDED % 'current'}"
_APPEND_ONCE = f"WITH {_HEAD}, mark AS ({_MARK % '$15, $16'}), {_ADDED % 'mark'}"
_MARK_ONLY = f"WITH {_HEAD} {_MARK % '$3, $4'}"

_HANDLED = """
SELECT EXISTS (SELECT FROM @.inbox WHERE consumer = $1 AND event_id = $2 AND handled_at IS NOT NULL)
    OR EXISTS (SELECT FROM @.events WHERE id = ANY($3::text[]))"""

_BY_ID = f"SELECT {FACT_COLUMNS} FROM @.events WHERE id = ANY($1::text[]) ORDER BY version"  # noqa: S608 - no value in it

_READ = f"SELECT {FACT_COLUMNS} FROM @.events WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3"  # noqa: S608 - no value in it

_TAIL = f"""
SELECT transaction_id < pg_snapshot_xmin(pg_current_snapshot()) AS settled, {FACT_COLUMNS}
FROM @.events WHERE (transaction_id, position) > ($1::xid8, $2::bigint)
ORDER BY transaction_id, position LIMIT $3"""  # noqa: S608 - no value in it

_POSITION_BEFORE = """
SELECT transaction_id, position FROM @.events WHERE decided AND at < clock_timestamp() - $1::interval
ORDER BY transaction_id DESC, position DESC LIMIT 1"""

_HISTORY = f"SELECT {FACT_COLUMNS} FROM @.events ORDER BY transaction_id, position"  # noqa: S608 - no value in it


def in_schema(sql: str, schema: str) -> str:
    """The statement for one schema."""
    return sql.replace("@.", f'"{schema}".')


@dataclass(frozen=True, slots=True)
class Statements:
    """Made once per store, so that asyncpg's statement cache finds them."""

    append: str
    append_once: str
    mark: str
    handled: str
    by_id: str
    read: str
    tail: str
    position_before: str
    history: str


def statements(schema: str) -> Statements:
    """All statements for `schema`."""
    return Statements(
        append=in_schema(_APPEND, schema),
        append_once=in_schema(_APPEND_ONCE, schema),
        mark=in_schema(_MARK_ONLY, schema),
        handled=in_schema(_HANDLED, schema),
        by_id=in_schema(_BY_ID, schema),
        read=in_schema(_READ, schema),
        tail=in_schema(_TAIL, schema),
        position_before=in_schema(_POSITION_BEFORE, schema),
        history=in_schema(_HISTORY, schema),
    )
