"""Command lines beyond the simplest: click parses them, this answers for how they end."""

import os
import sys
from importlib import import_module
from itertools import pairwise
from typing import Any, NoReturn

import click

from cynthus.cli import exits, terminal
from cynthus.cli.failure import Failure, problem, render
from cynthus.cli.index import ALIASES, NAMES, module_of, summary_of
from cynthus.cli.overview import overview


class ReaderGone(Exception):
    """Nobody reads our stdout any more, as in `cynthus logs | head`."""


class Lazy(click.Group):
    """Imports a command's module when it is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Every name, without importing anything."""
        return list(NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Completion asks for every command at once: it gets their names and help from the table."""
        module = module_of(cmd_name)
        if module is None:
            return None
        if ctx.resilient_parsing and not _is_completed(cmd_name):
            return click.Command(cmd_name, help=summary_of(cmd_name), short_help=summary_of(cmd_name))
        found = getattr(import_module(module), cmd_name.replace("-", "_"))
        assert isinstance(found, click.Command)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Click would end a command whose reader is gone with code 1, like an error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def get_help(self, ctx: click.Context) -> str:  # noqa: ARG002 (click's signature)
        """The same as without click."""
        return overview().rstrip("\n")


root = Lazy("cynthus", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})


def run(arguments: list[str]) -> int:
    """Parse and do; every ending has its code and, on stderr, its words."""
    try:
        result = root.main(arguments, prog_name="cynthus", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, click.Abort):
        _leave_at_once("\ninterrupted\n")
    except (ReaderGone, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 (the last resort says where the report is)
        return _fail(_failure(error), arguments)
    return result if isinstance(result, int) else exits.OK


def _leave_at_once(words: str) -> NoReturn:
    """Not through the interpreter's end, which waits for threads in the middle of an upload."""
    sys.stderr.write(words)
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(exits.INTERRUPTED)


def _fail(failure: Failure, arguments: list[str]) -> int:
    sys.stdout.flush()
    if _wants_json(arguments):
        import json

        sys.stderr.write(json.dumps(problem(failure), ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(render(failure, terminal.of(sys.stderr)))
    return failure.exit_code


def _failure(error: Exception) -> Failure:
    if isinstance(error, Failure):
        return error
    return _usage(error) if isinstance(error, click.UsageError) else _unexpected(error)


def _usage(error: click.UsageError) -> Failure:
    what = error.message.rstrip(".").rstrip()
    command = error.ctx.command_path if error.ctx is not None else "cynthus"
    fix = f"{command} --help"
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        fix = f"did you mean {' or '.join(error.possibilities)}?   ({fix})"
    elif isinstance(error, click.exceptions.NoSuchCommand):
        what = f"there is no command {error.command_name!r}"
        fix = _similar(error.command_name) or fix
    code = "unknown_option" if isinstance(error, click.NoSuchOption) else "usage"
    return Failure(code=code, what=what, fix=fix, exit_code=exits.USAGE)


def _similar(name: str) -> str | None:
    from difflib import get_close_matches

    close = get_close_matches(name, [*NAMES, *ALIASES], n=2, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(f'cynthus {one}' for one in close)}?"
    if os.path.exists(name):  # noqa: PTH110 (a name from the command line)
        return f"cynthus run {name}"
    return None


def _unexpected(error: Exception) -> Failure:
    from cynthus.cli.crash import report

    return Failure(
        code="unexpected",
        what=f"cynthus itself failed: {type(error).__name__}: {error}",
        why="this is a fault of cynthus, not of your program",
        fix="cynthus doctor   (and send us the report below: it holds no secrets, but read it first)",
        more=report(error),
    )


def _wants_json(arguments: list[str]) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    pairs = set(pairwise(own))
    return bool({"-ojson", "--output=json"} & set(own) or {("-o", "json"), ("--output", "json")} & pairs)


def _is_completed(name: str) -> bool:
    return name in os.environ.get("COMP_WORDS", "").split()
