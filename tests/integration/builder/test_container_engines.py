"""Where there is no container engine, nothing is built for one."""

from cynthus.builder import wiring
from tests.fixtures.image_works import image_works

HELLO = {"main.py": "print('hello')\n"}


async def test_a_run_that_needs_an_engine_is_refused_where_there_is_none(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(wiring, "discover", lambda _: None)
    async with image_works(database_url, tmp_path, machines_are_here=True) as bench:
        refused = await bench.refuse(HELLO, runtime="container")
        assert refused.cause.code == "no_container_engine"
        assert "Install Docker or Podman" in refused.cause.fix
        assert (await bench.build(HELLO)).image.runtime == "process"
