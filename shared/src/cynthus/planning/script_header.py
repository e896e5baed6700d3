"""PEP 723: what a script says about itself in its `# /// script` block."""

from dataclasses import dataclass

from cynthus.planning.document import Requirement
from cynthus.planning.problem import CannotPlan
from cynthus.planning.requirement_line import BadRequirement, read_line
from cynthus.planning.requirements_file import bad_requirements, declared
from cynthus.planning.toml_text import BadTOML, line_of, read_toml


@dataclass(frozen=True, slots=True)
class ScriptHeader:
    """The block's facts; `requirements` is None when it names no dependencies."""

    requirements: tuple[Requirement, ...] | None
    requires_python: str | None
    warnings: tuple[str, ...]


def read_header(path: str, data: bytes) -> ScriptHeader | None:
    """The script's block, None without one; CannotPlan names the line that is wrong."""
    if b"# /// script" not in data:
        return None
    lines = data.decode("utf-8-sig", "replace").splitlines()
    starts = [number for number, line in enumerate(lines) if line.rstrip() == "# /// script"]
    if not starts:
        return None
    first = starts[0] + 1
    last = _end(lines, first)
    if last is None:
        raise _wrong(path, first, "the block has no closing line", "end it with a line: # ///")
    if any(start > last for start in starts):
        raise _wrong(path, starts[-1] + 1, "the script has two such blocks", "leave one")
    text = "\n".join(line[2:] if line.startswith("# ") else "" for line in lines[first:last])
    try:
        table = read_toml(text)
    except BadTOML as error:
        raise _wrong(path, first + error.line, error.message, "correct the line") from error
    return _facts(path, first, text, table)


def _end(lines: list[str], first: int) -> int | None:
    """The block runs while lines begin with #; its end is the last `# ///` of them."""
    last = None
    for number in range(first, len(lines)):
        line = lines[number].rstrip()
        if line != "#" and not line.startswith("# "):
            break
        if line == "# ///":
            last = number
    return last


def _facts(path: str, first: int, text: str, table: dict[str, object]) -> ScriptHeader:
    wants = table.get("requires-python")
    lines = table.get("dependencies")
    if lines is not None and not (isinstance(lines, list) and all(isinstance(line, str) for line in lines)):
        raise _wrong(
            path, first, "dependencies is not a list of strings", 'write dependencies = ["name>=1.2"]'
        )
    found: list[Requirement] | None = None if lines is None else []
    for line in lines if isinstance(lines, list) else []:
        where = f"{path}:{first + line_of(text, line)}"
        try:
            (found := found or []).append(declared(read_line(line), where))
        except BadRequirement as error:
            raise bad_requirements(where, line, error.why, error.fix) from error
    tool = table.get("tool")
    warnings = (f"{path}: the [tool] part of the script header is not acted on",) if tool else ()
    return ScriptHeader(
        None if found is None else tuple(found), wants if isinstance(wants, str) else None, warnings
    )


def _wrong(path: str, line: int, why: str, fix: str) -> CannotPlan:
    where = f"{path}:{line}"
    return CannotPlan(
        "bad_requirements", what=f"{where} is not a PEP 723 header", why=why, fix=fix, where=where
    )
