"""How sizes, times, errors and exit codes are written and read."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.cli import exits, units
from cynthus.cli.failure import Failure, problem, render
from cynthus.cli.table import columns
from cynthus.cli.terminal import Terminal
from cynthus.cli.version import VERSION

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3_100_000, "3.1 MB"), (2e15, "2000.0 TB")],
)
def test_sizes_are_written_in_the_largest_unit_that_fits(count, text):
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0s"), (41, "41s"), (192, "3m12s"), (7500, "2h05m"), (90000, "1d01h")]
)
def test_durations_are_written_in_two_units(seconds, text):
    assert units.duration(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("45s", 45), ("1h30m", 5400), ("1.5h", 5400)])
def test_durations_are_read(text, seconds):
    assert units.parse_duration(text) == seconds


@given(st.text())
def test_other_text_is_no_duration(text):
    try:
        seconds = units.parse_duration(text)
    except ValueError:
        return
    assert seconds >= 0


def test_since_is_a_duration_or_a_time():
    assert units.parse_since("1h", NOW) == datetime(2026, 11, 23, 11, tzinfo=UTC)
    assert units.parse_since("2026-11-23T09:00:00Z", NOW) == datetime(2026, 11, 23, 9, tzinfo=UTC)
    with pytest.raises(ValueError, match="neither"):
        units.parse_since("yesterday", NOW)


def test_an_error_has_four_parts():
    failure = Failure(
        code="no_capacity", what="no machine", why="none is free", fix="cynthus ps", more="docs"
    )
    assert render(failure, Terminal()) == (
        "error[no_capacity]: no machine\n  why   none is free\n  fix   cynthus ps\n  more  docs\n"
    )


def test_lines_of_a_reason_stand_under_each_other():
    failure = Failure(code="x", what="y", why="a\nb")
    assert render(failure, Terminal()).splitlines()[1:] == ["  why   a", "        b"]


def test_the_same_error_is_a_problem_document():
    failure = Failure(code="data_not_found", what="no ./data", fix="check it", exit_code=exits.USAGE)
    assert problem(failure) == {
        "type": "https://cynthus.dev/errors/data_not_found",
        "title": "Bad Request",
        "status": 400,
        "code": "data_not_found",
        "detail": "no ./data",
        "hint": "check it",
    }


def test_the_platforms_own_problem_is_passed_on_unchanged():
    body = {"code": "run_is_over", "detail": "it is over", "status": 409}
    assert problem(Failure(code="run_is_over", what="it is over", body=body)) is body


def run(state, cause=None, started="2026-11-23T12:00:00Z"):
    return {"state": state, "cause": cause, "started_at": started}


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (run("SUCCEEDED"), 0),
        (run("FAILED", {"code": "user_exit", "exit_code": 3}), 100),
        (run("FAILED", {"code": "signal", "signal": 9}), 100),
        (run("FAILED", {"code": "oom", "signal": 9}), 100),
        (run("FAILED", {"code": "lost_machine"}), 101),
        (run("FAILED", {"code": "no_capacity"}, started=None), 101),
        (run("FAILED", {"code": "timeout", "signal": 15}), 102),
        (run("FAILED", {"code": "dependency_not_found"}, started=None), 3),
        (run("CANCELLED"), 103),
    ],
)
def test_an_ended_run_has_an_exit_code(ended, code):
    assert exits.of_run(ended) == code


def test_the_programs_own_code_is_propagated_when_asked_for():
    assert exits.of_run(run("FAILED", {"code": "user_exit", "exit_code": 3}), propagate=True) == 3
    assert exits.of_run(run("FAILED", {"code": "signal", "signal": 9}), propagate=True) == 137
    assert exits.of_run(run("FAILED", {"code": "timeout", "signal": 15}), propagate=True) == 102


@pytest.mark.parametrize(
    ("status", "code"), [(400, 2), (401, 4), (404, 5), (409, 6), (422, 2), (429, 7), (503, 8), (500, 1)]
)
def test_a_refused_request_has_an_exit_code(status, code):
    assert exits.of_status(status) == code


@given(st.lists(st.tuples(st.text("ab é", max_size=9), st.text("xy", max_size=9)), max_size=5))
def test_columns_start_at_the_same_place(rows):
    lines = columns(("ONE", "TWO"), rows)
    width = max(len(first) for first, _ in [("ONE", ""), *rows])
    assert all(line[width : width + 2].strip() == "" for line in lines)


def test_the_version_is_the_packages_own():
    from importlib.metadata import version

    assert version("cynthus-cli") == VERSION


@pytest.fixture
def kathmandu(monkeypatch):
    """Clocks here are five hours and three quarters ahead."""
    with monkeypatch.context() as here:
        here.setenv("TZ", "XXX-05:45")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("17:45", datetime(2026, 11, 23, 12, 0, tzinfo=UTC)),
        ("17:44:30", datetime(2026, 11, 23, 11, 59, 30, tzinfo=UTC)),
        ("9:05", datetime(2026, 11, 23, 3, 20, tzinfo=UTC)),
        ("17:46", datetime(2026, 11, 22, 12, 1, tzinfo=UTC)),
        ("5m", datetime(2026, 11, 23, 11, 55, tzinfo=UTC)),
        ("2026-11-23T10:00:00Z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T10:00:00+01:00", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        ("2026-11-23T10:00", datetime(2026, 11, 23, 4, 15, tzinfo=UTC)),
    ],
)
def test_a_moment_is_the_last_such_time_here_an_age_or_a_date(kathmandu, text, moment):
    assert units.parse_moment(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["25:00", "12:60", "noon", "", "5 minutes ago", "99999999999999d", "2026-99-01"]
)
def test_other_text_is_no_moment(text):
    with pytest.raises(ValueError, match=r"is no (moment|time of the day)"):
        units.parse_moment(text, NOW)


def test_a_moment_is_written_in_utc_to_the_millisecond():
    assert units.rfc3339(NOW) == "2026-11-23T12:00:00Z"
    assert units.rfc3339(NOW.replace(microsecond=123456)) == "2026-11-23T12:00:00.123Z"


@pytest.mark.parametrize("code", ["lost_machine", "engine_restarted", "quota", "internal_error"])
def test_what_the_platform_broke_is_not_the_programs_failure(code):
    run = {"state": "FAILED", "started_at": "2026-11-23T12:00:00Z", "cause": {"code": code}}
    assert exits.of_run(run) == exits.INFRASTRUCTURE_FAILED
