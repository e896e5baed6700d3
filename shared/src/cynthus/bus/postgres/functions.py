"""The two statements that run for every message, as functions in the database.

A queue's statistics are wrong most of the time: planned while the table was empty, a claim could read and
sort the whole backlog. The settings of these functions leave the planner nothing but the indexes.

A claim or an acknowledgement that a crash of the server undoes means one more delivery, which is allowed
at any time: neither waits for the disk.

A function is never changed under its name: a new body gets the next number, so that processes of two
versions can share a database.
"""

CLAIM = "bus.claim_1"
ACKNOWLEDGE = "bus.acknowledge_1"

_INDEXES_ONLY = "SET enable_seqscan = off SET enable_sort = off"

_CLAIM = f"""
CREATE OR REPLACE FUNCTION {CLAIM}(whose text, types text[], most int, lease_s float8)
RETURNS TABLE (id bigint, attempts int, data bytea) LANGUAGE plpgsql {_INDEXES_ONLY} AS $body$
DECLARE
    relaxed text := set_config('synchronous_commit', 'off', true);
BEGIN
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT waiting.id FROM bus.messages AS waiting
        WHERE waiting.subscriber = whose AND waiting.visible_at <= now() AND waiting.type = ANY(types)
          AND (waiting.leased_until IS NULL OR waiting.leased_until <= now())
        ORDER BY waiting.visible_at, waiting.id LIMIT most FOR UPDATE SKIP LOCKED
    )
    UPDATE bus.messages AS claimed
    SET leased_until = now() + make_interval(secs => lease_s), attempts = claimed.attempts + 1
    FROM picked WHERE claimed.id = picked.id
    RETURNING claimed.id, claimed.attempts, claimed.data;
END $body$
"""  # noqa: S608 - made of constants

_ACKNOWLEDGE = f"""
CREATE OR REPLACE FUNCTION {ACKNOWLEDGE}(ids bigint[])
RETURNS void LANGUAGE plpgsql {_INDEXES_ONLY} AS $body$
DECLARE
    relaxed text := set_config('synchronous_commit', 'off', true);
BEGIN
    DELETE FROM bus.messages WHERE id = ANY(ids);
END $body$
"""  # noqa: S608 - made of constants

DDL = (_CLAIM, _ACKNOWLEDGE)
