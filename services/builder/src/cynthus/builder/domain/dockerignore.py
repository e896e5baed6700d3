"""Which files of a build's context .dockerignore leaves out, with the rules of Docker. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from posixpath import normpath

_MOST_LENGTH = 4096
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[\^?[^\]]+\]|\\.|.", re.DOTALL)

_REPEATED = re.compile(r"(?:\*\*/)+")


@dataclass(frozen=True, slots=True)
class _Token:
    """One character of these, or with `repeats` any number of them."""

    accepts: re.Pattern[str]
    repeats: bool = False
    folders: bool = False  # what it repeats ends with a slash


@dataclass(frozen=True, slots=True)
class _Rule:
    tokens: tuple[_Token, ...]
    keeps: bool


def excluded(text: str) -> Callable[[str], bool]:
    """Whether a path, relative with forward slashes, is left out; the last rule that matches decides."""
    rules = [rule for line in text.removeprefix("\ufeff").splitlines() if (rule := _rule(line)) is not None]

    def decide(path: str) -> bool:
        out = False
        for rule in rules:
            if rule.keeps == out and _matches(rule.tokens, path):
                out = not rule.keeps
        return out

    return decide


def _rule(line: str) -> _Rule | None:
    pattern = line.strip()
    if line.startswith("#") or len(pattern) > _MOST_LENGTH:
        return None
    keeps = pattern.startswith("!")
    pattern = pattern.removeprefix("!").strip()
    pattern = normpath(pattern).lstrip("/") if pattern else ""
    if pattern in {".", ""}:
        return None
    pattern = _REPEATED.sub("**/", pattern)
    return _Rule(tuple(_token(piece) for piece in _TOKEN.findall(pattern)), keeps)


_ANY = re.compile(".", re.DOTALL)
_IN_NAME = re.compile("[^/]")


def _token(piece: str) -> _Token:
    match piece:
        case "**/":
            return _Token(_ANY, repeats=True, folders=True)
        case "**":
            return _Token(_ANY, repeats=True)
        case "*":
            return _Token(_IN_NAME, repeats=True)
        case "?":
            return _Token(_IN_NAME)
        case _ if len(piece) > 2 and piece.startswith("["):  # noqa: PLR2004 - brackets around something
            return _Token(_class(piece))
        case _:
            return _Token(re.compile(re.escape(piece[-1])))


def _class(piece: str) -> re.Pattern[str]:
    inside = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
    negated = inside.startswith("^")
    inside = (
        inside.removeprefix("^").replace("^", "\\^").replace("&&", "&").replace("||", "|").replace("~~", "~")
    )
    try:
        return re.compile(f"[^/{inside}]" if negated else f"[{inside}]")
    except re.error:
        return re.compile(re.escape(piece))


def _matches(tokens: tuple[_Token, ...], path: str) -> bool:
    """Whether the path or a folder it is in matches. All places move along together.

    A place is the next token's index; inside folders that `**/` takes up it is ~index.
    """
    places = _with_empty(tokens, {0})
    for character in path:
        if character == "/" and len(tokens) in places:
            return True
        moved = set[int]()
        for place in places:
            moved |= _moved(tokens, place, character)
        places = _with_empty(tokens, moved)
        if not places:
            return False
    return len(tokens) in places


def _moved(tokens: tuple[_Token, ...], place: int, character: str) -> set[int]:
    if place == len(tokens):
        return set()
    index = place if place >= 0 else ~place
    token = tokens[index]
    if token.folders:
        return {~index, index + 1} if character == "/" else {~index}
    if not token.accepts.match(character):
        return set()
    return {index} if token.repeats else {index + 1}


def _with_empty(tokens: tuple[_Token, ...], places: set[int]) -> set[int]:
    """With the places behind tokens that may take nothing."""
    found = set(places)
    waiting = [place for place in places if place >= 0]
    while waiting:
        place = waiting.pop()
        if place < len(tokens) and tokens[place].repeats and place + 1 not in found:
            found.add(place + 1)
            waiting.append(place + 1)
    return found
