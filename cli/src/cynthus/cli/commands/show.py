"""`cynthus show`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from cynthus.cli import attempts, exits, options, timeline, units
from cynthus.cli.client.api import Api
from cynthus.cli.client.problems import Refused
from cynthus.cli.client.resources import Run
from cynthus.cli.failure import Failure
from cynthus.cli.options import Parsed
from cynthus.cli.session import Session
from cynthus.cli.terminal import Terminal


@click.command()
@click.argument("run")
@click.option(
    "--as-of",
    type=Parsed("time", lambda text: units.parse_moment(text, datetime.now(UTC))),
    metavar="TIME",
    help="As it stood then: 14:05 here, 5m ago, or an RFC 3339 time.",
)
@options.output
def show(session: Session, *, run: str, as_of: datetime | None) -> None:
    """One run: state, timeline, attempts, and why it ended, with the fix."""
    api = session.api()
    found = api.run(run) if as_of is None else _past(api, run, as_of)
    if session.json:
        session.print_json(found)
    elif session.quiet:
        session.print(found["state"])
    else:
        now = datetime.now(UTC)
        if as_of is not None:
            session.print(session.screen.yellow(_warning(found, as_of, now)))
        for line in _lines(found, session.screen, as_of or now):
            session.print(line)


def _past(api: Api, run: str, as_of: datetime) -> Run:
    """The run as it stood; that it came later is told apart from that there is none."""
    try:
        return api.run(run, as_of=as_of)
    except Refused as refused:
        if refused.exit_code != exits.NOT_FOUND:
            raise
        present = api.run(run)
        raise Failure(
            code=refused.code,
            what=f"{present['name']} was not there yet at {units.rfc3339(as_of)}",
            why=f"it was asked for at {present['created_at']}",
            fix=f"cynthus events {present['name']}   (says when what happened)",
            exit_code=exits.NOT_FOUND,
            body=refused.body,
        ) from refused


def _warning(run: Run, as_of: datetime, now: datetime) -> str:
    when = f"{units.rfc3339(as_of)}, {units.ago(as_of.isoformat(), now)}"
    return f"the past: as it stood at {when}   (now: cynthus show {run['name']})"


def _lines(run: Run, screen: Terminal, now: datetime) -> Iterator[str]:
    paint = {"SUCCEEDED": screen.green, "FAILED": screen.red, "CANCELLED": screen.yellow}
    state = paint.get(run["state"], screen.bold)(run["state"])
    yield f"{screen.bold(run['name'])}  {run['id']}  {state}"
    for label, text in _facts(run, now):
        yield f"  {screen.dim(f'{label:9}')} {text}"
    if run.get("timeline"):
        yield ""
        yield from timeline.lines(run["timeline"], screen)
    if run.get("attempts"):
        yield ""
        yield from attempts.lines(run["attempts"], screen, now)
    yield from _cause(run, screen)


def _facts(run: Run, now: datetime) -> Iterator[tuple[str, str]]:
    yield "project", run["project"]
    yield "created", f"{run['created_at']}  ({units.ago(run['created_at'], now)})"
    spec = run.get("spec") or {}
    arguments = " ".join([str(spec.get("entry") or ""), *spec.get("arguments", ())]).strip()
    if arguments:
        yield "program", arguments
    for data in spec.get("data") or ():
        yield "data", f"{data['source']} -> ./{data['mount']}  {data['snapshot'][:19]}…"
    if run.get("labels"):
        yield "labels", " ".join(f"{name}={value}" for name, value in run["labels"].items())
    image = run.get("image") or {}
    if image:
        yield "image", _image(image)
    outputs = run.get("outputs") or {}
    if outputs.get("files"):
        size = units.size(float(outputs.get("bytes") or 0))
        yield "outputs", f"{units.files(outputs['files'])}, {size}   (cynthus pull {run['name']})"
    if run.get("reason") and not run.get("cause"):
        yield "reason", str(run["reason"])


def _image(image: dict[str, Any]) -> str:
    """Which image, how it runs, on what, and whether it was there already."""
    built = "cached" if image.get("cached") else "built"
    if image.get("seconds") and not image.get("cached"):
        built += f" in {units.duration(float(image['seconds']))}"
    parts = [
        units.digest(str(image.get("digest") or "")),
        str(image.get("runtime") or ""),
        f"Python {image['python']}" if image.get("python") else "",
        f"base {_base(str(image['base']))}" if image.get("base") else "",
        built if "cached" in image else "",
    ]
    return " · ".join(part for part in parts if part)


def _base(reference: str) -> str:
    name, at, digest = reference.partition("@")
    return f"{name}@{units.digest(digest)}" if at else name


def _cause(run: Run, screen: Terminal) -> Iterator[str]:
    cause = run.get("cause") or {}
    if not cause:
        return
    yield ""
    yield f"{screen.red(str(cause.get('code')))}: {cause.get('message')}"
    evidence = [str(line) for line in cause.get("evidence") or () if str(line) not in cause["message"]]
    for number, line in enumerate(evidence):
        yield f"  {screen.dim('why  ') if number == 0 else '     '} {line}"
    if cause.get("fix"):
        yield f"  {screen.dim('fix  ')} {cause['fix']}"
    yield f"  {screen.dim('more ')} cynthus logs {run['name']} · cynthus why {run['name']}"
