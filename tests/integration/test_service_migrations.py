"""Every service's tables: up, down, up again, and equal to what its code declares."""

import pytest

from tests.contracts.migrations import assert_migrations


@pytest.mark.parametrize("service", ["gateway", "builder", "provisioner", "orchestrator", "datasets"])
async def test_migrations_go_up_and_down_and_match_the_tables(database_url, service):
    await assert_migrations(database_url, service)
