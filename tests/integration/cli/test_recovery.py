"""What people see when something broke: attempts, causes, the past, the story, machines left behind."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from tests.fixtures.fake_runs import Program
from tests.integration.cli.test_transcripts import TIME

NOON = "2026-11-23T12:00:0{}Z"
LOST = {
    "code": "lost_machine",
    "message": "Machine m1 is gone.",
    "fix": "Nothing to do: another attempt is made while the budget lasts.",
    "evidence": ["its provider no longer lists it"],
}
EXIT = {
    "code": "user_exit",
    "message": "The program ended with exit code 3: boom.",
    "fix": "The last lines of its log say why.",
    "evidence": ["boom", "Traceback (most recent call last)"],
    "exit_code": 3,
}
RETRY = {"epoch": 1, "delay_s": 0.0, "cause": LOST, "budget": "infrastructure", "used": 1, "allowed": 5}
ATTEMPTS = [
    {
        "epoch": 1,
        "state": "LOST",
        "machine": "m1",
        "started_at": NOON.format(0),
        "ended_at": NOON.format(6),
        "exit_code": None,
        "signal": None,
        "cause": LOST,
        "then": "tried again at once (infrastructure 1 of 5)",
        "suspected": {"time": NOON.format(6), "silent_s": 4.0},
        "checkpoint": {"time": NOON.format(2), "manifest": "sha256:" + "ab" * 32, "files": 2, "bytes": 3000},
        "machine_deleted_at": NOON.format(8),
    },
    {
        "epoch": 2,
        "state": "FAILED",
        "machine": "m2",
        "started_at": NOON.format(7),
        "ended_at": NOON.format(9),
        "exit_code": 3,
        "signal": None,
        "cause": EXIT,
        "then": "run failed",
        "suspected": None,
        "checkpoint": None,
        "machine_deleted_at": None,
    },
]


def link(second, kind, actor, text, *because, **data):
    known = {"id": f"evt_{second}", "time": NOON.format(second), "kind": kind, "actor": actor, "data": data}
    return {**known, "text": text, "because": list(because)}


VANISHED = "No more m1. lost_machine: Machine m1 is gone."
FAILED = "The run failed. user_exit: The program ended with exit code 3: boom."
CHAIN = [
    link(0, "run.requested", "user:tester", "tester asked for the run."),
    link(1, "attempt.started", "worker:m1", "Attempt 1 ran on m1.", 1),
    link(6, "vm.lost", "service:provisioner", VANISHED, 2, cause=LOST),
    link(6, "attempt.lost", "service:orchestrator", VANISHED, 3, cause=LOST),
    link(9, "run.failed", "worker:m2", FAILED, 4, cause=EXIT),
]
STOOD = {"state": "RUNNING", "cause": None, "attempts": ATTEMPTS[:1], "ended_at": None}


@pytest.fixture
def broken(cynthus, gateway):
    """A command line that has run a program whose machine was lost, and which then failed."""
    (cynthus.project / "train.py").write_text("print(1)\n")
    gateway.program = Program(
        exit_code=3,
        cause=EXIT,
        attempts=ATTEMPTS,
        chain=CHAIN,
        timeline={},
        story=[
            ("checkpoint.saved", "worker:m1", {"epoch": 1, "files": 2, "bytes": 3000}),
            ("attempt.suspected", "service:orchestrator", {"epoch": 1, "machine": "m1", "silent_s": 4.0}),
            ("run.retry-scheduled", "service:orchestrator", RETRY),
            ("attempt.started", "worker:m2", {"epoch": 2, "machine": "m2"}),
        ],
        past=[(NOON.format(1), STOOD)],
    )
    cynthus.ended = cynthus("run", "train.py", "--name", "mine", "--no-fetch")
    return cynthus


FOLLOWED = """\
DATE started mine  run_00000000000000000000000001
DATE saved checkpoint of attempt 1: 2 files, 3.0 kB
DATE warning: attempt 1: m1 has been silent for 4.0s; its provider is asked
DATE warning: attempt 1 ended with lost_machine: Machine m1 is gone; attempt 2 at once (infrastructure 1 of 5)
DATE started mine  run_00000000000000000000000001  attempt 2, from the checkpoint of attempt 1
"""


def test_who_follows_a_run_is_told_of_silence_retries_and_checkpoints(broken):
    assert FOLLOWED in TIME.sub("DATE", broken.ended.stderr)
    assert broken.ended.returncode == 100


SHOWN = """\
  ATTEMPT  STATE   MACHINE  TOOK  CPU  MEMORY  EXIT  CAUSE
  1        LOST    m1       6.0s  -    -       -     lost_machine
           saved its last checkpoint 2.0s after its start: 2 files, 3.0 kB
           seen  silent for 4.0s, provider asked: gone
           why   Machine m1 is gone.
                 its provider no longer lists it
           then  tried again at once (infrastructure 1 of 5); its machine was gone 2.0s later
  2        FAILED  m2       2.0s  -    -       3     user_exit
           from  the last checkpoint of attempt 1
           then  run failed

