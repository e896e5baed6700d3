"""A network between workers and the platform that loses calls, without a word to either side."""

import asyncio
import threading
from contextlib import suppress
from random import Random


class LossyProxy:
    """Half of the lost calls never reach the server; the other half it answers, and nobody hears it.

    Who called waits for its own time-out: nothing is reset. Use as a context manager.
    """

    def __init__(self, share: float, seed: int = 1):
        self.share = share
        self.on = False
        self._far = 0
        self._known = asyncio.Event()
        self.calls = self.lost_before = self.lost_after = 0
        self._random = Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        opened = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        )
        self.port = opened.result().sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lead_to(self, port: int) -> None:
        """Calls that came before wait for it."""
        self._far = port
        self._loop.call_soon_threadsafe(self._known.set)

    async def _serve(self, reader, near):
        await self._known.wait()
        with suppress(OSError):
            back, far = await asyncio.open_connection("127.0.0.1", self._far)
            flow = _Flow(near, far)
            ways = [asyncio.ensure_future(self._up(flow, reader)), asyncio.ensure_future(_down(flow, back))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far.close()
        near.close()

    async def _up(self, flow, reader):
        """Calls of a connection follow one another: the first bytes after an answer begin the next one."""
        while data := await reader.read(65536):
            if not flow.asking:
                flow.asking = True
                self._draw(flow)
            if not flow.lost_before:
                flow.far.write(data)
                await flow.far.drain()

    def _draw(self, flow):
        self.calls += 1
        chance = self._random.random() if self.on else 1.0
        if chance < self.share / 2:
            flow.lost_before = True
            self.lost_before += 1
        elif chance < self.share:
            flow.lost_after = True
            self.lost_after += 1


class _Flow:
    def __init__(self, near, far):
        self.near, self.far = near, far
        self.asking = self.lost_before = self.lost_after = False


async def _down(flow, reader):
    while data := await reader.read(65536):
        flow.asking = False
        if not flow.lost_after:
            flow.near.write(data)
            await flow.near.drain()
    if flow.lost_before or flow.lost_after:
        await asyncio.Event().wait()  # a server that ends the connection is not heard either
