"""What a wheel becomes in a layer."""

import csv
import hashlib
import os
import zipfile
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cynthus.builder.packing.layer import WheelRefused
from cynthus.builder.packing.packages import packages_layer, venv_layer, wheel_layer
from cynthus.oci.descriptor import MediaType
from tests.fixtures.wheels import SITE, Item, items_of, make_wheel

_ROOT = (0, 0)


def test_files_are_installed_with_fixed_modes_and_owners(tmp_path):
    wheel = make_wheel(
        tmp_path,
        {"thing/__init__.py": b"x = 1\n", "thing/tool.sh": b"#!/bin/sh\n", "thing/empty.py": b""},
        modes={"thing/tool.sh": 0o700, "thing/__init__.py": 0o600},
    )
    items = items_of(wheel_layer(wheel, "3.11", tmp_path / "layer"))
    assert items[f"{SITE}/thing/__init__.py"] == Item("file", 0o644, _ROOT, b"x = 1\n")
    assert items[f"{SITE}/thing/tool.sh"] == Item("file", 0o755, _ROOT, b"#!/bin/sh\n")
    assert items[f"{SITE}/thing/empty.py"] == Item("file", 0o644, _ROOT, b"")
    assert items[f"{SITE}/thing-1.0.dist-info/INSTALLER"].content == b"cynthus\n"
    folders = [name for name, item in items.items() if item.kind == "folder"]
    assert folders[:3] == ["opt", "opt/venv", "opt/venv/lib"]
    assert all(items[name] == Item("folder", 0o755, _ROOT, b"") for name in folders)


def test_entries_are_sorted_and_parents_come_first(tmp_path):
    wheel = make_wheel(tmp_path, {"b/x.py": b"1", "a.py": b"2", "b.py": b"3", "b/a/y.py": b"4"})
    names = list(items_of(wheel_layer(wheel, "3.11", tmp_path / "layer")))
    assert names[-1].endswith("/RECORD")
    assert names[:-1] == sorted(names[:-1])
    assert all(name.rpartition("/")[0] in ["", *names[:at]] for at, name in enumerate(names))


def test_the_data_folder_is_spread_over_the_environment(tmp_path):
    below = {
        "scripts/run": b"#!python\nprint(1)\n",
        "scripts/window": b"#!pythonw -u\r\nprint(2)\n",
        "scripts/binary": b"\x7fELF...",
        "scripts/shell": b"#!/bin/sh\n",
        "headers/thing.h": b"int x;",
        "data/share/thing.txt": b"data",
        "data/lib64/thing.so": b"so",
        "purelib/pure.py": b"p",
        "platlib/plat.py": b"q",
    }
    wheel = make_wheel(tmp_path, {f"thing-1.0.data/{name}": content for name, content in below.items()})
    items = items_of(wheel_layer(wheel, "3.11", tmp_path / "layer"))
    assert items["opt/venv/bin/run"] == Item("file", 0o755, _ROOT, b"#!/opt/venv/bin/python\nprint(1)\n")
    assert items["opt/venv/bin/window"].content == b"#!/opt/venv/bin/python\nprint(2)\n"
    assert items["opt/venv/bin/binary"] == Item("file", 0o755, _ROOT, b"\x7fELF...")
    assert items["opt/venv/bin/shell"].content == b"#!/bin/sh\n"
    assert items["opt/venv/include/site/python3.11/thing/thing.h"].content == b"int x;"
    assert items["opt/venv/share/thing.txt"].content == b"data"
    assert items["opt/venv/lib/thing.so"].content == b"so"
    assert items[f"{SITE}/pure.py"].content == b"p"
    assert items[f"{SITE}/plat.py"].content == b"q"
    assert "opt/venv/lib64" not in items


