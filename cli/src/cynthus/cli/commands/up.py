"""`cynthus up`."""

import click

from cynthus.cli import embedded, options
from cynthus.cli.session import Session


@click.command()
@options.output
def up(session: Session) -> None:
    """Start the platform on this machine, in the background; a second `up` finds the first."""
    say = session.reporter
    started, now = embedded.start(lambda: say.doing("platform", lambda: "starting on this machine"))
    say.clear()
    if session.json:
        session.print_json(
            {"url": started.url, "pid": started.pid, "version": started.version, "started": now}
        )
    elif session.quiet:
        session.print(started.url)
    else:
        word = "is up" if now else "was up already"
        session.print(f"the platform {word}: {started.url}  (pid {started.pid}, log {embedded.log_path()})")
        say.note("next: cynthus run train.py · cynthus status · cynthus down")
