"""What may be done on a stream: colours, a moving line, which signs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

_DEFAULT_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Terminal:
    """`live`: a line may be redrawn. `plain`: one dated line per change, for logs of machines."""

    tty: bool = False
    colour: bool = False
    live: bool = False
    plain: bool = True
    unicode: bool = True
    width: int = _DEFAULT_WIDTH

    def red(self, text: str) -> str:
        """Errors."""
        return self._paint(text, "1;31")

    def green(self, text: str) -> str:
        """Done."""
        return self._paint(text, "32")

    def yellow(self, text: str) -> str:
        """Warnings and guesses."""
        return self._paint(text, "33")

    def bold(self, text: str) -> str:
        """What the eye should find."""
        return self._paint(text, "1")

    def dim(self, text: str) -> str:
        """Labels."""
        return self._paint(text, "2")

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


def of(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Terminal:
    """What this stream allows: NO_COLOR, CLICOLOR_FORCE, TERM, CI and CYNTHUS_NO_PROGRESS are obeyed."""
    tty = stream.isatty()
    dumb = environment.get("TERM") == "dumb"
    ci = environment.get("CI", "").lower() not in {"", "0", "false"}
    person = tty and not ci
    forced = environment.get("CLICOLOR_FORCE", "0") not in {"", "0"}
    return Terminal(
        tty=tty,
        colour=not environment.get("NO_COLOR") and (forced or (person and not dumb)),
        live=person and not dumb and not environment.get("CYNTHUS_NO_PROGRESS"),
        plain=not person,
        unicode=(stream.encoding or "").lower().replace("-", "") == "utf8",
        width=_width(stream) if tty else _DEFAULT_WIDTH,
    )


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_WIDTH
    except (OSError, ValueError):
        return _DEFAULT_WIDTH
