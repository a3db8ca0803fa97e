"""
A fleet is exchanged for another while it is read and written: the hit rate is recorded window by window and never drops to zero, and
nothing is read that was deleted or replaced.
"""

import random

import pytest

from harness import pool_of

pytestmark = pytest.mark.sanitize

KEYS = 300
WINDOW = 300


class Reader:
    """Reads and writes keys at random, and knows what each must hold: its last version, or, if it may be lost, a miss."""

    def __init__(self, wire, seed):
        self.wire, self.random = wire, random.Random(seed)
        self.version = {}
        self.rates = []

    def fill(self):
        for i in range(KEYS):
            self.write(b"key:%d" % i)

    def write(self, key):
        self.version[key] = self.version.get(key, 0) + 1
        self.wire.set(key, b"%s at %d" % (key, self.version[key]))

    def delete(self, key):
        self.version[key] = self.version.get(key, 0) + 1
        self.wire.line(b"delete %s" % key)
        self.wire.command(b"get %s\r\n" % key, b"END\r\n")
        self.write(key)

    def window(self):
        """A window of reads, with a write or a delete in between now and then. Its hit rate."""
        hits = 0
        for _ in range(WINDOW):
            key = b"key:%d" % self.random.randrange(KEYS)
            dice = self.random.random()
            if dice < 0.05:
                self.write(key)
            elif dice < 0.10:
                self.delete(key)
            value = self.wire.get(key)
            if value is not None:
                assert value == b"%s at %d" % (key, self.version[key]), "an old value"
                hits += 1
        self.rates.append(hits / WINDOW)


def migration(node, hold):
    return {"migrate": {"from": "old", "to": node, "start": "2020-01-01", "over": "1h", "hold": "%d%%" % hold}}


WARM = {"warm": {"cold": "new", "warm": "old"}}


@pytest.mark.parametrize("to,lowest", [("new", 0.3), (WARM, 0.8)], ids=["migrate", "migrate and warm"])
def test_a_fleet_is_exchanged_under_load(lab, to, lowest, capsys):
    pools = {"old": pool_of(lab.memcacheds(2)), "new": pool_of(lab.memcacheds(3))}
    steps = ["old"] + [migration(to, hold) for hold in (0, 10, 25, 50, 75, 90, 100)] + [to, "new"]
    # And back, from the middle: nothing old comes back with it.
    steps[5:5] = [migration(to, 25), migration(to, 50)]
    config = {"listen": ["127.0.0.1:0"], "workers": 2, "pools": pools}
    ringside = lab.ringside(dict(config, route=steps[0]))
    reader = Reader(lab.wire(ringside), 1)
    reader.fill()
    for step in steps:
        ringside.reload(dict(config, route=step))
        reader.window()
        if to == "new":
            # An application fills its misses by itself.
            for i in range(KEYS):
                if reader.wire.get(b"key:%d" % i) is None:
                    reader.write(b"key:%d" % i)
    with capsys.disabled():
        print("\nhit rate: " + " ".join("%.2f" % rate for rate in reader.rates))
    assert min(reader.rates) >= lowest
