"""`cynthus down`."""

import click

from cynthus.cli import embedded, options
from cynthus.cli.session import Session


@click.command()
@options.output
def down(session: Session) -> None:
    """Stop everything that `up` started; runs go on where they were when it is started again."""
    was = embedded.recorded()
    said = embedded.stop()
    if session.json:
        session.print_json({"stopped": was is not None, "url": was.url if was else None})
    elif not session.quiet:
        session.print(said or ("the platform is down" if was else "no platform was running on this machine"))
