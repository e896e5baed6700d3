"""`cynthus plan`."""

from pathlib import Path
from typing import Any

import click

from cynthus.cli.commands import run_values
from cynthus.cli.commands.run import WithArguments, describing, plan_only
from cynthus.cli.session import Session


@click.command(cls=WithArguments)
@describing
@click.pass_context
def plan(ctx: click.Context, /, session: Session, **described: Any) -> int:
    """Say what `cynthus run` would do: entry, packages and why, data, what is sent and what is not."""
    return plan_only(session, run_values.wish(described, ctx.meta["cynthus.rest"], Path.cwd()))
