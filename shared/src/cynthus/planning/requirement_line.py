"""One requirement as PEP 508 writes it: checked, named, without installing a parser."""

import re
from dataclasses import dataclass

from cynthus.planning.names import normalised

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
VERSION = r"v?(?:\d+!)?\d+(?:\.\d+)*(?:[-_.]?[A-Za-z]++[-_.]?\d*+)*+(?:-\d+)?(?:\.\*)?(?:\+[A-Za-z0-9._-]+)?"
CLAUSE = re.compile(rf"\s*(?:(?:~=|==|!=|<=|>=|<|>)\s*{VERSION}|===\s*[^\s,;)]+)\s*")
HEAD = re.compile(rf"\s*({NAME})\s*(?:\[([^\]]*)\])?\s*")
EXTRA = re.compile(rf"\s*{NAME}\s*")
MARKER_TOKEN = re.compile(
    r"\s*(?:(?P<value>\"[^\"]*\"|'[^']*'|(?:python_version|python_full_version|os_name|sys_platform"
    r"|platform_release|platform_system|platform_version|platform_machine|platform_python_implementation"
    r"|implementation_name|implementation_version|extras?|dependency_groups)\b)"
    r"|(?P<relation>===|<=|>=|==|!=|~=|<|>|not\s+in\b|in\b)|(?P<joint>(?:and|or)\b)"
    r"|(?P<open>\()|(?P<close>\)))"
)
AFTER = {
    "begin": {"open": "begin", "value": "left"},
    "left": {"relation": "relation"},
    "relation": {"value": "whole"},
    "whole": {"joint": "begin", "close": "whole"},
}
LONGEST = 2000
SECRET_IN_URL = re.compile(r"://(?!git@)[^/@\s]+@")


class BadRequirement(Exception):
    """The line is no requirement: why, and what it should be."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why, fix)
        self.why = why
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Line:
    """A checked requirement; `text` is the line with its spaces tidied."""

    text: str
    name: str
    extras: tuple[str, ...] = ()
    url: str | None = None


def read_line(text: str) -> Line:
    """Check one requirement; BadRequirement says what is wrong with it."""
    if len(text) > LONGEST:
        raise BadRequirement(f"it is longer than {LONGEST} characters", "write it as name==1.2.3")
    head = HEAD.match(text)
    if head is None:
        raise BadRequirement("it does not begin with a package name", "write it as name==1.2.3")
    extras = _extras(head.group(2))
    body = text[head.end() :]
    if body.startswith("@"):
        return _with_url(text, head, extras, body[1:].strip())
    versions, semicolon, marker = body.partition(";")
    _check_versions(head.group(1), versions)
    if semicolon:
        _check_marker(marker)
    return Line(" ".join(text.split()), normalised(head.group(1)), extras)


def _extras(group: str | None) -> tuple[str, ...]:
    if group is None or not group.strip():
        return ()
    extras = group.split(",")
    if not all(EXTRA.fullmatch(extra) for extra in extras):
        raise BadRequirement(f"[{group}] is not a list of extras", "write extras as name[one,two]")
    return tuple(sorted(normalised(extra.strip()) for extra in extras))


def _with_url(text: str, head: re.Match[str], extras: tuple[str, ...], rest: str) -> Line:
    url, _, marker = rest.partition(" ;")
    url = url.strip()
    name = head.group(1)
    if not url or " " in url:
        raise BadRequirement("there is no address after the @", f"write {name} @ https://…")
    if SECRET_IN_URL.search(url):
        raise BadRequirement(
            "its address holds a password or token", "take it out of the address: plans are kept"
        )
    if url.startswith("file:") or "://" not in url:
        raise BadRequirement(
            f"{url} is a file of one computer (a conda list writes such lines)",
            f"write {name}==VERSION; `pip list --format=freeze` gives such lines",
        )
    if marker.strip():
        _check_marker(marker)
    return Line(" ".join(text.split()), normalised(name), extras, url)


def _check_versions(name: str, text: str) -> None:
    inner = text.strip()
    if not inner:
        return
    if inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1]
    clauses = inner.rstrip(", ").split(",")
    wrong = next((clause.strip() for clause in clauses if not CLAUSE.fullmatch(clause)), None)
    if wrong is None:
        return
    raise BadRequirement(f'"{wrong}" is not a version rule', _version_fix(name, wrong))


def _version_fix(name: str, wrong: str) -> str:
    single = re.fullmatch(r"=\s*([\w.*!+-]+)(?:=[\w.]+)?", wrong)
    if single:
        return f"write two equal signs: {name}=={single.group(1)}"
    if re.fullmatch(VERSION, wrong):
        return f"write {name}=={wrong}"
    if wrong.startswith("^") and (newest := re.fullmatch(r"\^\s*(\d+)([\d.]*)", wrong)):
        return f"write {name}>={newest[1]}{newest[2]},<{int(newest[1][:9]) + 1}"
    return f"write rules such as {name}>=1.2,<2"


def _check_marker(text: str) -> None:
    rest = text.rstrip()
    state: str | None = "begin"
    depth = at = 0
    while at < len(rest) and state is not None and depth >= 0:
        token = MARKER_TOKEN.match(rest, at)
        kind = token.lastgroup if token is not None else None
        state = AFTER[state].get(str(kind))
        depth += {"open": 1, "close": -1}.get(str(kind), 0)
        at = token.end() if token is not None else at
    if state != "whole" or depth:
        raise BadRequirement(
            f'"{text.strip()}" is not a condition', 'write conditions such as ; python_version < "3.12"'
        )
