"""`cynthus show`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from cynthus.cli import options, timeline, units
from cynthus.cli.client.resources import Attempt, Run
from cynthus.cli.session import Session
from cynthus.cli.table import columns
from cynthus.cli.terminal import Terminal

_HEAD = ("ATTEMPT", "STATE", "MACHINE", "TOOK", "CPU", "MEMORY", "EXIT", "CAUSE")


@click.command()
@click.argument("run")
@options.output
def show(session: Session, *, run: str) -> None:
    """One run: state, timeline, attempts, and why it ended, with the fix."""
    found = session.api().run(run)
    if session.json:
        session.print_json(found)
    elif session.quiet:
        session.print(found["state"])
    else:
        for line in _lines(found, session.screen, datetime.now(UTC)):
            session.print(line)


def _lines(run: Run, screen: Terminal, now: datetime) -> Iterator[str]:
    paint = {"SUCCEEDED": screen.green, "FAILED": screen.red, "CANCELLED": screen.yellow}
    state = paint.get(run["state"], screen.bold)(run["state"])
    yield f"{screen.bold(run['name'])}  {run['id']}  {state}"
    for label, text in _facts(run, now):
        yield f"  {screen.dim(f'{label:9}')} {text}"
    if run.get("timeline"):
        yield ""
        yield from timeline.lines(run["timeline"], screen)
    attempts = run.get("attempts") or []
    if attempts:
        yield ""
        yield from (f"  {line}" for line in columns(_HEAD, [_attempt(one, now) for one in attempts]))
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


def _attempt(attempt: Attempt, now: datetime) -> tuple[str, ...]:
    began, ended = attempt.get("started_at"), attempt.get("ended_at")
    took = "-"
    if began:
        until = units.parse_time(ended) if ended else now
        took = units.duration(max(0.0, (until - units.parse_time(began)).total_seconds()))
    cause = attempt.get("cause") or {}
    return (
        str(attempt.get("epoch", "")),
        str(attempt.get("state") or ""),
        str(attempt.get("machine") or "-"),
        took,
        units.duration(attempt["cpu_seconds"]) if attempt.get("cpu_seconds") else "-",
        units.size(attempt["peak_memory_bytes"]) if attempt.get("peak_memory_bytes") else "-",
        _exit(attempt),
        str(cause.get("code") or ""),
    )


def _exit(attempt: Attempt) -> str:
    if attempt.get("signal") is not None:
        return f"signal {attempt['signal']}"
    return "-" if attempt.get("exit_code") is None else str(attempt["exit_code"])


def _cause(run: Run, screen: Terminal) -> Iterator[str]:
    cause = run.get("cause") or {}
    if not cause:
        return
    yield ""
    yield f"{screen.red(str(cause.get('code')))}: {cause.get('message')}"
    evidence = [str(line) for line in cause.get("evidence") or ()]
    for number, line in enumerate(evidence):
        yield f"  {screen.dim('why  ') if number == 0 else '     '} {line}"
    if cause.get("fix"):
        yield f"  {screen.dim('fix  ')} {cause['fix']}"
    yield f"  {screen.dim('more ')} cynthus logs {run['name']} · cynthus events {run['name']}"
