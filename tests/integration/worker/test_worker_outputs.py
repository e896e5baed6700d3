import pytest

from tests.fixtures.platform_for_workers import PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS

pytestmark = [BOTH_WAYS, pytest.mark.usefixtures("worker")]


def test_nested_large_and_linked_outputs_are_byte_exact(platform: PlatformForWorkers) -> None:
    given = platform.give(
        "import os, pathlib\n"
        "out = pathlib.Path(os.environ['CYNTHUS_OUTPUT_DIR'])\n"
        "(out / 'deep/er').mkdir(parents=True)\n"
        "(out / 'deep/er/small.txt').write_text('small')\n"
        "(out / 'empty.bin').touch()\n"
        "with open(out / 'large.bin', 'wb') as file:\n"
        "    for n in range(70): file.write(bytes([n]) * 1024 * 1024)\n"
        "os.symlink('deep/er/small.txt', out / 'relative')\n"
        "os.symlink(out / 'deep', out / 'absolute')\n"
        "(out / 'ünïcode.txt').write_text('ü')\n"
    )

    assert given.result["exit_code"] == 0, given.text("stderr")
    outputs = platform.outputs(given)
    assert outputs.pop("large.bin") == b"".join(bytes([n]) * 1024 * 1024 for n in range(70))
    assert outputs == {
        "deep/er/small.txt": b"small",
        "empty.bin": b"",
        "relative": "deep/er/small.txt",
        "absolute": "deep",
        "ünïcode.txt": "ü".encode(),
    }


def test_what_cannot_be_part_of_the_outputs_is_told(platform: PlatformForWorkers) -> None:
    given = platform.give(
        "import os, socket\nos.chdir('outputs')\n"
        "os.symlink('/etc/passwd', 'away')\nos.symlink('../main.py', 'out')\nos.mkfifo('pipe')\n"
        "socket.socket(socket.AF_UNIX).bind('sock')\n"
        "open(b'\\xff', 'w').close()\nopen('good', 'w').write('g')\n"
    )

    assert given.result["exit_code"] == 0, given.text("stderr")
    assert platform.outputs(given) == {"good": b"g"}
    told = given.text("stderr").decode()
    assert all(
        f"cynthus: not in the outputs: {name}" in told for name in ("away", "out", "pipe", "sock", "'")
    )
    assert given.result["cause"] is None


def test_outputs_the_platform_has_are_not_sent_again(platform: PlatformForWorkers) -> None:
    script = "open('outputs/a', 'w').write('a' * 3_000_000)"
    assert platform.give(script).result["exit_code"] == 0
    platform.requests.clear()

    assert platform.give(script).result["exit_code"] == 0
    assert not [path for method, path in platform.requests if method == "PUT" and "/blobs/" in path]


def test_a_project_can_name_another_output_folder(platform: PlatformForWorkers) -> None:
    given = platform.give(
        "import os\nopen('results/run/x', 'w').write(os.path.relpath(os.environ['CYNTHUS_OUTPUT_DIR']))",
        image={"outputs": "results/run"},
    )

    assert given.result["exit_code"] == 0, given.text("stderr")
    assert platform.outputs(given) == {"x": b"results/run"}
