"""Wheels made to do harm, or broken on the way: refused by name, and nothing is left behind."""

import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cynthus.builder.packing.layer import WheelRefused
from cynthus.builder.packing.packages import wheel_layer
from tests.fixtures.wheels import items_of, make_wheel


def _refused(wheel: Path, why: str = ".") -> None:
    folder = wheel.parent / "layers"
    folder.mkdir(exist_ok=True)
    with pytest.raises(WheelRefused, match=why) as refusal:
        wheel_layer(wheel, "3.11", folder / "layer")
    assert refusal.value.name == wheel.name
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute or leaves"),
        ("../x.py", "absolute or leaves"),
        ("thing/../../x.py", "absolute or leaves"),
        ("thing//x.py", "absolute or leaves"),
        ("./x.py", "absolute or leaves"),
        ("thing\\x.py", "backslash"),
        ("thing/x\n.py", "control character"),
        ("thing/\x7f", "control character"),
        ("n" * 256, "too long"),
        ("/".join(["n" * 200] * 20), "too long"),
        ("thing-1.0.data/scripts/../../../../etc/x", "absolute or leaves"),
        ("thing-1.0.data/scripts/python", "belongs to the environment"),
        ("thing-1.0.data/scripts/python3.11", "belongs to the environment"),
        ("thing-1.0.data/data/bin/python3", "belongs to the environment"),
        ("thing-1.0.data/data/pyvenv.cfg", "belongs to the environment"),
        ("thing-1.0.data/data/lib64", "belongs to the environment"),
        ("thing-1.0.data/data/bin", "belongs to the environment"),
        ("thing-1.0.data/elsewhere/x", "is in none of"),
        ("thing-1.0.data/scripts", "is in none of"),
        ("other-1.0.dist-info/METADATA", "2 .dist-info folders"),
        ("thing-1.0.dist-info", "both a file and a folder"),
        ("thing-1.0.dist-info/RECORD/x", "both a file and a folder"),
    ],
)
def test_names_outside_a_wheels_layout_are_refused(tmp_path, name, why):
    _refused(make_wheel(tmp_path, {name: b"x"}), why)


def test_a_nul_in_a_name_is_refused(tmp_path):
    wheel = make_wheel(tmp_path, {"thing_x.py": b"x"})
    wheel.write_bytes(wheel.read_bytes().replace(b"thing_x.py", b"thing\0x.py"))
    _refused(wheel, "control character")


@pytest.mark.parametrize(
    "name", ["thing.whl", "thing-1.0.whl", "thing-1.0-py3-none.whl", "thing-x!-py3-none-any.whl"]
)
def test_files_not_named_as_wheels_are_refused(tmp_path, name):
    _refused(make_wheel(tmp_path, {}).rename(tmp_path / name), "no wheel's name")


def test_another_distribution_or_version_than_the_name_says_is_refused(tmp_path):
    wheel = make_wheel(tmp_path, {})
    _refused(wheel.rename(tmp_path / "thing-2.0-py3-none-any.whl"), "it holds thing-1.0.dist-info")
    wheel = make_wheel(tmp_path, {})
    _refused(wheel.rename(tmp_path / "other-1.0-py3-none-any.whl"), "it holds thing-1.0.dist-info")


@pytest.mark.parametrize(
    ("information", "why"),
    [
        ({"WHEEL": b"Wheel-Version: 2.0\n"}, "no version 1"),
        ({"WHEEL": b""}, "no version 1"),
        ({"entry_points.txt": b"[console_scripts]\nx = no function\n"}, "no name of a function"),
        ({"entry_points.txt": b"[console_scripts]\n../x = a:b\n"}, "no name of a function"),
        ({"entry_points.txt": b"[console_scripts]\nx = a:b;import os\n"}, "no name of a function"),
        ({"entry_points.txt": b"[console_scripts]\npython = a:b\n"}, "belongs to the environment"),
        ({"entry_points.txt": b"\xff\xfe"}, "not UTF-8"),
    ],
)
def test_metadata_that_cannot_be_followed_is_refused(tmp_path, information, why):
    _refused(make_wheel(tmp_path, {}, information=information), why)


def test_a_wheel_without_metadata_is_refused(tmp_path):
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    for names, why in [([], "0 .dist-info"), (["WHEEL"], "no METADATA"), (["METADATA"], "no WHEEL")]:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(f"thing-1.0.dist-info/{name}", "Wheel-Version: 1.0\n")
        _refused(path, why)


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o060644, 0o140644, 0o040755])
def test_links_and_devices_are_refused(tmp_path, mode):
    wheel = make_wheel(tmp_path, {})
    with zipfile.ZipFile(wheel, "a") as archive:
        entry = zipfile.ZipInfo("thing/x")
        entry.external_attr = mode << 16
        archive.writestr(entry, "/etc/passwd")
    _refused(wheel, "a link or a device")


