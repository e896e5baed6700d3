"""Image, source and data of an order, ready for a container."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from cynthus.containers.engine import Engine, ImageFacts
from cynthus.containers.errors import EngineRefused, EngineUnavailable, ImageUnknown, NoSuchContainer
from cynthus.containers.specification import Bind
from cynthus.snapshots import manifest
from cynthus.worker.cache import Cache
from cynthus.worker.causes import (
    AttemptFailed,
    Cause,
    full,
    is_full,
    of_machine,
    stopped,
    storing,
    unprepared,
)
from cynthus.worker.containers import images, network, place
from cynthus.worker.containers.own_folder import copy_out
from cynthus.worker.content import Content, ContentMissing
from cynthus.worker.control import Control, Stopped
from cynthus.worker.layout import Layout
from cynthus.worker.orders import OrderInvalid, WorkOrder
from cynthus.worker.trees import Trees, single_file
from cynthus.worker.workspace import Workspace


class Laid(NamedTuple):
    """What a container is made of; `network` is a name."""

    image: ImageFacts
    folder: str
    data: tuple[Bind, ...]
    network: str
    phases_ms: dict[str, float]


class Materials:
    """What it uses of the cache is kept until `release`."""

    def __init__(self, order: WorkOrder, cache: Cache, content: Content, control: Control) -> None:
        self._order = order
        self._cache = cache
        self._content = content
        self._control = control
        self._trees = Trees(cache, content, control)

    def lay(self, engine: Engine, workspace: Workspace, name: str) -> Laid:
        """Raises AttemptFailed, Dropped."""
        try:
            return self._lay(engine, workspace, name)
        except Stopped as asked:
            raise AttemptFailed(stopped(str(asked))) from asked
        except (ContentMissing, manifest.ManifestInvalid) as problem:
            raise AttemptFailed(unprepared("content_missing", problem)) from problem
        except OrderInvalid as problem:
            raise AttemptFailed(unprepared("order_invalid", problem)) from problem
        except EngineUnavailable as error:
            raise AttemptFailed(images.away(error)) from error
        except (EngineRefused, ImageUnknown, NoSuchContainer) as error:
            raise AttemptFailed(refused(error)) from error
        except OSError as error:
            raise AttemptFailed(of_machine(error)) from error

    def release(self) -> None:
        """Let the cache remove what was used."""
        self._trees.release()

    def _lay(self, engine: Engine, workspace: Workspace, name: str) -> Laid:
        order, phases = self._order, dict[str, float]()
        beside = _Beside(lambda: self._image(engine, phases))
        own = order.image.kind != "oci"
        if not own:
            with _timed(phases, "source"), storing("the project"):
                self._lay_out(order.image.source, workspace.work)
        with _timed(phases, "data"), storing("the data"):
            trees = [(item.mount, self._trees.open(item.manifest)) for item in order.data]
        facts, net = beside.result()
        folder = order.image.workdir if not own else facts.folder
        if folder == "/":
            raise OrderInvalid("the project's image has no folder to work in: give its Dockerfile a WORKDIR")
        if own:
            with _timed(phases, "source"), storing("the project"):
                copy_out(engine, f"{name}-source", facts.id, folder, workspace.work)
        with _timed(phases, "source"), storing("the checkpoint"):
            self._restore(workspace)
        data = tuple(
            place.data_bind(single_file(tree, mount), mount, folder, workspace.work) for mount, tree in trees
        )
        return Laid(facts, folder, data, net, phases)

    def _image(self, engine: Engine, phases: dict[str, float]) -> tuple[ImageFacts, str]:
        with _timed(phases, "environment"):
            facts = images.ensure(engine, self._order, self._control)
        return facts, network.ensure(engine) if self._order.network else "none"

    def _restore(self, workspace: Workspace) -> None:
        order, own = self._order, self._order.image.checkpoint
        if own:
            workspace.keep_checkpoint_at(own, restored=order.checkpoint is not None)
        if order.checkpoint:
            self._lay_out(order.checkpoint, workspace.checkpoint)

    def _lay_out(self, digest: str, folder: str) -> None:
        layout = Layout(folder, self._content, self._cache, self._control, kept=True)
        layout.write(manifest.decode(self._content.manifest(digest, self._cache)))


def refused(error: Exception) -> Cause:
    """The engine will not make or start the container."""
    if is_full(str(error)):
        return full("the image", (str(error),))
    message = "the machine's container engine did not start the container"
    return Cause("container_refused", message, None, (str(error),))


class _Beside:
    """A call in a thread of its own; whatever it raises is raised by `result`."""

    def __init__(self, call: Callable[[], tuple[ImageFacts, str]]) -> None:
        self._call = call
        self._outcome: tuple[ImageFacts, str] | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="image", daemon=True)
        self._thread.start()

    def result(self) -> tuple[ImageFacts, str]:
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    def _run(self) -> None:
        try:
            self._outcome = self._call()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._error = error


@contextmanager
def _timed(phases: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    phases[name] = round(phases.get(name, 0.0) + (time.perf_counter() - begun) * 1000, 3)
