"""A notebook as Python: its code cells without magics, and what it installs itself."""

import ast
import json
import re
import shlex
import warnings
from dataclasses import dataclass
from typing import Any

KEEPS_PYTHON = {"time", "timeit", "capture", "prun", "python", "python3"}
PIP = re.compile(
    r"^\s*[%!]\s*(?:uv\s+)?(?:pip3?|python3?\s+-m\s+pip|\{sys\.executable\}\s+-m\s+pip)\s+install\s+(.*)$"
)
MAGIC = re.compile(r"^(\s*)(?:[%!?]|[\w.,\s]+=\s*[%!](?!=))")
HELP = re.compile(r"^(\s*)[\w.]+\?{1,2}\s*$")
QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|#.*")
LONGEST = 500  # characters of a line that can make it a magic
TAKES_VALUE = {
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--target",
    "-t",
    "--trusted-host",
}


class BadNotebook(Exception):
    """The file is not a Python notebook; says why."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One code cell: its number from 1, and Python with as many lines as the cell had."""

    number: int
    source: bytes


@dataclass(frozen=True, slots=True)
class Install:
    """One word of a `pip install` line; `is_file` for `-r FILE`."""

    text: str
    cell: int
    line: int
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Notebook:
    """What planning needs of a notebook."""

    cells: tuple[Cell, ...]
    installs: tuple[Install, ...]


def read_notebook(data: bytes) -> Notebook:
    """Cells and installs of an .ipynb file; BadNotebook when it is none or not Python."""
    document = _document(data)
    cells: list[Cell] = []
    installs: list[Install] = []
    raw = document.get("cells", [])
    for number, cell in enumerate(raw if isinstance(raw, list) else [], start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        lines = _source(cell).split("\n")
        installs.extend(_installs(lines, number))
        cells.append(Cell(number, _python(lines).encode("utf-8", "replace")))
    return Notebook(tuple(cells), tuple(installs))


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadNotebook(f"it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise BadNotebook("it is not a notebook document")
    metadata = document.get("metadata")
    kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    language = kernel.get("language") if isinstance(kernel, dict) else None
    if isinstance(language, str) and language.lower() != "python":
        raise BadNotebook(f"its language is {language}, not Python")
    return document


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _python(lines: list[str]) -> str:
    if _parses("\n".join(lines)):
        return "\n".join(lines)
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and first[2:].partition(" ")[0] not in KEEPS_PYTHON:
        return ""
    kept: list[str] = []
    depth = 0
    continued = False
    for line in lines:
        match = None if depth or continued else MAGIC.match(line[:LONGEST]) or HELP.match(line[:LONGEST])
        replaced = f"{match.group(1)}pass" if match else "" if continued else line
        kept.append(replaced)
        continued = (continued or match is not None) and line.rstrip().endswith("\\")
        bare = QUOTED.sub("", replaced)
        depth = max(0, depth + sum(map(bare.count, "([{")) - sum(map(bare.count, ")]}")))
    return "\n".join(kept)


def _parses(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _installs(lines: list[str], cell: int) -> list[Install]:
    found: list[Install] = []
    whole = ""
    for number, line in enumerate(lines, start=1):
        whole += line.rstrip()
        if whole.endswith("\\"):
            whole = whole[:-1]
            continue
        match, whole = PIP.match(whole), ""
        if match is None:
            continue
        try:
            words = shlex.split(match.group(1), comments=True)
        except ValueError:
            continue
        found.extend(_words(words, cell, number))
    return found


def _words(words: list[str], cell: int, line: int) -> list[Install]:
    found: list[Install] = []
    todo = iter(words)
    for word in todo:
        if word in {"&&", "||", ";", "|", ">", "2>", "&>"}:
            break
        if word in {"-r", "--requirement"}:
            found.append(Install(next(todo, ""), cell, line, is_file=True))
        elif word in TAKES_VALUE:
            next(todo, None)
        elif not word.startswith("-"):
            found.append(Install(word, cell, line))
    return found
