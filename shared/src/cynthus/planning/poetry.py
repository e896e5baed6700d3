"""Poetry's own dependency table, in the words of PEP 508."""

import re
from typing import Any

NUMBERS = re.compile(r"^[~^]\s*v?(\d+(?:\.\d+)*)")
PARTS = 2


def poetry_lines(table: dict[str, Any]) -> tuple[list[str], str | None, list[str]]:
    """Requirement lines, the Python rule, and names that have no index version (paths, git)."""
    lines: list[str] = []
    odd: list[str] = []
    python: str | None = None
    for name, value in table.items():
        fields = value if isinstance(value, dict) else {"version": value}
        version = fields.get("version")
        if not isinstance(version, str):
            odd.append(name)
        elif name.lower() == "python":
            python = _rules(version)
        elif not fields.get("optional"):
            extras = ",".join(str(extra) for extra in fields.get("extras", ()))
            lines.append(f"{name}[{extras}]{_rules(version)}" if extras else f"{name}{_rules(version)}")
    return lines, python, odd


def _rules(version: str) -> str:
    return ",".join(rule for part in version.split(",") if (rule := _rule(part.strip())))


def _rule(part: str) -> str:
    if part in {"*", ""}:
        return ""
    if part[0].isdigit():
        return f"=={part}"
    found = NUMBERS.match(part)
    if found is None or part.startswith("~="):
        return part
    numbers = [int(number) for number in found.group(1).split(".")]
    return f">={found.group(1)},<{_ceiling(numbers, caret=part.startswith('^'))}"


def _ceiling(numbers: list[int], *, caret: bool) -> str:
    """^1.2 stops below 2, ^0.3 below 0.4; ~1.2.3 stops below 1.3, ~1 below 2."""
    if caret:
        place = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
    else:
        place = 1 if len(numbers) >= PARTS else 0
    return ".".join(str(number) for number in (*numbers[:place], numbers[place] + 1))
