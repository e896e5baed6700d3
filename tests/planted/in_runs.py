"""Wrong lines where runs are decided on: epochs, leases, retries, ends."""

from tests.planted.planting import Bug, by_test

_ORCHESTRATOR = "services/orchestrator/src/cynthus/orchestrator"
_DECIDE = f"{_ORCHESTRATOR}/domain/decide.py"
_EVOLVE = f"{_ORCHESTRATOR}/domain/evolve.py"
_FOLLOW = f"{_ORCHESTRATOR}/domain/follow.py"
_HANDLERS = f"{_ORCHESTRATOR}/handlers"
_HEARTBEAT = "worker/src/cynthus/worker/heartbeat.py"

BUGS = (
    Bug(
        "no-epoch-check",
        "reports of an attempt that was fenced are taken as long as its run goes on",
        _DECIDE,
        right="if epoch != run.epoch or attempt.outcome is not None or run.over or run.state is",
        wrong="if run.over or run.state is",
    ),
    Bug(
        "expiry-hits-the-next-epoch",
        "the end of an old attempt's lease fences whatever attempt is the newest",
        _DECIDE,
        right="def _expired(run: Run, message: ExpireLease) -> list[Event]:\n    attempt = run.current\n"
        "    if attempt is None or attempt.epoch != message.epoch or",
        wrong="def _expired(run: Run, message: ExpireLease) -> list[Event]:\n    attempt = run.current\n"
        "    if attempt is None or",
        catcher=by_test("tests/unit/orchestrator/test_transitions.py", "lease and old"),
    ),
    Bug(
        "terminal-state-overwritten",
        "B2: what becomes of the machine afterwards opens a run again that is over",
        _EVOLVE,
        right='return {"attempts": attempts}',
        wrong='return {"attempts": attempts, "outcome": None}',
    ),
    Bug(
        "another-attempts-machine",
        "B6: the end of an earlier attempt's machine is taken for the end of the newest attempt's",
        _EVOLVE,
        right="if attempt.machine == event.machine:",
        wrong="if attempt.epoch == run.epoch:",
    ),
    Bug(
        "budget-not-counted",
        "attempts that are made again use up no budget",
        _EVOLVE,
        right="run.used.get(budget, 0) + 1",
        wrong="run.used.get(budget, 0)",
    ),
    Bug(
        "success-at-exit",
        "a run succeeds as soon as its program has ended, before its log and outputs are there",
        f"{_ORCHESTRATOR}/domain/run.py",
        right="return self.exited_at is not None and self.log_bytes is not None and self.outputs is not None",
        wrong="return self.exited_at is not None",
    ),
    Bug(
        "log-not-counted",
        "what a worker says that it sent is not compared with what arrived",
        f"{_HANDLERS}/attempts.py",
        right="self._check_logs(await self.logs.totals(claims.run_id, claims.epoch), sent)",
        wrong="await self.logs.totals(claims.run_id, claims.epoch)",
        also=by_test(
            "tests/integration/orchestrator/test_worker_api.py",
            "test_a_run_is_not_finished_before_its_log_is_complete",
        ),
    ),
    Bug(
        "outputs-not-looked-for",
        "a run succeeds with outputs of which no manifest was ever stored",
        f"{_HANDLERS}/attempts.py",
        right='raise ManifestMissing(f"there is no manifest {wanted}") from error',
        wrong="return wanted, 0, 0",
        also=by_test(
            "tests/integration/orchestrator/test_worker_api.py",
            "test_a_run_is_not_finished_without_its_manifest",
        ),
    ),
    Bug(
        "machine-not-given-back",
        "A5: a run that ends before its program began does not give its machine back",
        _FOLLOW,
        right="return attempt.machine is not None or"
        " (attempt.requested_at is not None and attempt.unavailable is None)",
        wrong="return attempt.started_at is not None",
    ),
    Bug(
        "expiry-needs-a-message",
        "B3: leases run out only when somebody sends something",
        f"{_ORCHESTRATOR}/reaper.py",
        right="for run_id, epoch in await self.leases.expire(now):",
        wrong="for run_id, epoch in list[tuple[str, int]]():",
        also=by_test(
            "tests/integration/orchestrator/test_time.py",
            "test_a_worker_that_is_not_heard_for_a_lease_is_replaced",
        ),
    ),
    Bug(
        "judged-without-looking",
        "B1: a reaper that could not see the database for a while ends leases at once when it is back",
        f"{_ORCHESTRATOR}/reaper.py",
        right="await self.leases.extend(missed_s, at_least_s=share * lease_s)",
        wrong="pass",
        also=by_test("tests/integration/orchestrator/test_time.py", "test_who_could_not_look_does_not_judge"),
    ),
    Bug(
        "deadlines-by-the-process-clock",
        "what is due is judged by the clock of the process and not by the database's",
        f"{_ORCHESTRATOR}/reaper.py",
        right="await self.handler.tell(run_id, message, _WHY, now=now)",
        wrong="await self.handler.tell(run_id, message, _WHY)",
        also=by_test("tests/integration/orchestrator/test_time.py", "test_a_retry_is_made_when_it_is_due"),
    ),
    Bug(
        "beat-answered-unwritten",
        "a beat is answered although its renewal did not reach the database",
        f"{_HANDLERS}/heartbeats.py",
        right="future.set_exception(StoreUnavailable(str(outage)))",
        wrong="future.set_result(None)",
        also=by_test("tests/unit/orchestrator/test_heartbeats.py", "test_an_outage_is_told_to_each"),
    ),
    Bug(
        "fenced-beat-answered",
        "an attempt that was fenced is told that all is well when it beats",
        f"{_HANDLERS}/heartbeats.py",
        right='future.set_exception(Fenced(f"attempt {renewal.epoch} of {renewal.run_id} does not count"))',
        wrong="future.set_result(None)",
        also=by_test(
            "tests/integration/orchestrator/test_worker_api.py", "test_of_two_workers_the_stale_one"
        ),
    ),
    Bug(
        "order-without-lease",
        "an order is handed out although its lease cannot be renewed",
        f"{_HANDLERS}/orders.py",
        right="if await self._granted(work.run):",
        wrong="if True:",
        also=by_test(
            "tests/integration/orchestrator/test_time.py", "test_an_order_is_handed_out_with_a_whole_lease"
        ),
    ),
    Bug(
        "stale-guess-kept",
        "a run remembered from before is decided on again and again after somebody else appended",
        f"{_HANDLERS}/runs.py",
        right="            known = None\n",
        wrong="            pass\n",
    ),
    Bug(
        "worker-ignores-its-fence",
        "B5: a worker whose beat was refused for good lets its program go on",
        _HEARTBEAT,
        right="if refusal.final and not self._ended.is_set():",
        wrong="if refusal.final and self._ended.is_set():",
        catcher=by_test(
            "tests/integration/worker/test_absence.py", "test_a_fenced_attempt_ends_without_a_word"
        ),
    ),
    Bug(
        "worker-outlives-its-lease",
        "B5: a worker that nobody answers lets its program go on past the lease",
        _HEARTBEAT,
        right="_SHARE = 2 / 3",
        wrong="_SHARE = 200.0",
        catcher=by_test(
            "tests/integration/worker/test_absence.py", "test_a_program_is_ended_before_its_lease_is_over"
        ),
    ),
)
