from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cynthus.oci.http_registry import Credentials, HttpRegistry
from tests.contracts.registry import RegistryContract
from tests.fixtures.registry import RunningRegistry, running_registry

pytestmark = pytest.mark.needs("docker-registry")
CREDENTIALS = Credentials("ada", "open sesame")
_HTPASSWD = "ada:$2b$04$5XKVlcgm7lTQYt6lC2HRxOukC4NWCEC.H9hsL0Fg59mvEwit6snee\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    (folder / "htpasswd").write_text(_HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}}}"
    with running_registry(folder, auth, expect=401) as running:
        yield running


class TestHttpRegistry(RegistryContract):
    @pytest.fixture
    def images(self, registry: RunningRegistry) -> Iterator[HttpRegistry]:
        with closing(HttpRegistry(registry.url)) as images:
            yield images


class TestHttpRegistryWithChunks(RegistryContract):
    @pytest.fixture
    def images(self, registry: RunningRegistry) -> Iterator[HttpRegistry]:
        with closing(HttpRegistry(f"{registry.url}/below/here", chunk_bytes=1 << 20)) as images:
            yield images


class TestHttpRegistryWithPassword(RegistryContract):
    @pytest.fixture
    def images(self, guarded: RunningRegistry) -> Iterator[HttpRegistry]:
        with closing(HttpRegistry(guarded.url, CREDENTIALS)) as images:
            yield images
