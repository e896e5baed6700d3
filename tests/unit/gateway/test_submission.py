from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.events import RunCancelRequested, RunQueued, RunRequested, RunSpec
from cynthus.gateway.adapters.word_file import read_words
from cynthus.gateway.domain.names import numbered
from cynthus.gateway.domain.submission import CancelRun, Submission, SubmitRun, decide, evolve

SPEC = RunSpec(snapshot="sha256:" + "0" * 64, secrets=("TOKEN",))
SUBMIT = SubmitRun("ann", "demo", SPEC, "digest", secrets={"TOKEN": "canary"}, idempotency_key="k")
REQUESTED = SUBMIT.requested("run_1", "brave-otter-1")
QUEUED = RunQueued(run_id="run_1")
CANCEL = CancelRun("run_1")


def after(*messages: object) -> tuple[Submission, list[object]]:
    state, history = Submission(), []
    for message in messages:
        events = decide(state, message)
        for event in events:
            state = evolve(state, event)
        history += events
    return state, history


@pytest.mark.parametrize(
    ("given_", "message", "then"),
    [
        ((), REQUESTED, [REQUESTED]),
        ((REQUESTED,), REQUESTED, []),
        ((REQUESTED,), QUEUED, [QUEUED]),
        ((REQUESTED, QUEUED), QUEUED, []),
        ((REQUESTED,), CANCEL, [RunCancelRequested(run_id="run_1")]),
        ((REQUESTED, CANCEL), CANCEL, []),
        ((REQUESTED, CANCEL), QUEUED, [QUEUED]),
    ],
)
def test_there_is_news_once(given_, message, then) -> None:
    state, _ = after(*given_)
    assert decide(state, message) == then


def test_any_order_and_any_repetition_end_in_the_same_state() -> None:
    ends = {after(*order, *order)[0].__repr__() for order in permutations((REQUESTED, QUEUED, CANCEL))}
    assert len(ends) == 1


def test_secret_values_are_in_no_fact_and_no_repr() -> None:
    assert "canary" not in REQUESTED.model_dump_json()
    assert "canary" not in repr(SUBMIT)


def test_facts_of_old_submissions_still_load() -> None:
    old = REQUESTED.model_dump(exclude={"name_generated", "idempotency_key", "request_digest"})
    assert RunRequested.model_validate(old).idempotency_key is None


@given(st.integers(min_value=0, max_value=2**64))
def test_every_number_has_a_friendly_name(number: int) -> None:
    name = numbered(read_words().stem(number), 1)
    adjective, animal, count = name.split("-")
    assert adjective.isalpha()
    assert animal.isalpha()
    assert count == "1"
    assert len(name) < 40


def test_the_words_are_many_and_different() -> None:
    words = read_words()
    assert len(set(words.adjectives)) == len(words.adjectives) >= 60
    assert len(set(words.animals)) == len(words.animals) >= 60
