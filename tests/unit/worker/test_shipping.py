import os
import tempfile
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cynthus.worker.shipper import cut_character
from cynthus.worker.spool import Pump, Spool


@given(st.text(min_size=1), st.integers(min_value=0, max_value=3))
def test_a_cut_character_is_found_exactly(text: str, missing: int) -> None:
    data = text.encode()
    last = len(text[-1].encode())
    cut = min(missing, last - 1)

    found = cut_character(data[: len(data) - cut])

    assert found == (last - cut if cut else 0)


@given(st.binary())
def test_junk_never_loses_more_than_three_bytes(data: bytes) -> None:
    assert 0 <= cut_character(data) <= min(3, len(data))


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(min_size=1)), max_size=20))
def test_what_is_appended_comes_out_in_order_and_once(writes: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(folder, 1 << 30)
        for source, data in writes:
            spool.append(source, data)
        spool.close()
        received = {"stdout": b"", "stderr": b""}
        while not spool.drained:
            chunk = spool.next(7, 0.0)
            assert chunk is not None
            source, offset, data = chunk
            assert offset == len(received[source])
            received[source] += data
            spool.accept(source, offset + len(data))
        spool.remove()

    for source, everything in received.items():
        assert everything == b"".join(data for name, data in writes if name == source)


def test_a_program_far_ahead_waits_until_its_output_is_shipped(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), backlog_bytes=10)
    written = threading.Event()

    def write() -> None:
        spool.append("stdout", b"x" * 11)
        written.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not written.wait(0.1)
    spool.accept("stdout", 5)

    assert written.wait(5)
    thread.join()
    spool.remove()


def test_shipped_output_gives_its_disk_back(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 1 << 40)
    megabyte = os.urandom(1024 * 1024)
    for _ in range(70):
        spool.append("stdout", megabyte)
    spool.accept("stdout", 70 * 1024 * 1024)

    assert (tmp_path / "stdout.log").stat().st_blocks * 512 < 2 * 1024 * 1024
    assert spool.tail("stdout") == megabyte[-64 * 1024 :]
    spool.remove()


def test_a_pump_stops_when_nothing_is_left_though_a_writer_lives(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 1 << 30)
    pump = Pump(spool, lambda _: None)
    stray = os.dup(pump.writers[0])
    pump.start()
    os.write(stray, b"said before the end")

    pump.finish()

    assert spool.tail("stdout") == b"said before the end"
    os.close(stray)
    spool.remove()


def test_a_disk_that_is_full_is_told_once_and_the_program_still_drained(tmp_path: Path) -> None:
    class FullSpool(Spool):
        def append(self, source: str, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    spool = FullSpool(str(tmp_path), 1 << 30)
    problems: list[OSError] = []
    pump = Pump(spool, problems.append)
    writer = os.dup(pump.writers[0])
    pump.start()
    for _ in range(64):
        os.write(writer, b"x" * 65536)
    os.close(writer)
    pump.finish()

    assert len(problems) == 1
    spool.remove()
