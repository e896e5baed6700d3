import io
from datetime import UTC, datetime

import pytest

from cynthus.cli import terminal
from cynthus.cli.reporter import Reporter
from cynthus.cli.terminal import Terminal


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True

    def fileno(self):
        raise OSError


class Pipe(Tty):
    def isatty(self):
        return False


def test_a_terminal_of_a_person_gets_colours_and_a_moving_line():
    found = terminal.of(Tty(), {})
    assert (found.colour, found.live, found.plain) == (True, True, False)


def test_a_pipe_gets_plain_lines():
    found = terminal.of(Pipe(), {})
    assert (found.colour, found.live, found.plain) == (False, False, True)


@pytest.mark.parametrize(
    ("environment", "colour", "live", "plain"),
    [
        ({"NO_COLOR": "1"}, False, True, False),
        ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, True, False),
        ({"TERM": "dumb"}, False, False, False),
        ({"CYNTHUS_NO_PROGRESS": "1"}, True, False, False),
        ({"CI": "true"}, False, False, True),
        ({"CI": "false"}, True, True, False),
    ],
)
def test_the_environment_is_obeyed(environment, colour, live, plain):
    found = terminal.of(Tty(), environment)
    assert (found.colour, found.live, found.plain) == (colour, live, plain)


def test_colours_can_be_forced_into_a_pipe():
    assert terminal.of(Pipe(), {"CLICOLOR_FORCE": "1"}).red("x") == "\x1b[1;31mx\x1b[0m"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def reporter(terminal, **options):
    stream, clock = io.StringIO(), Clock()
    moment = datetime(2026, 11, 23, 12, tzinfo=UTC)
    return Reporter(terminal, stream=stream, clock=clock, now=lambda: moment, **options), stream, clock


def test_plain_lines_are_dated():
    say, stream, _ = reporter(Terminal())
    say.row("entry", "train.py")
    say.done("packed", "3 files", 0.31)
    assert (
        stream.getvalue() == "2026-11-23T12:00:00Z entry train.py\n2026-11-23T12:00:00Z packed 3 files 0.3s\n"
    )


def test_plain_output_shows_life_once_a_minute():
    say, stream, clock = reporter(Terminal())
    for _ in range(130):
        clock.now += 1
        say.doing("running", lambda: "still")
    assert stream.getvalue().count("running still") == 2


def test_the_moving_line_is_taken_away_before_a_lasting_one():
    say, stream, clock = reporter(Terminal(live=True, plain=False))
    clock.now += 1
    say.doing("packing", lambda: "1 file")
    say.done("packed", "1 file")
    shown = stream.getvalue()
    assert shown.startswith("\r\x1b[2K⠙ packing")
    assert "\r\x1b[2K✔ packed" in shown


def test_a_lasting_line_does_not_stick_to_an_unfinished_one_of_the_program():
    say, stream, _ = reporter(Terminal(plain=False))
    say.mid_line = True
    say.note("next")
    assert stream.getvalue() == "\n  next\n"


def test_quiet_leaves_only_warnings():
    say, stream, clock = reporter(Terminal(), quiet=True)
    clock.now += 100
    say.row("entry", "x")
    say.done("packed")
    say.failed("failed", "x")
    say.note("x")
    say.doing("running", lambda: "x")
    say.warn("careful")
    assert stream.getvalue() == "2026-11-23T12:00:00Z warning: careful\n"


def test_signs_are_plain_where_unicode_cannot_be_shown():
    say, stream, _ = reporter(Terminal(plain=False, unicode=False))
    say.done("packed", "x")
    say.failed("failed", "y")
    stream.getvalue().encode("ascii")
