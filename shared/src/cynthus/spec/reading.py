"""Finds and reads the spec of a folder; imports the models only when there is something to read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cynthus.planning.toml_text import BadTOML, read_toml
from cynthus.planning.tree import SourceTree
from cynthus.spec.problem import Problem, SpecInvalid

if TYPE_CHECKING:
    from cynthus.spec.models import Spec

FILE = "cynthus.toml"
PYPROJECT = "pyproject.toml"
LARGEST = 1_000_000  # bytes

Read = Callable[[str], bytes | None]


def load_spec(read: Read) -> "tuple[Spec, str] | None":
    """The folder's spec and the file it stands in; None without one; SpecInvalid with every problem.

    `read` gives a file's content by its path in the folder, or None when it is not there.
    """
    own, pyproject = _bounded(FILE, read(FILE)), _bounded(PYPROJECT, read(PYPROJECT))
    table = _tool_table(pyproject) if pyproject is not None else None
    if own is not None and table is not None:
        from cynthus.spec.lines import line_of

        line = line_of(_text(pyproject or b""), ("tool", "cynthus"))
        what = f"the spec stands both in {FILE} and under [tool.cynthus]"
        raise SpecInvalid(
            [Problem(PYPROJECT, line, "tool.cynthus", what, f"keep it in one place: move it to {FILE}")]
        )
    if own is not None:
        return _checked(_parsed(FILE, own), FILE, own, ()), FILE
    if table is not None:
        return _checked(table, PYPROJECT, pyproject or b"", ("tool", "cynthus")), PYPROJECT
    return None


def reader(tree: SourceTree) -> Read:
    """Reads a planning tree for `load_spec`."""
    paths = frozenset(tree.paths())
    return lambda path: tree.read(path) if path in paths else None


def _bounded(file: str, data: bytes | None) -> bytes | None:
    if data is not None and len(data) > LARGEST:
        what = f"the file has {len(data)} bytes; the limit is {LARGEST}"
        raise SpecInvalid([Problem(file, 1, "", what, "keep settings only in it")])
    return data


def _tool_table(data: bytes) -> dict[str, Any] | None:
    """The [tool.cynthus] table; a pyproject.toml that never names it is not even parsed."""
    if b"cynthus" not in data:
        return None
    try:
        document = read_toml(data)
    except BadTOML as error:
        if b"tool.cynthus" in data:
            raise _not_toml(PYPROJECT, error) from error
        return None
    tool = document.get("tool")
    if not isinstance(tool, dict) or "cynthus" not in tool:
        return None
    table = tool["cynthus"]
    if isinstance(table, dict):
        return table
    raise SpecInvalid(
        [Problem(PYPROJECT, 1, "tool.cynthus", "tool.cynthus is not a table", "write [tool.cynthus]")]
    )


def _parsed(file: str, data: bytes) -> dict[str, Any]:
    try:
        return read_toml(data)
    except BadTOML as error:
        raise _not_toml(file, error) from error


def _not_toml(file: str, error: BadTOML) -> SpecInvalid:
    what = f"this is not TOML: {error.message[:1].lower()}{error.message[1:]}"
    fix = 'correct the line; text stands in quotation marks, as in key = "value"'
    return SpecInvalid([Problem(file, error.line, "", what, fix)])


def _checked(table: dict[str, Any], file: str, data: bytes, prefix: tuple[str, ...]) -> "Spec":
    from cynthus.spec.checking import check

    return check(table, file, _text(data), prefix)


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")
