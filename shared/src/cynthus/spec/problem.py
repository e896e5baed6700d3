"""What is wrong with a spec file: every problem at once, each with its line and its fix."""

from collections.abc import Sequence
from dataclasses import dataclass


class Wrong(ValueError):
    """A value that does not fit: what is wrong and what to write."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one line; `key` is its dotted path."""

    file: str
    line: int
    key: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}. Fix: {self.fix}"


class SpecInvalid(Exception):
    """The spec cannot be used; `problems` are in line order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line, problem.key)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
