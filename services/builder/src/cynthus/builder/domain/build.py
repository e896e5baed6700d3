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
)

VERSION = 1
"""Part of every key: raised when equal inputs would be built differently."""


@dataclass(frozen=True, slots=True)
class Build:
    """How far the build of a run has come."""

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


def key(message: RunRequested, default_python: str) -> str:
    """Names what is built: equal keys give equal images."""
    spec = message.spec
    parts = [
        VERSION, message.owner, spec.snapshot, spec.entry, list(spec.arguments), spec.task, default_python,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def request(build: Build, message: RunRequested, build_key: str, cached: Built | None) -> list[Event]:
    """Answer from the cache, or record that the work begins."""
    if build.asked:
        return []
    if cached is None:
        return [message, BuildStarted(run_id=message.run_id, key=build_key)]
    return [message, _image_built(message.run_id, cached, cached_before=True, seconds=0.0)]


def finish(
    build: Build, run_id: str, outcome: Built | Failed, seconds: float, *, cached: bool
) -> list[Event]:
    """Record how the work ended; a second ending says nothing."""
    if build.answered or not build.started:
        return []
    if isinstance(outcome, Failed):
        return [BuildFailed(run_id=run_id, cause=outcome.cause, transient=outcome.transient)]
    return [_image_built(run_id, outcome, cached_before=cached, seconds=seconds)]


def evolve(build: Build, event: Event) -> Build:
    """Fold one fact in."""
    match event:
        case RunRequested():
            return replace(build, asked=True)
        case BuildStarted():
            return replace(build, started=True)
        case ImageBuilt() | BuildFailed():
            return replace(build, answered=True)
        case _:
            return build


def _image_built(run_id: str, built: Built, *, cached_before: bool, seconds: float) -> RunEvent:
    return ImageBuilt(
        run_id=run_id,
        image=built.image,
        packages=built.packages,
        cached=cached_before,
        seconds=seconds,
        notes=built.notes,
    )
