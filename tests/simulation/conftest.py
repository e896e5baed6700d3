"""Tests of models wait for nothing: seconds cost nothing."""

from functools import partial

from tests.simulation.loop import VirtualLoop


def pytest_asyncio_loop_factories(config, item):
    return {"virtual": partial(VirtualLoop, "tests")}
