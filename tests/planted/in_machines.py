"""Wrong lines where machines are created, watched and deleted."""

from tests.planted.planting import Bug, by_test

_ORCHESTRATOR = "services/orchestrator/src/cynthus/orchestrator"
_PROVISIONER = "services/provisioner/src/cynthus/provisioner"
_POOL = f"{_PROVISIONER}/domain/pool.py"
_DEMAND = f"{_PROVISIONER}/domain/demand.py"
_CALLS = f"{_PROVISIONER}/reconciler/calls.py"
_LOOP = f"{_PROVISIONER}/reconciler/loop.py"

BUGS = (
    Bug(
        "intent-after-the-call",
        "A2: a machine is created first and written down afterwards",
        _CALLS,
        right="if not await self._ledger.intend(intent, self._limits, _create_pause(1)):",
        wrong="if await self._create(name, zone, request_id, _create_pause(1))"
        " or not await self._ledger.intend(intent, self._limits, _create_pause(1)):",
    ),
    Bug(
        "created-again-under-a-new-name",
        "A1: a create whose reply was lost is repeated as another machine",
        _CALLS,
        right="return await self._create(machine.name, machine.zone, machine.request_id, pause)",
        wrong="return await self._create(f'{machine.name}-{machine.attempts}', machine.zone, '', pause)",
    ),
    Bug(
        "cannot-observe-is-gone",
        "B1: a listing that failed is taken for an empty one",
        _LOOP,
        right="listing = tuple(await self._machines.list())",
        wrong="listing = tuple(one for answer in"
        " await asyncio.gather(self._machines.list(), return_exceptions=True)"
        " if not isinstance(answer, BaseException) for one in answer)",
    ),
    Bug(
        "one-lagging-listing-is-enough",
        "A4: a machine that one listing misses is gone, however far the listing is behind",
        _POOL,
        right="return not view.lag or (row.absent_since is not None and"
        " view.now - row.absent_since >= view.lag)",
        wrong="return True",
    ),
    Bug(
        "delete-not-repeated",
        "A3: a delete that failed, or whose reply was lost, is not tried again",
        _POOL,
        right="return [Delete(row)] if row.due(view.now) else []",
        wrong="return []",
    ),
    Bug(
        "strangers-left-alone",
        "A5: a machine of ours that the ledger does not know is not taken in to be deleted",
        _POOL,
        right="[Adopt(machine) for machine in listing if machine.name not in known]",
        wrong="[]",
        also=by_test("tests/unit/provisioner/test_convergence.py"),
    ),
    Bug(
        "process-clock-in-the-reconciler",
        "ages of machines are reckoned by the clock of the process and not by the ledger's",
        _POOL,
        right="view = _View(snapshot.now, ",
        wrong="view = _View(datetime.now(snapshot.now.tzinfo), ",
    ),
    Bug(
        "released-request-served",
        "a request whose release came before it is served all the same",
        _DEMAND,
        right="    if message.epoch <= max(demand.epoch, demand.over):\n        return []\n    taken",
        wrong="    if message.epoch <= demand.epoch:\n        return []\n    taken",
        also=by_test(
            "tests/integration/provisioner/test_machine_pool.py",
            "test_a_request_that_comes_after_its_release",
        ),
    ),
    Bug(
        "waits-after-its-release",
        "a release that overtakes its request is forgotten",
        _DEMAND,
        right="early = message.epoch > max(demand.epoch, demand.over)",
        wrong="early = False",
        also=by_test(
            "tests/integration/provisioner/test_machine_pool.py",
            "test_a_request_that_comes_after_its_release",
        ),
    ),
    Bug(
        "late-answer-counts",
        "an answer to an old request is given for the newest one",
        _DEMAND,
        right="    if command.epoch != demand.epoch:\n        return []\n    match command:",
        wrong="    match command:",
        catcher=by_test("tests/unit/provisioner/test_demand.py", "test_a_machine_is_given_to_whoever"),
    ),
    Bug(
        "fenced-machine-kept",
        "the machine of a fenced attempt is given to the next run while the program may still run on it",
        _DEMAND,
        right="return [message] if message.epoch > demand.fenced and message.epoch >= demand.epoch else []",
        wrong="return []",
        also=by_test(
            "tests/integration/provisioner/test_provider_troubles.py",
            "test_a_fenced_attempt_takes_its_machine",
        ),
    ),
    Bug(
        "lost-machine-handed-on",
        "a lost attempt's machine is given back as if it could serve again: whoever asks before the loss is"
        " heard gets it",
        f"{_ORCHESTRATOR}/domain/follow.py",
        right="machine=machine, lost=attempt.spoilt)",
        wrong="machine=machine)",
    ),
    Bug(
        "lost-machine-idle",
        "a machine that is given back as lost waits for the next run",
        f"{_PROVISIONER}/adapters/postgres_holds.py",
        right="case MachineReleased(run_id=run_id, epoch=epoch, lost=True):",
        wrong="case MachineReleased(run_id=run_id, epoch=epoch, lost=None):",
        twin=f"{_PROVISIONER}/adapters/memory_ledger.py",
        also=by_test(
            "tests/integration/provisioner/test_postgres_ledger.py",
            "test_a_machine_that_an_attempt_was_lost_on",
        ),
    ),
    Bug(
        "idle-for-ever",
        "machines that nobody needs are kept",
        _POOL,
        right="if needless_since is not None and view.now - needless_since >= limits.idle_ttl:",
        wrong="if needless_since is None and view.now - row.since >= 10 * limits.idle_ttl:",
    ),
)
