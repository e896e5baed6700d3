"""`cynthus login`."""

import sys

import click

from cynthus.cli import logins, options
from cynthus.cli.client.api import Api
from cynthus.cli.client.connection import Connection
from cynthus.cli.client.endpoint import Endpoint
from cynthus.cli.session import Session


@click.command()
@click.option("--url", envvar="CYNTHUS_URL", show_envvar=True, metavar="URL", help="The platform's address.")
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin.")
@options.output
def login(session: Session, *, url: str | None, token_stdin: bool) -> None:
    """Keep a platform's address and token, in a file that only you can read."""
    log_in(session, url, token_stdin=token_stdin)


def log_in(session: Session, url: str | None, *, token_stdin: bool) -> None:
    """Check the token with the platform and keep it. Raises Failure, click.UsageError."""
    if url is None:
        raise click.UsageError("--url is missing (the platform on this machine needs no login)")
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--url {url}: an address starts with https:// or http://")
    if not token_stdin and not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: pipe the token in and add --token-stdin")
    token = sys.stdin.readline() if token_stdin else click.prompt("Token", hide_input=True, err=True)
    endpoint = Endpoint(url.rstrip("/"), token.strip(), "login")
    me = Api(Connection(lambda: endpoint)).me()
    path = logins.remember(endpoint.url, token.strip())
    if session.json:
        session.print_json(me)
    elif not session.quiet:
        session.print(f"logged in to {endpoint.url} as {me['owner']}; the token is in {path}")
