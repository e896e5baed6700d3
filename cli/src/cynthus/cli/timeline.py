"""Where the time of a run went, from submission to the first line and to the end, as bars."""

from collections.abc import Iterator, Mapping

from cynthus.cli import units
from cynthus.cli.terminal import Terminal

_BEFORE = ("queue", "build", "data", "machine", "start")
_AFTER = ("run", "upload", "total")
_FIRST = "first_line"
_PARTS = (
    *("plan", "lock", "fetch", "layers", "push", "import_check"),
    *("pull", "unpack", "environment", "source", "data", "spawn"),
)
_WIDTH = 30


def lines(timeline: Mapping[str, float], screen: Terminal) -> Iterator[str]:
    """A row for each phase, with its parts under it; phases nobody here knows are shown too."""
    phases = [phase for phase in timeline if "." not in phase]
    known = [phase for phase in _BEFORE if phase in timeline]
    unknown = [phase for phase in phases if phase not in {*_BEFORE, *_AFTER, _FIRST}]
    alone = [part for part in timeline if "." in part and part.partition(".")[0] not in timeline]
    before = [*known, *unknown, *alone]
    longest = max((timeline[phase] for phase in before), default=0) or 1
    for phase in before:
        yield _row("  ", phase, timeline[phase], _bar(timeline[phase] / longest, screen))
        for part in _parts(timeline, phase):
            took = timeline[f"{phase}.{part}"]
            yield _row("    ", part, took, _bar(took / longest, screen))
    if _FIRST in timeline:
        yield _row("  ", _FIRST, timeline[_FIRST], screen.dim("after it was submitted"))
    for phase in _AFTER:
        if phase in timeline:
            yield _row("  ", phase, timeline[phase])


def _parts(timeline: Mapping[str, float], phase: str) -> list[str]:
    """Of one phase, those with a known place first."""
    found = [name.partition(".")[2] for name in timeline if name.startswith(f"{phase}.")]
    return sorted(found, key=lambda part: _PARTS.index(part) if part in _PARTS else len(_PARTS))


def _row(indent: str, name: str, took: float, after: str = "") -> str:
    label = f"{indent}{name.replace('_', ' ')}"
    return f"{label:18} {units.milliseconds(took):>8}  {after}".rstrip()


def _bar(share: float, screen: Terminal) -> str:
    """At least one sign for what took any time; parts may add up to less than their phase, or overlap."""
    length = round(_WIDTH * share)
    return screen.dim(("█" if screen.unicode else "#") * max(1 if share > 0 else 0, length))
