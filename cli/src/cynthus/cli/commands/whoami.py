"""`cynthus whoami`."""

import click

from cynthus.cli import options
from cynthus.cli.session import Session


@click.command()
@options.output
def whoami(session: Session) -> None:
    """Who you are to the platform."""
    api = session.api()
    me = api.me()
    if session.json:
        session.print_json(me)
    elif session.quiet:
        session.print(me["owner"])
    else:
        session.print(f"{me['owner']}  ({me['via']}, {api.connection.endpoint().url})")
