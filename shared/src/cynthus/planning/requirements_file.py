"""requirements.txt as pip reads it: includes, constraints, hashes, markers, options, local paths."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from posixpath import normpath

from cynthus.planning.document import Requirement
from cynthus.planning.names import nearest
from cynthus.planning.problem import CannotPlan
from cynthus.planning.requirement_line import SECRET_IN_URL, BadRequirement, Line, read_line
from cynthus.planning.tree import SourceTree

COMMENT = re.compile(r"(?:^|\s)#.*$")
HASH = re.compile(r"\s--hash[=\s]\s*(\S+)")
INDEX_OPTIONS = {"-i", "--index-url", "--pypi-url", "--extra-index-url", "-f", "--find-links", "--no-index"}
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
ADDRESS = re.compile(r"^(?:git|hg|svn|bzr)\+|^https?://|^file:")


@dataclass(frozen=True, slots=True)
class LocalProject:
    """`-e .` or `./folder[extra]`: a project inside the tree."""

    folder: str
    extras: tuple[str, ...]
    where: str


@dataclass(slots=True)
class RequirementsFile:
    """Everything that one file and the files it includes ask for."""

    requirements: list[Requirement] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    projects: list[LocalProject] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_requirements(tree: SourceTree, path: str, where: str | None = None) -> RequirementsFile:
    """Read `path` with its includes; CannotPlan names file and line of what cannot be used."""
    result = RequirementsFile()
    _Reader(tree, result).read(path, where or path, constraint=False)
    return result


def bad_requirements(where: str, text: str, why: str, fix: str) -> CannotPlan:
    """The error for one line."""
    shown = "" if SECRET_IN_URL.search(text) else f' "{text[:120]}"'
    return CannotPlan(
        "bad_requirements",
        what=f"{where}{shown} cannot be used as a requirement",
        why=why,
        fix=fix,
        where=where,
    )


class _Reader:
    def __init__(self, tree: SourceTree, result: RequirementsFile) -> None:
        self._tree = tree
        self._result = result
        self._paths = frozenset(tree.paths())

    def read(self, path: str, asked_by: str, *, constraint: bool) -> None:
        if path in self._result.files:
            return
        if path not in self._paths:
            near = nearest(path, (name for name in self._paths if name.endswith((".txt", ".in"))))
            raise CannotPlan(
                "bad_requirements",
                what=f"{path} does not exist",
                why=f"{asked_by} names it",
                fix=f"did you mean {near[0]}?" if near else "create the file or remove the line",
                where=asked_by,
                candidates=near,
            )
        self._result.files.append(path)
        for number, line in logical_lines(self._text(path)):
            self._line(path, f"{path}:{number}", line, constraint=constraint)

    def _text(self, path: str) -> str:
        data = self._tree.read(path)
        for bom, encoding in BOMS:
            if data.startswith(bom):
                return data.decode(encoding, "replace")
        return data.decode("utf-8", "replace")

    def _line(self, path: str, where: str, line: str, *, constraint: bool) -> None:
        editable = re.match(r"^(?:-e|--editable)[\s=]+(.*)$", line)
        if editable:
            self._project_or_address(
                path, where, editable.group(1).strip().strip("\"'"), constraint=constraint
            )
        elif line.startswith("-"):
            self._option(path, where, line, constraint=constraint)
        elif _is_path(line):
            self._project_or_address(path, where, line, constraint=constraint)
        else:
            self._requirement(where, line, constraint=constraint)

    def _option(self, path: str, where: str, line: str, *, constraint: bool) -> None:
        name, _, value = line.replace("=", " ", 1).partition(" ")
        if name[:2] in {"-r", "-c"} and not name.startswith("--") and len(name) > 2:  # noqa: PLR2004 - "-rother.txt"
            name, value = name[:2], name[2:]
        value = value.strip().strip("\"'")
        if name in {"-r", "--requirement", "-c", "--constraint"}:
            target = normpath(f"{PurePosixPath(path).parent.as_posix()}/{value}")
            self.read(target, where, constraint=constraint or name in {"-c", "--constraint"})
        elif name in INDEX_OPTIONS or name.startswith(("-i", "-f")):
            self._result.warnings.append(
                f"{where}: {name} is kept out; an index stands under [[image.index]] in cynthus.toml"
            )
        else:
            self._result.warnings.append(f"{where}: the option {name} is not acted on")

    def _project_or_address(self, path: str, where: str, text: str, *, constraint: bool) -> None:
        if ADDRESS.match(text):
            self._requirement(where, text, constraint=constraint)
            return
        bare = text.partition(";")[0]
        folder, _, extras = bare.strip().partition("[")
        target = normpath(f"{PurePosixPath(path).parent.as_posix()}/{folder.strip()}")
        if target.startswith("..") or folder.startswith(("/", "~")) or "\\" in folder:
            raise bad_requirements(
                where,
                text,
                "the path leads out of the folder",
                "move the project into the folder, or name a package",
            )
        if folder.rstrip().endswith((".whl", ".tar.gz", ".zip")):
            raise bad_requirements(
                where,
                text,
                "package files are not installed from the folder yet",
                "name a package of the index",
            )
        target = "" if target == "." else target
        if target and not any(name.startswith(f"{target}/") for name in self._paths):
            raise bad_requirements(
                where, text, f"there is no folder {target}", "correct the path or remove the line"
            )
        names = tuple(extra.strip() for extra in extras.rstrip("] ").split(",") if extra.strip())
        self._result.projects.append(LocalProject(target, names, where))

    def _requirement(self, where: str, text: str, *, constraint: bool) -> None:
        hashes = tuple(HASH.findall(f" {text}"))
        bare = HASH.sub("", f" {text}").strip()
        bare, _, option = bare.partition(" --")
        if option:
            self._result.warnings.append(
                f"{where}: the option --{option.split('=')[0].split()[0]} is not acted on"
            )
        try:
            line = read_line(_named(bare.strip()))
        except BadRequirement as error:
            raise bad_requirements(where, bare, error.why, error.fix) from error
        if "${" in line.text:
            raise bad_requirements(where, bare, "variables are not filled in here", "write the value itself")
        if constraint:
            self._result.constraints.append(line.text)
        else:
            self._result.requirements.append(declared(line, where, hashes))


def declared(line: Line, where: str, hashes: tuple[str, ...] = ()) -> Requirement:
    """A requirement that the project states itself."""
    return Requirement(
        text=line.text, name=line.name, why=f"in {where.partition(':')[0]}", source=where, hashes=hashes
    )


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, continued lines joined, each with the number it began on."""
    whole = ""
    start = 1
    for number, raw in enumerate(text.splitlines(), start=1):
        if not whole:
            start = number
        line = raw if not raw.lstrip().startswith("#") else ""
        if line.endswith("\\"):
            whole += f"{line[:-1]} "
            continue
        bare, whole = COMMENT.sub("", whole + line).strip(), ""
        if bare:
            yield start, bare
    if whole.strip():
        yield start, COMMENT.sub("", whole).strip()


def _is_path(line: str) -> bool:
    bare = line.partition(";")[0].partition("[")[0].strip()
    return (
        bare in {".", ".."}
        or bare.startswith(("./", "../", "/", "~/", ".\\"))
        or (bare.endswith((".whl", ".tar.gz", ".zip")) and "@" not in bare and "://" not in bare)
    )


def _named(text: str) -> str:
    """`git+https://host/x.git#egg=name` becomes `name @ git+https://host/x.git`."""
    if not ADDRESS.match(text):
        return text
    url, _, fragment = text.partition("#")
    egg = re.search(r"egg=([A-Za-z0-9._-]+(?:\[[^\]]*\])?)", fragment)
    if egg is not None:
        return f"{egg.group(1)} @ {url}"
    tail = re.sub(r"(\.git|\.zip|\.tar\.gz)?(@.*)?$", "", PurePosixPath(url).name)
    raise BadRequirement("an address alone does not say which package it is", f"write {tail} @ {url}")
