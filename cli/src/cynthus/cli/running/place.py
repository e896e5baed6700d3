"""Which folder is the project, and what in it is started."""

import re
from dataclasses import dataclass
from pathlib import Path

from cynthus.cli import exits
from cynthus.cli.failure import Failure

_LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Place:
    """`entry` is relative to `root`; None leaves the choice to the plan."""

    root: Path
    entry: str | None


def locate(target: str | None, here: Path) -> Place:
    """A folder is the project; a script's project is the folder we are in, or its own. Raises Failure."""
    here = here.resolve()
    if target is None:
        return _checked(Place(here, None))
    path = here / target
    if path.is_dir():
        return _checked(Place(path.resolve(), None))
    found = path.parent.resolve() / path.name
    if found.is_relative_to(here) or not path.exists():
        entry = found.relative_to(here).as_posix() if found.is_relative_to(here) else target
        return _checked(Place(here, entry))
    return _checked(Place(found.parent, found.name))


def project_name(root: Path) -> str:
    """A folder's name as a project's: `^[a-z][a-z0-9-]{0,62}$`."""
    slug = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")
    slug = slug if slug[:1].isalpha() else f"project-{slug}"
    return slug[:_LONGEST_NAME].strip("-")


def _checked(place: Place) -> Place:
    if place.root in {Path("/"), Path.home().resolve()}:
        raise Failure(
            code="folder_too_wide",
            what=f"{place.root} as a project would send everything in it",
            why="a script's project is the folder it is run from",
            fix="put the script in a folder of its own and run it there",
            exit_code=exits.USAGE,
        )
    return place
