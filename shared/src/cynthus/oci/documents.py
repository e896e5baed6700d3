"""JSON documents of strangers, read so that whatever they hold is either understood or refused."""

import json
from typing import Any, NoReturn


class NotAnImage(Exception):
    """A document or a layer is not what the OCI image specification describes; the message says where."""


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object that can also be written again. Raises NotAnImage."""
    try:
        read = json.loads(body, parse_constant=_refuse)
        if b"\\ud" in body.lower():
            json.dumps(read, ensure_ascii=False).encode()  # half of a character is no text
    except (ValueError, RecursionError) as error:
        raise NotAnImage("a document of an image is no JSON") from error
    if not isinstance(read, dict):
        raise NotAnImage("a document of an image is no JSON object")
    return read


def text(value: Any, what: str) -> str:
    """A string. Raises NotAnImage."""
    if not isinstance(value, str):
        raise NotAnImage(f"{what} is no text")
    return value


def text_or_none(value: Any, what: str) -> str | None:
    """A string, or None when there is none. Raises NotAnImage."""
    return None if value is None else text(value, what)


def texts(value: Any, what: str) -> dict[str, str]:
    """An object of strings, empty when there is none. Raises NotAnImage."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise NotAnImage(f"{what} are no object of texts")
    return value


def items(value: Any, what: str) -> list[Any]:
    """A list, empty when there is none. Raises NotAnImage."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise NotAnImage(f"{what} are no list")
    return value


def objects(value: Any, what: str) -> dict[str, Any]:
    """An object, empty when there is none. Raises NotAnImage."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NotAnImage(f"{what} is no object")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
