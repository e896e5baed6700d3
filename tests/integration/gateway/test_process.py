"""The gateway as a process of its own: how it starts, refuses to start, and ends."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

KEYS = {"SECRETS_KEY": "0f1e2d3c" * 4, "WORKER_KEY": "a9b8c7d6" * 4, "INTERNAL_TOKEN": "1a2b3c4d" * 4}
TOKEN = "local-owner-token-0123456789abcdef"
ENDS_WITHIN_S = 10


def environment(database_url: str, folder: Path, **changes: str) -> dict[str, str]:
    ours = {
        "DATABASE_URL": database_url,
        "BLOBS_FOLDER": str(folder / "blobs"),
        "SECRETS_FOLDER": str(folder / "secrets"),
        "GATEWAY_PORT": "0",
        "GATEWAY_ORCHESTRATOR_URL": "http://127.0.0.1:1",
        "GATEWAY_OWNER_TOKEN": TOKEN,
        **KEYS,
        **changes,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CYNTHUS_")}
    return kept | {f"CYNTHUS_{name}": value for name, value in ours.items()}


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cynthus.gateway", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def running(environ: dict[str, str]) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    command = [sys.executable, "-m", "cynthus.gateway"]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            told = json.loads(line)
            if told["event"] == "serving":
                yield process, told["url"]
                return
        pytest.fail("the gateway ended before it served")
    finally:
        process.kill()
        process.communicate()


async def test_it_serves_until_it_is_told_to_end(database_url: str, tmp_path: Path) -> None:
    with running(environment(database_url, tmp_path)) as (process, url):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
            assert (await client.get("/health/ready")).json() == {"status": "ok"}
            assert (await client.get("/v1/me")).json()["owner"] == "local"
            assert (await client.get("/v1/status")).status_code == 503
            upload = await client.post("/v1/projects", json={"name": "demo"})
            assert upload.status_code == 201
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.to_thread(process.communicate, timeout=ENDS_WITHIN_S)
        assert process.returncode == 0
        assert [json.loads(line)["event"] for line in errors.splitlines()][-1] == "stopped"
        assert TOKEN not in errors


async def test_an_open_request_does_not_hold_up_the_end(database_url: str, tmp_path: Path) -> None:
    with running(environment(database_url, tmp_path)) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"PUT /v1/blobs/" + b"0" * 64 + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n")
        writer.write(f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        await writer.drain()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, ENDS_WITHIN_S)
        assert time.monotonic() - began < ENDS_WITHIN_S
        writer.close()
        assert reader is not None


def test_a_taken_port_is_told_in_one_line(database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(environment(database_url, tmp_path, GATEWAY_PORT=port))
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert f"port {port} on 127.0.0.1 is taken" in line
    assert "CYNTHUS_GATEWAY_PORT" in line


def test_a_missing_setting_is_told_in_one_line(database_url: str, tmp_path: Path) -> None:
    environ = environment(database_url, tmp_path)
    del environ["CYNTHUS_GATEWAY_ORCHESTRATOR_URL"]
    done = run(environ)
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["gateway: cannot start: CYNTHUS_GATEWAY_ORCHESTRATOR_URL is not set"]


def test_an_unreachable_database_is_told_in_one_line(tmp_path: Path) -> None:
    done = run(environment("postgresql://u:canary-password@127.0.0.1:1/d", tmp_path))
    assert done.returncode == 3
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("gateway: cannot start")]
    assert "PostgreSQL" in line
    assert "canary" not in done.stderr


def test_the_configuration_is_shown_without_secrets(database_url: str, tmp_path: Path) -> None:
    done = run(environment(database_url, tmp_path), "--check")
    shown = json.loads(done.stdout)
    assert done.returncode == 0
    assert shown["CYNTHUS_GATEWAY_ORCHESTRATOR_URL"] == "http://127.0.0.1:1"
    assert shown["CYNTHUS_BUS"] == "postgres"
    assert TOKEN not in done.stdout
    assert not any(key in done.stdout for key in KEYS.values())


def test_starting_embedded_imports_no_cloud_library_and_no_http_client() -> None:
    modules = "[name for name in sys.modules if name.startswith(('google', 'httpx'))]"
    code = f"import sys, cynthus.gateway.wiring, cynthus.runtime.serve; print({modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
