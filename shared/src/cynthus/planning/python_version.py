"""Which Python a plan uses, and who asked for it."""

import re
from collections.abc import Iterable

from cynthus.planning.problem import CannotPlan

OLDEST, NEWEST = 9, 14
PATCHES = 60
WRITTEN = re.compile(r"^(?:cpython-?|python-?|py)?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.\*)?$", re.IGNORECASE)
CLAUSE = re.compile(r"^(~=|===?|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?(?:[a-z]+\d*)?$")


def exact(text: str, where: str) -> str:
    """The minor version out of 3.13, 3.13.2 or cpython-3.13; CannotPlan otherwise."""
    found = WRITTEN.match(text.strip())
    if found is None or (found.group(1) == "3" and found.group(2) is None):
        raise _bad(where, text, "it is not a version of CPython", "write a version such as 3.12")
    major, minor = int(found.group(1)[:4]), int((found.group(2) or "0")[:4])
    if major != 3 or not OLDEST <= minor <= NEWEST:  # noqa: PLR2004 - Python 3
        raise _bad(
            where, text, f"Python 3.{OLDEST} to 3.{NEWEST} can be used", "write a version such as 3.12"
        )
    return f"3.{minor}"


def fitting(rule: str, where: str, preferred: str) -> str:
    """The version nearest to `preferred` that a requires-python rule allows."""
    wanted = int(preferred.partition(".")[2])
    allowed = [minor for minor in range(OLDEST, NEWEST + 1) if allows(rule, f"3.{minor}", where)]
    if not allowed:
        raise _bad(
            where,
            rule,
            f"no Python from 3.{OLDEST} to 3.{NEWEST} fits it",
            "widen the rule, for example >=3.11",
        )
    return f"3.{min(allowed, key=lambda minor: (abs(minor - wanted), minor < wanted))}"


def allows(rule: str, python: str, where: str) -> bool:
    """Whether some release of this minor version fits every clause."""
    clauses = [_clause(part.strip(), rule, where) for part in rule.split(",") if part.strip()]
    minor = int(python.partition(".")[2])
    return any(all(_fits(clause, (3, minor, patch)) for clause in clauses) for patch in range(PATCHES))


def first_line(data: bytes) -> str | None:
    """The version a .python-version file names."""
    lines: Iterable[str] = data.decode("utf-8-sig", "replace").splitlines()
    return next((line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")), None)


def _clause(part: str, rule: str, where: str) -> tuple[str, tuple[int, ...], bool]:
    found = CLAUSE.match(part)
    if found is None:
        raise _bad(where, rule, f'"{part}" is not a version rule', "write a rule such as >=3.11")
    return (
        found.group(1),
        tuple(int(number[:6]) for number in found.group(2).split(".")),
        bool(found.group(3)),
    )


def _fits(clause: tuple[str, tuple[int, ...], bool], version: tuple[int, int, int]) -> bool:
    operator, numbers, star = clause
    padded = (*numbers, 0, 0, 0)[:3]
    prefix = version[: len(numbers)] == numbers
    match operator:
        case "==" | "===":
            return prefix if star else version == padded
        case "!=":
            return not prefix if star else version != padded
        case "~=":
            return (
                version >= padded
                and version[: max(len(numbers) - 1, 1)] == numbers[: max(len(numbers) - 1, 1)]
            )
        case "<=":
            return version <= padded
        case ">=":
            return version >= padded
        case "<":
            return version < padded
        case _:
            return version > padded


def _bad(where: str, text: str, why: str, fix: str) -> CannotPlan:
    return CannotPlan(
        "bad_python_version", what=f'{where} asks for Python "{text}"', why=why, fix=fix, where=where
    )
