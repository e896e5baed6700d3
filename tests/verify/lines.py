"""Lines of evidence, and what they say in common."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


class EvidenceMissing(Exception):
    """The folder is not a whole piece of evidence."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, `where` as `name.jsonl:number`."""

    where: str
    fields: Json

    def get(self, name: str, default: Any = None) -> Any:
        return self.fields.get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


def read(path: Path, shown: str) -> Iterator[Line]:
    """The lines of a file, one at a time. Raises EvidenceMissing for what is no JSON object."""
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            where = f"{shown}:{number}"
            try:
                fields = json.loads(text)
            except ValueError as error:
                raise EvidenceMissing(f"{where} is no JSON: {error}") from error
            if not isinstance(fields, dict):
                raise EvidenceMissing(f"{where} is no object")
            yield Line(where, fields)


def seconds(value: object) -> float:
    """A moment as seconds: a number, or ISO 8601 text as databases print it."""
    if isinstance(value, int | float):
        return float(value)
    moment = datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def document(value: Any) -> Any:
    """A JSON column, whether it was dumped as JSON or as text."""
    return json.loads(value) if isinstance(value, str) else value


def asked(line: Line, name: str) -> str | None:
    """What a request said under a name: in its body, or in its address."""
    sent = line.get("sent")
    if isinstance(sent, dict) and sent.get(name) is not None:
        return str(sent[name])
    query = parse_qs(urlsplit(str(line.get("path") or "")).query)
    return query[name][0] if query.get(name) else None


def accepted(line: Line) -> bool:
    """Whether the answer was a 2xx."""
    status = line.get("status")
    return status is not None and 200 <= status < 300
