"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cynthus.cli.session import Session

_Command = TypeVar("_Command", bound=Callable[..., Any])

OUTPUTS = ("auto", "human", "json", "quiet")


def output(command: _Command) -> _Command:
    """-o: the session is made from it, and given to the command as `session`."""
    return click.option(
        "-o",
        "--output",
        "session",
        type=click.Choice(OUTPUTS),
        default="auto",
        envvar="CYNTHUS_OUTPUT",
        show_envvar=True,
        callback=lambda _context, _parameter, value: Session(value),
        help="How to answer: for people, as JSON, or with ids alone.",
    )(command)


def yes(command: _Command) -> _Command:
    """-y: answer questions with yes."""
    return click.option("-y", "--yes", is_flag=True, help="Answer every question with yes.")(command)


class Parsed(click.ParamType[Any]):
    """A value read by a function that raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The hook click calls."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            fix = getattr(error, "fix", None)
            self.fail(f"{error}; {fix}" if fix else str(error), param, ctx)
