"""The build of one run, as its history in the builder tells."""

import hashlib
import json
from dataclasses import dataclass, replace

from cynthus.events import (
    BuildFailed,
    BuildStarted,
    Cause,
    Event,
    Image,
    ImageBuilt,
    RunEvent,
    RunRequested,
    RunSpec,
)

VERSION = 2
"""Part of every key: raised when equal inputs would be built differently."""


@dataclass(frozen=True, slots=True)
class Build:
    """How far the build of a run has come; `arguments` are added to the command of what is built."""

    arguments: tuple[str, ...] = ()
    asked: bool = False
    started: bool = False
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: the image, how many packages it has, and what was guessed on the way."""

    image: Image
    packages: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """A build that cannot be finished."""

    cause: Cause
    transient: bool = False


def separable(spec: RunSpec) -> bool:
    """Whether the arguments only follow the command, so that what is built is the same for all of them."""
    return spec.entry is not None and spec.entry.endswith((".py", ".ipynb"))


def key(message: RunRequested, default_python: str) -> str:
    """Names what is built: equal keys give equal images."""
    spec = message.spec
    arguments = None if separable(spec) else list(spec.arguments)
    parts = [VERSION, message.owner, spec.snapshot, spec.entry, arguments, spec.task, default_python]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def request(build: Build, message: RunRequested, build_key: str, cached: Built | None) -> list[Event]:
    """Answer from the cache, or record that the work begins."""
    if build.asked:
        return []
    if cached is None:
        return [message, BuildStarted(run_id=message.run_id, key=build_key)]
    arguments = evolve(build, message).arguments
    return [message, _image_built(message.run_id, cached, arguments, cached_before=True, seconds=0.0)]


def finish(
    build: Build, run_id: str, outcome: Built | Failed, seconds: float, *, cached: bool
) -> list[Event]:
    """Record how the work ended; a second ending says nothing."""
    if build.answered or not build.started:
        return []
    if isinstance(outcome, Failed):
        return [BuildFailed(run_id=run_id, cause=outcome.cause, transient=outcome.transient)]
    return [_image_built(run_id, outcome, build.arguments, cached_before=cached, seconds=seconds)]


def evolve(build: Build, event: Event) -> Build:
    """Fold one fact in."""
    match event:
        case RunRequested(spec=spec):
            return replace(build, asked=True, arguments=spec.arguments if separable(spec) else ())
        case BuildStarted():
            return replace(build, started=True)
        case ImageBuilt() | BuildFailed():
            return replace(build, answered=True)
        case _:
            return build


def _image_built(
    run_id: str, built: Built, arguments: tuple[str, ...], *, cached_before: bool, seconds: float
) -> RunEvent:
    return ImageBuilt(
        run_id=run_id,
        image=built.image.model_copy(update={"command": built.image.command + arguments}),
        packages=built.packages,
        cached=cached_before,
        seconds=seconds,
        notes=built.notes,
    )
