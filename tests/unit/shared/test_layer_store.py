"""Each layer is unpacked once per machine, whoever is killed meanwhile, and stays while it is used."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from cynthus.environments.layers import LayerStore
from cynthus.environments.refusal import LayerRefused
from cynthus.environments.shelf import Kept
from cynthus.oci.descriptor import MediaType
from tests.fixtures.layer_files import LayerFile, layer, site, tree

LAYER = layer(site("alpha", "answer = 42"))
CONTENT = {"opt/venv/lib/python3.11/site-packages/alpha/__init__.py": b"answer = 42"}


def reading(given: LayerFile, calls: list[str] | None = None) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        if calls is not None:
            calls.append(given.name)
        return iter([given.data[:10], given.data[10:]])

    return read


def unasked() -> None:
    """Nobody objects."""


def test_a_layer_is_unpacked_once_and_found_again(tmp_path: Path) -> None:
    calls: list[str] = []

    folders = {
        LayerStore(str(tmp_path / "layers")).open(LAYER.descriptor, reading(LAYER, calls), unasked)
        for _ in range(2)
    }

    assert calls == [LAYER.name]
    assert [tree(Path(folder)) for folder in folders] == [CONTENT]


def test_threads_that_want_the_same_layer_do_the_work_once(tmp_path: Path) -> None:
    store, calls = LayerStore(str(tmp_path / "layers")), list[str]()
    threads = [
        threading.Thread(target=store.open, args=(LAYER.descriptor, reading(LAYER, calls), unasked))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert calls == [LAYER.name]
    assert len(store.shelf.holding()) == 4


def _unpack_halfway(folder: str, reached: Event) -> None:
    def read() -> Iterator[bytes]:
        yield LAYER.data[:60]
        reached.set()
        signal.pause()

    LayerStore(folder).open(LAYER.descriptor, read, unasked)


def test_a_layer_whose_unpacker_was_killed_is_unpacked_by_the_next(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    reached = context.Event()
    process = context.Process(target=_unpack_halfway, args=(str(tmp_path / "layers"), reached))
    process.start()
    assert reached.wait(20)
    store, waited = LayerStore(str(tmp_path / "layers")), list[bool]()
    assert not store.has(LAYER.descriptor)

    def kill_once() -> None:
        if not waited:
            waited.append(True)
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join(20)

    folder = store.open(LAYER.descriptor, reading(LAYER), kill_once)

    assert waited
    assert tree(Path(folder)) == CONTENT


def test_a_layer_in_use_stays_and_one_that_is_not_goes(tmp_path: Path) -> None:
    store, other = LayerStore(str(tmp_path / "layers")), LayerStore(str(tmp_path / "layers"))
    folder = Path(store.open(LAYER.descriptor, reading(LAYER), unasked))

    assert not other.shelf.remove(LAYER.name)
    assert [(kept.name, kept.size) for kept in other.shelf.kept()] == [(LAYER.name, 11)]
    store.release()
    assert other.shelf.remove(LAYER.name)
    assert not folder.exists()
    assert list(other.shelf.kept()) == list[Kept]()


def test_an_inherited_descriptor_holds_a_layer_too(tmp_path: Path) -> None:
    store = LayerStore(str(tmp_path / "layers"))
    store.open(LAYER.descriptor, reading(LAYER), unasked)
    inherited = [os.dup(descriptor) for descriptor in store.shelf.holding()]
    store.release()

    assert not store.shelf.remove(LAYER.name)
    for descriptor in inherited:
        os.close(descriptor)
    assert store.shelf.remove(LAYER.name)


def test_what_is_not_what_its_name_says_is_refused_and_gone(tmp_path: Path) -> None:
    store = LayerStore(str(tmp_path / "layers"))
    other = layer(site("beta", "x"))

    with pytest.raises(LayerRefused, match="not sha256"):
        store.open(LAYER.descriptor, reading(other), unasked)

    assert not store.has(LAYER.descriptor)
    assert [path.name for path in (tmp_path / "layers").iterdir()] == ["locks"]


@pytest.mark.parametrize(
    "descriptor",
    [replace(LAYER.descriptor, annotations={}), replace(LAYER.descriptor, media_type=MediaType.LAYER_ZSTD)],
)
def test_a_layer_that_cannot_be_read_here_is_refused(tmp_path: Path, descriptor: object) -> None:
    with pytest.raises(LayerRefused):
        LayerStore(str(tmp_path)).open(descriptor, reading(LAYER), unasked)  # type: ignore[arg-type]


def test_asking_to_stop_ends_the_unpacking_and_leaves_nothing(tmp_path: Path) -> None:
    class Asked(Exception):
        pass

    pieces = iter([LAYER.data[:60], LAYER.data[60:]])
    seen: list[int] = []

    def check() -> None:
        seen.append(1)
        if len(seen) > 2:
            raise Asked

    store = LayerStore(str(tmp_path / "layers"))
    with pytest.raises(Asked):
        store.open(LAYER.descriptor, lambda: pieces, check)

    assert [path.name for path in (tmp_path / "layers").iterdir()] == ["locks"]


def test_leftovers_of_killed_processes_are_collected(tmp_path: Path) -> None:
    store = LayerStore(str(tmp_path))
    store.open(LAYER.descriptor, reading(LAYER), unasked)
    for name in ("a.fresh", "b", "c.complete.fresh"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()

    store.shelf.collect()

    assert {path.name for path in tmp_path.iterdir()} == {"locks", LAYER.name, f"{LAYER.name}.complete"}
