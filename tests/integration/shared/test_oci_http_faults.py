"""The client against a real registry, on bad days."""

import http.server
import io
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cynthus.oci.descriptor import MediaType, NotAnImage
from cynthus.oci.http_registry import HttpRegistry
from cynthus.oci.manifest import digest_of
from cynthus.oci.ports import (
    ContentDamaged,
    ContentUnknown,
    RegistryDenied,
    RegistryUnavailable,
    StorageFull,
)
from tests.contracts.registry import image, new_repository, put, reading
from tests.fixtures.faulty_http import Fault, FaultyHttp, faulty_http
from tests.fixtures.registry import RunningRegistry

pytestmark = pytest.mark.needs("docker-registry")
DATA = os.urandom(5 << 20)
DIGEST = digest_of(DATA)


@pytest.fixture
def network(registry: RunningRegistry) -> Iterator[FaultyHttp]:
    with faulty_http(registry.host) as proxy:
        yield proxy


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def images(network: FaultyHttp, pauses: list[float]) -> Iterator[HttpRegistry]:
    with closing(HttpRegistry(network.url, pause=pauses.append, timeout_s=5)) as images:
        yield images


@pytest.fixture
def chunked(network: FaultyHttp, pauses: list[float]) -> Iterator[HttpRegistry]:
    registry = HttpRegistry(network.url, pause=pauses.append, timeout_s=5, chunk_bytes=1 << 20)
    with closing(registry) as images:
        yield images


@pytest.fixture
def repository() -> str:
    return new_repository()


def test_a_busy_registry_is_asked_again_when_it_says(
    images: HttpRegistry, network: FaultyHttp, pauses: list[float], repository: str
) -> None:
    blob = put(images, repository, b"layer")
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    network.faults = [
        Fault("HEAD", answer=(429, {"Retry-After": "7"}, b"")),
        Fault("HEAD", answer=(503, {"Retry-After": later}, b"")),
        Fault("HEAD", answer=(429, {"Retry-After": "never"}, b"")),
        Fault("HEAD", answer=(429, {"Retry-After": "99999999999"}, b"")),
    ]
    assert images.stat(repository, blob.digest) == 5
    assert len(pauses) == 4
    assert 7 <= pauses[0] < 8
    assert 37 < pauses[1] < 42
    assert pauses[2] < 2
    assert 120 <= pauses[3] < 130


def test_waits_grow_and_a_registry_that_stays_broken_is_given_up(
    images: HttpRegistry, network: FaultyHttp, pauses: list[float], repository: str
) -> None:
    network.faults = [Fault("", times=100, answer=(502, {}, b"<html>"))]
    for call in (
        lambda: images.stat(repository, DIGEST),
        lambda: images.manifest(repository, "latest"),
        lambda: images.tags(repository),
        lambda: list(images.read(repository, DIGEST)),
        lambda: images.write(repository, DIGEST, len(DATA), reading(DATA)),
        lambda: images.mount(repository, DIGEST, "other"),
        lambda: images.write_manifest(repository, b"{}", MediaType.MANIFEST),
        lambda: images.remove_manifest(repository, DIGEST),
        lambda: images.referrers(repository, DIGEST),
    ):
        pauses.clear()
        before = len(network.seen)
        with pytest.raises(RegistryUnavailable, match="after 5 tries"):
            call()
        assert len(network.seen) - before == 5
        assert len(pauses) == 4
        assert 0.1 <= pauses[0] <= 0.2
        assert 0.8 <= pauses[3] <= 1.6


@pytest.mark.parametrize("status", [400, 403, 404, 405, 418, 501])
def test_refusals_are_not_tried_again(
    images: HttpRegistry, network: FaultyHttp, pauses: list[float], repository: str, status: int
) -> None:
    network.faults = [Fault("", times=100, answer=(status, {}, b"no"))]
    expected = {403: RegistryDenied, 404: ContentUnknown}.get(status, RegistryUnavailable)
    with pytest.raises(expected, match=str(status)):
        images.manifest(repository, "latest")
    assert (len(network.seen), pauses) == (1, [])


