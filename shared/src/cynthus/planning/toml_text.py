"""TOML with line numbers: which line a key or a string stands on."""

import re
from typing import Any

AT = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\s*$")


class BadTOML(Exception):
    """Not TOML: the message and the line."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line


def read_toml(data: bytes | str) -> dict[str, Any]:
    """Parse; BadTOML carries the line."""
    import tomllib

    text = data if isinstance(data, str) else _text(data)
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError as error:
        raise BadTOML("it is nested too deeply", 1) from error
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = AT.search(message)
        end = text.count("\n") + 1
        line = int(found.group(1)) if found and found.group(1) else end
        raise BadTOML(AT.sub("", message), line) from error


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTOML("it is not UTF-8 text", data.count(b"\n", 0, error.start) + 1) from error


def line_of(text: str, value: str, after: str = "") -> int:
    """The line where a quoted string first stands after the line that begins with `after`; 1 if nowhere."""
    begin = 0
    if after:
        found = re.search(rf"^\s*{re.escape(after)}", text, re.MULTILINE)
        begin = found.start() if found else 0
    for quote in ('"', "'"):
        at = text.find(f"{quote}{value}{quote}", begin)
        if at >= 0:
            return text.count("\n", 0, at) + 1
    return 1
