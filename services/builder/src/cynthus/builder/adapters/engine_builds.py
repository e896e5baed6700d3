"""Dockerfile builds by a Docker engine: its classic builder, and the BuildKit inside it."""

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from cynthus.builder.adapters import killable
from cynthus.builder.adapters.build_context import packed
from cynthus.builder.adapters.build_log import BuildLog
from cynthus.builder.adapters.engine_api import Calls, Engine
from cynthus.builder.adapters.image_builders import (
    LABEL,
    BaseUnknown,
    BaseUnreachable,
    BuilderBroken,
    Order,
    StepFailed,
)
from cynthus.containers.errors import EngineRefused, EngineUnavailable
from cynthus.oci.reference import NotAReference, Reference

_DOCKERFILE = ".cynthus.Dockerfile"
_CPU_PERIOD = 100_000
_KEPT_S = 24 * 3600
_UNREACHABLE = re.compile(
    r"dial tcp|no such host|timeout|timed out|connection refused|deadline|TLS handshake|EOF"
    r"|HTTP status: 5\d\d"
)
_CLASSIC_STEP = re.compile(r"Step \d+/\d+ : (.*)")
_BUILDKIT_STEP = re.compile(r"#(\d+) \[(?:[^\]]* )?\d+/\d+\] (.*)")
_BUILDKIT_ERROR = re.compile(r"#(\d+) ERROR: (.*)")
_BUILDKIT_LINE = re.compile(r"#\d+ \d+\.\d+ ?(.*)")
_BUILDKIT_NOISE = re.compile(
    r"#\d+ (?:sha256:|DONE|CACHED|transferring|\[internal\]|exporting|writing|naming)|-{3,}"
)
_EXIT = re.compile(r"(?:exit code: |returned a non-zero code: )(\d+)")
_BUILT_IN = range(1809, 2300)  # versions of the docker program with BuildKit in it, 18.09 to 22

_Result = TypeVar("_Result")


class EngineBuilds:
    """What both ways share: bases and results are images of the engine."""

    def __init__(
        self, socket: Path, credentials: Mapping[str, tuple[str, str]], *, local_bases: bool
    ) -> None:
        self._socket = socket
        self._credentials = credentials
        self._local_bases = local_bases

    async def pull(self, base: Reference) -> str:
        """Fetch an image; the digest of its manifest."""
        return await _in_thread(lambda calls: self._pull(Engine(self._socket, calls), base))

    async def clean(self) -> None:
        """Images of builds are the next builds' cache for a day."""
        await _in_thread(lambda calls: Engine(self._socket, calls).remove_unused(LABEL, _KEPT_S))

    @contextmanager
    def export(self, image: str, order: Order) -> Iterator[BinaryIO]:  # noqa: ARG002 - others need the order
        """The image as a docker-archive."""
        with Engine(self._socket).export(image) as archive:
            yield archive

    def _pull(self, engine: Engine, base: Reference) -> str:
        name = str(base) if base.pinned or base.tag else f"{base}:latest"
        if base.pinned:
            name = f"{base.host}/{base.repository}@{base.digest}"
        there = engine.inspect_image(name) if base.pinned or self._local_bases else None
        try:
            if there is None or not base.pinned:
                engine.pull(name, self._credentials.get(base.host))
        except EngineRefused as error:
            if there is None:
                kind = BaseUnreachable if _UNREACHABLE.search(str(error)) else BaseUnknown
                raise kind(str(error)) from error
        there = engine.inspect_image(name)
        if there is None:
            raise BuilderBroken(f"the engine has not got {name}, which it has just fetched")
        return base.digest or _digest(there, base)


class ClassicBuilds(EngineBuilds):
    """The engine's first builder."""

    name = "classic"
    caps_memory = True
    knows_all = False

    async def is_here(self) -> bool:
        """Whether an engine answers."""
        return await asyncio.to_thread(Engine(self._socket).ping)

    async def build(self, order: Order, log: BuildLog) -> str:
        """The engine stops the build as soon as the connection ends, whoever ends it."""
        return await _in_thread(lambda calls: self._build(Engine(self._socket, calls), order, log))

    def _build(self, engine: Engine, order: Order, log: BuildLog) -> str:
        step, image = None, None
        ignore = order.context / ".dockerignore"
        names = [_DOCKERFILE] if ignore.is_file() else [_DOCKERFILE, ".dockerignore"]
        rules = (ignore.read_bytes() if ignore.is_file() else b"") + "\n".join(["", *names, ""]).encode()
        context = packed(order.context, {_DOCKERFILE: order.text.encode(), ".dockerignore": rules})
        try:
            for message in engine.build(context, _options(order)):
                if "error" in message:
                    raise _failed(message, step)
                text = str(message.get("stream", ""))
                if match := _CLASSIC_STEP.match(text):
                    step = match[1].rstrip()
                image = (message.get("aux") or {}).get("ID", image)
                log.add(text)
        except EngineRefused as error:
            raise StepFailed(str(error)) from error
        if image is None:
            raise BuilderBroken("the engine ended the build without an image")
        return str(image)


