"""The dependency layers of an image, unpacked on this machine."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from cynthus.environments.layers import LayerStore, diff_id_of
from cynthus.environments.refusal import LayerRefused
from cynthus.oci.authentication import Credentials
from cynthus.oci.descriptor import Descriptor, NotAnImage
from cynthus.oci.http_registry import HttpRegistry
from cynthus.oci.manifest import Manifest, Note, digest_of
from cynthus.oci.ports import (
    ContentDamaged,
    ContentUnknown,
    Registry,
    RegistryDenied,
    RegistryUnavailable,
)
from cynthus.worker.cache import Cache, written
from cynthus.worker.causes import AttemptFailed, Cause
from cynthus.worker.link import deadline, delays
from cynthus.worker.orders import RegistryAccess

Result = TypeVar("Result")

_THREADS = 4
_PATIENCE_S = 60.0
_MOST_DELAY_S = 5.0
_ELSEWHERE = frozenset({"base", "source"})
_AGAIN = "Run it again with `cynthus rerun`: the image is then built anew."
_LATER = "Run it again later; see `cynthus doctor`: the registry of images does not answer."


class Asked(NamedTuple):
    """Whoever may end a pull: `check` raises, `pause` waits unless it has to raise."""

    check: Callable[[], None]
    pause: Callable[[float], None]


class Pulled(NamedTuple):
    """Folders of layers in their order, and seconds spent waiting for the registry and altogether."""

    folders: list[str]
    waiting_s: float
    seconds: float


class Images:
    """One repository's images; the layers that were unpacked are held until `release`."""

    def __init__(self, access: RegistryAccess, repository: str, cache: Cache, asked: Asked) -> None:
        self._repository = repository
        self._cache = cache
        self._asked = asked
        self._store = LayerStore(layers_of(cache))
        self._registry: Registry = HttpRegistry(access.url, _credentials(access))
        self._waiting = _Clock()

    def dependencies(self, digest: str) -> list[Descriptor]:
        """The layers of an image that make its environment. Raises AttemptFailed."""
        body = self._manifest(digest)
        try:
            layers = [one for one in Manifest.decode(body).layers if _kind(one) not in _ELSEWHERE]
            for one in layers:
                diff_id_of(one)
        except (NotAnImage, LayerRefused) as problem:
            raise AttemptFailed(_refused(problem)) from problem
        if any(_kind(one) == "system" for one in layers):
            fix = "Use --runtime container, or leave the apt packages out."
            raise AttemptFailed(
                Cause(
                    "needs_container", "the image has system packages, which only a container can have", fix
                )
            )
        return layers

    def unpack(self, layers: Sequence[Descriptor]) -> Pulled:
        """All of them, several at once, those that are here already at no cost. Raises AttemptFailed."""
        begun = time.monotonic()
        if all(map(self._store.has, layers)):
            folders = [self._layer(one, self._asked.check) for one in layers]
        else:
            folders = _each_in_threads(self._layer, layers, self._asked.check)
        return Pulled(folders, self._waiting.seconds, time.monotonic() - begun)

    def touch(self, layers: Sequence[Descriptor]) -> None:
        """Count them as used, so that they outlive what is made of them."""
        for one in layers:
            self._store.shelf.touch(diff_id_of(one).removeprefix("sha256:"))

    def release(self) -> None:
        """Let others remove the layers."""
        self._store.release()

    def _layer(self, descriptor: Descriptor, check: Callable[[], None]) -> str:
        def read() -> Iterator[bytes]:
            return self._waiting.over(self._registry.read(self._repository, descriptor.digest))

        return self._insist(lambda: self._store.open(descriptor, read, check), check)

    def _manifest(self, digest: str) -> bytes:
        path = self._cache.manifest(digest.removeprefix("sha256:"))
        try:
            with open(path, "rb") as file:
                body = file.read()
        except FileNotFoundError:
            body = b""
        if digest_of(body) != digest:
            ask = self._registry.manifest
            body = self._insist(lambda: ask(self._repository, digest).body, self._asked.check)
            written(path, body, self._cache.fresh())
        return body

    def _insist(self, call: Callable[[], Result], check: Callable[[], None]) -> Result:
        over = deadline(_PATIENCE_S)
        for delay in delays(0.2, _MOST_DELAY_S):
            check()
            try:
                return call()
            except (RegistryUnavailable, ContentDamaged) as problem:
                if over():
                    cause = Cause(
                        "registry_unreachable",
                        "the run's image could not be fetched",
                        _LATER,
                        (str(problem),),
                    )
                    raise AttemptFailed(cause) from problem
            except (ContentUnknown, RegistryDenied) as problem:
                cause = Cause(
                    "image_missing", "the run's image is not in the registry", _AGAIN, (str(problem),)
                )
                raise AttemptFailed(cause) from problem
            except LayerRefused as problem:
                raise AttemptFailed(_refused(problem)) from problem
            self._asked.pause(delay)
        raise AssertionError("delays never end")


def layers_of(cache: Cache) -> str:
    """Where the machine keeps its layers."""
    return f"{cache.folder}/layers"


def _credentials(access: RegistryAccess) -> Credentials | None:
    return Credentials(access.username, access.password) if access.password else None


def _kind(layer: Descriptor) -> str:
    return layer.annotations.get(Note.LAYER, "")


def _refused(problem: Exception) -> Cause:
    return Cause("image_refused", f"the run's image is not taken: {problem}", _AGAIN)


class _Clock:
    """Adds up how long threads wait for bytes, as if they waited one after another."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def over(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        while True:
            begun = time.monotonic()
            piece = next(pieces, None)
            with self._lock:
                self.seconds += time.monotonic() - begun
            if piece is None:
                return
            yield piece


class _Abandoned(Exception):
    """Another layer failed."""


def _each_in_threads(
    call: Callable[[Descriptor, Callable[[], None]], str],
    layers: Sequence[Descriptor],
    check: Callable[[], None],
) -> list[str]:
    """The largest first; the first failure ends the others and is raised."""
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    failed = threading.Event()

    def checked() -> None:
        check()
        if failed.is_set():
            raise _Abandoned

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="layer") as pool:
        sized = sorted(layers, key=lambda one: one.size, reverse=True)
        futures = {one.digest: pool.submit(call, one, checked) for one in sized}
        done, pending = wait(futures.values(), return_when=FIRST_EXCEPTION)
        if pending:
            failed.set()
            for future in pending:
                future.cancel()
        for future in done:
            future.result()
        return [futures[one.digest].result() for one in layers]
