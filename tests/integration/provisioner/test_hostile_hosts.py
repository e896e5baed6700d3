import sys
import time

from cynthus.provisioner.hostile.hosts import Hosts, Start
from cynthus.provisioner.hostile.world import Place

PARTS = 24
MACHINE = f"""
import os, time
ready = os.open("ready", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
noticed = os.open("noticed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for _ in range({PARTS}):
    lives, life = os.pipe()
    if os.fork() == 0:
        time.sleep(1000)
    os.close(life)
    if os.fork() == 0:
        os.write(ready, b".")
        os.read(lives, 1)
        os.write(noticed, b".")
        time.sleep(1000)
    os.close(lives)
time.sleep(1000)
"""


def test_no_part_of_a_machine_lives_to_see_another_killed(tmp_path):
    hosts, noticed = Hosts(tmp_path), []
    for n in range(4):
        place, home = Place("zone-a", f"m{n}"), tmp_path / f"disk{n}"
        hosts.start(place, 1, Start([sys.executable, "-IS", "-c", MACHINE], home, {}))
        until(lambda home=home: (home / "ready").exists() and (home / "ready").stat().st_size == PARTS)
        hosts.look_again()
        until(lambda place=place: killed(hosts, place))
        noticed.append((home / "noticed").stat().st_size)
    assert noticed == [0, 0, 0, 0]


def killed(hosts: Hosts, place: Place) -> bool:
    hosts.look_again()
    return hosts.kill(place)


def until(holds, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
