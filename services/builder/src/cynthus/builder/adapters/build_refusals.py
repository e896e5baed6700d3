"""Why no image came of a Dockerfile, for people."""

import re
from collections.abc import Sequence

from cynthus.builder.adapters.build_log import BuildLog
from cynthus.builder.adapters.image_builders import ImageBuilder, StepFailed
from cynthus.builder.domain.dockerfile import Base, Dockerfile
from cynthus.builder.domain.image_build import BuildLimits, BuildRefused

_KILLED = 137
_SHORTEST_STEP = 4  # characters of a shortened step that still tell which it is
_IN_MINUTES = 120  # seconds from which a limit is told in minutes


def no_builder() -> BuildRefused:
    """Nothing here can build it."""
    return BuildRefused(
        "no_dockerfile_builder",
        "This project has a Dockerfile, and nothing here can build one.",
        "Start Docker (or install buildah) where Cynthus runs, or take the Dockerfile out of the project: "
        "Python projects are built without one.",
    )


def base_not_found(base: Base, error: Exception) -> BuildRefused:
    """No registry has the image of a FROM."""
    return BuildRefused(
        "base_not_found",
        f"The Dockerfile, line {base.line}: there is no image {base.image}.",
        "Correct its name or tag; an image of a private registry needs that registry's credentials.",
        (str(error),),
    )


def base_unreachable(base: Base, error: Exception) -> BuildRefused:
    """The registry of a FROM does not answer."""
    return BuildRefused(
        "base_unreachable",
        f"The Dockerfile, line {base.line}: the registry of {base.image} does not answer.",
        "Check the network; the run can be repeated with `cynthus rerun`.",
        (str(error),),
        transient=True,
    )


def too_large(limits: BuildLimits) -> BuildRefused:
    """The image is larger than it may be."""
    return BuildRefused(
        "image_too_large",
        f"The image is larger than {limits.image_bytes / 1e9:.1f} GB.",
        "Leave data and build tools out of it: a .dockerignore, a smaller base, a second stage.",
    )


def step_failed(
    failure: StepFailed, parsed: Dockerfile, builder: ImageBuilder, log: BuildLog
) -> BuildRefused:
    """A line of it failed, or it is not understood."""
    evidence = log.tail() or (failure.reason,)
    if failure.step is None:
        unknown = parsed.only_buildkit and not builder.knows_all
        fix = (
            f"It uses {parsed.only_buildkit[0]}, which needs BuildKit: install it where Cynthus runs."
            if unknown
            else "Read the evidence: it is the builder's own explanation."
        )
        return BuildRefused(
            "dockerfile_failed", f"The Dockerfile cannot be built: {failure.reason}.", fix, evidence
        )
    line = _line(failure.step, parsed)
    where = f"Line {line} of the Dockerfile" if line else "A step of the Dockerfile"
    ended = "" if failure.status is None else f" (exit status {failure.status})"
    message = f"{where} failed: {failure.step[:200]}{ended}."
    return BuildRefused("dockerfile_failed", message, _advice(failure, evidence), evidence)


def _line(step: str, parsed: Dockerfile) -> int | None:
    """The line of the step that a builder names by its text, which it may shorten."""
    wanted = _squeezed(step.removesuffix("...").removesuffix("…"))
    for instruction in parsed.instructions:
        flags = " ".join(f"--{name}={value}" if value else f"--{name}" for name, value in instruction.flags)
        for text in (
            f"{instruction.name} {instruction.value}",
            f"{instruction.name} {flags} {instruction.value}",
        ):
            if _squeezed(text) == wanted or (
                len(wanted) >= _SHORTEST_STEP and _squeezed(text).startswith(wanted)
            ):
                return instruction.line
    name = step.partition(" ")[0].upper()
    alone = [one.line for one in parsed.instructions if one.name == name]
    return alone[0] if len(alone) == 1 else None


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _advice(failure: StepFailed, evidence: Sequence[str]) -> str:
    said = "\n".join((*evidence, failure.reason))
    step = failure.step or ""
    if failure.status == _KILLED:
        return "Its command was killed, most often for too much memory: let it use less."
    if step.upper().startswith(("COPY", "ADD")):
        return "Correct the path: it is relative to the project's folder, and .dockerignore may leave it out."
    if "Unable to locate package" in said:
        return (
            "Run `apt-get update &&` before `apt-get install` in the same RUN line, "
            "and check the package's name."
        )
    if match := re.search(r"(\S+): (?:command )?not found", said):
        return f"Install {match[1]} in a line above, or use a base image that has it."
    if re.search(r"Temporary failure in name resolution|Could not resolve|Network is unreachable", said):
        return "The build has no network here, or the address is wrong: check both."
    return "Correct the line; the last words of the build are in the evidence."


def broken(builder: ImageBuilder, error: Exception, evidence: tuple[str, ...] = ()) -> BuildRefused:
    """The builder is at fault."""
    return BuildRefused(
        "dockerfile_builder_broken",
        f"The builder ({builder.name}) did not do its work.",
        "Check the container engine where Cynthus runs; the run can be repeated with `cynthus rerun`.",
        (*evidence, str(error)),
        transient=True,
    )


def too_slow(limits: BuildLimits, log: BuildLog) -> BuildRefused:
    """It took longer than it may."""
    return BuildRefused(
        "build_timeout",
        f"The Dockerfile was not built within {limits.seconds / 60:.0f} minutes."
        if limits.seconds >= _IN_MINUTES
        else f"The Dockerfile was not built within {limits.seconds:.0f} seconds.",
        "Put what changes seldom first, leave out what is not needed, or start from a base that has it.",
        log.tail(),
    )