class BuildKitBuilds(EngineBuilds):
    """BuildKit through the docker program: in it before version 23, as its buildx plugin since."""

    name = "buildkit"
    caps_memory = False
    knows_all = True
    _program: str | None = None

    async def is_here(self) -> bool:
        """Whether a docker program on this machine can use BuildKit with the engine."""
        if not await asyncio.to_thread(Engine(self._socket).ping):
            return False
        for folder in os.get_exec_path():
            program = shutil.which("docker", path=folder)
            if program is not None and await self._serves(program):
                self._program = program
                return True
        return False

    async def build(self, order: Order, log: BuildLog) -> str:
        """The image's identity in the engine."""
        if self._program is None and not await self.is_here():
            raise BuilderBroken("no docker program with BuildKit is here any more")
        assert self._program is not None
        dockerfile, written = order.work / "Dockerfile", order.work / "image"
        dockerfile.write_text(order.text)
        failure = _BuildKitFailure()
        log.understand = failure.understand
        status = await killable.run(
            [self._program, "build", "--progress=plain", f"--label={LABEL}=1", f"--network={order.network}",
             f"--iidfile={written}", f"--file={dockerfile}", str(order.context)],
            env=self._environment(order.work), folder=order.work, told=log.add,
        )  # fmt: skip
        log.end()
        if status == 0 and written.exists():
            return written.read_text().strip()
        raise failure.described(status)

    async def _serves(self, program: str) -> bool:
        folder = Path("/")
        status, said = await killable.output(
            [program, "version", "--format", "{{.Client.Version}}"],
            env=self._environment(folder),
            folder=folder,
        )
        version = re.match(r"(\d+)\.(\d+)", said)
        if status != 0 or version is None:
            return False
        if int(version[1]) * 100 + int(version[2]) in _BUILT_IN:
            return True
        status, _ = await killable.output(
            [program, "buildx", "version"], env=self._environment(folder), folder=folder
        )
        return status == 0

    def _environment(self, home: Path) -> dict[str, str]:
        """Nothing of this process but where programs are."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "DOCKER_CONFIG": str(home),
            "DOCKER_HOST": f"unix://{self._socket}",
            "DOCKER_BUILDKIT": "1",
            "LANG": "C.UTF-8",
        }


class _BuildKitFailure:
    """Reads BuildKit's plain progress: which step failed, and what is worth telling."""

    def __init__(self) -> None:
        self._steps: dict[str, str] = {}
        self._step: str | None = None
        self._reason = ""

    def understand(self, line: str) -> str | None:
        if step := _BUILDKIT_STEP.fullmatch(line):
            self._steps[step[1]] = step[2]
            return step[2]
        if error := _BUILDKIT_ERROR.fullmatch(line):
            self._step, self._reason = self._steps.get(error[1]), error[2]
            return error[2]
        if said := _BUILDKIT_LINE.fullmatch(line):
            return said[1]
        if _BUILDKIT_NOISE.match(line) or line.startswith("#"):
            return None
        self._reason = line if not self._reason else self._reason
        return line

    def described(self, status: int) -> StepFailed:
        code = _EXIT.search(self._reason)
        reason = self._reason or f"the docker program ended with status {status}"
        return StepFailed(reason, self._step, int(code[1]) if code else None)


def _options(order: Order) -> dict[str, str]:
    limits = order.limits
    options = {
        "dockerfile": _DOCKERFILE, "rm": "1", "forcerm": "1", "networkmode": order.network,
        "labels": f'{{"{LABEL}":"1"}}',
    }  # fmt: skip
    if limits.memory_bytes is not None:
        options |= {"memory": str(limits.memory_bytes), "memswap": str(limits.memory_bytes)}
    if limits.cpus is not None:
        options |= {"cpuperiod": str(_CPU_PERIOD), "cpuquota": str(int(limits.cpus * _CPU_PERIOD))}
    return options


def _failed(message: Mapping[str, Any], step: str | None) -> StepFailed:
    reason = str(message["error"])
    code = _EXIT.search(reason)
    return StepFailed(reason, step, int(code[1]) if code else None)


def _digest(image: Mapping[str, Any], base: Reference) -> str:
    for name in image.get("RepoDigests") or ():
        try:
            known = Reference.parse(name)
        except NotAReference:
            continue
        if (known.host, known.repository) == (base.host, base.repository) and known.digest:
            return known.digest
    raise BaseUnknown("it is in no registry: only this engine has it")


async def _in_thread(work: Callable[[Calls], _Result]) -> _Result:
    """Run blocking calls; when this is cancelled they are cut and have ended."""
    calls = Calls()
    task = asyncio.ensure_future(asyncio.to_thread(work, calls))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        calls.cut()
        await asyncio.wait([task])
        task.exception()
        raise
    except (EngineUnavailable, EngineRefused) as error:
        raise BuilderBroken(str(error)) from error