user_exit: The program ended with exit code 3: boom.
  why   Traceback (most recent call last)
  fix   The last lines of its log say why.
  more  cynthus logs mine · cynthus why mine
"""


def test_show_tells_of_each_attempt_and_what_was_done_about_it(broken):
    assert broken("show", "mine").stdout.endswith(SHOWN)


def test_silence_that_was_none_of_the_providers_doing_is_told_as_such(broken, gateway):
    silent = {**ATTEMPTS[0], "cause": {**LOST, "message": "m1 was not heard from for a whole lease."}}
    gateway.runs[0].resource["attempts"] = [silent, ATTEMPTS[1]]
    assert "silent for 4.0s, provider asked: still there" in broken("show", "mine").stdout
    gateway.runs[0].resource["attempts"] = [{**ATTEMPTS[0], "cause": None, "ended_at": None}]
    assert "silent for 4.0s, provider asked\n" in broken("show", "mine").stdout


STORY = """\
mine  run_00000000000000000000000001
   1    +0.000s  tester        tester asked for the run.
   2    +1.000s  worker        Attempt 1 ran on m1.  <- 1
   3    +6.000s  provisioner   No more m1.  <- 2
                                 lost_machine: Machine m1 is gone.
                                 its provider no longer lists it
   4    +6.000s  orchestrator  No more m1.  <- 3
   5    +9.000s  worker        The run failed.  <- 4
                                 user_exit: The program ended with exit code 3: boom.
                                 Traceback (most recent call last)

now FAILED since DATE
  why   The program ended with exit code 3: boom.
  fix   The last lines of its log say why.
  more  cynthus show mine · cynthus logs mine
