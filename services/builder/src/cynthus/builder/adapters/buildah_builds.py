"""Dockerfile builds by buildah: no daemon, a store of its own."""

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cynthus.builder.adapters import killable
from cynthus.builder.adapters.build_log import BuildLog
from cynthus.builder.adapters.image_builders import (
    BaseUnknown,
    BaseUnreachable,
    BuilderBroken,
    Order,
    StepFailed,
    opened,
)
from cynthus.oci.reference import Reference

_STEP = re.compile(r"(?:\[\d+/\d+\] )?STEP \d+/\d+: (.*)")
_STATUS = re.compile(r"exit status (\d+)")
_UNREACHABLE = re.compile(
    r"dial tcp|no such host|timeout|timed out|connection refused|deadline|TLS handshake|5\d\d "
)
_CPU_PERIOD = 100_000
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|\[::1\]")


class BuildahBuilds:
    """Keeps images in `folder`. As root its steps run in containers of runc; else in a user namespace."""

    name = "buildah"
    knows_all = False

    def __init__(self, folder: Path, credentials: Mapping[str, tuple[str, str]]) -> None:
        self._folder = folder
        self._credentials = credentials
        self._runtime = shutil.which("runc") or shutil.which("crun")
        self.caps_memory = os.geteuid() == 0 and self._runtime is not None

    async def is_here(self) -> bool:
        """Whether buildah and an OCI runtime are installed."""
        return shutil.which("buildah") is not None and self._runtime is not None

    async def pull(self, base: Reference) -> str:
        """Fetch an image into the store; the digest of its manifest."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = str(base) if base.pinned or base.tag else f"{base}:latest"
        if base.pinned:
            name = f"{base.host}/{base.repository}@{base.digest}"
        with self._login(base.host) as login:
            status, said = await self._call("pull", "--quiet", *login, *_transport(base.host), name)
        if status != 0:
            kind = BaseUnreachable if _UNREACHABLE.search(said) else BaseUnknown
            raise kind(said.strip()[-500:])
        status, digest = await self._call("inspect", "--type=image", "--format={{.FromImageDigest}}", name)
        if status != 0:
            raise BuilderBroken(f"buildah has not got {name}, which it has just fetched")
        return base.digest or digest.strip()

    async def build(self, order: Order, log: BuildLog) -> str:
        """The image's identity in the store."""
        dockerfile, written = order.work / "Dockerfile", order.work / "image"
        dockerfile.write_text(order.text)
        last = _LastStep()
        log.understand = last.understand
        status = await killable.run(
            self._command(
                # Its own cache of layers fails on bases without a history.
                "build", "--layers=false", "--format=docker", "--pull-never", f"--iidfile={written}",
                f"--file={dockerfile}", f"--ignorefile={os.devnull}", *self._confinement(order),
                str(order.context),
            ),
            env=self._environment(), folder=order.work, told=log.add,
        )  # fmt: skip
        log.end()
        if status != 0:
            code = _STATUS.search(last.reason)
            raise StepFailed(last.reason or "buildah failed", last.step, int(code[1]) if code else None)
        image = written.read_text().strip().removeprefix("sha256:")
        archive = f"docker-archive:{order.work / 'image.tar'}:build:latest"
        status, said = await self._call("push", "--quiet", "--format=v2s2", image, archive)
        await self._call("rmi", "--force", image)
        if status != 0:
            raise BuilderBroken(said.strip()[-500:])
        return image

    @contextmanager
    def export(self, image: str, order: Order) -> Iterator[BinaryIO]:  # noqa: ARG002 - there is only one
        """The image as a docker-archive."""
        with opened(order.work / "image.tar") as archive:
            yield archive

    async def clean(self) -> None:
        """Containers and nameless images of builds that were cut."""
        if self._folder.is_dir():
            await self._call("rm", "--all")
            await self._call("rmi", "--prune")

    def _confinement(self, order: Order) -> list[str]:
        root = os.geteuid() == 0
        options = [f"--isolation={'oci' if root else 'rootless'}", f"--runtime={self._runtime}"]
        if order.network != "default":
            options.append(f"--network={order.network}")
        limits = order.limits
        if root and limits.memory_bytes is not None:
            options += [f"--memory={limits.memory_bytes}", f"--memory-swap={limits.memory_bytes}"]
        if root and limits.cpus is not None:
            options += [f"--cpu-period={_CPU_PERIOD}", f"--cpu-quota={int(limits.cpus * _CPU_PERIOD)}"]
        return options

    @contextmanager
    def _login(self, host: str) -> Iterator[list[str]]:
        if host not in self._credentials:
            yield []
            return
        pair = base64.b64encode(":".join(self._credentials[host]).encode()).decode()
        file = self._folder / f"login-{os.urandom(8).hex()}.json"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
            json.dump({"auths": {host: {"auth": pair}}}, written)
        try:
            yield [f"--authfile={file}"]
        finally:
            file.unlink()

    def _command(self, *arguments: str) -> list[str]:
        return [
            *_enclosed(), "buildah",
            f"--root={self._folder / 'store'}", f"--runroot={self._folder / 'state'}", *arguments,
        ]  # fmt: skip

    async def _call(self, *arguments: str) -> tuple[int, str]:
        return await killable.output(self._command(*arguments), env=self._environment(), folder=self._folder)

    def _environment(self) -> dict[str, str]:
        """Nothing of this process but where programs are."""
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": f"{path}:/usr/sbin:/sbin", "HOME": str(self._folder), "LANG": "C.UTF-8"}


class _LastStep:
    """Reads buildah's output: the step it was at, and why it ended."""

    def __init__(self) -> None:
        self.step: str | None = None
        self.reason = ""

    def understand(self, line: str) -> str | None:
        if step := _STEP.fullmatch(line):
            self.step = step[1]
            return step[1]
        if line.startswith("Error: "):
            self.reason = line.removeprefix("Error: ")
        if line.startswith(
            ("Getting image source", "Copying ", "Writing manifest", "Storing signatures", "COMMIT")
        ):
            return None
        return line


def _enclosed() -> list[str]:
    """Containers and mounts of a build that is killed end with their namespace."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return []
    return ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]


def _transport(host: str) -> list[str]:
    return ["--tls-verify=false"] if _LOOPBACK.fullmatch(host.rpartition(":")[0] or host) else []
