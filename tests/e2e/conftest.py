"""One platform per home for all stories; each story has its own project folder."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.homes import Home, embedded, five_processes
from tests.fixtures.postgres import fresh_database

HOMES = [
    "embedded",
    "five-processes-postgres",
    pytest.param("five-processes-pubsub", marks=pytest.mark.needs("pubsub-emulator")),
]


@pytest.fixture(scope="module", params=HOMES)
def home(request, tmp_path_factory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp(request.param)
    with open_home(request, request.param, folder) as running:
        yield running


@contextmanager
def open_home(request, name: str, folder: Path) -> Iterator[Home]:
    """Start one of the homes by its name."""
    if name == "embedded":
        with embedded(folder) as running:
            yield running
        return
    bus = {"CYNTHUS_BUS": "postgres"}
    if name == "five-processes-pubsub":
        emulator = request.getfixturevalue("pubsub_emulator")
        project = f"e2e-{folder.name}"[:30].rstrip("-").lower()
        bus = {
            "CYNTHUS_BUS": "pubsub",
            "CYNTHUS_PUBSUB_PROJECT": project,
            "PUBSUB_EMULATOR_HOST": emulator,
        }
    server = request.getfixturevalue("postgres_server")
    with database(server) as url, five_processes(folder, url, **bus) as running:
        yield running


@contextmanager
def database(server: str) -> Iterator[str]:
    """A fresh database for synchronous fixtures."""
    with asyncio.Runner() as runner:
        fresh = fresh_database(server)
        url = runner.run(fresh.__aenter__())
        try:
            yield url
        finally:
            runner.run(fresh.__aexit__(None, None, None))


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder
