"""Snapshots go up and come back: only what is missing, whole, and again after a cut."""

import hashlib
import os
import threading

import pytest

from cynthus.cli.client.api import Api
from cynthus.cli.client.connection import Connection, Patience, Pieces
from cynthus.cli.client.endpoint import Endpoint
from cynthus.cli.client.problems import Refused, Unreachable
from cynthus.cli.failure import Failure
from cynthus.cli.source.hashing import FileChanged
from cynthus.cli.source.scanning import scan_project
from cynthus.cli.source.snapshot import take
from cynthus.cli.transfer.download import download
from cynthus.cli.transfer.progress import Progress
from cynthus.cli.transfer.upload import upload
from cynthus.snapshots.manifest import Entry, digest, encode
from tests.fixtures.fake_gateway import TOKEN


@pytest.fixture
def api(gateway):
    pauses = []
    patience = Patience(total_s=2, pause=pauses.append)
    client = Api(Connection(lambda: Endpoint(gateway.url, TOKEN), patience=patience))
    client.pauses = pauses
    yield client
    client.connection.close()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "project"
    path.mkdir()
    return path


def send(api, folder):
    snapshot = take(folder, scan_project(folder))
    return snapshot, upload(api, [snapshot], progress=Progress(), tick=lambda: None)


def test_small_files_travel_together_and_large_ones_alone(api, gateway, folder):
    for number in range(300):
        (folder / f"{number}.txt").write_text(str(number))
    (folder / "large.bin").write_bytes(os.urandom(2 * 1024 * 1024))
    snapshot, sent = send(api, folder)
    assert sent.blobs == 301
    assert gateway.paths("POST").count("/v1/blobs:put") == 1
    assert len([path for path in gateway.paths("PUT") if "/blobs/" in path]) == 1
    assert snapshot.digest in gateway.snapshots


def test_equal_files_are_sent_once(api, gateway, folder):
    for number in range(5):
        (folder / f"{number}.txt").write_text("same")
    _, sent = send(api, folder)
    assert sent.blobs == 1


def test_only_what_is_missing_is_sent(api, gateway, folder):
    (folder / "a").write_text("a")
    send(api, folder)
    (folder / "b").write_text("b")
    _, sent = send(api, folder)
    assert (sent.blobs, sent.bytes) == (1, 1)


def test_digests_are_asked_for_ten_thousand_at_a_time(api, gateway, folder):
    for number in range(10_001):
        (folder / f"{number}").write_text(str(number))
    _, sent = send(api, folder)
    assert sent.blobs == 10_001
    assert gateway.paths("POST").count("/v1/blobs:missing") == 2


def test_an_upload_that_was_cut_goes_on_where_it_was(api, gateway, folder):
    for number in range(4):
        (folder / f"{number}.bin").write_bytes(os.urandom(2 * 1024 * 1024))
    gateway.cut_after_puts = 2
    with pytest.raises(Unreachable):
        send(api, folder)
    there = set(gateway.blobs)
    assert 1 <= len(there) <= 2
    gateway.cut_after_puts = None
    gateway.requests.clear()
    send(api, folder)
    assert len(gateway.blobs) == 4
    assert not {path.rpartition("/")[2] for path in gateway.paths("PUT")} & there


@pytest.mark.parametrize("size", [3, 2 * 1024 * 1024])
def test_a_file_that_changed_since_it_was_hashed_is_noticed(api, folder, size):
    (folder / "changing").write_bytes(bytes(size))
    snapshot = take(folder, scan_project(folder))
    (folder / "changing").write_bytes(b"x" * size)
    with pytest.raises(FileChanged, match="changing"):
        upload(api, [snapshot], progress=Progress(), tick=lambda: None)


def test_what_went_up_comes_back_the_same(api, folder, tmp_path):
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "a.txt").write_text("a")
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "run.sh").chmod(0o755)
    (folder / "large").write_bytes(os.urandom(3 * 1024 * 1024))
    (folder / "link").symlink_to("deep/a.txt")
    snapshot, _ = send(api, folder)
    back = tmp_path / "back"
    fetched = download(api, snapshot.digest, back, progress=Progress())
    assert fetched.files == 3
    assert take(back, scan_project(back)).digest == snapshot.digest


def test_a_second_download_fetches_nothing_and_deletes_nothing(api, gateway, folder, tmp_path):
    (folder / "a").write_text("a")
    snapshot, _ = send(api, folder)
    back = tmp_path / "back"
    download(api, snapshot.digest, back, progress=Progress())
    (back / "mine").write_text("mine")
    gateway.requests.clear()
    again = download(api, snapshot.digest, back, progress=Progress())
    assert (again.files, again.already) == (0, 1)
    assert (back / "mine").read_text() == "mine"
    assert not [path for path in gateway.paths() if "blobs" in path]


