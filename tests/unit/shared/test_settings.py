from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cynthus.runtime import configuration
from cynthus.runtime.settings import PlatformSettings

KEYS = {"secrets_key": "0f1e2d3c" * 4, "worker_key": "a9b8c7d6" * 4, "internal_token": "1a2b3c4d" * 4}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PUBSUB_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)


def settings(**changes: Any) -> PlatformSettings:
    given = {
        "database_url": "postgresql://cynthus:canary@localhost/cynthus",
        "blobs_folder": Path("/blobs"),
        "secrets_folder": Path("/secrets"),
        **KEYS,
    }
    return PlatformSettings.model_validate(given | changes)


def test_production_is_what_is_meant_unless_said_otherwise() -> None:
    assert settings().environment == "production"


@pytest.mark.parametrize("name", ["PUBSUB_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST"])
def test_production_refuses_an_emulator(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "localhost:8085")
    with pytest.raises(ValidationError, match=name):
        settings()
    assert settings(environment="embedded")


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("key", ["short", "x" * 64, "change-me-" * 4, "default" * 6, ""])
def test_production_refuses_weak_keys(name: str, key: str) -> None:
    with pytest.raises(ValidationError, match=f"CYNTHUS_{name.upper()}"):
        settings(**{name: key})


@pytest.mark.parametrize("name", KEYS)
def test_short_keys_are_refused_everywhere(name: str) -> None:
    with pytest.raises(ValidationError, match="shorter than 32"):
        settings(environment="embedded", **{name: "short"})


def test_production_refuses_a_bus_that_forgets() -> None:
    with pytest.raises(ValidationError, match="CYNTHUS_BUS"):
        settings(bus="memory")


def test_pubsub_needs_a_project() -> None:
    with pytest.raises(ValidationError, match="CYNTHUS_PUBSUB_PROJECT"):
        settings(bus="pubsub")


def test_what_is_shown_has_the_names_of_variables_and_no_secrets() -> None:
    shown = configuration.effective(settings())
    assert '"CYNTHUS_BLOBS_FOLDER": "/blobs"' in shown
    assert "CYNTHUS_WORKER_KEY" in shown
    assert "canary" not in shown
    for key in KEYS.values():
        assert key not in shown
        assert key not in repr(settings())


def test_what_is_missing_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "WORKER_KEY"):
        monkeypatch.delenv(f"CYNTHUS_{name}", raising=False)
    with pytest.raises(ValidationError) as error:
        PlatformSettings()
    line = configuration.explain(error.value)
    assert "CYNTHUS_DATABASE_URL is not set" in line
    assert "\n" not in line


def test_a_refused_key_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ValidationError) as error:
        settings(worker_key="change-me-canary-0123456789abcdef")
    assert "canary" not in str(error.value)
    assert "canary" not in configuration.explain(error.value)
