"""`cynthus image`."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cynthus.cli import exits, options, units
from cynthus.cli.client.api import Api
from cynthus.cli.failure import Failure
from cynthus.cli.session import Session
from cynthus.cli.table import columns

_HEX = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})")
_HEAD = ("DIGEST", "PROJECT", "RUNTIME", "PYTHON", "PACKAGES", "SIZE", "CREATED")
_LAYERS = ("LAYER", "SIZE", "DIGEST", "PACKAGE")
_BILL = ("NAME", "VERSION", "TYPE")


@click.group()
def image() -> None:
    """What was built of your projects: each image can be run again, and anywhere."""


@image.command("ls")
@click.option("--project", metavar="NAME", help="Of this project alone.")
@click.option("-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@options.output
def ls(session: Session, *, project: str | None, limit: int) -> None:
    """List images, newest first."""
    found = list(session.api().images(limit=limit, **({"project": project} if project else {})))
    if session.json:
        for one in found:
            session.print_json(one)
    elif session.quiet:
        for one in found:
            session.print(one["digest"])
    elif not found:
        session.print("no images   (cynthus run train.py builds one)")
    else:
        now = datetime.now(UTC)
        for line in columns(_HEAD, [_row(one, now) for one in found]):
            session.print(line)


@image.command("show")
@click.argument("which", metavar="DIGEST|RUN")
@options.output
def show(session: Session, *, which: str) -> None:
    """One image: what it is made of, layer by layer. DIGEST may be its first 8 digits or more."""
    found = _find(session.api(), which)
    if session.json:
        session.print_json(found)
    elif session.quiet:
        session.print(found["digest"])
    else:
        for line in _lines(found, session):
            session.print(line)


@image.command("sbom")
@click.argument("which", metavar="DIGEST|RUN")
@click.option("--to", type=click.Path(dir_okay=False), metavar="FILE", help="Write the document there.")
@options.output
def sbom(session: Session, *, which: str, to: str | None) -> None:
    """The bill of materials: every package and its version (CycloneDX; all of it with -o json)."""
    api = session.api()
    document = api.sbom(_find(api, which)["digest"])
    if to is not None:
        _write(Path(to), document)
        session.reporter.note(f"{units.size(len(document))} -> {to}")
    elif session.json:
        sys.stdout.write(document.decode().rstrip("\n") + "\n")
    else:
        rows = [_component(one) for one in json.loads(document).get("components", ())]
        for line in columns(_BILL, sorted(rows)):
            session.print(line)


def _find(api: Api, which: str) -> dict[str, Any]:
    """By digest, by its beginning, or the image of a run. Raises Failure."""
    digits = _HEX.fullmatch(which)
    if digits is not None:
        try:
            return api.image(which)
        except Failure as failure:
            if failure.exit_code != exits.NOT_FOUND or which.startswith("sha256:"):
                raise _known(failure, which) from failure
    try:
        run = api.run(which)
    except Failure as failure:
        raise _known(failure, which) from failure
    digest = (run.get("image") or {}).get("digest")
    if digest is None:
        raise Failure(
            code="image_missing",
            what=f"{run['name']} has no image" + (" yet" if not run.get("ended_at") else ""),
            fix=f"cynthus show {run['name']}   (says how its build went)",
            exit_code=exits.NOT_FOUND,
        )
    try:
        return api.image(str(digest))
    except Failure as failure:
        raise _known(failure, str(digest)) from failure


def _known(failure: Failure, which: str) -> Failure:
    """A refusal to find something, with the command that lists what there is."""
    if failure.exit_code == exits.CONFLICT:
        failure.fix = "give more of its digits: cynthus image ls"
    if failure.exit_code != exits.NOT_FOUND:
        return failure
    return Failure(
        code="image_missing",
        what=f"no image and no run is called {which}",
        fix="cynthus image ls   (lists images; cynthus ps lists runs)",
        exit_code=exits.NOT_FOUND,
    )


def _row(one: dict[str, Any], now: datetime) -> tuple[str, ...]:
    return (
        units.digest(one["digest"]),
        str(one.get("project") or "-"),
        str(one.get("runtime") or "-"),
        str(one.get("python") or "-"),
        str(one.get("packages") or 0),
        units.size(one.get("size") or 0),
        units.ago(one.get("created_at"), now),
    )


def _lines(one: dict[str, Any], session: Session) -> Iterator[str]:
    yield session.screen.bold(one["digest"])
    for label, text in _facts(one):
        yield f"  {session.screen.dim(f'{label:9}')} {text}"
    layers = one.get("layers") or []
    if layers:
        yield ""
        yield from (f"  {line}" for line in columns(_LAYERS, [_layer(layer) for layer in layers]))


def _facts(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "project", str(one.get("project") or "-")
    yield "created", f"{one.get('created_at')}  ({units.ago(one.get('created_at'), datetime.now(UTC))})"
    yield "runtime", f"{one.get('runtime')} · {one.get('platform')}"
    if one.get("python"):
        yield "python", f"{one['python']} · {one.get('packages') or 0} packages"
    yield "base", str(one.get("base") or "none: it runs as a process only")
    if one.get("command"):
        yield "command", " ".join(one["command"])
    yield "size", units.size(one.get("size") or 0)
    if one.get("min_driver"):
        yield "driver", f"NVIDIA {one['min_driver']} or newer"
    yield "kept at", str(one.get("reference") or one.get("repository") or "-")
    for note in one.get("notes") or ():
        yield "note", str(note)


def _layer(layer: dict[str, Any]) -> tuple[str, ...]:
    size, package = units.size(layer.get("size") or 0), str(layer.get("package") or "")
    return str(layer.get("kind") or "-"), size, units.digest(str(layer["digest"])), package


def _component(one: dict[str, Any]) -> tuple[str, ...]:
    kind = str(one.get("purl") or "").removeprefix("pkg:").partition("/")[0]
    return str(one.get("name")), str(one.get("version") or "-"), kind or str(one.get("type") or "-")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Failure(
            code="unwritable",
            what=f"{path} cannot be written",
            why=error.strerror,
            fix="name a file in a folder of yours",
            exit_code=exits.USAGE,
        ) from error
