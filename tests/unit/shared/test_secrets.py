from pathlib import Path

import pytest

from cynthus.secrets.encrypted import EncryptedSecrets, SecretsUnreadable
from cynthus.secrets.memory import MemorySecrets
from tests.contracts.secrets import SecretsContract

KEY = "k" * 32


class TestMemorySecrets(SecretsContract):
    @pytest.fixture
    def secrets(self) -> MemorySecrets:
        return MemorySecrets()


class TestEncryptedSecrets(SecretsContract):
    @pytest.fixture
    def secrets(self, tmp_path: Path) -> EncryptedSecrets:
        return EncryptedSecrets(tmp_path / "secrets", KEY)


async def test_files_are_private_and_show_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    await EncryptedSecrets(folder, KEY).put("run_1", {"TOKEN": "hunter2"})
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert b"hunter2" not in file.read_bytes()
    assert "run_1" not in file.name


async def test_another_process_with_the_key_reads_them(tmp_path: Path) -> None:
    await EncryptedSecrets(tmp_path, KEY).put("run_1", {"A": "1"})
    assert await EncryptedSecrets(tmp_path, KEY).get("run_1") == {"A": "1"}


async def test_a_wrong_key_and_a_changed_file_are_told(tmp_path: Path) -> None:
    await EncryptedSecrets(tmp_path, KEY).put("run_1", {"A": "1"})
    with pytest.raises(SecretsUnreadable):
        await EncryptedSecrets(tmp_path, "j" * 32).get("run_1")


async def test_a_file_moved_to_another_scope_is_refused(tmp_path: Path) -> None:
    secrets = EncryptedSecrets(tmp_path, KEY)
    await secrets.put("run_1", {"A": "1"})
    (first,) = tmp_path.iterdir()
    await secrets.put("run_2", {"A": "2"})
    (second,) = set(tmp_path.iterdir()) - {first}
    first.replace(second)
    with pytest.raises(SecretsUnreadable, match="another scope"):
        await secrets.get("run_2")
