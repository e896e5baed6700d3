"""The links of the harness lose what they are told to lose, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest

from tests.chaos.links import Link
from tests.chaos.processes import free_ports
from tests.chaos.rules import Rule

ASK = b"ask\n"


@dataclass
class Echo:
    """A server that remembers what it was asked, behind a link."""

    link: Link
    asked: list[bytes] = field(default_factory=list)

    async def ask(self) -> bytes:
        """One question on a connection of its own; nothing for one that was cut."""
        reader, writer = await asyncio.open_connection(*self.link.near)
        writer.write(ASK)
        try:
            return await reader.readline()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    near, far = (("127.0.0.1", port) for port in free_ports(2))
    echo = Echo(Link("test", near, far, Random(1)))

    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        with suppress(OSError):
            while line := await reader.readline():
                echo.asked.append(line)
                writer.write(line)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, *far)
    await echo.link.open()
    yield echo
    await echo.link.close()
    server.close()
    await asyncio.gather(*serving, return_exceptions=True)


async def test_a_link_without_rules_carries_everything(echo: Echo) -> None:
    assert await echo.ask() == ASK


async def test_a_lost_reply_is_lost_after_the_server_did_what_it_was_asked(echo: Echo) -> None:
    with echo.link.rules.under(Rule(lose_reply=1.0)):
        assert await echo.ask() == b""
    assert echo.asked == [ASK]
    assert await echo.ask() == ASK


async def test_what_is_reset_before_its_first_byte_never_arrives(echo: Echo) -> None:
    with echo.link.rules.under(Rule(reset_first=1.0)):
        assert await echo.ask() == b""
    assert echo.asked == []


async def test_what_is_held_arrives_when_the_link_is_whole_again(echo: Echo) -> None:
    with echo.link.rules.under(Rule(hold_down=True)):
        asking = asyncio.create_task(echo.ask())
        while not echo.asked:
            await asyncio.sleep(0)
        assert not asking.done()
    assert await asking == ASK


async def test_only_replies_to_a_commit_are_lost_when_it_says_so(echo: Echo) -> None:
    with echo.link.rules.under(Rule(lose_commit=1.0)):
        assert await echo.ask() == ASK