def test_commands_are_made_of_entry_points(tmp_path):
    text = (
        b"[console_scripts]\nthing = thing.cli:main\nother-thing= thing.cli : App.run [extra]\n"
        b"# a comment\n\n[gui_scripts]\nthing-window = thing:window\n[unrelated]\nx = no command at all\n"
    )
    wheel = make_wheel(tmp_path, {"thing/cli.py": b""}, information={"entry_points.txt": text})
    items = items_of(wheel_layer(wheel, "3.11", tmp_path / "layer"))
    commands = {name: item for name, item in items.items() if name.startswith("opt/venv/bin/")}
    assert sorted(commands) == [f"opt/venv/bin/{name}" for name in ("other-thing", "thing", "thing-window")]
    assert all(item.mode == 0o755 for item in commands.values())
    assert commands["opt/venv/bin/other-thing"].content == (
        b'#!/opt/venv/bin/python\nimport sys\n\nfrom thing.cli import App\n\nif __name__ == "__main__":\n'
        b"    sys.exit(App.run())\n"
    )


def test_compiled_files_and_old_records_of_a_wheel_are_left_out(tmp_path):
    wheel = make_wheel(
        tmp_path,
        {"a.py": b"", "a.pyc": b"", "b/__pycache__/c.cpython-311.pyc": b"", "b/c.py": b""},
        information={"RECORD": b"lies", "RECORD.jws": b"{}", "INSTALLER": b"somebody"},
    )
    items = items_of(wheel_layer(wheel, "3.11", tmp_path / "layer"))
    assert not any(name.endswith((".pyc", "__pycache__", ".jws")) for name in items)
    assert items[f"{SITE}/thing-1.0.dist-info/INSTALLER"].content == b"cynthus\n"


def test_the_record_has_the_hash_and_size_of_every_file(tmp_path):
    wheel = make_wheel(
        tmp_path,
        {"a, b.py": b"x", "thing/z.bin": os.urandom(3_000_000), "thing-1.0.data/scripts/run": b"#!python\n"},
        information={"entry_points.txt": b"[console_scripts]\nthing = thing:main\n"},
    )
    items = items_of(wheel_layer(wheel, "3.11", tmp_path / "layer"))
    rows = list(csv.reader(items[f"{SITE}/thing-1.0.dist-info/RECORD"].content.decode().splitlines()))
    assert rows == sorted(rows)
    listed = {os.path.normpath(f"{SITE}/{path}"): (digest, size) for path, digest, size in rows}
    assert listed.keys() == {name for name, item in items.items() if item.kind == "file"}
    for name, (digest, size) in listed.items():
        content = items[name].content
        stated = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        expected = ("", "") if name.endswith("/RECORD") else (f"sha256={stated}", str(len(content)))
        assert (digest, size) == expected


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}(/[a-zé]{1,5}){0,2}\.[a-z]{2}", fullmatch=True),
        st.one_of(st.binary(max_size=3000), st.integers(0, 3_000_000).map(bytes)),
        max_size=6,
    ),
    st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_files_come_out_as_they_went_in(tmp_path, files, method):
    items = items_of(wheel_layer(make_wheel(tmp_path, files, method=method), "3.11", tmp_path / "layer"))
    found = {
        name.removeprefix(f"{SITE}/"): item.content
        for name, item in items.items()
        if item.kind == "file" and ".dist-info/" not in name
    }
    assert found == files


def test_a_layer_holds_the_wheels_own_streams(tmp_path):
    content = os.urandom(200_000).hex().encode()
    wheel = make_wheel(tmp_path, {"thing.py": content})
    with zipfile.ZipFile(wheel) as archive:
        entry = archive.getinfo("thing.py")
    start = entry.header_offset + 30 + len("thing.py")
    stream = wheel.read_bytes()[start : start + entry.compress_size]
    assert stream in wheel_layer(wheel, "3.11", tmp_path / "layer").path.read_bytes()


def test_small_wheels_share_a_layer_whatever_their_order(tmp_path):
    one = make_wheel(tmp_path, {"shared/__init__.py": b"1", "one.py": b"1"}, name="aaa")
    two = make_wheel(tmp_path, {"shared/__init__.py": b"two", "two.py": b"2"}, name="bbb")
    layer = packages_layer([one, two], "3.11", tmp_path / "layer")
    assert packages_layer([two, one], "3.11", tmp_path / "again").digest == layer.digest
    items = items_of(layer)
    assert items[f"{SITE}/shared/__init__.py"].content == b"two"
    assert {f"{SITE}/one.py", f"{SITE}/two.py"} < items.keys()
    digest = urlsafe_b64encode(hashlib.sha256(b"two").digest()).rstrip(b"=")
    for name in ("aaa", "bbb"):
        record = items[f"{SITE}/{name}-1.0.dist-info/RECORD"].content
        assert b"shared/__init__.py,sha256=" + digest + b",3\n" in record


