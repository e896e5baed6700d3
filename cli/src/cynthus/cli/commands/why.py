"""`cynthus why`."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from cynthus.cli import options, units
from cynthus.cli.client.resources import OVER, Run
from cynthus.cli.session import Session
from cynthus.cli.terminal import Terminal

_FINE_S = 10.0


@click.command()
@click.argument("run")
@options.output
def why(session: Session, *, run: str) -> None:
    """Why RUN stands as it does: what led to it, oldest first, and what to do now.

    Times count from the run's beginning; <- names the lines that a line follows from.
    """
    if session.json:
        session.print_json(session.api().why(run))
        return
    api = session.api()
    found = api.run(run)
    told = api.why(found["id"])
    if session.quiet:
        session.print(told["state"])
        return
    for line in _lines(found, told, session.screen):
        session.print(line)


def _lines(run: Run, told: Mapping[str, Any], screen: Terminal) -> Iterator[str]:
    chain = told["chain"]
    yield f"{screen.bold(run['name'])}  {run['id']}"
    if not chain:
        yield "  accepted; its history begins in a moment"
    began = units.parse_time(str(chain[0]["time"] if chain else run["created_at"]))
    places = {link["version"]: place for place, link in enumerate(chain, 1)}
    actors = max((len(_actor(link)) for link in chain), default=0)
    known: list[str] = []
    for link in chain:
        since = _since((units.parse_time(link["time"]) - began).total_seconds())
        sentence, causes = _told(link)
        because = [str(places[version]) for version in link["because"] if version in places]
        follows = screen.dim(f"  <- {', '.join(because)}") if because else ""
        actor = screen.dim(f"{_actor(link):{actors}}")
        yield f"{places[link['version']]:>4}  {since:>9}  {actor}  {sentence}{follows}"
        news, known = [line for line in causes if line not in known], [*known, *causes]
        for line in news:
            yield f"{'':17}{'':{actors}}    {line}"
    yield ""
    yield from _end(run, str(told["state"]), screen)


def _told(link: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Its sentence, and apart from it the cause it names with the evidence."""
    cause = (link.get("data") or {}).get("cause") or {}
    text = str(link["text"])
    if not cause:
        return text, []
    named = f"{cause.get('code')}: {str(cause.get('message')).rstrip('.')}."
    evidence = [str(line) for line in cause.get("evidence") or ()]
    return text.removesuffix(named).rstrip(), [named, *(line for line in evidence if line not in named)]


def _end(run: Run, state: str, screen: Terminal) -> Iterator[str]:
    paint = {"SUCCEEDED": screen.green, "FAILED": screen.red, "CANCELLED": screen.yellow}
    cause = run.get("cause") or {}
    reason = cause.get("message") or run.get("reason")
    when = f" since {run['ended_at']}" if run.get("ended_at") and state in OVER else ""
    yield f"now {paint.get(state, screen.bold)(state)}{when}"
    if reason:
        yield f"  {screen.dim('why  ')} {reason}"
    if cause.get("fix"):
        yield f"  {screen.dim('fix  ')} {cause['fix']}"
    yield f"  {screen.dim('more ')} cynthus show {run['name']} · cynthus logs {run['name']}"


def _actor(link: Mapping[str, Any]) -> str:
    """Such as `ann`, `orchestrator` or `worker`, whose machine its sentence names."""
    kind, _, name = str(link.get("actor") or "").partition(":")
    return "worker" if kind == "worker" else name or kind


def _since(seconds: float) -> str:
    """Milliseconds count at the beginning."""
    return f"+{seconds:.3f}s" if abs(seconds) < _FINE_S else f"+{units.duration(seconds)}"