def test_a_refusal_that_is_cut_is_a_refusal(
    images: HttpRegistry, network: FaultyHttp, repository: str
) -> None:
    network.faults = [Fault("", times=100, cut_download_after=0, change_body=lambda _: b"x" * 100)]
    assert list(images.tags(repository)) == []
    with pytest.raises(RegistryUnavailable):
        images.manifest(repository, DIGEST)
    with pytest.raises(NotAnImage):
        images.write_manifest(repository, b"", MediaType.MANIFEST)
    with pytest.raises(RegistryUnavailable):
        images.write_manifest(repository, b"{}", MediaType.MANIFEST)


def test_an_upload_that_is_cut_begins_again(
    images: HttpRegistry, network: FaultyHttp, pauses: list[float], repository: str
) -> None:
    network.faults = [Fault("PUT .*uploads", cut_upload_after=2 << 20)]
    opened: list[BinaryIO] = []

    def source() -> BinaryIO:
        opened.append(io.BytesIO(DATA))
        return opened[-1]

    images.write(repository, DIGEST, len(DATA), source)
    assert b"".join(images.read(repository, DIGEST)) == DATA
    assert (len(opened), len(pauses)) == (2, 1)
    assert all(stream.closed for stream in opened)


def test_nothing_is_visible_of_an_upload_that_never_ends(
    images: HttpRegistry, network: FaultyHttp, repository: str
) -> None:
    network.faults = [Fault("PUT .*uploads", times=100, cut_upload_after=2 << 20)]
    with pytest.raises(RegistryUnavailable):
        images.write(repository, DIGEST, len(DATA), reading(DATA))
    assert images.stat(repository, DIGEST) is None
    with pytest.raises(ContentUnknown):
        list(images.read(repository, DIGEST))
    assert network.count("^DELETE .*uploads") == 5


@pytest.mark.parametrize("cut", [0, 1, 700_000])
def test_a_chunk_that_is_cut_is_sent_again(
    chunked: HttpRegistry, network: FaultyHttp, pauses: list[float], repository: str, cut: int
) -> None:
    network.faults = [Fault("PATCH", times=3), Fault("PATCH", cut_upload_after=cut)]
    chunked.write(repository, DIGEST, len(DATA), reading(DATA))
    assert b"".join(chunked.read(repository, DIGEST)) == DATA
    assert pauses
    if cut == 0:
        assert (network.count("^POST"), network.count("^PATCH")) == (1, 6)


def test_a_chunk_whose_answer_was_lost_is_not_stored_twice(
    chunked: HttpRegistry, network: FaultyHttp, repository: str
) -> None:
    network.faults = [Fault("PATCH", times=2), Fault("PATCH", lose_answer=True)]
    chunked.write(repository, DIGEST, len(DATA), reading(DATA))
    assert chunked.stat(repository, DIGEST) == len(DATA)
    assert b"".join(chunked.read(repository, DIGEST)) == DATA


@pytest.mark.parametrize("kind", ["images", "chunked"])
def test_an_upload_whose_last_answer_was_lost_is_not_repeated(
    request: pytest.FixtureRequest, network: FaultyHttp, repository: str, kind: str
) -> None:
    registry: HttpRegistry = request.getfixturevalue(kind)
    network.faults = [Fault("PUT .*uploads", lose_answer=True)]
    registry.write(repository, DIGEST, len(DATA), reading(DATA))
    assert (network.count("^POST"), network.count("^PUT"), network.count("^HEAD")) == (1, 1, 1)


def test_a_manifest_whose_answer_was_lost_is_written_again(
    images: HttpRegistry, network: FaultyHttp, repository: str
) -> None:
    network.faults = [Fault("PUT .*manifests", lose_answer=True)]
    body = image(images, repository, b"layer").encode()
    images.write_manifest(repository, body, MediaType.MANIFEST, tag="latest")
    assert images.manifest(repository, "latest").body == body


def test_a_cut_read_goes_on_where_it_ended(
    images: HttpRegistry, network: FaultyHttp, pauses: list[float], repository: str
) -> None:
    images.write(repository, DIGEST, len(DATA), reading(DATA))
    network.seen.clear()
    network.faults = [Fault("GET .*blobs", cut_download_after=cut) for cut in (3_000_000, 0, 1_500_000)]
    assert b"".join(images.read(repository, DIGEST)) == DATA
    ranges = [one.headers.get("Range") for one in network.seen]
    assert ranges[0] is None
    assert all(one is not None and one.startswith("bytes=") for one in ranges[1:])
    assert (len(ranges), len(pauses)) == (4, 3)


