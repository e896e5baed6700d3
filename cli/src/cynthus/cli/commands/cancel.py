"""`cynthus cancel`."""

import click

from cynthus.cli import options
from cynthus.cli.session import Session


@click.command()
@click.argument("runs", nargs=-1, required=True)
@options.output
def cancel(session: Session, *, runs: tuple[str, ...]) -> None:
    """Stop RUNS; what they have written so far is kept."""
    api = session.api()
    for name in runs:
        run = api.cancel(name)
        if session.json:
            session.print_json(run)
        elif session.quiet:
            session.print(run["id"])
        else:
            session.print(f"cancelling {run['name']}  {run['id']}")
