"""Imports tried under bubblewrap, in an environment composed of the image's layers."""

import asyncio
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from cynthus.builder.adapters import import_driver
from cynthus.builder.adapters.import_channel import Outcome, SandboxGone, follow
from cynthus.builder.domain.image import Layer
from cynthus.builder.domain.import_problems import crashed, explained, hung
from cynthus.builder.ports import ImportProblem
from cynthus.environments import sandbox
from cynthus.environments.composition import compose
from cynthus.environments.interpreters import NoInterpreter, folder_of, interpreter_of
from cynthus.environments.layers import LayerStore
from cynthus.environments.shelf import remove_tree
from cynthus.oci.ports import Registry

_OTHERS = frozenset({"base", "source"})
_GIB = 1024**3
_MODULE_S = 60.0
_THREADS = 4
_SANDBOXES = 6
_PREFIX = "imports-"
_ABANDONED_S = 24 * 3600.0


class SandboxImportTrial:
    """Tries in `folder`; images larger than `most_bytes` are not tried.

    Layers are kept in `layers` up to `keep_bytes` between trials; None where others keep and tidy them too.
    """

    def __init__(
        self,
        folder: Path,
        registry: Registry,
        *,
        layers: Path | None = None,
        keep_bytes: int | None = 4 * _GIB,
        most_bytes: int = 2 * _GIB,
        module_s: float = _MODULE_S,
    ) -> None:
        self._folder = folder
        self._layers = layers or folder / "layers"
        self._registry = registry
        self._keep_bytes = keep_bytes
        self._most_bytes = most_bytes
        self._module_s = module_s
        self._one_at_a_time = asyncio.Lock()

    async def try_imports(
        self, repository: str, layers: Sequence[Layer], python: str, modules: Sequence[str]
    ) -> tuple[ImportProblem, ...] | None:
        """What cannot be imported; None where it could not be tried: `untried` says why."""
        if not modules:
            return ()
        if await asyncio.to_thread(self.untried, layers, python) is not None:
            return None
        async with self._one_at_a_time:
            environment = await self._composed(repository, layers, python)
            try:
                return await self._import_all(environment, modules)
            except SandboxGone:
                return None
            finally:
                await asyncio.shield(asyncio.to_thread(shutil.rmtree, environment))

    async def _composed(self, repository: str, layers: Sequence[Layer], python: str) -> str:
        """The environment's folder; a cancelled wait ends the work first, and leaves nothing of it."""
        stop = threading.Event()
        work = asyncio.to_thread(self._compose, repository, layers, python, stop)
        composing = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(composing)
        except asyncio.CancelledError:
            stop.set()
            with suppress(Exception, asyncio.CancelledError):
                await asyncio.to_thread(shutil.rmtree, await composing)
            raise

    def untried(self, layers: Sequence[Layer], python: str) -> str | None:
        """Why these layers cannot be tried on this machine."""
        if any(layer.kind == "system" for layer in layers):
            return "the image has system packages"
        if sum(layer.size for layer in _needed(layers)) > self._most_bytes:
            return f"the image has more than {self._most_bytes} bytes"
        try:
            interpreter_of(python)
        except NoInterpreter as absent:
            return str(absent)
        return sandbox.trouble()

    def _compose(self, repository: str, layers: Sequence[Layer], python: str, stop: threading.Event) -> str:
        self._clear()
        store = LayerStore(str(self._layers))

        def check() -> None:
            if stop.is_set():
                raise asyncio.CancelledError

        def read(layer: Layer) -> Callable[[], Iterator[bytes]]:
            return lambda: self._registry.read(layer.repository or repository, layer.digest)

        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                needed = _needed(layers)
                folders = list(pool.map(lambda one: store.open(one.descriptor(), read(one), check), needed))
            environment = tempfile.mkdtemp(prefix=_PREFIX, dir=self._folder)
            os.chmod(environment, 0o755)  # noqa: PTH101, S103 - as any environment
            try:
                compose(folders, environment, interpreter=interpreter_of(python), python=python)
            except BaseException:
                shutil.rmtree(environment)
                raise
        finally:
            store.release()
            self._tidy(store)
        return environment

    def _clear(self) -> None:
        """Trials that were killed leave their folders."""
        for left in self._folder.glob(f"{_PREFIX}*"):
            if time.time() - left.lstat().st_mtime > _ABANDONED_S:
                remove_tree(str(left))

    def _tidy(self, store: LayerStore) -> None:
        if self._keep_bytes is None:
            return
        kept = sorted(store.shelf.kept(), key=lambda one: one.used)
        total = sum(one.size for one in kept)
        for one in kept:
            if total > self._keep_bytes and store.shelf.remove(one.name):
                total -= one.size

    async def _import_all(self, environment: str, modules: Sequence[str]) -> tuple[ImportProblem, ...]:
        problems: list[ImportProblem] = []
        left = list(modules)
        while left:
            outcomes = await self._persist(environment, left)
            for outcome in outcomes:
                problem = _problem(outcome, self._module_s)
                if problem is not None:
                    problems.append(problem)
            left = left[len(outcomes) :]
        return tuple(problems)

    async def _persist(self, environment: str, modules: Sequence[str]) -> list[Outcome]:
        """A mount of the machine that goes while a sandbox is made ends it; the next one does without."""
        for _ in range(_SANDBOXES - 1):
            with suppress(SandboxGone):
                return await self._import_some(environment, modules)
        return await self._import_some(environment, modules)

    async def _import_some(self, environment: str, modules: Sequence[str]) -> list[Outcome]:
        """Up to the first module that ends the interpreter, at least one."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        first, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            process = await self._start(environment, modules, writing, its.fileno())
        except BaseException:
            os.close(reading)
            first.close()
            raise
        finally:
            os.close(writing)
            its.close()
        try:
            return await follow(reading, process, first, modules, self._module_s)
        finally:
            first.close()
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())

    async def _start(
        self, environment: str, modules: Sequence[str], writing: int, its: int
    ) -> asyncio.subprocess.Process:
        python = f"{environment}/bin/python"
        script = await asyncio.to_thread(Path(import_driver.__file__).read_text)
        arguments = [python, "-c", script, str(writing), *modules]
        command = sandbox.wrap(
            sandbox.below_first_process(python, arguments, its),
            readable=[environment, folder_of(python)],
            hidden=[str(self._folder), str(self._layers)],
            network=False,
            folder="/tmp",  # noqa: S108 - the sandbox's own
        )
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(environment),
            pass_fds=[writing, its],
            start_new_session=True,
        )


def _needed(layers: Sequence[Layer]) -> list[Layer]:
    return [layer for layer in layers if layer.kind not in _OTHERS]


def _environment(environment: str) -> dict[str, str]:
    return {
        "PATH": f"{environment}/bin:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": environment,
        "HOME": "/tmp",  # noqa: S108 - the sandbox's own
        "LANG": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "",
    }


def _problem(outcome: Outcome, module_s: float) -> ImportProblem | None:
    if outcome.hung:
        found: tuple[str, str] | None = hung(module_s)
    elif outcome.code is not None:
        found = crashed(outcome.code)
    elif outcome.kinds:
        found = explained(outcome.kinds, outcome.missing, outcome.lines)
    else:
        found = None
    return None if found is None else ImportProblem(outcome.module, *found, outcome.lines)
