"""Which wheels fit a machine, best first."""

from collections.abc import Iterator
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from cynthus.builder.domain.lock import Target

_OLDEST = {"x86_64": 5, "i686": 5}
_FIRST = 17
_NAMED = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@lru_cache(maxsize=64)
def ranks(target: Target) -> dict[Tag, int]:
    """Every tag that fits, with its place; a smaller number fits better."""
    major, minor = (int(part) for part in target.python.split(".")[:2])
    platforms = list(_platforms(target))
    tags = [
        *cpython_tags((major, minor), platforms=platforms),
        *compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=platforms),
    ]
    return {tag: place for place, tag in reversed(list(enumerate(tags)))}


def rank(filename: str, target: Target) -> tuple[int, tuple[int, str]] | None:
    """How well a wheel fits, to be compared; None when it does not, or is no wheel."""
    try:
        _, _, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    known = ranks(target)
    places = [known[tag] for tag in tags if tag in known]
    if not places:
        return None
    number, letters = build or (0, "")
    return min(places), (-number, letters)


def platforms_of(filename: str) -> tuple[str, ...]:
    """The kinds of machine that a wheel is for, as it names them."""
    return tuple(sorted(set(filename.removesuffix(".whl").rpartition("-")[2].split("."))))


def _platforms(target: Target) -> Iterator[str]:
    major, newest = target.glibc
    for minor in range(newest, _OLDEST.get(target.machine, _FIRST) - 1, -1):
        yield f"manylinux_{major}_{minor}_{target.machine}"
        if minor in _NAMED:
            yield f"{_NAMED[minor]}_{target.machine}"
    yield f"linux_{target.machine}"
