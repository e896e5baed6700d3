"""Tar headers read back by Python's tarfile and by the system's tar."""

import io
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.builder.packing import tar

_name = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=60
).filter(lambda name: name not in {".", ".."})
_paths = st.lists(_name, min_size=1, max_size=8).map("/".join)
_targets = st.text(
    st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=200
)


def _read(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data + tar.END), mode="r:") as archive:
        return archive.getmembers()


@given(
    _paths, st.binary(max_size=1500), st.sampled_from([0o644, 0o755]), st.sampled_from([(0, 0), (1000, 1000)])
)
def test_a_file_of_any_name_is_read_back(path, content, mode, owner):
    data = tar.file(path, len(content), mode, owner) + content + tar.padding(len(content))
    assert len(data) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(data + tar.END), mode="r:") as archive:
        (found,) = archive.getmembers()
        file = archive.extractfile(found)
        assert file is not None
        assert file.read() == content
    assert found.name == path.rstrip("/")
    assert (found.mode, (found.uid, found.gid), found.mtime) == (mode, owner, 0)
    assert (found.uname, found.gname) == ("", "")


@given(_paths, _targets)
def test_links_and_folders_of_any_name_are_read_back(path, target):
    folder, link = _read(tar.folder(f"{path}/a") + tar.link(f"{path}/b", target))
    assert (folder.name, folder.isdir(), folder.mode) == (f"{path}/a", True, 0o755)
    assert (link.name, link.issym(), link.linkname) == (f"{path}/b", True, target)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 8**11 - 1, 8**11, 10**13])
def test_sizes_beyond_ustar_are_written_too(size):
    header = tar.file("a", size, 0o644)
    found = tarfile.open(fileobj=io.BytesIO(header), mode="r:").next()  # noqa: SIM115 (in memory)
    assert found is not None
    assert found.size == size
    assert (size + len(tar.padding(size))) % 512 == 0


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("a" * 100, True),
        ("a" * 101, False),
        ("p" * 155 + "/" + "n" * 100, True),
        ("p" * 156 + "/" + "n" * 100, False),
        ("p" * 155 + "/" + "n" * 101, False),
        ("ä", False),
    ],
)
def test_pax_is_used_only_where_ustar_cannot_say_it(path, plain):
    assert (len(tar.file(path, 0, 0o644)) == 512) is plain
    assert [entry.name for entry in _read(tar.file(path, 0, 0o644))] == [path]


def test_the_systems_tar_reads_it(tmp_path):
    names = [
        "plain",
        "d" * 90 + "/" + "n" * 90,
        "x" * 140,
        "ünï/cödé",
        "with space",
        "p" * 170 + "/" + "q" * 30,
    ]
    data = b"".join(tar.file(name, 3, 0o755) + b"abc" + tar.padding(3) for name in names)
    (tmp_path / "made.tar").write_bytes(data + tar.link("link", "t" * 150) + tar.folder("empty") + tar.END)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    done = subprocess.run(
        ["tar", "-xf", str(tmp_path / "made.tar"), "-C", str(unpacked)], capture_output=True, check=True
    )
    assert done.stderr == b""
    assert all((unpacked / name).read_bytes() == b"abc" for name in names)
    assert str((unpacked / "link").readlink()) == "t" * 150
    assert (unpacked / "empty").is_dir()
