import hashlib
import os
import stat
from pathlib import Path

import pytest

from cynthus.snapshots.manifest import Entry
from tests.fixtures.platform_for_workers import PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, StartWorker, Worker

pytestmark = BOTH_WAYS

READ = "import os\nprint(open(os.environ['CYNTHUS_DATA_DIR'] + '/a.txt').read())\n"


def fetched(platform: PlatformForWorkers, digest: str) -> int:
    return sum(digest in path for _, path in platform.requests)


def tree_of(worker: Worker, digest: str) -> Path:
    seal = worker.home / "cache" / "trees" / f"{digest.removeprefix('sha256:')}.seal"
    return seal.parent / seal.read_text().splitlines()[0]


def test_source_and_data_are_where_they_were(platform: PlatformForWorkers, worker: Worker) -> None:
    data = platform.snapshot({"a.txt": "A", "deep/b.txt": "B"}, {"link.txt": "deep/b.txt"})
    given = platform.give(
        "import os, pathlib\nfrom package import answer\nprint(answer)\n"
        "for path in ('./data/a.txt', 'data/deep/b.txt', 'data/link.txt'):\n"
        "    print(open(path).read())\n"
        "print(os.stat('tool.sh').st_mode & 0o777 == 0o755, os.path.isdir('empty'), os.readlink('alias'))\n"
        "pathlib.Path('main.py').write_text('changed')\n",
        files={"package/__init__.py": "answer = 42", "tool.sh": "#!/bin/sh\n", "nothing": ""},
        links={"alias": "package/__init__.py"},
        data=[{"mount": "data", "manifest": data}],
    )

    assert given.result["exit_code"] == 0, given.text("stderr")
    assert given.text() == b"42\nA\nB\nB\nTrue False package/__init__.py\n"
    assert platform.give("print(1)").result["exit_code"] == 0


def test_a_changed_copy_of_the_source_does_not_reach_the_next_run(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    script = "import pathlib\nprint(open('text').read())\npathlib.Path('text').write_text('changed')\n"

    for _ in range(2):
        given = platform.give(script, files={"text": "original"})
        assert given.result["exit_code"] == 0
        assert given.text() == b"original\n"


def test_data_is_read_only_and_used_again(platform: PlatformForWorkers, worker: Worker) -> None:
    data = platform.snapshot({"a.txt": "A"})
    mounts = [{"mount": "data", "manifest": data}]

    for _ in range(2):
        assert platform.give(READ, data=mounts).result["exit_code"] == 0

    tree = tree_of(worker, data)
    assert fetched(platform, data) == 1
    assert stat.S_IMODE(tree.stat().st_mode) == 0o555
    assert stat.S_IMODE((tree / "a.txt").stat().st_mode) == 0o444


def test_tampered_data_is_laid_out_again(platform: PlatformForWorkers, worker: Worker) -> None:
    data = platform.snapshot({"a.txt": "A"})
    mounts = [{"mount": "data", "manifest": data}]
    assert platform.give(READ, data=mounts).result["exit_code"] == 0
    file = tree_of(worker, data) / "a.txt"
    before = file.stat()
    file.chmod(0o644)
    file.write_text("X")
    file.chmod(0o444)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    given = platform.give(READ, data=mounts)

    assert given.result["exit_code"] == 0
    assert given.text() == b"A\n"


def test_data_beside_the_project_appears_beside_it(platform: PlatformForWorkers, worker: Worker) -> None:
    data = platform.snapshot({"a.txt": "A"})
    given = platform.give(
        "print(open('../../shared/data/a.txt').read())",
        data=[{"mount": "../../shared/data", "manifest": data}],
    )

    assert given.result["exit_code"] == 0, given.text("stderr")
    assert given.text() == b"A\n"


def test_a_single_file_appears_as_a_file(platform: PlatformForWorkers, worker: Worker) -> None:
    data = platform.snapshot({"train.csv": "1,2"})
    given = platform.give(
        "print(open('in/train.csv').read())", data=[{"mount": "in/train.csv", "manifest": data}]
    )

    assert given.result["exit_code"] == 0, given.text("stderr")
    assert given.text() == b"1,2\n"


def test_a_large_file_arrives_in_pieces(platform: PlatformForWorkers, worker: Worker) -> None:
    big = os.urandom(1024 * 1024) * 66
    data = platform.snapshot({"big.bin": big})
    given = platform.give(
        "import hashlib\nprint(hashlib.sha256(open('data/big.bin', 'rb').read()).hexdigest())",
        data=[{"mount": "data", "manifest": data}],
    )
    assert given.result["exit_code"] == 0, given.text("stderr")
    assert given.text().decode().strip() == hashlib.sha256(big).hexdigest()


def test_thousands_of_small_files_arrive(platform: PlatformForWorkers, worker: Worker) -> None:
    data = platform.snapshot({f"{n % 30}/{n}.txt": str(n) for n in range(3000)})
    given = platform.give(
        "import pathlib\nprint(sum(int(p.read_text()) for p in pathlib.Path('data/').glob('*/*.txt')))",
        data=[{"mount": "data", "manifest": data}],
    )

    assert given.result["exit_code"] == 0, given.text("stderr")
    assert int(given.text()) == sum(range(3000))
    assert len([path for _, path in platform.requests if "blobs:get" in path]) < 12


@pytest.mark.parametrize("mount", ["/etc/data", ".", "..", "data/inner"])
def test_data_cannot_appear_where_it_would_leave_the_run(
    platform: PlatformForWorkers, worker: Worker, mount: str
) -> None:
    outer, inner = platform.snapshot({"a.txt": "A"}), platform.snapshot({"b.txt": "B"})
    given = platform.give(
        "print(1)", data=[{"mount": "data", "manifest": outer}, {"mount": mount, "manifest": inner}]
    )

    assert given.result["cause"]["code"] == "order_invalid"
    assert repr(mount) in given.result["cause"]["message"]


@pytest.mark.parametrize(
    "entries",
    [
        [Entry("a", link="/etc/passwd")],
        [Entry("d/a", link="../../outside")],
        [Entry("a", link="d"), Entry("a/b", folder=True)],
        [Entry("d1/up", link=".."), Entry("z", link="d1/up/../../../etc")],
    ],
)
def test_links_that_leave_their_snapshot_are_refused(
    platform: PlatformForWorkers, worker: Worker, entries: list[Entry]
) -> None:
    given = platform.give("print(1)", data=[{"mount": "data", "manifest": platform.raw_snapshot(entries)}])

    assert given.result["cause"]["code"] == "content_missing"


def test_the_cache_is_kept_within_its_limit(platform: PlatformForWorkers, start_worker: StartWorker) -> None:
    worker = start_worker(CYNTHUS_WORKER_CACHE_BYTES="3000000")
    digests = []
    for n in range(5):
        digests.append(platform.snapshot({"a.txt": str(n) * 1_000_000}))
        given = platform.give("print(1)", data=[{"mount": "data", "manifest": digests[-1]}])
        assert given.result["exit_code"] == 0
    platform.idle.clear()
    assert platform.idle.wait(10)
    platform.idle.clear()
    assert platform.idle.wait(10)

    trees = worker.home / "cache" / "trees"
    kept = [digest for digest in digests if (trees / f"{digest.removeprefix('sha256:')}.seal").exists()]
    assert kept
    assert kept == digests[-len(kept) :]
    assert len([path for path in trees.iterdir() if path.is_dir()]) == len(kept)
    assert sum(path.stat().st_size for path in trees.rglob("*") if path.is_file()) < 3_000_000
