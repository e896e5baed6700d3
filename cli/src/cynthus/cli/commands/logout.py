"""`cynthus logout`."""

import click

from cynthus.cli import logins, options
from cynthus.cli.session import Session


@click.command()
@options.output
def logout(session: Session) -> None:
    """Forget the token of the platform you are logged in to."""
    url = logins.forget()
    if session.json:
        session.print_json({"url": url})
    elif not session.quiet:
        session.print(f"logged out of {url}" if url else "you were not logged in")
