"""`cynthus status`."""

from typing import Any

import click

from cynthus.cli import options
from cynthus.cli.session import Session


@click.command()
@options.output
def status(session: Session) -> None:
    """Where the platform is, its services, and how many runs are in which state."""
    api = session.api("never")
    found = api.status()
    if session.json:
        session.print_json(found)
        return
    endpoint = api.connection.endpoint()
    session.print(f"{endpoint.url}  ({_ORIGINS[endpoint.origin]})")
    for label, value in found.items():
        session.print(f"  {session.screen.dim(f'{label:10}')} {_text(value)}")


_ORIGINS = {"embedded": "on this machine", "login": "from your login", "environment": "from CYNTHUS_URL"}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name} {_text(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return "  ".join(_text(one) for one in value) or "none"
    return str(value)
