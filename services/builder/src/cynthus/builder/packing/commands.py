"""The commands a wheel declares in entry_points.txt, as scripts."""

import re
from collections.abc import Iterator

from cynthus.builder.packing.places import PYTHON, NoPlace

_SECTIONS = {"console_scripts", "gui_scripts"}
_OBJECT = re.compile(r"(?P<module>\w+(?:\.\w+)*)\s*:\s*(?P<function>\w+(?:\.\w+)*)\s*(?:\[[^\]]*\])?")
_NAME = re.compile(r"[\w][\w. +-]*")


def commands(text: str) -> Iterator[tuple[str, bytes]]:
    """Names and scripts, by name. Raises NoPlace."""
    found: dict[str, bytes] = {}
    section = ""
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", ";")):
            continue
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1].strip()
        elif section in _SECTIONS:
            name, _, reference = (part.strip() for part in stripped.partition("="))
            found[name] = _script(name, reference)
    yield from sorted(found.items())


def _script(name: str, reference: str) -> bytes:
    target = _OBJECT.fullmatch(reference)
    if target is None or not _NAME.fullmatch(name):
        raise NoPlace(f"the command {name!r} is no name of a function: {reference!r}")
    function = target["function"]
    return (
        f"#!{PYTHON}\nimport sys\n\nfrom {target['module']} import {function.split('.')[0]}\n\n"
        f'if __name__ == "__main__":\n    sys.exit({function}())\n'
    ).encode()