def test_a_cut_read_from_the_middle_goes_on_too(
    images: HttpRegistry, network: FaultyHttp, repository: str
) -> None:
    images.write(repository, DIGEST, len(DATA), reading(DATA))
    network.faults = [Fault("GET .*blobs", cut_download_after=2_000_000)]
    assert b"".join(images.read(repository, DIGEST, offset=1000)) == DATA[1000:]


def test_a_registry_without_ranges_is_read_again_from_the_beginning(
    images: HttpRegistry, network: FaultyHttp, repository: str
) -> None:
    images.write(repository, DIGEST, len(DATA), reading(DATA))
    network.faults = [
        Fault("GET .*blobs", cut_download_after=3_000_000),
        Fault("GET .*blobs", answer=(200, {}, DATA)),
    ]
    assert b"".join(images.read(repository, DIGEST)) == DATA


def test_another_range_than_the_asked_one_is_not_taken(
    images: HttpRegistry, network: FaultyHttp, repository: str
) -> None:
    images.write(repository, DIGEST, len(DATA), reading(DATA))
    network.faults = [Fault("", answer=(206, {"Content-Range": f"bytes 0-9/{len(DATA)}"}, DATA[:10]))]
    with pytest.raises(RegistryUnavailable, match="another range"):
        list(images.read(repository, DIGEST, offset=10))


def test_too_short_a_length_is_damage(images: HttpRegistry, network: FaultyHttp, repository: str) -> None:
    images.write(repository, DIGEST, len(DATA), reading(DATA))
    network.faults = [Fault("GET", change_body=lambda body: body[:1000])]
    with pytest.raises(ContentDamaged):
        list(images.read(repository, DIGEST))


def test_too_great_a_length_is_waited_for_and_then_what_came_is_checked(
    network: FaultyHttp, pauses: list[float], repository: str
) -> None:
    with closing(HttpRegistry(network.url, pause=pauses.append, timeout_s=0.3)) as images:
        blob = put(images, repository, b"a small layer")
        network.faults = [Fault("GET", change_headers={"Content-Length": "1000"})]
        assert b"".join(images.read(repository, blob.digest)) == b"a small layer"
    assert len(pauses) == 1


def test_changed_bytes_are_damage_and_their_end_is_never_given(
    images: HttpRegistry, network: FaultyHttp, repository: str
) -> None:
    images.write(repository, DIGEST, len(DATA), reading(DATA))
    network.faults = [Fault("GET", change_body=lambda body: b"?" + body[1:])]
    given = bytearray()
    pieces = map(given.extend, images.read(repository, DIGEST))
    with pytest.raises(ContentDamaged):
        list(pieces)
    assert len(given) < len(DATA)


def test_a_changed_manifest_is_damage(images: HttpRegistry, network: FaultyHttp, repository: str) -> None:
    body = image(images, repository, b"layer").encode()
    digest = images.write_manifest(repository, body, MediaType.MANIFEST, tag="latest")
    for reference in ("latest", digest):
        network.faults = [
            Fault("GET", change_body=lambda body: body.replace(b"sha256:", b"sha256:0", 1)[:-1])
        ]
        with pytest.raises(ContentDamaged):
            images.manifest(repository, reference)


def test_a_manifest_without_end_is_damage(images: HttpRegistry, network: FaultyHttp, repository: str) -> None:
    network.faults = [Fault("GET", answer=(200, {"Content-Type": MediaType.MANIFEST}, b" " * (9 << 20)))]
    with pytest.raises(ContentDamaged, match="more than"):
        images.manifest(repository, "latest")


def test_a_registry_without_room_says_so(images: HttpRegistry, network: FaultyHttp, repository: str) -> None:
    detail = {"DriverName": "filesystem", "Enclosed": {"Op": "write", "Path": "/data", "Err": 28}}
    error = {"errors": [{"code": "UNKNOWN", "message": "unknown error", "detail": detail}]}
    body = json.dumps(error, separators=(",", ":")).encode()
    for answer in ((507, {}, b""), (500, {}, body)):
        network.faults = [Fault("PUT", answer=answer)]
        with pytest.raises(StorageFull):
            put(images, repository, b"layer")


