"""Wheels and source as layers: beside tar and gzip of the same files, the bytes both ways."""

import functools
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

from bench.measure import Aim, Table, alternate, divide, median, number, ratio, spread
from cynthus.builder.packing.packages import wheel_layer
from cynthus.builder.packing.source import source_layer
from cynthus.snapshots.manifest import Entry

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
WHEELS = {"numpy": 7, "scikit-learn": 7, "torch==2.13.0": 3}
"""With the rounds each is measured in."""
FILES, BYTES = 200, 2_400_000
OURS = "spliced"


def run():
    with tempfile.TemporaryDirectory(prefix="bench-layers-") as folder:
        return [_wheels(Path(folder)), _source(Path(folder))]


def _wheels(folder):
    columns = ["wheel", "", "MB", "seconds", "CPU seconds", "of gzip -6", "bytes of gzip -6"]
    table = Table("Wheel to layer", columns)
    for name, rounds in WHEELS.items():
        wheel = _fetched(name, folder)
        if wheel is None:
            table.aims.append(Aim(f"{name}: faster than gzip -6", None, at_least=7))
        else:
            _measure(name, wheel, rounds, table)
    table.notes.append("ours also checks every file's checksum and writes its SHA-256 into RECORD")
    return table


def _measure(name, wheel, rounds, table):
    makers = {
        "gzip -6": _gzipped(6),
        "gzip -1": _gzipped(1),
        OURS: lambda wheel, target: wheel_layer(wheel, PYTHON, target),
    }
    sizes, cpu = {}, {label: [] for label in makers}

    def timed(label):
        target = wheel.with_name("layer")
        target.unlink(missing_ok=True)
        begun, start = time.process_time(), time.perf_counter()
        makers[label](wheel, target)
        took = time.perf_counter() - start
        cpu[label].append(time.process_time() - begun)
        sizes[label] = target.stat().st_size
        return took

    candidates = {label: functools.partial(timed, label) for label in makers}
    samples = alternate(candidates, rounds=rounds, warmups=0, budget_s=240)
    least = median(samples["gzip -6"])
    for label, seconds in samples.items():
        table.rows.append([
            name, label, number(sizes[label] / 1e6), spread(seconds), number(median(cpu[label])),
            ratio(divide(median(seconds), least)), ratio(sizes[label] / sizes["gzip -6"]),
        ])  # fmt: skip
    faster = divide(least, median(samples[OURS]))
    table.aims.append(Aim(f"{name}: faster than gzip -6", faster, at_least=7))
    table.aims.append(Aim(f"{name}: bytes of gzip -6", sizes[OURS] / sizes["gzip -6"], at_most=1.05))
    table.raw[name] = {"seconds": samples, "cpu": cpu, "bytes": sizes}


def _source(folder):
    table = Table(
        f"{FILES} files of source, {BYTES / 1e6:.1f} MB, to a layer", ["", "ms", "KB", "of gzip -6"]
    )
    files = _texts()
    entries = [Entry(path, len(data), chunks=("0" * 64,)) for path, data in files.items()]
    target, size = folder / "source", {}

    def ours():
        start = time.perf_counter()
        layer, _ = source_layer(entries, lambda entry: iter([files[entry.path]]), target)
        size[OURS] = layer.size
        return time.perf_counter() - start

    def gzipped(level):
        def timed():
            start = time.perf_counter()
            with tarfile.open(target, "w:gz", compresslevel=level) as archive:
                for path, data in files.items():
                    _add(archive, path, len(data), io.BytesIO(data))
            size[f"gzip -{level}"] = target.stat().st_size
            return time.perf_counter() - start

        return timed

    candidates = {"gzip -6": gzipped(6), "gzip -1": gzipped(1), "ours, not compressed": ours}
    samples = alternate(candidates, rounds=21)
    for label, seconds in samples.items():
        least = median(samples["gzip -6"])
        kilobytes = number(size[label if label in size else OURS] / 1e3)
        table.rows.append([label, spread(seconds, 1000), kilobytes, ratio(divide(median(seconds), least))])
    table.raw = {"seconds": samples, "bytes": size}
    return table


def _gzipped(level):
    def make(wheel, target):
        with (
            zipfile.ZipFile(wheel) as archive,
            tarfile.open(target, "w:gz", compresslevel=level) as layer,
        ):
            for entry in archive.infolist():
                with archive.open(entry) as content:
                    path = f"opt/venv/lib/python{PYTHON}/site-packages/{entry.filename}"
                    _add(layer, path, entry.file_size, content)

    return make


def _add(archive, path, size, content):
    entry = tarfile.TarInfo(path)
    entry.size = size
    archive.addfile(entry, content)


def _fetched(name, folder):
    """A wheel for this Python, from the index or the folders that pip is told of."""
    into = folder / name.partition("=")[0]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
         "--dest", str(into), name],
        check=False, capture_output=True,
    )  # fmt: skip
    return next(into.glob("*.whl"), None) if done.returncode == 0 else None


def _texts():
    """Text of this Python's own library, cut into files."""
    library = Path(os.__file__).parent
    text = b"".join(path.read_bytes() for path in sorted(library.glob("*.py")))
    text = (text * (BYTES // len(text) + 1))[:BYTES]
    each = BYTES // FILES
    return {f"package/module_{n:03}.py": text[n * each : (n + 1) * each] for n in range(FILES)}
