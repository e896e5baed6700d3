"""Commands of the original product: each does its job, and prints how it is said now."""

from typing import Any

import click

from cynthus.cli import options
from cynthus.cli.commands.login import log_in
from cynthus.cli.session import Session


def _upload(session: Session, path: str | None, data: tuple[str, ...], new: str) -> None:
    from cynthus.cli.running import flow
    from cynthus.cli.running.submission import deliver
    from cynthus.cli.running.wish import Wish

    session.reporter.warn(f"this command is now: {new}")
    view = flow.show_plan(session, Wish(target=path, data=data))
    packed, sent = deliver(session.api("always", patience_s=60), view, session.reporter)
    if session.json:
        session.print_json({"snapshot": packed.source.digest, "blobs": sent.blobs, "bytes": sent.bytes})


def _uploading(name: str, doc: str, new: str) -> Any:
    @click.command(name, hidden=True, help=f"{doc} Now: {new}")
    @click.argument("path", required=False)
    @click.option("--data", multiple=True, metavar="PATH[:MOUNT]", help="Data to upload.")
    @options.output
    def command(session: Session, *, path: str | None, data: tuple[str, ...]) -> None:
        _upload(session, path, data, new)

    return command


prepare = _uploading("prepare", "Upload a project.", "cynthus run PATH --data DATA   (uploads by itself)")
update_src = _uploading("update-src", "Upload changed source.", "cynthus run PATH   (sends what changed)")
update_data = _uploading(
    "update-data", "Upload changed data.", "cynthus run PATH --data DATA   (sends what changed)"
)
update = _uploading("update", "Upload what changed.", "cynthus run PATH --data DATA   (sends what changed)")


@click.command(hidden=True)
@click.option("--url", envvar="CYNTHUS_URL", help="The platform's address.")
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin.")
@options.output
def signup(session: Session, *, url: str | None, token_stdin: bool) -> None:
    """Be known to a platform. Now: cynthus login (and nothing at all for the one on this machine)."""
    session.reporter.warn("this command is now: cynthus login --url URL   (this machine's needs none)")
    if url is None:
        session.print(f"you are {session.api('always').me()['owner']} on the platform of this machine")
    else:
        log_in(session, url, token_stdin=token_stdin)
