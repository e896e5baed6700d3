"""Debian's formats, as far as packages become files of an image. Pure."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from posixpath import normpath

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+](?::[a-z0-9-]+)?(?:=[A-Za-z0-9.+:~*-]+)?")
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
_MOST_LINKS = 40
_URI = re.compile(r"'([^']+)' (\S+) (\d+) SHA256:([0-9a-f]{64})")
_SKIPPED = re.compile(
    r"usr/share/(?:man|info|lintian|locale)/.+|usr/share/doc/(?!(?:[^/]+/)?copyright$).+", re.DOTALL
)


class LinksLoop(Exception):
    """A path leads through links without end."""


@dataclass(frozen=True, slots=True)
class Deb:
    """A package's file as an archive offers it; `name` is that of the file."""

    uri: str
    name: str
    size: int
    sha256: str

    @property
    def package(self) -> str:
        """The package's name."""
        return self.name.partition("_")[0]

    @property
    def version(self) -> str:
        """Its version, the epoch included."""
        return self.name.split("_")[1].replace("%3a", ":")


@dataclass(frozen=True, slots=True)
class Source:
    """A suite of an archive."""

    uri: str
    suite: str
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to be the generic `link`, such as libblas.so.3, under a name of /etc/alternatives."""

    link: str
    name: str
    path: str
    priority: int


def is_package(text: str) -> bool:
    """Whether this names a package, perhaps with :architecture or =version, and is no option or pattern."""
    return len(text) <= 200 and _NAME.fullmatch(text) is not None  # noqa: PLR2004 - longer than any


def is_skipped(path: str) -> bool:
    """Whether images go without this file: manuals and translations, but never a copyright notice."""
    return _SKIPPED.fullmatch(path) is not None


def downloads(text: str) -> tuple[Deb, ...]:
    """What `apt-get --print-uris` would fetch."""
    return tuple(Deb(match[1], match[2], int(match[3]), match[4]) for match in _URI.finditer(text))


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Paragraphs of `Field: value`; continued lines keep their line breaks."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] in " \t" and last:
            fields[last] += "\n" + line
        elif match := _FIELD.fullmatch(line):
            last = match[1]
            fields[last] = match[2]
    if fields:
        yield fields


def stanza(fields: Mapping[str, str]) -> str:
    """One paragraph, with a blank line behind it."""
    return "".join(f"{name}: {value}\n" for name, value in fields.items()) + "\n"


def installed(control: Mapping[str, str]) -> dict[str, str]:
    """A package's control fields as the status of an installed one."""
    rest = {name: value for name, value in control.items() if name not in {"Package", "Status"}}
    return {"Package": control["Package"], "Status": "install ok installed", **rest}


def identity(control: Mapping[str, str]) -> str:
    """What dpkg calls it in its records."""
    if control.get("Multi-Arch") == "same":
        return f"{control['Package']}:{control['Architecture']}"
    return control["Package"]


def sources(text: str) -> Iterator[Source]:
    """Suites of binary packages of a sources.list or a .sources file, without their options."""
    if re.search(r"^\s*Types\s*:", text, re.MULTILINE):
        lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        for fields in stanzas(lines):
            if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes").strip() != "no":
                for uri in fields.get("URIs", "").split():
                    for suite in fields.get("Suites", "").split():
                        yield Source(uri, suite, tuple(fields.get("Components", "").split()))
        return
    for line in text.splitlines():
        words = re.sub(r"\[[^\]]*\]", "", line.partition("#")[0]).split()
        if len(words) > 3 and words[0] == "deb":  # noqa: PLR2004 - deb URI suite component
            yield Source(words[1], words[2], tuple(words[3:]))


def through(path: str, links: Mapping[str, str]) -> str:
    """Where a path of a package lies when folders on its way are links, as /lib is since usrmerge.

    The last part is not followed. Raises LinksLoop.
    """
    waiting = [part for part in path.split("/") if part not in {"", "."}][::-1]
    done: list[str] = []
    followed = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        target = links.get("/".join(done)) if waiting else None
        if target is None:
            continue
        followed += 1
        if followed > _MOST_LINKS:
            raise LinksLoop(path)
        if target.startswith("/"):
            done.clear()
        else:
            done.pop()
        waiting += [part for part in target.split("/") if part not in {"", "."}][::-1]
    return "/".join(done)


def alternatives(script: str) -> Iterator[Alternative]:
    """Of a maintainer script: every `update-alternatives --install` whose words are all literal."""
    for line in script.replace("\\\n", " ").splitlines():
        match = re.match(r"\s*(?:/usr/bin/)?update-alternatives\s+(.*)", line)
        if match is None or re.search(r"[$`]", match[1]):
            continue
        try:
            words = shlex.split(match[1].rstrip(" ;|&"))
        except ValueError:
            continue
        yield from _alternatives(words)


def _alternatives(words: list[str]) -> Iterator[Alternative]:
    priority = 0
    for at, word in enumerate(words):
        if word == "--install" and len(words) > at + 4 and re.fullmatch(r"-?\d+", words[at + 4]):
            priority = int(words[at + 4])
            yield Alternative(_inside(words[at + 1]), words[at + 2], words[at + 3], priority)
        elif word == "--slave" and len(words) > at + 3:
            yield Alternative(_inside(words[at + 1]), words[at + 2], words[at + 3], priority)


def _inside(path: str) -> str:
    return normpath(path).lstrip("/")
