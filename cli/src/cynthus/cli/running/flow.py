"""`cynthus run` from the first look to the exit code."""

from dataclasses import dataclass
from pathlib import Path

from cynthus.cli import exits
from cynthus.cli.client.api import Api
from cynthus.cli.client.resources import Run
from cynthus.cli.running import machines
from cynthus.cli.running import preview as previews
from cynthus.cli.running.finish import fetch, outputs_folder, report_end
from cynthus.cli.running.following import Ended, Follower
from cynthus.cli.running.submission import submit
from cynthus.cli.running.wish import Wish
from cynthus.cli.session import Session

_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How to go about it, apart from what is run."""

    detach: bool = False
    fetch: bool = True
    wait_for: str = "finished"
    propagate: bool = False


def run(session: Session, wish: Wish, manner: Manner) -> int:
    """Plan, upload, start, follow, fetch; the exit code. Raises Failure."""
    view, machine = _shown(session, wish)
    api = session.api("always", patience_s=_PATIENCE_S)
    if view.plan.runtime == "container":
        machines.check(view.plan, machine or machines.of(api.status()))
    try:
        submitted = submit(api, view, session.reporter)
    except KeyboardInterrupt:
        session.reporter.note("nothing was started; the same command goes on where it was")
        raise
    return follow(session, api, submitted.run, manner, uploaded=submitted.sent.blobs > 0)


def show_plan(session: Session, wish: Wish, *, full: bool = False) -> previews.Preview:
    """Plan and say so; nothing is started."""
    return _shown(session, wish, full=full)[0]


def _shown(
    session: Session, wish: Wish, *, full: bool = False
) -> tuple[previews.Preview, machines.Machine | None]:
    view = previews.preview(wish, Path.cwd())
    asked = full or view.plan.runtime == "container" or view.plan.gpu is not None
    machine = machines.look(session) if asked else None
    where = machines.place(session.place(), view.plan, machine)
    for label, text in previews.rows(view, where, full=full):
        session.reporter.row(label, text)
    for warning in [*previews.warnings(view), *machines.warnings(view.plan, machine)]:
        session.reporter.warn(warning)
    return view, machine


def follow(session: Session, api: Api, run: Run, manner: Manner, *, uploaded: bool = True) -> int:
    """From an accepted run to the exit code."""
    if manner.detach:
        return _detached(session, run)
    emit = session.print_json if session.json else None
    follower = Follower(api, run, session.reporter, uploaded=uploaded, emit=emit)
    ended = follower.follow(until_started=manner.wait_for == "started")
    if ended is Ended.STARTED:
        return _detached(session, run)
    if ended is not Ended.OVER:
        return exits.INTERRUPTED
    final = api.run(run["id"])
    folder = outputs_folder(final)
    fetched = fetch(api, final, folder, session.reporter) if manner.fetch else None
    if session.json:
        session.print_json(
            {"kind": "run", "seq": final.get("version"), "time": final["ended_at"], "run": final}
        )
    report_end(final, session.reporter, fetched=fetched, folder=folder)
    return exits.of_run(final, propagate=manner.propagate)


def _detached(session: Session, run: Run) -> int:
    if session.json:
        session.print_json(run)
    else:
        session.print(run["id"])
    session.reporter.note(f"follow: cynthus logs -f {run['name']} · stop: cynthus cancel {run['name']}")
    return exits.OK
