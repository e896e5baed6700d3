"""Keeps secrets out of the log: by the name of a field, and in the query of a signed URL."""

import re
from typing import Any

HIDDEN = "[hidden]"
_NAMES = re.compile(
    r"authorization|token|secret|password|passwd|cookie|credential|(^|_|-)key$", re.IGNORECASE
)
_IN_TEXT = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)([?&](?:signature|x-goog-[a-z]+|token|key)=)[^&\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\w+://[^/\s:@]+:)[^/\s@]+@"), rf"\1{HIDDEN}@"),
)
_MAX_DEPTH = 6


def redact(value: Any, name: str = "", depth: int = 0) -> Any:
    """The value as it may be written down."""
    if name and _NAMES.search(name) and value is not None and not isinstance(value, bool):
        return HIDDEN
    if depth > _MAX_DEPTH:
        return "..."
    match value:
        case str():
            return _redact_text(value)
        case dict():
            return {key: redact(item, str(key), depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [redact(item, "", depth + 1) for item in value]
        case _:
            return value


def _redact_text(text: str) -> str:
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text