"""


def test_why_is_a_story_from_the_beginning_to_the_present_state_and_the_fix(broken, gateway):
    shown = broken("why", "mine").stdout
    assert shown.replace(gateway.runs[0].resource["ended_at"], "DATE") == STORY
    assert broken("why", "mine", "-o", "quiet").stdout == "FAILED\n"


def test_why_as_json_is_one_request_and_its_answer(broken, gateway):
    gateway.requests.clear()
    told = json.loads(broken("why", "mine", "-o", "json").stdout)
    assert [one["kind"] for one in told["chain"]][-1] == "run.failed"
    assert gateway.requests == [("GET", "/v1/runs/mine/why")]


def test_why_of_a_run_that_has_no_history_yet_says_so(broken, gateway):
    gateway.runs[0].program.chain = []
    assert "its history begins in a moment" in broken("why", "mine").stdout


def test_the_past_is_called_the_past(broken):
    shown = broken("show", "mine", "--as-of", "2026-11-23T12:00:06Z").stdout
    first, second, *_ = shown.splitlines()
    assert first.startswith("the past: as it stood at 2026-11-23T12:00:06Z, ")
    assert first.endswith("(now: cynthus show mine)")
    assert second.endswith("RUNNING")
    assert "user_exit" not in shown
    assert broken("show", "mine", "--as-of", "2026-11-23T12:00:06Z", "-o", "quiet").stdout == "RUNNING\n"
    assert json.loads(broken("show", "mine", "--as-of", "1s", "-o", "json").stdout)["state"] == "RUNNING"


def test_a_run_that_was_not_there_yet_is_told_apart_from_none(broken):
    early = broken("show", "mine", "--as-of", "2026-11-23T11:00:00Z")
    assert early.returncode == 5
    assert "mine was not there yet at 2026-11-23T11:00:00Z" in early.stderr
    assert "there yet" not in broken("show", "other", "--as-of", "5m").stderr


def test_a_moment_that_is_none_is_refused_with_examples(broken):
    refused = broken("show", "mine", "--as-of", "noon")
    assert (refused.returncode, "write 14:05, 5m or 2026-11-23T14:05:00Z" in refused.stderr) == (2, True)


def test_a_list_says_that_a_run_is_in_a_later_attempt_and_why(broken, gateway):
    gateway.runs[0].resource |= {"state": "RUNNING", "cause": None, "epoch": 2, "attempts": ATTEMPTS[:1]}
    assert "attempt 2 after lost_machine" in broken("ps").stdout


def test_events_tell_what_was_done_about_the_end_of_an_attempt(broken):
    shown = broken("events", "mine").stdout
    assert "lost_machine; attempt 2 at once (infrastructure 1 of 5)" in shown
    assert "attempt 1, 2 files, 3.0 kB" in shown
    assert "attempt 1: m1 has been silent for 4.0s" in shown


def report(leaks, machines, *, age_s=0.0):
    checked = datetime.now(UTC) - timedelta(seconds=age_s)
    return {"leaks": leaks, "checked_at": checked.isoformat(), "machines": machines}


LEAK = {
    "machine": "cyn-1",
    "zone": "here-b",
    "since": NOON.format(0),
    "reason": "nobody needs it",
    "age_s": 75.0,
}


@pytest.mark.parametrize(
    ("machines", "said"),
    [(0, "there is none"), (1, "1 machine, needed"), (3, "3 machines, all needed")],
)
def test_that_no_machine_is_left_behind_is_said_with_how_many_there_are(cynthus, gateway, machines, said):
    gateway.leaks = report([], machines)
    shown = cynthus("leaks")
    assert (shown.returncode, shown.stdout) == (0, f"no machine is left behind; {said}\n")


LEAKS = """\
MACHINE  ZONE    LEFT FOR  SINCE                 REASON
cyn-1    here-b  1m15s     2026-11-23T12:00:00Z  nobody needs it

1 machine left behind, of 2 machines at the provider
  fix   nothing at first: the provisioner goes on deleting what nobody needs
        if it grows older: cynthus doctor, then delete it at the provider, by its name
"""


def test_machines_left_behind_are_told_with_their_age_and_what_to_do(cynthus, gateway):
    gateway.leaks = report([LEAK], 2)
    shown = cynthus("leaks")
    assert (shown.returncode, shown.stdout) == (1, LEAKS)
    as_json = cynthus("leaks", "-o", "json")
    assert (as_json.returncode, json.loads(as_json.stdout)) == (1, gateway.leaks)
    assert cynthus("leaks", "-o", "quiet").stdout == "cyn-1\n"


def test_an_answer_from_an_earlier_look_at_the_provider_says_so(cynthus, gateway):
    gateway.leaks = report([], 1, age_s=125)
    assert "(as the provider said 2m05s ago; it does not answer now)" in cynthus("leaks").stdout


def test_clock_times_are_those_of_this_place(broken):
    zone = {"TZ": "XXX-05:30"}
    shown = broken("show", "mine", "--as-of", "23:59", "-o", "human", **zone)
    assert "T18:29:00Z" in shown.stdout + shown.stderr
    assert os.environ.get("TZ") != zone["TZ"]
