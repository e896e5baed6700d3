"""`cynthus pull`."""

from pathlib import Path

import click

from cynthus.cli import options, units
from cynthus.cli.session import Session


@click.command()
@click.argument("run")
@click.option("--to", type=click.Path(file_okay=False), metavar="DIR", help="Where to; else ./outputs/NAME.")
@click.option("--include", multiple=True, metavar="GLOB", help="These files alone; may be repeated.")
@options.output
def pull(session: Session, *, run: str, to: str | None, include: tuple[str, ...]) -> None:
    """Fetch RUN's outputs; resumes, checks every hash, deletes nothing."""
    from cynthus.cli.running.finish import fetch, outputs_folder

    api = session.api(patience_s=60)
    found = api.run(run)
    folder = Path(to) if to else outputs_folder(found)
    fetched = fetch(api, found, folder, session.reporter, include=include)
    if session.json:
        files = None if fetched is None else fetched.files
        already = None if fetched is None else fetched.already
        session.print_json({"run": found["id"], "folder": str(folder), "fetched": files, "already": already})
    elif fetched is None:
        session.reporter.note(f"{found['name']} has no outputs" + _yet(found["state"]))
    else:
        text = f"{units.files(fetched.files)} -> {folder}"
        session.reporter.done(
            "fetched", text + (f" · {fetched.already} were there already" if fetched.already else "")
        )


def _yet(state: str) -> str:
    return "" if state in {"SUCCEEDED", "FAILED", "CANCELLED"} else f" yet: it is {state}"
