"""A Dockerfile understood without running it: its stages, what it starts from, what it would run. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from cynthus.builder.domain.dockerfile_syntax import DockerfileRefused, Instruction, expand, pairs, read

_KNOWN = frozenset({
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
})  # fmt: skip
_PLATFORM = {
    "BUILDPLATFORM": "linux/amd64", "BUILDOS": "linux", "BUILDARCH": "amd64", "BUILDVARIANT": "",
    "TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64", "TARGETVARIANT": "",
}  # fmt: skip
_SECRET = re.compile(
    r"passw(or)?d|secret|token|api_?key|private_?key|access_?key|credential|(^|_)pwd($|_)", re.IGNORECASE
)
_FROM = re.compile(r"(\S+)(?:\s+[Aa][Ss]\s+(\S+))?")
_STAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_MOUNT = re.compile(r"--mount=(\S+)")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a line that a person should know."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Base:
    """An image from outside that the build uses: in FROM, or in `--from` of COPY and RUN --mount."""

    image: str
    line: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage as far as it can be told without its base; `base` is "" for scratch."""

    name: str
    base: str
    line: int
    platform: str | None = None
    workdir: str | None = None
    user: str | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """`bases` in order of their lines; `only_buildkit` says which lines no other builder understands."""

    instructions: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    bases: tuple[Base, ...]
    remarks: tuple[Remark, ...] = ()
    only_buildkit: tuple[Remark, ...] = ()

    @property
    def final(self) -> Stage:
        """What the image is made of."""
        return self.stages[-1]


def parse(text: str) -> Dockerfile:
    """Raises DockerfileRefused."""
    syntax = read(text)
    _check(syntax.instructions)
    global_args: dict[str, str] = {}
    stages: list[Stage] = []
    bases: list[Base] = []
    for instruction in syntax.instructions:
        if instruction.name == "FROM":
            stages.append(_stage(instruction, global_args, stages))
            if _is_foreign(stages[-1].base, stages[:-1]):
                bases.append(Base(stages[-1].base, instruction.line))
        elif not stages:
            global_args |= _arguments(instruction, global_args)
        else:
            stages[-1] = _step(stages[-1], instruction, global_args)
            sources = [name for name in image_sources(instruction) if _is_foreign(name, stages)]
            bases += [Base(name, instruction.line) for name in sources]
    remarks = tuple(remark for instruction in syntax.instructions for remark in _remarks(instruction))
    moving = tuple(
        Remark(base.line, f"{base.image} can move to other bytes; the digest of this build is recorded")
        for base in bases
        if "@" not in base.image
    )
    return Dockerfile(
        syntax.instructions,
        tuple(stages),
        tuple(bases),
        remarks + moving,
        _only_buildkit(syntax.instructions, syntax.directives),
    )


def image_sources(instruction: Instruction) -> tuple[str, ...]:
    """What `--from` of a COPY, ADD or RUN --mount names: a stage, its number, or an image."""
    named = [instruction.flag("from")] if instruction.name in {"COPY", "ADD"} else []
    named += [options.get("from") for options in mounts(instruction)]
    return tuple(name for name in named if name)


def mounts(instruction: Instruction) -> tuple[dict[str, str], ...]:
    """The options of each `RUN --mount`."""
    if instruction.name != "RUN":
        return ()
    given = (value for name, value in instruction.flags if name == "mount")
    return tuple(dict(_option(part) for part in value.split(",")) for value in given)


def pinned(text: str, dockerfile: Dockerfile, pins: Mapping[str, str], cache_scope: str) -> str:
    """The text with every base by digest, line for line, and cache mounts of their own per `cache_scope`."""
    lines = text.split("\n")
    for instruction in dockerfile.instructions:
        first, end = instruction.line - 1, instruction.end
        if instruction.name == "FROM":
            stage = next(one for one in dockerfile.stages if one.line == instruction.line)
            if stage.base in pins and _is_base_of(dockerfile, stage):
                lines[first:end] = [_from(instruction, pins[stage.base]), *[""] * (end - first - 1)]
            continue
        for at in range(first, end):
            if instruction.name in {"COPY", "ADD", "RUN"} and "--" in lines[at]:
                lines[at] = _scoped(_refer(lines[at], pins), cache_scope)
    return "\n".join(lines)


def _is_base_of(dockerfile: Dockerfile, stage: Stage) -> bool:
    return Base(stage.base, stage.line) in dockerfile.bases


def _from(instruction: Instruction, image: str) -> str:
    match = _FROM.fullmatch(instruction.value)
    name = f" AS {match[2]}" if match and match[2] else ""
    platform = instruction.flag("platform")
    return f"FROM {f'--platform={platform} ' if platform else ''}{image}{name}"


