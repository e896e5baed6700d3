"""`cynthus run` and the options it shares with `cynthus plan`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cynthus.cli import options
from cynthus.cli.commands import run_values as values
from cynthus.cli.session import Session

_Command = TypeVar("_Command", bound=Callable[..., Any])


class WithArguments(click.Command):
    """Everything after `--` is the program's, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The hook click calls."""
        ours = args[: args.index("--")] if "--" in args else args
        ctx.meta["cynthus.rest"] = args[len(ours) + 1 :]
        return super().parse_args(ctx, list(ours))


def describing(command: _Command) -> _Command:
    """The options that say what is run, and how."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return options.output(command)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("entry", required=False),
    click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS]..."),
    click.option("-m", "--module", metavar="MODULE", help="Run a module, as python -m does."),
    click.option("--task", metavar="NAME", help="The [task.NAME] of cynthus.toml."),
    click.option("--name", metavar="NAME", help="The run's name; one is made up otherwise."),
    click.option(
        "--data", multiple=True, metavar="PATH[:MOUNT]", help="Data the run reads; may be repeated."
    ),
    click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable; NAME alone takes yours."),
    click.option("--env-file", multiple=True, metavar="FILE", help="A file of NAME=VALUE lines."),
    click.option(
        "--secret-file",
        multiple=True,
        metavar="NAME=PATH|FILE",
        help="A secret's value from a file, or a file of NAME=VALUE lines.",
    ),
    click.option("--label", multiple=True, metavar="KEY=VALUE", help="A label to find runs by."),
    click.option("--cpu", type=values.COUNT, metavar="N[+]", help="Processors, such as 4 or 4+."),
    click.option("--memory", type=values.SIZE, metavar="SIZE[+]", help="Memory, such as 16GB+."),
    click.option("--gpu", type=values.GPU, metavar="NAME[:N]|SIZE+", help="A GPU, such as L4:1 or 24GB+."),
    click.option(
        "--runtime",
        type=click.Choice(["process", "container"]),
        help="How it is isolated; chosen by what the project needs otherwise.",
    ),
    click.option("--timeout", type=values.DURATION, metavar="TIME", help="Stop it after 90s, 30m or 6h."),
    click.option("--retries", type=click.IntRange(0, 100), metavar="N", help="More attempts when it fails."),
    click.option("--idempotency-key", metavar="KEY", help="The same key never starts a second run."),
)


@click.command(cls=WithArguments)
@describing
@click.option("-d", "--detach", is_flag=True, help="Print the run's id and leave it to run.")
@click.option(
    "--wait-for", type=click.Choice(["started", "finished"]), default="finished", help="When to return."
)
@click.option("--no-fetch", is_flag=True, help="Leave the outputs on the platform.")
@click.option("--propagate-exit", is_flag=True, help="Exit with the program's own code when it fails.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; the same as `cynthus plan`.")
@options.yes
@click.pass_context
def run(
    ctx: click.Context,
    /,
    session: Session,
    *,
    detach: bool,
    wait_for: str,
    no_fetch: bool,
    propagate_exit: bool,
    dry_run: bool,
    yes: bool,  # noqa: ARG001 (nothing here costs money yet, so nothing is asked)
    **described: Any,
) -> int:
    """Run a script, a notebook or a project, and bring its outputs back.

    ENTRY is a script, a notebook or a folder; without it, [task.main] of cynthus.toml, main.py or
    the only script. What follows -- is given to the program.
    """
    from cynthus.cli.running import flow

    wish = values.wish(described, ctx.meta["cynthus.rest"], Path.cwd())
    if dry_run:
        return plan_only(session, wish)
    manner = flow.Manner(detach=detach, fetch=not no_fetch, wait_for=wait_for, propagate=propagate_exit)
    return flow.run(session, wish, manner)


def plan_only(session: Session, wish: Any) -> int:
    """Show the plan; upload and start nothing."""
    from cynthus.cli.running import flow, preview

    view = flow.show_plan(session, wish, full=True)
    if session.json:
        session.print_json(preview.as_json(view))
    return 0
