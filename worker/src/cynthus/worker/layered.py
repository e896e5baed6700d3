"""Environments composed of an image's layers, once per machine."""

import hashlib
import os
import subprocess
from collections.abc import Sequence

from cynthus.environments.bytecode import Compilation, compile_in_background
from cynthus.environments.composition import compose
from cynthus.environments.interpreters import NoInterpreter, find_uv, interpreter_of
from cynthus.environments.layers import diff_id_of
from cynthus.environments.shelf import Shelf
from cynthus.oci.descriptor import Descriptor
from cynthus.oci.manifest import Note
from cynthus.worker.cache import Cache
from cynthus.worker.causes import AttemptFailed, Cause
from cynthus.worker.control import Control
from cynthus.worker.images import Asked, Images
from cynthus.worker.orders import OrderInvalid, WorkOrder
from cynthus.worker.phases import timed

_COMPOSER = "1"
"""Of how an environment is made of layers; another one makes all anew."""
_INSTALL_S = 300
_compiling: dict[str, Compilation] = {}


class LayeredEnvironments:
    """The environment of one order's image; held until `release`."""

    def __init__(self, order: WorkOrder, cache: Cache, control: Control) -> None:
        self._order = order
        self._cache = cache
        self._control = control
        self._shelf = Shelf(environments_of(cache))
        self._images: Images | None = None

    def open(self, phases: dict[str, float]) -> str:
        """Raises AttemptFailed, OrderInvalid, Dropped, Stopped, OSError."""
        order, image, control = self._order, self._order.image, self._control
        digest = image.environment or image.digest
        if order.registry is None or not digest.startswith("sha256:"):
            raise OrderInvalid("the order names no registry of images")
        if not image.repository:
            raise AttemptFailed(_from_before())
        asked = Asked(control.check, control.pause)
        self._images = images = Images(order.registry, image.repository, self._cache, asked)
        with timed(phases, "pull"):
            layers = images.dependencies(digest)
        with timed(phases, "environment"):
            interpreter = _interpreter(image.python)
        name = _name(layers, interpreter, image.python)
        folder = self._shelf.path(name)

        def make(fresh: str) -> int:
            pulled = images.unpack(layers)
            _divide(phases, pulled.waiting_s, pulled.seconds, len(layers))
            with timed(phases, "environment"):
                made = compose(
                    pulled.folders, fresh, interpreter=interpreter, python=image.python, place=folder
                )
            return made.bytes

        self._shelf.open(name, make, control.check)
        images.touch(layers)
        if any(one.annotations.get(Note.LAYER) != "venv" for one in layers):
            _compile(folder, interpreter, self._shelf.holding())
        return folder

    def release(self) -> None:
        """Let others remove what was used."""
        self._shelf.release()
        if self._images is not None:
            self._images.release()


def environments_of(cache: Cache) -> str:
    """Where the machine keeps what was composed."""
    return f"{cache.folder}/environments"


def _from_before() -> Cause:
    """A version that packed no images left it."""
    fix = "Run it again with `cynthus rerun`: the image is then built anew."
    return Cause("image_missing", "the run's image is of an older Cynthus and in no registry", fix)


def _name(layers: Sequence[Descriptor], interpreter: str, python: str) -> str:
    facts = [_COMPOSER, interpreter, python, *map(diff_id_of, layers)]
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()


def _divide(phases: dict[str, float], waiting_s: float, seconds: float, layers: int) -> None:
    """Pulling and unpacking go on at once in several threads: the time is shared out by what they did."""
    busy = max(seconds * min(4, max(1, layers)), waiting_s, 1e-9)
    pull = seconds * waiting_s / busy
    phases["pull"] = round(phases.get("pull", 0.0) + pull * 1000, 3)
    phases["unpack"] = round((seconds - pull) * 1000, 3)


def _interpreter(python: str) -> str:
    try:
        return interpreter_of(python)
    except NoInterpreter as absent:
        uv = find_uv()
        if uv is not None:
            command = [uv, "python", "install", "--quiet", python]
            subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_INSTALL_S, check=False
            )
        try:
            return interpreter_of(python)
        except NoInterpreter:
            fix = "Use --runtime container, another Python, or install it on the machine."
            raise AttemptFailed(Cause("python_missing", str(absent), fix)) from absent


def _compile(folder: str, interpreter: str, held: Sequence[int]) -> None:
    """One environment at a time: what is started here ends with the worker."""
    for name in [name for name, compilation in _compiling.items() if compilation.over]:
        del _compiling[name]
    if not _compiling and os.path.isdir(folder):
        compilation = compile_in_background(folder, interpreter, held)
        if compilation is not None:
            _compiling[folder] = compilation
