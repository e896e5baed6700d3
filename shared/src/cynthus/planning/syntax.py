"""A syntax error in words: the line, and what it probably is."""

import sys

from cynthus.planning.problem import CannotPlan
from cynthus.planning.source import BadSyntax

PYTHON_2 = (
    "Missing parentheses in call to 'print'",
    "Missing parentheses in call to 'exec'",
    "multiple exception types must be parenthesized",
    "leading zeros in decimal integer literals",
)
CONFLICT = ("<<<<<<< ", ">>>>>>> ")


def not_python(label: str, error: BadSyntax, python: tuple[int, int]) -> CannotPlan | None:
    """The problem to report; None when only a newer Python could tell."""
    old = any(error.message.startswith(start) for start in PYTHON_2)
    if python > sys.version_info[:2] and not old:
        return None
    where = f"{label}:{error.line}:{error.column}"
    line = error.text.strip()[:200]
    if old:
        fix = "this is Python 2: write print(...) with parentheses and `except Error as e`, then run it again"
    elif line.startswith(CONFLICT):
        fix = "a merge conflict was left in the file: resolve it and remove the marker lines"
    else:
        file = label.partition(":")[0]
        check = f"; `python -m py_compile {file}` shows the same error" if file.endswith(".py") else ""
        fix = f"correct the line{check}"
    return CannotPlan(
        "syntax_error",
        what=f"{where} is not valid Python {python[0]}.{python[1]}",
        why=f"{error.message}: {line}" if line else error.message,
        fix=fix,
        where=where,
    )
