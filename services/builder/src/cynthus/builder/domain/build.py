"""The build of one run, as its history in the builder tells."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cynthus.events import (
    BuildFailed,
    BuildStarted,
    Cause,
    Event,
    Image,
    ImageBuilt,
    RunCancelled,
    RunEvent,
    RunFailed,
    RunRequested,
    RunSpec,
    RunSucceeded,
)

VERSION = 3
"""Part of every key: raised when equal inputs would be built differently."""


@dataclass(frozen=True, slots=True)
class Build:
    """How far the build of a run has come; `arguments` are added to the command of what is built."""

    arguments: tuple[str, ...] = ()
    asked: bool = False
    started: bool = False
    put_off: bool = False
    answered: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: the image, how many packages it has, and what was guessed on the way."""

    image: Image
    packages: int
    notes: tuple[str, ...] = ()
    phases_ms: Mapping[str, float] = field(default_factory=dict)


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
    parts = [
        VERSION, message.owner, message.project, spec.snapshot, spec.entry, arguments, spec.task,
        default_python, spec.runtime, spec.resources.gpu,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def request(build: Build, message: RunRequested, build_key: str, cached: Built | None) -> list[Event]:
    """Answer from the cache, or record that the work begins."""
    if build.asked:
        return []
    if build.over:
        return [message]
    if cached is None:
        return [message, BuildStarted(run_id=message.run_id, key=build_key)]
    arguments = evolve(build, message).arguments
    return [message, _image_built(message.run_id, cached, arguments, cached_before=True, seconds=0.0)]


def finish(
    build: Build, run_id: str, outcome: Built | Failed, seconds: float, *, cached: bool
) -> list[Event]:
    """Record how the work ended; a second ending says nothing, and what is tried again is told once."""
    if build.answered or not build.started:
        return []
    if isinstance(outcome, Failed):
        if outcome.transient and build.put_off:
            return []
        return [BuildFailed(run_id=run_id, cause=outcome.cause, transient=outcome.transient)]
    return [_image_built(run_id, outcome, build.arguments, cached_before=cached, seconds=seconds)]


def end(build: Build, event: RunEvent) -> list[Event]:
    """The run is over: nothing is built for it any more, and its image may go one day."""
    return [] if build.over else [event]


def evolve(build: Build, event: Event) -> Build:
    """Fold one fact in."""
    match event:
        case RunRequested(spec=spec):
            return replace(build, asked=True, arguments=spec.arguments if separable(spec) else ())
        case BuildStarted():
            return replace(build, started=True)
        case BuildFailed(transient=True):
            return replace(build, put_off=True)
        case ImageBuilt() | BuildFailed():
            return replace(build, answered=True)
        case RunSucceeded() | RunFailed() | RunCancelled():
            return replace(build, over=True)
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
        phases_ms={} if cached_before else dict(built.phases_ms),
    )
