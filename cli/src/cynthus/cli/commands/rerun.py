"""`cynthus rerun`."""

import click

from cynthus.cli import options
from cynthus.cli.session import Session


@click.command()
@click.argument("run")
@options.output
@click.option("-d", "--detach", is_flag=True, help="Print the run's id and leave it to run.")
@click.option("--no-fetch", is_flag=True, help="Leave the outputs on the platform.")
@click.option("--propagate-exit", is_flag=True, help="Exit with the program's own code when it fails.")
@click.option("--idempotency-key", metavar="KEY", help="The same key never starts a second run.")
def rerun(
    session: Session,
    *,
    run: str,
    detach: bool,
    no_fetch: bool,
    propagate_exit: bool,
    idempotency_key: str | None,
) -> int:
    """Start RUN (an id, a prefix of one, or a name) again with the same code, data and settings."""
    from cynthus.cli.running import flow

    api = session.api(patience_s=60)
    again = api.rerun(run, key=idempotency_key)
    manner = flow.Manner(detach=detach, fetch=not no_fetch, propagate=propagate_exit)
    return flow.follow(session, api, again, manner, uploaded=False)
