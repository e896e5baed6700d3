"""What every secret store promises."""

from cynthus.secrets.ports import Secrets


class SecretsContract:
    async def test_what_is_put_is_got(self, secrets: Secrets) -> None:
        await secrets.put("run_1", {"TOKEN": "hunter2", "EMPTY": "", "UNICODE": "pässwörd\n"})
        assert await secrets.get("run_1") == {"TOKEN": "hunter2", "EMPTY": "", "UNICODE": "pässwörd\n"}

    async def test_an_unknown_scope_is_empty(self, secrets: Secrets) -> None:
        assert await secrets.get("run_2") == {}
        await secrets.delete("run_2")

    async def test_a_put_replaces_the_whole_scope(self, secrets: Secrets) -> None:
        await secrets.put("run_1", {"A": "1", "B": "2"})
        await secrets.put("run_1", {"B": "3"})
        assert await secrets.get("run_1") == {"B": "3"}

    async def test_scopes_are_apart_whatever_their_names(self, secrets: Secrets) -> None:
        await secrets.put("../run_1", {"A": "1"})
        await secrets.put("run_1", {"A": "2"})
        assert await secrets.get("../run_1") == {"A": "1"}

    async def test_a_deleted_scope_is_forgotten(self, secrets: Secrets) -> None:
        await secrets.put("run_1", {"A": "1"})
        await secrets.delete("run_1")
        assert await secrets.get("run_1") == {}
