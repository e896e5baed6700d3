"""What every ledger of machines promises."""

from datetime import timedelta

import pytest

from cynthus.provisioner.domain.machine import Listed, Stage
from cynthus.provisioner.domain.pool import Limits, Marks
from cynthus.provisioner.ports import Greeting, Intent, Ledger, Refusal

WARM = Limits(slots=2, warm=2, idle_ttl=timedelta(seconds=4), boot_timeout=timedelta(seconds=60))
PAUSE = timedelta(seconds=60)


async def intend(ledger: Ledger, name: str = "cyn-a", zone: str = "here") -> bool:
    return await ledger.intend(Intent(name, zone, f"req-{name}", "a test"), WARM, PAUSE)


async def row(ledger: Ledger, name: str = "cyn-a"):
    found = await ledger.find(name)
    assert found is not None
    return found


async def idle(ledger: Ledger, name: str = "cyn-a"):
    assert await intend(ledger, name)
    await ledger.created(name)
    assert await ledger.hello(name, "boot-1") is Greeting.WELCOME
    return await row(ledger, name)


class LedgerContract:
    """Give `ledger`: an empty one that remembers refusals for a minute."""

    async def test_an_intent_is_written_with_its_first_call(self, ledger: Ledger):
        assert await intend(ledger)
        intent = await row(ledger)
        assert (intent.stage, intent.attempts, intent.request_id) == (Stage.INTENDED, 1, "req-cyn-a")
        snapshot = await ledger.snapshot()
        assert snapshot.rows == (intent,)
        assert intent.next_try is not None
        assert not intent.due(snapshot.now)

    async def test_what_is_not_lacking_is_not_intended(self, ledger: Ledger):
        assert [await intend(ledger, f"cyn-{number}") for number in range(3)] == [True, True, False]

    async def test_a_name_is_intended_once(self, ledger: Ledger):
        assert [await intend(ledger), await intend(ledger)] == [True, False]

    async def test_a_call_is_counted_by_whoever_saw_the_last_count(self, ledger: Ledger):
        await intend(ledger)
        seen = await row(ledger)
        assert [await ledger.asking(seen, PAUSE), await ledger.asking(seen, PAUSE)] == [True, False]
        assert (await row(ledger)).attempts == 2

    async def test_what_is_put_off_is_not_due(self, ledger: Ledger):
        await intend(ledger)
        await ledger.put_off("cyn-a", 10 * PAUSE)
        later = (await ledger.snapshot()).now + 5 * PAUSE
        assert not (await row(ledger)).due(later)

    async def test_a_machine_goes_from_intent_over_booting_to_idle(self, ledger: Ledger):
        await intend(ledger)
        await ledger.created("cyn-a")
        assert (await row(ledger)).stage is Stage.BOOTING
        assert await ledger.idle_machine() is None
        await ledger.hello("cyn-a", "boot-1")
        assert (await row(ledger)).stage is Stage.IDLE
        assert await ledger.idle_machine() == "cyn-a"

    async def test_a_hello_may_come_before_the_answer_to_the_call(self, ledger: Ledger):
        await intend(ledger)
        assert await ledger.hello("cyn-a", "boot-1") is Greeting.WELCOME
        await ledger.created("cyn-a")
        await ledger.refused("cyn-a", Refusal.OUT_OF_STOCK, "none")
        assert (await row(ledger)).stage is Stage.IDLE

    async def test_the_same_worker_may_say_hello_again_and_another_may_not(self, ledger: Ledger):
        await idle(ledger)
        assert await ledger.hello("cyn-a", "boot-1") is Greeting.WELCOME
        assert await ledger.hello("cyn-a", None) is Greeting.WELCOME
        assert await ledger.hello("cyn-a", "boot-2") is Greeting.AGAIN

    async def test_nobody_is_welcome_who_is_unknown_or_to_go(self, ledger: Ledger):
        assert await ledger.hello("cyn-a", "boot-1") is Greeting.UNWANTED
        assert await ledger.close(await idle(ledger), "a test", PAUSE)
        assert await ledger.hello("cyn-a", "boot-1") is Greeting.UNWANTED

    async def test_a_refused_machine_was_never_there_unless_it_was_asked_for_before(self, ledger: Ledger):
        await intend(ledger, "cyn-a", "zone-1")
        await intend(ledger, "cyn-b", "zone-2")
        await ledger.asking(await row(ledger, "cyn-b"), PAUSE)
        for name in ("cyn-a", "cyn-b"):
            await ledger.refused(name, Refusal.OUT_OF_STOCK, "none left")
        assert (await row(ledger, "cyn-a")).stage is Stage.GONE
        assert (await row(ledger, "cyn-b")).stage is Stage.DELETING
        snapshot = await ledger.snapshot()
        assert (snapshot.shut, snapshot.quota) == ({"zone-1", "zone-2"}, False)

    async def test_a_quota_that_was_reached_is_remembered(self, ledger: Ledger):
        await intend(ledger)
        await ledger.refused("cyn-a", Refusal.QUOTA, "8 of 8")
        snapshot = await ledger.snapshot()
        assert (snapshot.shut, snapshot.quota) == (frozenset(), True)

    @pytest.mark.parametrize("step", ["close", "gone", "asking"])
    async def test_who_was_overtaken_changes_nothing(self, ledger: Ledger, step: str):
        await intend(ledger)
        seen = await row(ledger)
        await ledger.created("cyn-a")
        now = await row(ledger)
        if step == "close":
            assert not await ledger.close(seen, "a test", PAUSE)
        elif step == "gone":
            assert not await ledger.gone(seen)
        else:
            assert not await ledger.asking(seen, PAUSE)
        assert await row(ledger) == now

    async def test_closing_counts_the_first_call_and_says_why(self, ledger: Ledger):
        assert await ledger.close(await idle(ledger), "nobody needs it", PAUSE)
        closed = await row(ledger)
        assert (closed.stage, closed.attempts, closed.why) == (Stage.DELETING, 1, "nobody needs it")
        assert closed.needless_since is not None
        assert not await ledger.close(closed, "again", PAUSE)

    async def test_a_stranger_is_taken_in_and_one_that_came_back_too(self, ledger: Ledger):
        assert await ledger.adopt(Listed("cyn-x", "zone-9"), "nobody knows it")
        stranger = await row(ledger, "cyn-x")
        assert (stranger.stage, stranger.zone, stranger.attempts) == (Stage.DELETING, "zone-9", 0)
        assert not await ledger.adopt(Listed("cyn-x", "zone-9"), "again")
        assert await ledger.gone(stranger)
        assert await ledger.adopt(Listed("cyn-x", "zone-9"), "it came back")

    async def test_a_machine_that_is_wanted_is_not_taken_in(self, ledger: Ledger):
        wanted = await idle(ledger)
        assert not await ledger.adopt(Listed("cyn-a"), "an old listing")
        assert await row(ledger) == wanted

    async def test_marks_keep_the_first_moment_and_can_be_taken_back(self, ledger: Ledger):
        await idle(ledger)
        both = Marks(absent=frozenset({"cyn-a"}), needless=frozenset({"cyn-a"}))
        await ledger.mark(both)
        first = await row(ledger)
        assert first.absent_since is not None
        assert first.needless_since is not None
        await ledger.mark(both)
        assert await row(ledger) == first
        await ledger.mark(Marks(seen=frozenset({"cyn-a"}), needed=frozenset({"cyn-a"})))
        assert (await row(ledger)).absent_since is None
        assert (await row(ledger)).needless_since is None

    async def test_a_machine_that_leaves_is_not_given_to_anybody(self, ledger: Ledger):
        await idle(ledger)
        await ledger.mark(Marks(leaving=frozenset({"cyn-a"})))
        assert (await row(ledger)).leaving
        assert await ledger.idle_machine() is None

    async def test_a_stage_begins_with_nothing_seen_and_nothing_asked(self, ledger: Ledger):
        await intend(ledger)
        await ledger.mark(Marks(absent=frozenset({"cyn-a"})))
        await ledger.created("cyn-a")
        begun = await row(ledger)
        assert (begun.attempts, begun.next_try, begun.absent_since) == (0, None, None)

    async def test_gone_is_gone_once(self, ledger: Ledger):
        await ledger.close(await idle(ledger), "a test", PAUSE)
        closed = await row(ledger)
        assert [await ledger.gone(closed), await ledger.gone(closed)] == [True, False]
        assert (await ledger.snapshot()).rows == ()

    async def test_of_all_who_want_to_look_one_may_in_a_while(self, ledger: Ledger):
        assert [await ledger.claim_look(60), await ledger.claim_look(60)] == [True, False]
        assert await ledger.claim_look(0)
