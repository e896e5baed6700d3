"""`python -m bench.beating HOST PORT COUNT RATE SECONDS < beats`: many open connections that beat at a rate.

Standard input has a path and a token for each connection. The answer, on standard output: one JSON object.
Open loop: a beat is due when its turn comes, whether or not others were answered; lag counts from then.
"""

import asyncio
import json
import sys

import uvloop

BODY = b'{"cpu_seconds":1.25,"memory_bytes":104857600}'
_OPEN_AT_ONCE = 200


class Connection(asyncio.Protocol):
    """One worker's connection: at most one beat under way."""

    def __init__(self, request, tally):
        self.request, self.tally = request, tally
        self.due = self.transport = None
        self.rest = b""

    def connection_made(self, transport):
        self.transport = transport

    def beat(self, due):
        if self.due is not None or self.transport.is_closing():
            self.tally["late"] += 1
            return
        self.due = due
        self.tally["sent"] += 1
        self.transport.write(self.request)

    def data_received(self, data):
        data = self.rest + data
        head, found, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0) if found else 0
        if not found or len(body) < length:
            self.rest = data
            return
        self.rest = b""
        self.tally["ok" if data.startswith(b"HTTP/1.1 200") else "refused"] += 1
        self.tally["lags"].append(asyncio.get_running_loop().time() - self.due)
        self.due = None

    def connection_lost(self, error):
        self.tally["cut"] += 1
        self.due = None


async def main(host, port, count, rate, seconds):
    tally = {"sent": 0, "ok": 0, "refused": 0, "late": 0, "cut": 0, "lags": []}
    loop = asyncio.get_running_loop()
    lines = sys.stdin.read().split("\n")[:count]
    connections = []
    for begin in range(0, count, _OPEN_AT_ONCE):
        group = [
            loop.create_connection(lambda line=line: Connection(_request(line), tally), host, port)
            for line in lines[begin : begin + _OPEN_AT_ONCE]
        ]
        connections += [protocol for _, protocol in await asyncio.gather(*group)]
    await _at_rate(connections, min(rate, 2000), count / min(rate, 2000))  # each token is met once
    await asyncio.sleep(2)
    tally.update(sent=0, ok=0, refused=0, late=0, lags=[])
    print("begin", flush=True)
    began = loop.time()
    await _at_rate(connections, rate, seconds)
    while (  # noqa: ASYNC110 - everything is measured, nothing is to be woken
        any(one.due is not None for one in connections) and loop.time() < began + seconds + 10
    ):
        await asyncio.sleep(0.01)
    tally["seconds"] = loop.time() - began
    tally["lags"].sort()
    print(json.dumps(tally), flush=True)


async def _at_rate(connections, rate, seconds):
    loop = asyncio.get_running_loop()
    began, turn = loop.time(), 0
    total = int(rate * seconds)
    while turn < total:
        due = min(total, int((loop.time() - began) * rate) + 1)
        for number in range(turn, due):
            connections[number % len(connections)].beat(began + number / rate)
        turn = max(turn, due)
        await asyncio.sleep(0.001)


def _request(line):
    path, token = line.split("\t")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


if __name__ == "__main__":
    numbers = [float(value) for value in sys.argv[3:6]]
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(numbers[0]), numbers[1], numbers[2]))
