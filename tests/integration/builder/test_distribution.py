import base64
import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest

from cynthus.oci.descriptor import Descriptor, MediaType
from cynthus.oci.folder_registry import FolderRegistry
from cynthus.oci.http_registry import Credentials, HttpRegistry
from cynthus.oci.manifest import Manifest, digest_of
from cynthus.oci.ports import ContentUnknown, RegistryDenied, RegistryUnavailable
from cynthus.oci.pulling import find_image
from tests.fixtures.distribution import serving
from tests.fixtures.tiny_image import TinyImage, put_tiny_image

PASSWORD = "the token of an attempt"
REPOSITORY = "images/ada/digits"
ABSENT = digest_of(b"nobody ever wrote this")


@pytest.fixture
def folder(tmp_path: Path) -> FolderRegistry:
    return FolderRegistry(tmp_path / "images")


@pytest.fixture
def image(folder: FolderRegistry) -> TinyImage:
    return put_tiny_image(folder, REPOSITORY, "v1", uuid4().bytes, bytes(range(256)) * 5000)


@pytest.fixture
def host(folder: FolderRegistry) -> Iterator[str]:
    def may_read(password: str, repository: str) -> bool:
        return password == PASSWORD and repository == REPOSITORY

    with serving(folder, may_read) as host:
        yield host


