"""The layers of the environment: of a heavy wheel, of all small ones, of the links to the interpreter."""

import csv
import io
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path, PurePosixPath

from cynthus.builder.packing import tar
from cynthus.builder.packing.hashing import Digest
from cynthus.builder.packing.layer import PackedLayer, WheelRefused
from cynthus.builder.packing.members import LayerWriter, written
from cynthus.builder.packing.places import VENV, folders_of
from cynthus.builder.packing.splice import splice
from cynthus.builder.packing.wheel import Placed, Wheel, read_wheel
from cynthus.builder.packing.zips import Zip


def wheel_layer(wheel: Path, python: str, target: Path, *, sha256: str | None = None) -> PackedLayer:
    """One wheel as a layer at `target`. Blocking. Raises WheelRefused, OSError."""
    read = read_wheel(wheel, python, sha256)
    with written(target) as layer:
        _install([read], layer)
        return layer.finish(target, "wheel", read.package)


def packages_layer(
    wheels: Sequence[Path], python: str, target: Path, *, hashes: Mapping[Path, str] | None = None
) -> PackedLayer:
    """Wheels as one layer, whatever their order; of a path in two, the later by name of distribution wins."""
    read = [read_wheel(wheel, python, (hashes or {}).get(wheel)) for wheel in wheels]
    read.sort(key=lambda wheel: (wheel.distribution, wheel.version, wheel.path.name))
    for one, other in pairwise(read):
        if one.distribution == other.distribution:
            raise WheelRefused(other.path.name, f"{one.path.name} is the same distribution")
    with written(target) as layer:
        _install(read, layer)
        return layer.finish(target, "packages")


def venv_layer(python: str, interpreter: str, target: Path) -> PackedLayer:
    """The environment itself, for a base whose Python (such as 3.11) is at `interpreter`."""
    configuration = (
        f"home = {PurePosixPath(interpreter).parent}\ninclude-system-site-packages = false\n"
        f"version = {python}\n"
    ).encode()
    links = {
        f"{VENV}/bin/python": interpreter,
        f"{VENV}/bin/python3": "python",
        f"{VENV}/bin/python{python}": "python",
        f"{VENV}/lib64": "lib",
    }
    file = f"{VENV}/pyvenv.cfg"
    folders = folders_of({*links, file, f"{VENV}/lib/python{python}/site-packages/any"})
    with written(target) as layer:
        for path in sorted({*folders, *links, file}):
            if path in links:
                layer.write(tar.link(path, links[path]))
            elif path == file:
                _write(layer, path, configuration, 0o644)
            else:
                layer.write(tar.folder(path))
        return layer.finish(target, "venv")


def _install(wheels: Sequence[Wheel], layer: LayerWriter) -> None:
    """All files by path, then the records: they hold the hashes of what was really written."""
    winners: dict[str, tuple[Placed, Wheel]] = {}
    for wheel in wheels:
        winners |= {file.path: (file, wheel) for file in wheel.files}
    records = {wheel.record: wheel for wheel in wheels}
    paths = {*winners, *records}
    folders = folders_of(paths)
    for clash in sorted(folders & paths):
        owner = winners[clash][1] if clash in winners else records[clash]
        raise WheelRefused(owner.path.name, f"{clash!r} is a folder of another wheel")
    hashes: dict[str, tuple[Digest, int]] = {}
    with _Sources() as sources:
        for path in sorted({*winners, *folders}, key=str.encode):
            if path in folders:
                layer.write(tar.folder(path))
            else:
                hashes[path] = _add(sources, *winners[path], layer)
    for path, wheel in sorted(records.items()):
        _write(layer, path, _record(wheel, hashes), 0o644)


def _add(sources: "_Sources", file: Placed, wheel: Wheel, layer: LayerWriter) -> tuple[Digest, int]:
    if isinstance(file.content, bytes):
        _write(layer, file.path, file.content, file.mode)
        digest = layer.hashing.new()
        digest.update(file.content)
        return digest, len(file.content)
    archive = sources.open(wheel)
    return splice(archive, file.content, file.path, file.mode, layer), file.content.size


def _write(layer: LayerWriter, path: str, data: bytes, mode: int) -> None:
    layer.write(tar.file(path, len(data), mode))
    for line in data.splitlines(keepends=True):
        layer.write(line)
    layer.write(tar.padding(len(data)))


def _record(wheel: Wheel, hashes: Mapping[str, tuple[Digest, int]]) -> bytes:
    lines: Iterable[tuple[str, str, str | int]] = (
        (
            _relative(file.path, wheel.site),
            f"sha256={_base64(hashes[file.path][0].digest())}",
            hashes[file.path][1],
        )
        for file in wheel.files
    )
    text = io.StringIO()
    own = (_relative(wheel.record, wheel.site), "", "")
    csv.writer(text, lineterminator="\n").writerows(sorted([*lines, own]))
    return text.getvalue().encode()


def _relative(path: str, site: str) -> str:
    if path.startswith(f"{site}/"):
        return path[len(site) + 1 :]
    return f"../../../{path[len(VENV) + 1 :]}"


def _base64(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


class _Sources(ExitStack):
    """Holds one archive open at a time: there may be more wheels than a process may open files."""

    def __init__(self) -> None:
        super().__init__()
        self._path: Path | None = None
        self._archive: Zip | None = None

    def open(self, wheel: Wheel) -> Zip:
        """Its archive."""
        if self._archive is None or self._path != wheel.path:
            self.close()
            self._archive, self._path = self.enter_context(Zip(wheel.path, ())), wheel.path
        return self._archive
