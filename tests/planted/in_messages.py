"""Wrong lines where facts are stored, published and handled."""

from tests.planted.planting import Bug, by_chaos, by_test

_STORE = "shared/src/cynthus/store"
_RELAY = f"{_STORE}/relay.py"
_CONSUMER = f"{_STORE}/consumer.py"
_STATEMENTS = f"{_STORE}/statements.py"
_TAIL_TEST = "tests/integration/shared/test_event_store_tail.py"

BUGS = (
    Bug(
        "ack-before-commit",
        "a message is acknowledged although the append that it led to failed",
        _CONSUMER,
        right="            self._excuse(message_id, counted=counted)\n            raise\n",
        wrong="            self._excuse(message_id, counted=counted)\n            return\n",
    ),
    Bug(
        "put-back-only-once",
        "a message that fails a second time is acknowledged",
        _CONSUMER,
        right="            self._excuse(message_id, counted=counted)\n            raise\n",
        wrong="            self._excuse(message_id, counted=counted)\n            if not counted: raise\n",
        also=by_test("tests/unit/shared/test_consumer.py", "test_an_outage_is_not_the_fault_of_the_message"),
    ),
    Bug(
        "published-outside-the-transaction",
        "facts are published while their append is under way, also when it is refused",
        f"{_STORE}/postgres.py",
        right='reach("append.before_statement")',
        wrong="self._readers.add([Recorded((2**62, n), fact.recorded_as(stream, n, utc_now()), fact.decided)"
        " for n, fact in enumerate(drafts, 1)])",
        catcher=by_chaos(16),
        also=by_test(
            "tests/integration/shared/test_postgres_relay.py", "test_what_was_refused_is_not_published"
        ),
    ),
    Bug(
        "relay-begins-at-the-end",
        "a relay that takes over begins with what comes, and leaves what the last one did not publish",
        _RELAY,
        right="self._position = self._saved = await self._checkpoint.load()",
        wrong="self._position = self._saved = await self._store.position_before(timedelta())",
    ),
    Bug(
        "relay-skips-its-tail",
        "E1: a relay goes on behind the newest fact that it published, past what others commit late",
        _RELAY,
        right="self._ahead.update(recorded.envelope.id for recorded in fresh)",
        wrong="self._position = max(recorded.position for recorded in fresh)",
    ),
    Bug(
        "checkpoint-before-publishing",
        "a relay saves how far it is before it has published what was there",
        _RELAY,
        right="await self._publish([fact for fact in recorded if fact.envelope.id not in self._ahead])",
        wrong="self._position = recorded[-1].position if recorded else position;"
        " await self._save(every_s=0.0);"
        " await self._publish([fact for fact in recorded if fact.envelope.id not in self._ahead])",
    ),
    Bug(
        "fresh-ids",
        "C4: each publication of a fact has an id of its own",
        _RELAY,
        right="envelopes = [fact.envelope for fact in recorded if fact.decided and self._wants(fact)]",
        wrong="envelopes = [__import__('dataclasses').replace(fact.envelope, id=f'{_now()}-{number}')"
        " for number, fact in enumerate(recorded) if fact.decided and self._wants(fact)]",
    ),
    Bug(
        "followed-past-the-missing",
        "what a peer decided is passed over before what is missing was handled",
        f"{_STORE}/catch_up.py",
        right="missing = await self._missing(page.ids)",
        wrong="missing = await self._missing(page.ids); await self._checkpoint.save(page.next)",
        also=by_test("tests/unit/shared/test_catch_up.py"),
    ),
    Bug(
        "done-before-handled",
        "a consumer remembers a message as done before it is",
        _CONSUMER,
        right="        await self._handle(message)\n",
        wrong="        self._done[getattr(message, 'envelope', message).id] = None;"
        " await self._handle(message)\n",
        also=by_test("tests/unit/shared/test_catch_up.py"),
    ),
    Bug(
        "identity-column-followed",
        "E1: readers follow the numbers of the facts, and miss those that commit late",
        _STATEMENTS,
        right="SELECT transaction_id < pg_snapshot_xmin(pg_current_snapshot()) AS settled, {FACT_COLUMNS}",
        wrong="SELECT true AS settled, {FACT_COLUMNS}",
        catcher=by_test(
            _TAIL_TEST, "test_a_transaction_held_open_while_a_thousand_others_commit_hides_nothing"
        ),
    ),
    Bug(
        "inbox-skipped",
        "a message that was handled is handled again when it comes again",
        _STATEMENTS,
        right="        WHERE inbox.handled_at IS NULL\n",
        wrong="",
        catcher=by_test("tests/integration/shared/test_postgres_event_store.py", "a_message_is_handled_once"),
    ),
    Bug(
        "commit-retried-blindly",
        "E2: an append whose reply was lost is made again instead of being read back",
        f"{_STORE}/postgres.py",
        right="recorded = await self._read_back(drafts, error)",
        wrong="recorded = await self._write(stream, drafts, expected, why)",
        catcher=by_chaos(25),
        also=by_test(
            "tests/integration/shared/test_lost_commits.py",
            "test_an_append_that_was_committed_is_known_to_be",
        ),
    ),
    Bug(
        "projection-outside-the-transaction",
        "facts are committed before the tables that follow them",
        f"{_STORE}/postgres.py",
        right="async with self.database.transaction() as connection:",
        wrong="async with self.database.connection() as connection:",
        catcher=by_chaos(25),
        also=by_test(
            "tests/integration/shared/test_projections.py",
            "test_a_projection_that_fails_takes_the_facts_with_it",
        ),
    ),
    Bug(
        "lost-submission-made-again",
        "a request that comes again under its idempotency key is refused, or makes another run",
        "services/gateway/src/cynthus/gateway/handlers/submit.py",
        right="if earlier := await self._earlier(command):",
        wrong="command = command.__class__(**{**{name: getattr(command, name) for name in"
        " command.__dataclass_fields__}, 'idempotency_key': None})\n"
        "                if earlier := await self._earlier(command):",
    ),
)
