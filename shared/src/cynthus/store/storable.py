"""PostgreSQL keeps no NUL character in text or jsonb: it becomes the replacement character."""

from typing import Any

import orjson

_NUL = "\x00"
_REPLACEMENT = "\ufffd"
_ESCAPED_NUL = "\\u0000"


def storable_text(text: str) -> str:
    """The text without NUL."""
    return text.replace(_NUL, _REPLACEMENT)


def storable_json(text: str) -> str:
    """A JSON document without NUL in its strings; nearly always the very same text."""
    if _ESCAPED_NUL not in text:
        return text
    return orjson.dumps(storable_value(orjson.loads(text))).decode()


def storable_value(value: Any) -> Any:
    """JSON values without NUL in any string."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {storable_text(key): storable_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable_value(item) for item in value]
    return value
