"""Package indexes beside the public one: their addresses, and those pyproject.toml names for uv."""

import re
from typing import Any
from urllib.parse import urlsplit

from cynthus.planning.document import Index
from cynthus.planning.problem import CannotPlan

LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1")


class BadIndex(Exception):
    """The address cannot be used: why, and what to write. Never holds the address."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why, fix)
        self.why = why
        self.fix = fix


class HoldsPassword(BadIndex):
    """The address holds credentials."""


def check_url(url: str) -> None:
    """An https address, or http on this machine, without credentials. Raises BadIndex."""
    try:
        parts = urlsplit(url)
        host, secret = parts.hostname or "", "@" in parts.netloc
    except ValueError as error:
        raise BadIndex("it is not an address", "write https://host/simple") from error
    if secret:
        raise HoldsPassword(
            "it holds a user name, password or token",
            'take it out, keep it as a secret, and name that under [[image.index]]: secret = "NAME"',
        )
    if "$" in url or re.search(r"\s", url):
        raise BadIndex("variables and spaces are not filled in here", "write the address itself")
    local = parts.scheme == "http" and LOOPBACK.fullmatch(host)
    if not host or not (parts.scheme == "https" or local):
        raise BadIndex(
            "it is not an https address", "write https://host/simple; http is for this machine only"
        )


def uv_indexes(path: str, tables: Any) -> tuple[tuple[Index, ...], tuple[str, ...]]:
    """What `[[tool.uv.index]]` names, and warnings for what is left out. Raises CannotPlan."""
    found: list[Index] = []
    warnings: list[str] = []
    for table in tables if isinstance(tables, list) else []:
        if not isinstance(table, dict) or not isinstance(url := table.get("url"), str):
            continue
        label = f"{path}: the index {table['name']}" if "name" in table else f"{path}: an index"
        try:
            check_url(url)
        except HoldsPassword as error:
            raise CannotPlan("bad_index", what=label, why=error.why, fix=error.fix, where=path) from error
        except BadIndex as error:
            warnings.append(f"{label} is not used: {error.why}")
            continue
        if table.get("explicit") or table.get("format") == "flat":
            kind = "for [tool.uv.sources] only" if table.get("explicit") else "a flat list of files"
            warnings.append(f"{label} is not used: it is {kind}")
            continue
        name = table.get("name")
        host = re.sub(r"[^a-z0-9]+", "-", (urlsplit(url).hostname or "").lower()).strip("-")
        found.append(Index(name=name if isinstance(name, str) else host, url=url))
    return tuple(found), tuple(warnings)


def joined(declared: tuple[Index, ...], others: tuple[Index, ...]) -> tuple[Index, ...]:
    """Declared ones first; the same name or address is not repeated."""
    names = {index.name for index in declared}
    urls = {index.url.rstrip("/") for index in declared}
    return (*declared, *(one for one in others if one.name not in names and one.url.rstrip("/") not in urls))
