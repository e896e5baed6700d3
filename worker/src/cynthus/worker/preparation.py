"""From a work order to a command that can be started: environment, source and data in place."""

import os
from typing import NamedTuple

from cynthus.snapshots import manifest
from cynthus.worker.beside import Beside
from cynthus.worker.cache import Cache
from cynthus.worker.causes import AttemptFailed, of_machine, stopped, storing, unprepared
from cynthus.worker.content import Content, ContentMissing
from cynthus.worker.control import Control, Stopped
from cynthus.worker.layered import LayeredEnvironments
from cynthus.worker.layout import Layout
from cynthus.worker.orders import OrderInvalid, WorkOrder
from cynthus.worker.phases import timed
from cynthus.worker.process import program_of, search_path
from cynthus.worker.trees import Trees, single_file
from cynthus.worker.workspace import Workspace


class Ready(NamedTuple):
    """What to start, where its results will be, and how long each phase took."""

    arguments: list[str]
    program: str
    environment: dict[str, str]
    outputs: str
    phases_ms: dict[str, float]
    python: str
    """The folder of its Python environment."""
    data: tuple[str, ...]
    """Folders that links in the work folder lead to."""


class Preparation:
    """Materialises one order; what it uses of the cache is kept until `release`."""

    def __init__(self, order: WorkOrder, cache: Cache, content: Content, control: Control) -> None:
        self._order = order
        self._cache = cache
        self._content = content
        self._control = control
        self._environments = LayeredEnvironments(order, cache, control)
        self._trees = Trees(cache, content, control)

    def make(self, workspace: Workspace) -> Ready:
        """Raises AttemptFailed, Dropped."""
        try:
            return self._make(workspace)
        except Stopped as asked:
            raise AttemptFailed(stopped(str(asked))) from asked
        except (ContentMissing, manifest.ManifestInvalid) as problem:
            raise AttemptFailed(unprepared("content_missing", problem)) from problem
        except OrderInvalid as problem:
            raise AttemptFailed(unprepared("order_invalid", problem)) from problem
        except OSError as error:
            raise AttemptFailed(of_machine(error)) from error

    def release(self) -> None:
        """Let the cache remove what was used."""
        self._environments.release()
        self._trees.release()

    def _make(self, workspace: Workspace) -> Ready:
        order, image, phases = self._order, self._order.image, dict[str, float]()
        building = Beside("environment", lambda: self._environments.open(phases))
        try:
            with timed(phases, "source"), storing("the project"):
                self._lay_out(image.source, workspace.work)
            with timed(phases, "data"), storing("the data"):
                data = [self._trees.open(item.manifest) for item in order.data]
                places = [
                    workspace.mount(item.mount, single_file(tree, item.mount))
                    for item, tree in zip(order.data, data, strict=True)
                ]
        finally:
            building.join()
        with storing("the image"):
            python = building.result()
        with timed(phases, "source"), storing("the checkpoint"):
            self._restore(workspace)
        outputs = workspace.inside(image.outputs)
        os.makedirs(outputs, exist_ok=True)
        environment = self._environment(workspace, python, outputs, places)
        arguments = list(image.command)
        program = program_of(arguments, environment, workspace.work)
        return Ready(arguments, program, environment, outputs, phases, python, tuple(data))

    def _restore(self, workspace: Workspace) -> None:
        order, own = self._order, self._order.image.checkpoint
        if own:
            workspace.keep_checkpoint_at(own, restored=order.checkpoint is not None)
        if order.checkpoint:
            self._lay_out(order.checkpoint, workspace.checkpoint)

    def _lay_out(self, digest: str, folder: str) -> None:
        layout = Layout(folder, self._content, self._cache, self._control, kept=True)
        layout.write(manifest.decode(self._content.manifest(digest, self._cache)))

    def _environment(
        self, workspace: Workspace, python: str, outputs: str, places: list[str]
    ) -> dict[str, str]:
        order, image = self._order, self._order.image
        modules = ":".join(workspace.inside(path) for path in image.python_path)
        return {
            "PATH": search_path(python),
            "VIRTUAL_ENV": python,
            "HOME": workspace.home,
            "TMPDIR": workspace.temporary,
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **({"PYTHONPATH": modules} if modules else {}),
            **image.env,
            **order.env,
            **order.secrets,
            "CYNTHUS_RUN_ID": order.run_id,
            "CYNTHUS_ATTEMPT": str(order.epoch),
            "CYNTHUS_DATA_DIR": places[0] if places else f"{workspace.work}/data",
            "CYNTHUS_OUTPUT_DIR": outputs,
            "CYNTHUS_CHECKPOINT_DIR": workspace.checkpoint,
        }
