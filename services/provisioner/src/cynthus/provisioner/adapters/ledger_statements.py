"""The SQL of the ledger. Each statement says itself from which stages a machine may leave."""

_PARTS = {
    "@columns": """
    name, stage, since, run_id, epoch, zone, request_id, attempts, next_try, absent_since, needless_since,
    leaving, why
""",
    "@enter": "since = clock_timestamp(), attempts = 0, next_try = NULL, absent_since = NULL",
    "@up": "machines.stage IN ('intended', 'booting')",
}
_GO = """
    stage = 'deleting', @enter, deleting_at = clock_timestamp(),
    needless_since = COALESCE(needless_since, clock_timestamp())
"""
"""`@enter` begins a stage: calls are counted anew, and so is what listings show."""


def going(statement: str) -> str:
    """A statement in which `@go` sends a machine away, whatever becomes of its run."""
    return _filled(statement.replace("@go", _GO))


def _filled(statement: str) -> str:
    for name, part in _PARTS.items():
        statement = statement.replace(name, part)
    return statement


NOW = "SELECT clock_timestamp()"
MACHINES = _filled("SELECT @columns FROM provisioner.machines WHERE stage <> 'gone'")
FIND = _filled("SELECT @columns FROM provisioner.machines WHERE name = $1")
WAITING = """
    SELECT run_id, epoch, delayed FROM provisioner.requests
    WHERE stage = 'waiting' ORDER BY "order" LIMIT $1
"""
COUNT_WAITING = "SELECT count(*) FROM provisioner.requests WHERE stage = 'waiting'"
REFUSALS = """
    SELECT DISTINCT zone, refusal FROM provisioner.machines
    WHERE refusal IS NOT NULL AND asked_at > clock_timestamp() - $1::interval
"""
IDLE = """
    SELECT name FROM provisioner.machines WHERE stage = 'idle' AND NOT leaving ORDER BY since DESC LIMIT 1
"""
HELD = "SELECT count(*) FROM provisioner.machines WHERE stage = 'held'"
CLAIM = """
    INSERT INTO provisioner.turns AS turn (name, taken_at) VALUES ('look', clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET taken_at = clock_timestamp()
    WHERE turn.taken_at <= clock_timestamp() - make_interval(secs => $1) OR turn.taken_at > clock_timestamp()
    RETURNING name
"""
"""A turn taken in the future is the mark of a clock that was set back."""

ONE_BY_ONE = "SELECT pg_advisory_xact_lock(hashtextextended('provisioner.intend', 0))"
INTEND = """
    INSERT INTO provisioner.machines
        (name, zone, request_id, reason, stage, since, attempts, asked_at, next_try)
    VALUES ($1, $2, $3, $4, 'intended', clock_timestamp(), 1, clock_timestamp(),
            clock_timestamp() + $5::interval)
    ON CONFLICT DO NOTHING RETURNING name
"""
ASKING = """
    UPDATE provisioner.machines
    SET attempts = attempts + 1, asked_at = clock_timestamp(), next_try = clock_timestamp() + $5::interval
    WHERE name = $1 AND stage = $2 AND since = $3 AND attempts = $4 RETURNING name
"""
PUT_OFF = """
    UPDATE provisioner.machines SET next_try = GREATEST(next_try, clock_timestamp() + $2::interval)
    WHERE name = $1 AND stage <> 'gone'
"""
CREATED = _filled("""
    UPDATE provisioner.machines SET stage = 'booting', @enter, created_at = clock_timestamp()
    WHERE name = $1 AND stage = 'intended'
""")
REFUSED = _filled("""
    UPDATE provisioner.machines SET
        stage = CASE WHEN attempts > 1 THEN 'deleting' ELSE 'gone' END,
        @enter, refusal = $2, why = $3, deleting_at = clock_timestamp(),
        needless_since = CASE WHEN attempts > 1 THEN clock_timestamp() END,
        gone_at = CASE WHEN attempts > 1 THEN NULL ELSE clock_timestamp() END
    WHERE name = $1 AND stage = 'intended'
""")
HELLO = _filled("""
    UPDATE provisioner.machines SET
        stage = CASE WHEN @up THEN 'idle' ELSE stage END,
        since = CASE WHEN @up THEN clock_timestamp() ELSE since END,
        attempts = CASE WHEN @up THEN 0 ELSE attempts END,
        next_try = CASE WHEN @up THEN NULL ELSE next_try END,
        absent_since = NULL,
        created_at = COALESCE(created_at, clock_timestamp()),
        boot = COALESCE(boot, $2)
    WHERE name = $1 AND stage IN ('intended', 'booting', 'idle', 'held')
        AND (boot IS NULL OR $2::text IS NULL OR boot = $2)
    RETURNING name
""")
KNOWN_UP = "SELECT name FROM provisioner.machines WHERE name = $1 AND stage IN ('idle', 'held')"
CLOSE = """
    UPDATE provisioner.machines
    SET stage = 'deleting', since = clock_timestamp(), absent_since = NULL, attempts = 1, why = $4,
        asked_at = clock_timestamp(), next_try = clock_timestamp() + $5::interval,
        deleting_at = clock_timestamp(), needless_since = COALESCE(needless_since, clock_timestamp())
    WHERE name = $1 AND stage = $2 AND since = $3 AND stage NOT IN ('held', 'deleting', 'gone')
    RETURNING name
"""
ADOPT = _filled("""
    INSERT INTO provisioner.machines AS machines (name, zone, stage, why, deleting_at, needless_since)
    VALUES ($1, $2, 'deleting', $3, clock_timestamp(), clock_timestamp())
    ON CONFLICT (name) DO UPDATE
    SET stage = 'deleting', @enter, deleting_at = clock_timestamp(), zone = $2, why = $3, gone_at = NULL,
        needless_since = clock_timestamp()
    WHERE machines.stage = 'gone'
    RETURNING name
""")
MARK = """
    UPDATE provisioner.machines SET
        last_seen = CASE WHEN name = ANY($1::text[]) THEN clock_timestamp() ELSE last_seen END,
        absent_since = CASE
            WHEN name = ANY($1::text[]) THEN NULL
            WHEN name = ANY($2::text[]) THEN COALESCE(absent_since, clock_timestamp())
            ELSE absent_since END,
        leaving = leaving OR name = ANY($3::text[]),
        needless_since = CASE
            WHEN name = ANY($4::text[]) OR stage = 'held' THEN NULL
            WHEN name = ANY($5::text[]) THEN COALESCE(needless_since, clock_timestamp())
            ELSE needless_since END
    WHERE name = ANY($6::text[]) AND stage <> 'gone'
"""
GONE = """
    UPDATE provisioner.machines SET stage = 'gone', since = clock_timestamp(), gone_at = clock_timestamp()
    WHERE name = $1 AND stage = $2 AND since = $3 AND stage <> 'gone' RETURNING name
"""
