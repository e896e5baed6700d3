"""The syntax of a Dockerfile: directives, continued lines, flags, here-documents, variables. Pure."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_HEREDOC = re.compile(r"(?:(?<=\s)|^)\d*<<(-?)([\"']?)([A-Za-z_][A-Za-z0-9_.]*)\2(?=\s|$)")
_FLAG = re.compile(r"--([a-z][a-z-]*)(?:=(\S*))?(?:\s+|$)")
_VARIABLE = re.compile(r"\\(.)|\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+?])([^}]*))?\})", re.DOTALL)
_WITH_HEREDOC = frozenset({"RUN", "COPY", "ADD"})
_MOST_BYTES = 1024 * 1024
_MOST_EXPANDED = 64 * 1024


class DockerfileRefused(Exception):
    """The Dockerfile cannot be built; `line` counts from 1, `fix` says what to change."""

    def __init__(self, line: int, what: str, fix: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line
        self.what = what
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction on lines `line` to `end`; `value` is what follows its flags, joined to one line."""

    name: str
    value: str
    line: int
    end: int
    flags: tuple[tuple[str, str], ...] = ()
    heredocs: tuple[str, ...] = ()

    def flag(self, name: str) -> str | None:
        """The value of a flag, the last one where it is repeated."""
        return next((value for key, value in reversed(self.flags) if key == name), None)

    def words(self) -> tuple[str, ...]:
        """The value of the JSON form, or of the shell form as one command for /bin/sh."""
        if (listed := _json_words(self.value)) is not None:
            return listed
        return ("/bin/sh", "-c", self.value) if self.value else ()


@dataclass(frozen=True, slots=True)
class Syntax:
    """A Dockerfile in instructions."""

    instructions: tuple[Instruction, ...]
    directives: Mapping[str, str]


def read(text: str) -> Syntax:
    """Raises DockerfileRefused."""
    if len(text) > _MOST_BYTES or "\0" in text:
        raise DockerfileRefused(1, "this is no Dockerfile", "Write it as text of less than 1 MiB.")
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    directives = _directives(lines)
    escape = directives.get("escape", "\\")
    if escape not in {"\\", "`"}:
        raise DockerfileRefused(1, f"the escape directive is {escape!r}", "Use \\ or ` as escape character.")
    instructions: list[Instruction] = []
    at = 0
    while at < len(lines):
        if _is_blank(lines[at]):
            at += 1
            continue
        instruction, at = _instruction(lines, at, escape)
        if instruction.name:
            instructions.append(instruction)
    return Syntax(tuple(instructions), directives)


def expand(text: str, values: Mapping[str, str], line: int) -> str:
    """A text, `$name`, `${name}`, `${name:-word}` and `${name:+word}` filled in. Raises DockerfileRefused."""

    def replace(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[1]
        name, operator = match[2] or match[3], match[4] or ""
        value = values.get(name)
        there = value is not None and (value != "" or not operator.startswith(":"))
        match operator[-1:]:
            case "-":
                return value or "" if there else match[5]
            case "+":
                return match[5] if there else ""
            case "?" if not there:
                raise DockerfileRefused(line, f"{name} has no value", f"Give it a default: ARG {name}=...")
            case _:
                return value or ""

    expanded = _VARIABLE.sub(replace, text)
    if len(expanded) > _MOST_EXPANDED:
        raise DockerfileRefused(line, "a value grows beyond 64 KiB", "Use shorter ARG and ENV values.")
    return expanded


def pairs(value: str, line: int) -> tuple[tuple[str, str | None], ...]:
    """Of ARG and ENV: names with values as written, unquoted; None where an ARG has no default."""
    try:
        words = shlex.split(value, comments=False, posix=True)
    except ValueError as error:
        raise DockerfileRefused(line, "a quote is not closed", "Close it, or escape it.") from error
    if words and "=" not in words[0] and len(words) > 1:
        name, _, rest = value.partition(" ")
        return ((name, rest.strip()),)  # the old form: ENV name all the rest
    split = (word.partition("=") for word in words)
    return tuple((name, given if equals else None) for name, equals, given in split)


def _json_words(value: str) -> tuple[str, ...] | None:
    if not value.startswith("["):
        return None
    try:
        listed = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if isinstance(listed, list) and all(isinstance(word, str) for word in listed):
        return tuple(listed)
    return None


def _directives(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None or match[1].lower() in found:
            return found
        found[match[1].lower()] = match[2]
    return found


def _is_blank(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _instruction(lines: list[str], start: int, escape: str) -> tuple[Instruction, int]:
    joined, at = _joined(lines, start, escape)
    first, *rest = joined.split(None, 1) or [""]
    name, value = first.upper(), "".join(rest).strip()
    flags: list[tuple[str, str]] = []
    while match := _FLAG.match(value):
        flags.append((match[1], match[2] or ""))
        value = value[match.end() :]
    heredocs: list[str] = []
    if name in _WITH_HEREDOC or name == "ONBUILD":
        for strip, _, word in _HEREDOC.findall(value):
            body, at = _heredoc(lines, at, word, start + 1, strip=bool(strip))
            heredocs.append(body)
    return Instruction(name, value.strip(), start + 1, at, tuple(flags), tuple(heredocs)), at


def _joined(lines: list[str], at: int, escape: str) -> tuple[str, int]:
    """A logical line and the index behind it."""
    parts: list[str] = []
    while at < len(lines):
        line = lines[at]
        at += 1
        if parts and _is_blank(line):
            continue
        bare = line.rstrip(" \t")
        if not bare.endswith(escape):
            parts.append(line)
            break
        parts.append(bare[: -len(escape)])
    return "".join(parts), at


def _heredoc(lines: list[str], at: int, word: str, line: int, *, strip: bool) -> tuple[str, int]:
    body: list[str] = []
    while at < len(lines):
        text = lines[at].lstrip("\t") if strip else lines[at]
        at += 1
        if text == word:
            return "\n".join([*body, ""]), at
        body.append(text)
    raise DockerfileRefused(line, f"the here-document {word} has no end", f"Close it with a line {word}.")