def test_a_name_twice_is_taken_once_when_the_same_and_else_refused(tmp_path):
    for second, fine in [(b"one", True), (b"two", False)]:
        wheel = make_wheel(tmp_path, {"a.py": b"one"})
        with zipfile.ZipFile(wheel, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.py", second, zipfile.ZIP_DEFLATED)
        if fine:
            items = items_of(wheel_layer(wheel, "3.11", tmp_path / "fine"))
            assert sum(name.endswith("/a.py") for name in items) == 1
        else:
            _refused(wheel, "twice, and not the same")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_than_deflate_are_refused(tmp_path, method):
    _refused(make_wheel(tmp_path, {"a.py": b"x" * 99}, method=method), "not deflate")


def _patched(wheel: Path, change: Callable[[bytearray, int, int], None]) -> Path:
    """With the local and central header of a.py changed."""
    data = bytearray(wheel.read_bytes())
    local = data.index(b"PK\x03\x04")
    central = data.index(b"PK\x01\x02")
    assert data[local + 30 : local + 34] == data[central + 46 : central + 50] == b"a.py"
    change(data, local, central)
    wheel.write_bytes(data)
    return wheel


def _field(at: int, value: int, kind: str, *, inside: str) -> Callable[[bytearray, int, int], None]:
    def change(data: bytearray, local: int, central: int) -> None:
        if "local" in inside:
            struct.pack_into(kind, data, local + at, value)
        if "central" in inside:
            struct.pack_into(kind, data, central + at + 2, value)

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_field(6, 1, "<H", inside="local central"), "encrypted"),
        (_field(6, 1, "<H", inside="local"), "two ways"),
        (_field(8, 0, "<H", inside="local"), "two ways"),
        (_field(14, 1, "<L", inside="local"), "two ways"),
        (_field(14, 1, "<L", inside="local central"), "damaged"),
        (_field(18, 1, "<L", inside="local"), "two ways"),
        (_field(18, 20, "<L", inside="local central"), "damaged"),
        (_field(18, 10**6, "<L", inside="local central"), "longer than the file"),
        (_field(22, 10, "<L", inside="local"), "two ways"),
        (_field(22, 10, "<L", inside="local central"), "longer than it says"),
        (_field(22, 10**5, "<L", inside="local central"), "damaged"),
        (_field(22, 2**32 - 2, "<L", inside="central"), "times its size"),
        (_field(22, 2**32 - 1, "<L", inside="central"), "no zip64 sizes"),
        (_field(40, 5, "<L", inside="central"), "another name"),
        (_field(40, 2**31, "<L", inside="central"), "ends too early"),
        (_field(32, 1, "<H", inside="central"), "."),
        (_field(26, 3, "<H", inside="local"), "another name"),
        (_field(30, 0x62, "<B", inside="local"), "another name"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, change, why):
    _refused(_patched(make_wheel(tmp_path, {"a.py": b"content " * 1000}), change), why)


def test_entries_that_overlap_are_refused(tmp_path):
    wheel = make_wheel(tmp_path, {"a.py": b"a" * 500, "b.py": b"a" * 500}, method=zipfile.ZIP_STORED)
    data = bytearray(wheel.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    struct.pack_into("<L", data, second + 42, 0)
    data[second + 46] = ord("a")
    wheel.write_bytes(data)
    _refused(wheel, "overlaps")


def _with_zip64(data: bytes, **lies: int) -> bytes:
    """The same archive with a zip64 end."""
    end = data.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HLL", data, end + 10)
    fields = {"count": count, "size": size, "start": start, "at": end, **lies}
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0,
        fields["count"], fields["count"], fields["size"], fields["start"],
    )  # fmt: skip
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, fields["at"], 1)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:end] + record + locator + tail


def test_zip64_is_read_and_its_lies_are_refused(tmp_path):
    wheel = make_wheel(tmp_path, {"a.py": b"x"})
    plain = wheel.read_bytes()
    digest = wheel_layer(wheel, "3.11", tmp_path / "plain").digest
    wheel.write_bytes(_with_zip64(plain))
    assert wheel_layer(wheel, "3.11", tmp_path / "zip64").digest == digest
    for lies in [
        {"count": 3},
        {"count": 5},
        {"count": 2**63},
        {"size": 1},
        {"start": 7},
        {"at": 3},
        {"at": 2**63},
    ]:
        wheel.write_bytes(_with_zip64(plain, **lies))
        _refused(wheel)