def test_connections_are_kept_and_a_stale_one_is_replaced_in_silence(
    images: HttpRegistry, network: FaultyHttp, pauses: list[float], repository: str
) -> None:
    blob = put(images, repository, b"layer")
    network.faults = [Fault("GET", cut_download_after=5)]
    assert b"".join(images.read(repository, blob.digest)) == b"layer"
    assert images.stat(repository, blob.digest) == 5
    assert put(images, repository, b"another")
    assert pauses == []


def test_an_early_refusal_is_heard_while_sending(pauses: list[float], repository: str) -> None:
    location = b"Location: /v2/x/blobs/uploads/1\r\n"
    answers = [
        b"HTTP/1.1 202 Accepted\r\n" + location + b"Content-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ]
    with (
        speaking(answers) as host,
        closing(HttpRegistry(f"http://{host}", pause=pauses.append)) as images,
        pytest.raises(RegistryDenied),
    ):
        images.write(repository, DIGEST, len(DATA), reading(DATA))
    assert pauses == []


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH_9\r\n", b"\x00" * 100,
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nshort"],
)  # fmt: skip
def test_what_is_no_http_is_no_registry(answer: bytes, pauses: list[float]) -> None:
    with (
        speaking([answer] * 10) as host,
        closing(HttpRegistry(f"http://{host}", pause=pauses.append)) as images,
        pytest.raises(RegistryUnavailable, match="after 5 tries"),
    ):
        images.manifest("ada/digits", "latest")


def test_an_answer_that_ends_in_its_headers_is_no_manifest(pauses: list[float]) -> None:
    answers = [b"HTTP/1.1 200 OK\r\nContent-Le"]
    with (
        speaking(answers) as host,
        closing(HttpRegistry(f"http://{host}", pause=pauses.append)) as images,
        pytest.raises(ContentDamaged),
    ):
        images.manifest("ada/digits", "latest")


def test_a_registry_with_an_unknown_certificate_is_not_spoken_to(tmp_path: Path, pauses: list[float]) -> None:
    with (
        with_tls(tmp_path) as host,
        closing(HttpRegistry(f"https://{host}", pause=pauses.append)) as images,
        pytest.raises(RegistryUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        images.tags("ada/digits")
    assert pauses == []


def test_a_certificate_of_ssl_cert_file_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with with_tls(tmp_path) as host, closing(HttpRegistry(f"https://{host}", pause=pauses.append)) as images:
        assert list(images.tags("ada/digits")) == ["v1"]


def test_no_answer_leads_away_from_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with (
        with_tls(tmp_path) as host,
        closing(HttpRegistry(f"https://{host}", pause=pauses.append)) as images,
        pytest.raises(RegistryUnavailable, match="away from https"),
    ):
        list(images.read("ada/digits", DIGEST))


def test_hundreds_of_megabytes_go_up_and_down_in_little_memory(registry: RunningRegistry) -> None:
    script = Path(__file__).parents[2] / "fixtures" / "large_blob.py"
    for chunk in ("0", "16"):
        done = subprocess.run(
            [sys.executable, str(script), registry.url, "300", chunk],
            capture_output=True, text=True, check=True, timeout=100,
        )  # fmt: skip
        assert int(json.loads(done.stdout)["peak_mb"]) < 60, done.stdout


@contextmanager
def speaking(answers: list[bytes]) -> Iterator[str]:
    """A server that says one of the answers on each request, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    # What is sent is taken: a reset would overtake the answer now and then.
                    with suppress(OSError):
                        while b"HTTP/1.1 202" not in answer and connection.recv(1 << 16):
                            pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=10)


class _Secured(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"tags": ["v1"]}'
        self.send_response(200 if "tags" in self.path else 307)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the library
        pass


class _Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def with_tls(folder: Path) -> Iterator[str]:
    """A server on localhost with a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secret))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with _Quiet(("127.0.0.1", 0), _Secured) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join(timeout=10)
