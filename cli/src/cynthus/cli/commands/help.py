"""`cynthus help`."""

import click

from cynthus.cli import exits
from cynthus.cli.index import NAMES
from cynthus.cli.overview import overview
from cynthus.cli.session import Session

_ENVIRONMENT = """\
Variables that cynthus reads:

  CYNTHUS_URL          the platform's address; wins over a login
  CYNTHUS_TOKEN        the token for it
  CYNTHUS_OUTPUT       auto, human, json or quiet, as -o
  CYNTHUS_HOME         the state folder of the platform on this machine (default ~/.local/state/cynthus)
  CYNTHUS_NO_PROGRESS  no moving line
  NO_COLOR             no colours
  CLICOLOR_FORCE       colours even when stderr is no terminal
  TERM=dumb            no colours and no moving line
  CI                   plain dated lines, no questions
  XDG_STATE_HOME, XDG_CACHE_HOME, XDG_CONFIG_HOME

Variables that your program finds:

  CYNTHUS_RUN_ID, CYNTHUS_ATTEMPT, CYNTHUS_DATA_DIR, CYNTHUS_OUTPUT_DIR, CYNTHUS_CHECKPOINT_DIR
"""

_OUTPUT = """\
stdout carries the answer and nothing else: for `run` and `logs` the program's own output, byte by byte.
Progress, plans, warnings and errors go to stderr.

  -o auto    for people; plain dated lines when stderr is no terminal or CI is set
  -o human   the same
  -o json    the API's resource, unchanged, one per line; streams are JSON Lines, each with
             "kind" and "seq"; errors are problem documents (RFC 9457) on stderr
  -o quiet   ids or one word alone; warnings and errors still go to stderr

Text for people may change; JSON follows the version of the API.
"""


@click.command("help")
@click.argument("topic", required=False)
@click.pass_context
def help(ctx: click.Context, *, topic: str | None) -> None:  # noqa: A001 (the command's name)
    """Help topics: exit-codes, environment, output; or a command's help."""
    session = Session()
    if topic in NAMES:
        from cynthus.cli.app import root

        command = root.get_command(ctx, topic)
        assert command is not None
        session.print(command.get_help(click.Context(command, info_name=f"cynthus {topic}")))
        return
    texts = {None: overview(), "exit-codes": _exit_codes(), "environment": _ENVIRONMENT, "output": _OUTPUT}
    if topic not in texts:
        raise click.UsageError(f"no topic {topic}: there are exit-codes, environment and output")
    session.print(texts[topic].rstrip("\n"))


def _exit_codes() -> str:
    return "".join(f"  {code:>3}  {meaning}\n" for code, meaning in exits.MEANINGS)