def test_a_stream_written_without_knowing_its_size_is_read(tmp_path):
    path = tmp_path / "thing-1.0-py3-none-any.whl"

    class Pipe:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            return self.file.write(data)

        def flush(self):
            self.file.flush()

    with path.open("wb") as file, zipfile.ZipFile(Pipe(file), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("thing-1.0.dist-info/METADATA", "Name: thing\n")
        with archive.open("a.py", "w", force_zip64=True) as entry:
            entry.write(b"content" * 100)
    items = items_of(wheel_layer(path, "3.11", tmp_path / "layer"))
    assert next(item for name, item in items.items() if name.endswith("/a.py")).content == b"content" * 100
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x07\x08") + 4] ^= 1
    path.write_bytes(data)
    _refused(path, "two ways")


def test_a_bomb_is_refused_before_it_is_opened(tmp_path):
    _refused(make_wheel(tmp_path, {"a.bin": bytes(300 * 1024 * 1024)}), "more than 200 times its size")


def test_a_stream_longer_than_it_says_is_stopped_where_it_should_end(tmp_path):
    """Both headers say 100 bytes; the stream has 200 MB of zeros."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = b"".join(deflater.compress(bytes(10**6)) for _ in range(200)) + deflater.flush()
    wheel = make_wheel(tmp_path, {"a.py": os.urandom(len(stream))}, method=zipfile.ZIP_STORED)
    data = bytearray(wheel.read_bytes())
    at = data.index(b"PK\x03\x04")
    data[at + 34 : at + 34 + len(stream)] = stream

    def change(data: bytearray, local: int, central: int) -> None:
        for offset, kind, value in [(8, "<H", 8), (14, "<L", 0), (22, "<L", 100)]:
            _field(offset, value, kind, inside="local central")(data, local, central)

    wheel.write_bytes(data)
    _refused(_patched(wheel, change), "longer than it says")


@pytest.mark.parametrize("tail", [b"x", b"PK\x05\x06" + bytes(18) + b"y"])
def test_bytes_after_the_end_are_refused(tmp_path, tail):
    wheel = make_wheel(tmp_path, {"a.py": b"x"})
    wheel.write_bytes(wheel.read_bytes() + tail)
    _refused(wheel, "bytes after its end")


def test_bytes_before_the_start_are_refused(tmp_path):
    wheel = make_wheel(tmp_path, {"a.py": b"x"})
    wheel.write_bytes(b"#!/bin/sh\n" + wheel.read_bytes())
    _refused(wheel, "not where it says")


def test_a_wheel_cut_anywhere_is_refused(tmp_path):
    wheel = make_wheel(tmp_path, {"a.py": b"content " * 30, "b.py": b""})
    whole = wheel.read_bytes()
    for length in range(len(whole)):
        wheel.write_bytes(whole[:length])
        _refused(wheel)


@given(st.data())
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_wheel_changed_anywhere_is_refused_or_packed_and_nothing_else(tmp_path, data):
    wheel = make_wheel(tmp_path, {"a.py": b"content " * 30, "thing-1.0.data/scripts/x": b"#!python\n"})
    whole = bytearray(wheel.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    wheel.write_bytes(whole)
    try:
        items_of(wheel_layer(wheel, "3.11", tmp_path / "layer"))
    except WheelRefused as refusal:
        assert refusal.why  # noqa: PT017 (either outcome is right)


def test_noise_is_refused(tmp_path):
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    for size in (0, 1, 21, 22, 23, 100, 5000):
        wheel.write_bytes(os.urandom(size))
        _refused(wheel)


_PEAK = """
import sys
from pathlib import Path
from cynthus.builder.packing.packages import wheel_layer
wheel_layer(Path(sys.argv[1]), "3.11", Path(sys.argv[2]))
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_large_wheel_is_packed_in_little_memory(tmp_path, method):
    import subprocess

    block = os.urandom(300_000) + bytes(700_000)
    path = make_wheel(tmp_path, {})
    with (
        zipfile.ZipFile(path, "a", method, compresslevel=1) as archive,
        archive.open("large.bin", "w") as file,
    ):
        for _ in range(300):
            file.write(block)
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path), str(tmp_path / "layer")], capture_output=True, check=True
    )
    assert int(done.stdout) < 100 * 1024
    assert (tmp_path / "layer").stat().st_size > 90_000_000
