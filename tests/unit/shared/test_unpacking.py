"""Layers are unpacked whole and verified, or refused with nothing written outside."""

import gzip
import hashlib
import io
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.environments.refusal import LayerRefused, Limits
from cynthus.environments.shelf import remove_tree
from cynthus.environments.unpack import unpack
from tests.fixtures.layer_files import BLOCK, END, entry, header, pax, spliced, tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "above" / "layer"
    place.mkdir(parents=True)
    (tmp_path / "victim").write_text("untouched")
    return place


def outside(folder: Path) -> set[str]:
    root = folder.parent.parent
    return {str(path.relative_to(root)) for path in root.rglob("*") if folder not in {path, *path.parents}}


def test_files_folders_and_links_are_as_they_were_packed(folder: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, mode in (("a/b/run", 0o4755), ("a/data", 0o666), ("n" * 90 + "/" + "m" * 200, 0o600)):
            info = tarfile.TarInfo(name)
            info.size, info.mode = 5, mode
            tar.addfile(info, io.BytesIO(b"12345"))
        for name, kind, target in (
            ("a/link", tarfile.SYMTYPE, "b/run"),
            ("a/hard", tarfile.LNKTYPE, "a/data"),
            ("opt/venv/bin/python", tarfile.SYMTYPE, "/usr/bin/python3"),
            ("empty", tarfile.DIRTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    diff_id = f"sha256:{hashlib.sha256(raw.getvalue()).hexdigest()}"

    done = unpack(io.BytesIO(gzip.compress(raw.getvalue())), str(folder), diff_id=diff_id)

    assert done == (diff_id, 7, 15)
    assert tree(folder) == {
        "a/b/run": b"12345",
        "a/data": b"12345",
        "a/hard": b"12345",
        "a/link": "b/run",
        "n" * 90 + "/" + "m" * 200: b"12345",
        "opt/venv/bin/python": "/usr/bin/python3",
    }
    modes = {name: stat.S_IMODE((folder / name).lstat().st_mode) for name in ("a/b/run", "a/data", "empty")}
    assert modes == {"a/b/run": 0o555, "a/data": 0o444, "empty": 0o755}


@settings(deadline=None, max_examples=50)
@given(
    files=st.dictionaries(
        st.from_regex(r"[a-z]{1,9}(/[A-Z]{1,120}){0,3}", fullmatch=True), st.binary(max_size=2000)
    ),
    cut=st.integers(60, 5000),
    members=st.booleans(),
)
def test_any_tar_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], cut: int, members: bool
) -> None:
    folder = tmp_path_factory.mktemp("layer")
    files = {f"{name}.f": data for name, data in files.items()}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    whole = raw.getvalue()
    pieces = [whole[start : start + cut] for start in range(0, len(whole), cut)]
    packed = spliced(*pieces) if members else gzip.compress(whole)

    done = unpack([packed[start : start + cut] for start in range(0, len(packed), cut)], str(folder))

    assert done.diff_id == f"sha256:{hashlib.sha256(whole).hexdigest()}"
    assert tree(folder) == files


def test_a_gzip_of_ten_thousand_members_is_read_in_seconds(folder: Path) -> None:
    one = entry(b"a", b"x")
    packed = b"".join([gzip.compress(one)] * 10_000) + gzip.compress(END)

    assert unpack(io.BytesIO(packed), str(folder)).entries == 10_000


HOSTILE = {
    "leaves upwards": entry(b"../victim", b"x"),
    "leaves in the middle": entry(b"a/../../../victim", b"x"),
    "absolute": entry(b"/etc/cynthus", b"x"),
    "absolute by prefix": entry(b"cynthus", b"x", prefix=b"/etc"),
    "leaves by pax": pax({"path": "../victim"}) + entry(b"a", b"x"),
    "leaves by a long name": entry(b"././@LongLink", b"../victim\0", kind=b"L") + entry(b"a", b"x"),
    "a zero in the path": pax({"path": "a\0b"}) + entry(b"a", b"x"),
    "through a link": entry(b"a", kind=b"2", target=b"b") + entry(b"a/victim", b"x"),
    "through a link upwards": entry(b"a", kind=b"2", target=b"..") + entry(b"a/victim", b"x"),
    "a link that leaves": entry(b"d/a", kind=b"2", target=b"../../victim"),
    "an absolute link": entry(b"a", kind=b"2", target=b"/etc/passwd"),
    "an empty link": entry(b"a", kind=b"2"),
    "a hard link that leaves": entry(b"a", kind=b"1", target=b"../../victim"),
    "an absolute hard link": entry(b"a", kind=b"1", target=b"/etc/passwd"),
    "a hard link to nothing": entry(b"a", kind=b"1", target=b"b"),
    "a hard link to itself": entry(b"a", b"x") + entry(b"a", kind=b"1", target=b"a"),
    "a hard link to a link": entry(b"b", kind=b"2", target=b"c") + entry(b"a", kind=b"1", target=b"b"),
    "a hard link behind a link": entry(b"c/f", b"x")
    + entry(b"b", kind=b"2", target=b"c")
    + entry(b"a", kind=b"1", target=b"b/f"),
    "a hard link to a folder": entry(b"b", kind=b"5") + entry(b"a", kind=b"1", target=b"b"),
    "a device": entry(b"a", kind=b"3"),
    "a block device": entry(b"a", kind=b"4"),
    "a pipe": entry(b"a", kind=b"6"),
    "a sparse file": entry(b"a", kind=b"S"),
    "a pax sparse file": pax({"GNU.sparse.major": "1"}) + entry(b"a", b"x"),
    "an unknown kind": entry(b"a", kind=b"Z"),
    "a whiteout": entry(b"d/.wh.victim"),
    "an opaque whiteout": entry(b"d/.wh..wh..opq"),
    "inside a file": entry(b"a", b"x") + entry(b"a/b", b"x"),
    "a file over a full folder": entry(b"a/b", b"x") + entry(b"a", b"x"),
    "a name too long": pax({"path": "n" * 256}) + entry(b"a"),
    "a path too long": pax({"path": "n/" * 600 + "a"}) + entry(b"a"),
    "a nameless file": entry(b"./", b"", kind=b"1", target=b"a"),
    "a folder with content": entry(b"a", b"x", kind=b"5"),
    "a link with content": entry(b"a", b"x", kind=b"2", target=b"b"),
    "a negative size": header(b"a", size_field=b"-0000000001\0") + END,
    "a size beyond the end": header(b"a", size=10**9) + b"x" * BLOCK,
    "a pax size that is none": pax({"size": "-1"}) + entry(b"a", b"x"),
    "a pax size that lies": pax({"size": "9999"}) + entry(b"a", b"x"),
    "a pax record that lies": entry(b"pax", b"99 path=a\n", kind=b"x") + entry(b"a", b"x"),
    "a pax record without an end": entry(b"pax", b"8 path=ab", kind=b"x") + entry(b"a", b"x"),
    "a pax record of nothing": entry(b"pax", b"0 =\n", kind=b"x") + entry(b"a", b"x"),
    "one name for all": pax({"path": "b"}, kind=b"g") + entry(b"a", b"x"),
    "an endless header": header(b"pax", kind=b"x", size=2**30) + bytes(BLOCK * 4),
    "a header for nobody": pax({"path": "b"}),
    "more behind the end": END + entry(b"a", b"x"),
    "a half end": bytes(BLOCK) + entry(b"a", b"x"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("packed", [False, True])
def test_a_hostile_layer_is_refused_and_nothing_leaves(folder: Path, name: str, packed: bool) -> None:
    tar = entry(b"good", b"x") + HOSTILE[name] + END

    with pytest.raises(LayerRefused):
        unpack(io.BytesIO(gzip.compress(tar) if packed else tar), str(folder))

    assert outside(folder) == {"above", "victim"}
    assert (folder.parent.parent / "victim").read_text() == "untouched"


def test_a_link_followed_by_a_file_of_its_name_is_replaced_by_it(folder: Path) -> None:
    tar = entry(b"a", kind=b"2", target=b"b") + entry(b"a", b"content") + END

    unpack(io.BytesIO(tar), str(folder))

    assert tree(folder) == {"a": b"content"}


def test_the_last_entry_of_a_name_wins_and_what_was_linked_stays(folder: Path) -> None:
    tar = entry(b"a", b"1") + entry(b"b", kind=b"1", target=b"a") + entry(b"a", b"2") + END

    unpack(io.BytesIO(tar), str(folder))

    assert tree(folder) == {"a": b"2", "b": b"1"}


SMALL = entry(b"d", kind=b"5") + entry(b"d/a", b"content") + entry(b"l", kind=b"2", target=b"d/a") + END


@pytest.mark.parametrize("packed", [SMALL, gzip.compress(SMALL), spliced(SMALL[:600], SMALL[600:])])
def test_a_layer_cut_at_any_byte_is_refused(tmp_path: Path, packed: bytes) -> None:
    for length in range(len(packed)):
        (folder := tmp_path / "layer").mkdir()
        with pytest.raises(LayerRefused):
            unpack(io.BytesIO(packed[:length]), str(folder))
        remove_tree(str(folder))


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_a_damaged_layer_is_refused_or_is_another(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("above") / "layer"
    folder.mkdir()
    position = data.draw(st.integers(0, len(SMALL) - 1))
    damaged = SMALL[:position] + data.draw(st.binary(min_size=1, max_size=20)) + SMALL[position:]

    with pytest.raises(LayerRefused):
        unpack(io.BytesIO(damaged), str(folder), diff_id=f"sha256:{hashlib.sha256(SMALL).hexdigest()}")

    assert list(folder.parent.iterdir()) == [folder]


@settings(deadline=None, max_examples=50)
@given(noise=st.binary(max_size=3000))
def test_noise_is_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    folder = tmp_path_factory.mktemp("above") / "layer"
    folder.mkdir()
    with pytest.raises(LayerRefused):
        unpack(io.BytesIO(noise + b"x"), str(folder))
    with pytest.raises(LayerRefused):
        unpack(io.BytesIO(b"\x1f\x8b" + noise), str(folder))


@pytest.mark.parametrize("tail", [b"garbage", b"\x1f\x8b", b"\0"])
def test_what_follows_the_gzip_is_refused(folder: Path, tail: bytes) -> None:
    with pytest.raises(LayerRefused):
        unpack(io.BytesIO(gzip.compress(SMALL) + tail), str(folder))


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(entries=2), "2 entries"),
        (Limits(bytes=2000), "2000 bytes"),
        (Limits(path_bytes=3), "too long"),
    ],
)
def test_a_layer_over_its_limits_is_refused(folder: Path, limits: Limits, told: str) -> None:
    with pytest.raises(LayerRefused, match=told):
        unpack(io.BytesIO(gzip.compress(SMALL)), str(folder), limits=limits)


def test_a_bomb_is_refused_before_it_is_unpacked(folder: Path) -> None:
    bomb = gzip.compress(header(b"a", size=2**28) + bytes(2**28))

    with pytest.raises(LayerRefused):
        unpack(io.BytesIO(bomb), str(folder), limits=Limits(bytes=2**20))

    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2**20


def test_another_content_than_promised_is_refused(folder: Path) -> None:
    with pytest.raises(LayerRefused, match="not sha256:0"):
        unpack(io.BytesIO(SMALL), str(folder), diff_id="sha256:" + "0" * 64)


@pytest.mark.timeout(30)
def test_members_that_grow_a_lot_and_end_inside_a_window_are_read(folder: Path) -> None:
    zeros = bytes(3 * 1024 * 1024 - 512)
    first, last = entry(b"a", zeros), entry(b"b", b"x" * 512) + END
    layer = gzip.compress(first, mtime=0) + gzip.compress(last, mtime=0) + gzip.compress(b"", mtime=0)
    unpack([layer], str(folder))
    assert tree(folder) == {"a": zeros, "b": b"x" * 512}
