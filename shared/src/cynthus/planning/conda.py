"""environment.yml of conda: its pip part is used, its own packages are named."""

import re
from dataclasses import dataclass, field

ITEM = re.compile(r"^(\s*)-\s+(.*?)\s*(?:\s#.*)?$")
TABLE = re.compile(r"^dependencies:\s*(?:#.*)?$")
PIP = re.compile(r"pip\s*:")
NAME = re.compile(r"(?:[\w.-]+::)?([A-Za-z0-9_][\w.-]*)")
WITHOUT = {"python", "pip", "setuptools", "wheel"}


@dataclass(slots=True)
class CondaFile:
    """Lines for pip with the line each stands on, and the names of conda's own packages."""

    pip: list[tuple[int, str]] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)


def read_environment(text: str) -> CondaFile:
    """The plain form that conda writes; anything else in the file is passed over."""
    found = CondaFile()
    inside, depth = False, None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        item = ITEM.match(line)
        if item is None:
            inside, depth = TABLE.match(line) is not None, None
        elif inside:
            indent, value = len(item.group(1)), item.group(2).strip("\"'")
            depth = None if depth is not None and indent <= depth else depth
            if PIP.fullmatch(value):
                depth = indent
            elif depth is not None:
                found.pip.append((number, value))
            elif (name := NAME.match(value)) and name.group(1).lower() not in WITHOUT:
                found.packages.append(name.group(1))
    return found
