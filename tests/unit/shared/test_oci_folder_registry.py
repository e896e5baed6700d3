from pathlib import Path

import pytest

from cynthus.oci.folder_registry import FolderRegistry
from tests.contracts.registry import RegistryContract


class TestFolderRegistry(RegistryContract):
    @pytest.fixture
    def images(self, tmp_path: Path) -> FolderRegistry:
        return FolderRegistry(tmp_path)