def test_no_wheels_are_an_empty_layer(tmp_path):
    assert items_of(packages_layer([], "3.11", tmp_path / "layer")) == {}


def test_two_wheels_of_one_distribution_are_refused(tmp_path):
    wheels = [make_wheel(tmp_path, {}, version=version) for version in ("1.0", "2.0")]
    with pytest.raises(WheelRefused, match="is the same distribution"):
        packages_layer(wheels, "3.11", tmp_path / "layer")


def test_a_file_that_is_a_folder_of_another_wheel_is_refused(tmp_path):
    one = make_wheel(tmp_path, {"shared": b""}, name="aaa")
    two = make_wheel(tmp_path, {"shared/x.py": b""}, name="bbb")
    with pytest.raises(WheelRefused, match="is a folder of another wheel"):
        packages_layer([one, two], "3.11", tmp_path / "layer")
    assert not (tmp_path / "layer").exists()


def test_the_environment_links_to_the_bases_python(tmp_path):
    items = items_of(venv_layer("3.11", "/usr/bin/python3.11", tmp_path / "layer"))
    links = {name: item.link for name, item in items.items() if item.kind == "link"}
    assert links == {
        "opt/venv/bin/python": "/usr/bin/python3.11",
        "opt/venv/bin/python3": "python",
        "opt/venv/bin/python3.11": "python",
        "opt/venv/lib64": "lib",
    }
    assert items["opt/venv/pyvenv.cfg"].content == (
        b"home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n"
    )
    assert items[SITE].kind == "folder"


def test_a_descriptor_says_what_the_layer_is(tmp_path):
    wheel = make_wheel(tmp_path, {"a.py": b""}, name="Some_Thing", version="1.0.post1")
    layer = wheel_layer(wheel, "3.11", tmp_path / "layer")
    descriptor = layer.descriptor()
    assert (descriptor.media_type, descriptor.digest, descriptor.size) == (
        MediaType.LAYER_GZIP, layer.digest, layer.size,
    )  # fmt: skip
    assert descriptor.annotations == {
        "dev.cynthus.layer": "wheel",
        "dev.cynthus.diff-id": layer.diff_id,
        "dev.cynthus.package": "some-thing==1.0.post1",
    }


def test_the_hash_of_a_wheel_is_checked_when_it_is_known(tmp_path):
    wheel = make_wheel(tmp_path, {"a.py": b""})
    known = hashlib.sha256(wheel.read_bytes()).hexdigest()
    wheel_layer(wheel, "3.11", tmp_path / "layer", sha256=known)
    packages_layer([wheel], "3.11", tmp_path / "layer", hashes={wheel: f"sha256:{known}"})
    with pytest.raises(WheelRefused, match="its SHA-256 is"):
        wheel_layer(wheel, "3.11", tmp_path / "refused", sha256="0" * 64)
    assert not (tmp_path / "refused").exists()


def test_layers_are_made_in_parallel_and_nothing_is_left_beside_them(tmp_path):
    wheels = [make_wheel(tmp_path, {"m.py": os.urandom(2_000_000)}, name=f"w{n}") for n in range(6)]
    layers = tmp_path / "layers"
    layers.mkdir()
    alone = [wheel_layer(wheel, "3.11", layers / wheel.stem).digest for wheel in wheels]
    with ThreadPoolExecutor(6) as pool:
        together = list(
            pool.map(lambda wheel: wheel_layer(wheel, "3.11", layers / wheel.stem).digest, wheels)
        )
    assert together == alone
    assert sorted(path.name for path in layers.iterdir()) == sorted(wheel.stem for wheel in wheels)


def test_more_wheels_than_a_process_may_open(tmp_path):
    wheels = [make_wheel(tmp_path, {f"m{n}.py": b"1"}, name=f"w{n}") for n in range(300)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    items = items_of(packages_layer(wheels, "3.11", tmp_path / "layer"))
    assert sum(name.endswith("/RECORD") for name in items) == 300
    assert len(list(Path("/proc/self/fd").iterdir())) == before
