"""A user's program for the harness: does what CHAOS_DO says, and reports to the side channel."""

import hashlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

RUN, EPOCH = os.environ["CYNTHUS_RUN_ID"], int(os.environ["CYNTHUS_ATTEMPT"])
DO, AMOUNT = os.environ["CHAOS_DO"], float(os.environ["CHAOS_AMOUNT"])
BEAT_S = 0.25


class Side:
    """Reports; a harness that is not there hinders nobody."""

    def __init__(self):
        try:
            self.door = socket.create_connection(("127.0.0.1", int(os.environ["CHAOS_SIDE"])), timeout=5)
        except OSError:
            self.door = None

    def say(self, what, **more):
        report = {"run": RUN, "epoch": EPOCH, "pid": os.getpid(), "what": what, **more}
        try:
            if self.door is not None:
                self.door.sendall(json.dumps(report).encode() + b"\n")
                self.door.recv(1)
        except OSError:
            self.door = None


class Out:
    """Standard output, counted and hashed as it is written."""

    def __init__(self):
        self.hash, self.size = hashlib.sha256(), 0

    def write(self, text):
        data = text.encode()
        while data:
            n = os.write(1, data)
            self.hash.update(data[:n])
            self.size += n
            data = data[n:]


side, out, files = Side(), Out(), {}


def beat(seconds, note=lambda n: None):
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        side.say("alive")
        note(n)
        n += 1
        time.sleep(BEAT_S)


def output(name, content):
    path = Path(os.environ["CYNTHUS_OUTPUT_DIR"], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    files[name] = hashlib.sha256(content).hexdigest()


def count_with_checkpoints(seconds):
    state = Path(os.environ["CYNTHUS_CHECKPOINT_DIR"], "count")
    state.parent.mkdir(parents=True, exist_ok=True)
    count = int(state.read_text()) if state.exists() else 0
    out.write(f"from {count}\n")
    while count < seconds / BEAT_S:
        beat(BEAT_S)
        count += 1
        fresh = state.with_suffix(".new")
        fresh.write_text(str(count))
        fresh.replace(state)


def hold_the_gil(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        side.say("alive")
        int("9" * 4000) ** 200
    out.write("held\n")


def print_much(lines):
    for n in range(int(lines)):
        out.write(f"{n:08d} {hashlib.md5(str(n).encode()).hexdigest()}\n")


def write_files(count):
    for n in range(int(count)):
        output(f"part/{n}.bin", hashlib.sha256(f"{RUN}{EPOCH}{n}".encode()).digest() * 512)


def be_stubborn(seconds):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep(seconds)


def sleep(seconds):
    beat(seconds, lambda n: out.write(f"beat {n}\n"))


def die(seconds):
    beat(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def hoard(pieces):
    kept = [bytearray(b"x") * (16 * 1024 * 1024) for _ in range(int(pieces))]
    out.write(f"{len(kept)}\n")


TASKS = {
    "sleep": sleep,
    "print": print_much,
    "write": write_files,
    "stubborn": be_stubborn,
    "count": count_with_checkpoints,
    "gil": hold_the_gil,
    "die": die,
    "hoard": hoard,
}


def main():
    out.write(f"{DO} {RUN} {EPOCH}\n")
    TASKS.get(DO, lambda _: None)(AMOUNT)
    output("result.json", json.dumps({"run": RUN, "epoch": EPOCH}).encode())
    out.write("last line, and no newline")
    code = 3 if DO == "fail" else 0
    side.say("end", files=files, stdout_sha256=out.hash.hexdigest(), stdout_bytes=out.size, code=code)
    return code


side.say("start")
sys.exit(main())