def _refer(line: str, pins: Mapping[str, str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        return match[1] + pins.get(match[2], match[2])

    return re.sub(r"((?:--|,|=)from=)([^\s,]+)", replaced, line)


def _scoped(line: str, scope: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        options = dict(_option(part) for part in match[1].split(","))
        if options.get("type") != "cache":
            return match[0]
        target = options.get("target") or options.get("dst") or options.get("destination") or ""
        options["id"] = f"{scope}:{options.get('id') or target}"
        return "--mount=" + ",".join(f"{name}={value}" if value else name for name, value in options.items())

    return _MOUNT.sub(replaced, line)


def _option(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, value


def _check(instructions: tuple[Instruction, ...]) -> None:
    for instruction in instructions:
        if instruction.name not in _KNOWN:
            raise DockerfileRefused(
                instruction.line, f"{instruction.name[:40]!r} is no instruction", "Correct the word."
            )
        if not instruction.value:
            raise DockerfileRefused(
                instruction.line, f"{instruction.name} says nothing", "Complete or remove the line."
            )
    first = next((one for one in instructions if one.name != "ARG"), None)
    if first is None or first.name != "FROM":
        line = 1 if first is None else first.line
        raise DockerfileRefused(line, "it does not begin with FROM", "Begin it with FROM python:3.12-slim.")


def _stage(instruction: Instruction, args: Mapping[str, str], stages: list[Stage]) -> Stage:
    line, match = instruction.line, _FROM.fullmatch(instruction.value)
    if match is None:
        raise DockerfileRefused(line, "FROM is not understood", "Write FROM image, or FROM image AS name.")
    image = expand(match[1], {**_PLATFORM, **args}, line).strip("\"'")
    if not image:
        raise DockerfileRefused(
            line,
            f"{match[1]} names no image",
            "Give the ARG above FROM a default: no build arguments are passed.",
        )
    name = (match[2] or "").lower()
    if name and (not _STAGE_NAME.fullmatch(name) or name == "scratch"):
        raise DockerfileRefused(line, f"{name!r} is no name for a stage", "Use letters, digits, - and _.")
    platform = instruction.flag("platform")
    platform = expand(platform, {**_PLATFORM, **args}, line) if platform else None
    if platform not in {None, "", "linux/amd64"}:
        raise DockerfileRefused(
            line, f"the platform is {platform}", "Machines here are linux/amd64: remove --platform."
        )
    parent = _named(image, stages)
    if parent is not None:
        return replace(parent, name=name, base=image, line=line, platform=platform, args={})
    if image.lower() == "scratch":
        return Stage(name, "", line, platform, workdir="/")
    return Stage(name, image, line, platform)


def _named(name: str, stages: list[Stage]) -> Stage | None:
    return next((stage for stage in stages if stage.name and stage.name == name.lower()), None)


def _is_foreign(image: str, stages: list[Stage]) -> bool:
    return bool(image) and image != "scratch" and not image.isdigit() and _named(image, stages) is None


def _arguments(instruction: Instruction, known: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs(instruction.value, instruction.line):
        if value is not None:
            found[name] = expand(value, {**_PLATFORM, **known, **found}, instruction.line)
    return found


def _step(stage: Stage, instruction: Instruction, global_args: Mapping[str, str]) -> Stage:
    line, value = instruction.line, instruction.value
    values = {**stage.args, **stage.env}
    match instruction.name:
        case "ARG":
            given = pairs(value, line)
            inherited = {
                name: global_args[name] for name, default in given if default is None and name in global_args
            }
            return replace(stage, args={**stage.args, **inherited, **_arguments(instruction, values)})
        case "ENV":
            return replace(stage, env={**stage.env, **_arguments(instruction, values)})
        case "WORKDIR":
            folder = PurePosixPath(stage.workdir or "/") / expand(value, values, line).strip("\"'")
            return replace(stage, workdir=str(folder))
        case "USER":
            return replace(stage, user=expand(value, values, line).strip("\"'"))
        case "CMD":
            return replace(stage, command=instruction.words())
        case "ENTRYPOINT":
            return replace(stage, entrypoint=instruction.words(), command=None)
        case _:
            return stage


def _remarks(instruction: Instruction) -> list[Remark]:
    line, found = instruction.line, list[Remark]()
    if instruction.name in {"ARG", "ENV"}:
        found += [
            Remark(
                line,
                f"{name} looks like a secret and stays readable in the image; give it to the run instead",
            )
            for name, value in pairs(instruction.value, line)
            if _SECRET.search(name) and value
        ]
        if instruction.name == "ARG":
            found += [
                Remark(line, f"{name} gets no value: build arguments are not passed, least of all secrets")
                for name, value in pairs(instruction.value, line)
                if _SECRET.search(name) and not value
            ]
    downloads = instruction.name == "ADD" and re.match(r"https?://", instruction.value)
    if downloads and instruction.flag("checksum") is None:
        found.append(Remark(line, "what ADD downloads is not verified; add --checksum=sha256:..."))
    if instruction.name == "ONBUILD":
        found.append(Remark(line, "ONBUILD does nothing in this image, only in images made from it"))
    if any(options.get("type") in {"secret", "ssh"} for options in mounts(instruction)):
        found.append(
            Remark(line, "no secret is mounted into builds; fetch what needs one before, or in the run")
        )
    return found


def _only_buildkit(
    instructions: tuple[Instruction, ...], directives: Mapping[str, str]
) -> tuple[Remark, ...]:
    found = [Remark(1, "# syntax")] if "syntax" in directives else []
    for one in instructions:
        if one.heredocs:
            found.append(Remark(one.line, "here-document"))
        newer = {"mount", "network", "security", "link", "chmod", "checksum", "parents", "exclude"}
        found += [Remark(one.line, f"{one.name} --{name}") for name, _ in one.flags if name in newer]
    return tuple(found)