def test_a_file_in_the_way_is_kept_under_another_name(api, folder, tmp_path):
    (folder / "a").write_text("theirs")
    snapshot, _ = send(api, folder)
    back = tmp_path / "back"
    back.mkdir()
    (back / "a").write_text("mine")
    fetched = download(api, snapshot.digest, back, progress=Progress())
    assert ((back / "a").read_text(), (back / "a.kept-1").read_text()) == ("theirs", "mine")
    assert fetched.kept == ["a.kept-1"]


def test_a_large_file_is_resumed_from_its_whole_chunks(api, gateway, folder, tmp_path):
    content = os.urandom(2 * 1024 * 1024)
    (folder / "a").write_bytes(content)
    snapshot, _ = send(api, folder)
    back = tmp_path / "back"
    back.mkdir()
    (back / "a.cynthus-partial").write_bytes(content)
    gateway.requests.clear()
    download(api, snapshot.digest, back, progress=Progress())
    assert (back / "a").read_bytes() == content
    assert not [path for path in gateway.paths() if "blobs" in path]


def test_a_blob_that_is_not_what_it_should_be_is_refused(api, gateway, folder, tmp_path):
    content = os.urandom(2 * 1024 * 1024)
    (folder / "a").write_bytes(content)
    snapshot, _ = send(api, folder)
    gateway.blobs[hashlib.sha256(content).hexdigest()] = b"x" * len(content)
    with pytest.raises(Failure) as refused:
        download(api, snapshot.digest, tmp_path / "back", progress=Progress())
    assert refused.value.code == "content_damaged"
    assert not (tmp_path / "back" / "a").exists()


def test_nothing_is_written_outside_the_folder(api, gateway, tmp_path):
    blob = b"evil"
    name = hashlib.sha256(blob).hexdigest()
    gateway.blobs[name] = blob
    lines = list(encode([Entry("a/x", 4, chunks=(name,)), Entry("out", link="../../etc")]))
    gateway.snapshots[digest(lines)] = b"".join(lines)
    back = tmp_path / "back"
    back.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (back / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Failure) as refused:
        download(api, digest(lines), back, progress=Progress())
    assert refused.value.code == "outputs_lead_outside"
    (back / "a").unlink()
    fetched = download(api, digest(lines), back, progress=Progress())
    assert fetched.left_out == ["out (a link out of the folder)"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_patterns_choose_what_is_fetched(api, folder, tmp_path):
    for name in ("a.txt", "b.bin"):
        (folder / name).write_text(name)
    snapshot, _ = send(api, folder)
    download(api, snapshot.digest, tmp_path / "back", include=["*.txt"], progress=Progress())
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["a.txt"]


def test_a_busy_platform_is_asked_again_with_growing_pauses(api, gateway):
    gateway.faults = {"/v1/me": [503, 502, 429]}
    assert api.me()["owner"] == "tester"
    assert len(api.pauses) == 3
    assert api.pauses[2] > api.pauses[0]


def test_every_post_carries_a_key_and_keeps_it_when_repeated(gateway, api):
    gateway.faults = {"/v1/projects": [503]}
    api.create_project("weather")
    assert gateway.paths("POST") == ["/v1/projects", "/v1/projects"]


def test_a_refusal_is_not_repeated(api, gateway):
    with pytest.raises(Refused) as refused:
        api.run("nope")
    assert (refused.value.code, refused.value.status, refused.value.exit_code) == ("run_not_found", 404, 5)
    assert len(gateway.requests) == 1


def test_nobody_there_is_told_with_the_fix():
    endpoint = Endpoint("http://127.0.0.1:1", TOKEN)
    with pytest.raises(Unreachable) as refused:
        Api(Connection(lambda: endpoint, patience=Patience(0))).me()
    assert (refused.value.exit_code, refused.value.code) == (8, "unreachable")
    assert "cynthus doctor" in (refused.value.fix or "")
    assert TOKEN not in repr(endpoint)


def test_a_connection_that_was_closed_meanwhile_costs_no_pause(api, gateway):
    api.me()
    api.connection._idle[0]._http.sock.shutdown(2)
    assert api.me()["owner"] == "tester"
    assert api.pauses == []


def test_a_body_is_sent_again_from_its_beginning(api, gateway):
    content = b"x" * (2 * 1024 * 1024)
    name = hashlib.sha256(content).hexdigest()
    gateway.faults = {f"/v1/blobs/{name}": [503]}
    api.connection.request("PUT", f"/v1/blobs/{name}", body=Pieces(len(content), lambda: [content]))
    assert gateway.blobs[name] == content


def test_threads_share_what_is_idle(api):
    found = []
    threads = [threading.Thread(target=lambda: found.append(api.me()["owner"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["tester"] * 8
    assert 1 <= len(api.connection._idle) <= 8