@pytest.fixture
def machine(host: str) -> Iterator[HttpRegistry]:
    with closing(HttpRegistry(f"http://{host}/images", Credentials("attempt", PASSWORD))) as registry:
        yield registry


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Podman takes no more than 50 characters."""
    with TemporaryDirectory(prefix="cyn") as folder:
        yield Path(folder)


def ask(
    host: str, method: str, path: str, password: str | None = PASSWORD, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    if password is not None:
        headers["Authorization"] = Credentials("any", password).basic
    with closing(http.client.HTTPConnection(host, timeout=20)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_a_machine_reads_an_image(machine: HttpRegistry, image: TinyImage) -> None:
    manifest, document = find_image(machine, "ada/digits", "v1")
    assert (manifest, document.digest) == (image.manifest, image.digest)
    layer = manifest.layers[0].digest
    assert b"".join(machine.read("ada/digits", layer)) == image.layer
    assert b"".join(machine.read("ada/digits", layer, offset=100)) == image.layer[100:]
    assert machine.stat("ada/digits", layer) == len(image.layer)
    assert list(machine.tags("ada/digits")) == ["v1"]
    with pytest.raises(ContentUnknown):
        machine.manifest("ada/digits", "v2")
    with pytest.raises(ContentUnknown):
        list(machine.read("ada/digits", ABSENT))


def test_a_machine_finds_referrers(machine: HttpRegistry, folder: FolderRegistry, image: TinyImage) -> None:
    subject = Descriptor(MediaType.MANIFEST, image.digest, len(image.manifest.encode()))
    about = Manifest(
        image.manifest.config, image.manifest.layers, subject=subject, artifact_type="application/spdx+json"
    )
    digest = folder.write_manifest(REPOSITORY, about.encode(), MediaType.MANIFEST)
    assert [one.digest for one in machine.referrers("ada/digits", image.digest)] == [digest]
    assert [one.digest for one in machine.referrers("ada/digits", image.digest, "application/spdx+json")] == [
        digest
    ]
    assert list(machine.referrers("ada/digits", image.digest, "text/plain")) == []


def test_only_what_the_password_may_read_is_shown(
    host: str, folder: FolderRegistry, image: TinyImage
) -> None:
    put_tiny_image(folder, "images/eve/digits", "v1")
    paths = [f"manifests/{image.digest}", f"blobs/{ABSENT}", "tags/list", f"referrers/{ABSENT}"]
    for repository, password in ((REPOSITORY, "wrong"), (REPOSITORY, None), ("images/eve/digits", PASSWORD)):
        for path in paths:
            status, headers, body = ask(host, "GET", f"/v2/{repository}/{path}", password)
            assert (status, headers["www-authenticate"]) == (401, 'Basic realm="cynthus"')
            assert json.loads(body)["errors"][0]["code"] == "UNAUTHORIZED"
    for password in ("wrong", ""):
        registry = HttpRegistry(f"http://{host}", Credentials("any", password))
        with closing(registry), pytest.raises(RegistryDenied):
            registry.manifest(REPOSITORY, "v1")


def test_the_version_check_wants_a_password_and_then_says_yes(host: str) -> None:
    for path in ("/v2/", "/v2"):
        status, headers, body = ask(host, "GET", path, None)
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="cynthus"')
        assert json.loads(body)["errors"][0]["code"] == "UNAUTHORIZED"
        status, headers, body = ask(host, "GET", path)
        assert (status, headers["docker-distribution-api-version"], body) == (200, "registry/2.0", b"{}")
        assert ask(host, "HEAD", path)[0] == 200
    for nonsense in ("Basic", "Basic ???", "Bearer abc", "Basic " + base64.b64encode(b"\xff:\xff").decode()):
        assert ask(host, "GET", "/v2/", None, Authorization=nonsense)[0] == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_writes_are_refused(host: str, image: TinyImage, method: str) -> None:
    for path in ("blobs/uploads/", f"blobs/{image.digest}", "manifests/v1"):
        status, headers, body = ask(host, method, f"/v2/{REPOSITORY}/{path}")
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        assert json.loads(body)["errors"][0]["code"] == "UNSUPPORTED"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=5-", 5, None), ("bytes=-7", -7, None), ("bytes=3-999999999999", 3, None)],
)
def test_a_range_is_a_slice(host: str, image: TinyImage, asked: str, start: int, end: int | None) -> None:
    blob = f"/v2/{REPOSITORY}/blobs/{image.manifest.layers[0].digest}"
    status, headers, body = ask(host, "GET", blob, Range=asked)
    assert (status, body) == (206, image.layer[start:end])
    assert headers["content-range"].endswith(f"/{len(image.layer)}")


@pytest.mark.parametrize("asked", ["bytes=1-2,4-5", "bytes=-", "lines=1-2", "bytes=a-b", "bytes=" + "9" * 40])
def test_a_range_that_is_not_understood_is_no_range(host: str, image: TinyImage, asked: str) -> None:
    blob = f"/v2/{REPOSITORY}/blobs/{image.manifest.layers[0].digest}"
    assert ask(host, "GET", blob, Range=asked)[::2] == (200, image.layer)


def test_a_range_behind_the_end_is_refused(host: str, image: TinyImage) -> None:
    blob = f"/v2/{REPOSITORY}/blobs/{image.manifest.layers[0].digest}"
    status, headers, _ = ask(host, "GET", blob, Range=f"bytes={len(image.layer)}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{len(image.layer)}")


def test_a_head_has_no_body_but_all_else(host: str, image: TinyImage) -> None:
    layer = image.manifest.layers[0]
    status, headers, body = ask(host, "HEAD", f"/v2/{REPOSITORY}/blobs/{layer.digest}")
    assert (status, body, headers["content-length"]) == (200, b"", str(layer.size))
    status, headers, body = ask(host, "HEAD", f"/v2/{REPOSITORY}/manifests/v1")
    assert (status, body) == (200, b"")
    assert headers["docker-content-digest"] == image.digest
    assert headers["content-type"] == MediaType.MANIFEST


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("images/ada/digits/blobs/sha256:1", 400),
        ("images/ada/digits/blobs/..%2f..%2fetc%2fpasswd", 404),
        ("../ada/tags/list", 400),
        ("UPPER/tags/list", 400),
        ("images/ada/digits/tags/other", 404),
        ("images/ada/digits/manifests/..", 404),
        ("images/ada/digits/manifests/a%00b", 404),
        ("_catalog", 404),
        ("images/ada/digits/blobs/" + ABSENT, 404),
    ],
)
def test_other_paths_are_answered_with_errors_of_the_specification(host: str, path: str, status: int) -> None:
    got, _, body = ask(host, "GET", f"/v2/{path}")
    assert got == status
    assert json.loads(body)["errors"][0]["code"]


def test_tags_come_in_pages(host: str, folder: FolderRegistry, machine: HttpRegistry) -> None:
    for number in range(5):
        put_tiny_image(folder, REPOSITORY, f"t{number}")
    status, headers, body = ask(host, "GET", f"/v2/{REPOSITORY}/tags/list?n=2")
    assert (status, json.loads(body)["tags"]) == (200, ["t0", "t1"])
    assert headers["link"] == f'</v2/{REPOSITORY}/tags/list?last=t1&n=2>; rel="next"'
    assert list(machine.tags("ada/digits")) == [f"t{number}" for number in range(5)]


def test_damaged_content_is_never_handed_out_as_whole(
    host: str, machine: HttpRegistry, image: TinyImage, tmp_path: Path
) -> None:
    layer = image.manifest.layers[0].digest
    path = tmp_path / "images" / REPOSITORY / "blobs/sha256" / layer.removeprefix("sha256:")
    path.write_bytes(b"x" * len(image.layer))
    with pytest.raises(http.client.IncompleteRead):
        ask(host, "GET", f"/v2/{REPOSITORY}/blobs/{layer}")
    manifest = path.with_name(image.digest.removeprefix("sha256:"))
    manifest.write_bytes(b"{}")
    assert ask(host, "GET", f"/v2/{REPOSITORY}/manifests/v1")[0] == 500


@pytest.mark.needs("skopeo")
def test_skopeo_copies_from_it(host: str, image: TinyImage, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    subprocess.run(
        ["skopeo", "copy", "--src-tls-verify=false", "--src-creds", f"any:{PASSWORD}",
         f"docker://{host}/{REPOSITORY}@{image.digest}", f"oci:{copied}:v1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert (copied / "blobs/sha256" / image.digest.removeprefix("sha256:")).is_file()


@pytest.mark.needs("podman")
def test_podman_pulls_from_it(host: str, image: TinyImage, short_path: Path) -> None:
    store = [
        "--root",
        str(short_path / "root"),
        "--runroot",
        str(short_path / "run"),
        "--storage-driver",
        "vfs",
    ]
    pulled = subprocess.run(
        ["podman", *store, "pull", "-q", "--tls-verify=false", "--creds", f"any:{PASSWORD}",
         f"{host}/{REPOSITORY}@{image.digest}"],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert pulled.stdout.strip() == image.manifest.config.digest.removeprefix("sha256:")


@pytest.mark.needs("docker")
def test_docker_pulls_from_it_without_a_login(host: str, image: TinyImage) -> None:
    auth = {"username": "any", "password": PASSWORD, "serveraddress": host}
    name = f"{host}/{REPOSITORY}@{image.digest}"
    try:
        told = _engine(
            "POST", f"/images/create?fromImage={host}/{REPOSITORY}&tag={image.digest}", json.dumps(auth)
        )
        assert f"Digest: {image.digest}" in told
        assert json.loads(_engine("GET", f"/images/{name}/json"))["Id"] == image.manifest.config.digest
    finally:
        _engine("DELETE", f"/images/{name}?force=1")
    refused = _engine(
        "POST",
        f"/images/create?fromImage={host}/{REPOSITORY}&tag={image.digest}",
        json.dumps({**auth, "password": "wrong"}),
    )
    assert "unauthorized" in refused.lower()


class _EngineConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect("/var/run/docker.sock")


def _engine(method: str, path: str, auth: str = "{}") -> str:
    header = base64.urlsafe_b64encode(auth.encode()).decode()
    with closing(_EngineConnection("localhost")) as connection:
        connection.request(method, path, headers={"X-Registry-Auth": header})
        return connection.getresponse().read().decode()


def test_an_unreachable_registry_is_told_as_such(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    pauses: list[float] = []
    away = HttpRegistry(f"http://127.0.0.1:{port}", pause=pauses.append)
    with pytest.raises(RegistryUnavailable):
        away.manifest(REPOSITORY, "v1")
    with serving(away, lambda password, repository: True) as other:
        status, headers, _ = ask(other, "GET", f"/v2/{REPOSITORY}/manifests/v1")
    assert (status, headers["retry-after"]) == (503, "2")
