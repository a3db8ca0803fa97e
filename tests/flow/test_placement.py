"""
Keys lie where others put them: what twemproxy and libmemcached have written is read through Ringside, and the other way
round. Every key is found only if both place it on the same server.
"""

import random

import pylibmc
import pytest

from rivals import Nutcracker
from servers import Memcached

KEYS = 20000


def some_keys(count, seed=7):
    """Keys of many forms: numbered, random text, long, tagged, with high bytes."""
    rng = random.Random(seed)
    keys = set()
    while len(keys) < count:
        kind = rng.randrange(6)
        if kind < 2:
            keys.add(b"key:%d" % rng.randrange(10 ** 7))
        elif kind == 2:
            keys.add(bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz0123456789:_-./{}", k=rng.randrange(1, 40))))
        elif kind == 3:
            keys.add(b"session:{user%d}:%d" % (rng.randrange(5000), rng.randrange(100)))
        elif kind == 4:
            keys.add(b"long:" + b"%x" % rng.getrandbits(700))
        else:
            keys.add(bytes(rng.choice([b for b in range(33, 256) if b != 127]) for _ in range(rng.randrange(4, 20))))
    return sorted(keys)


def value_of(key):
    return b"<" + key + b">"


def write_all(wire, keys):
    data = [b"set %s 0 0 %d\r\n%s\r\n" % (key, len(key) + 2, value_of(key)) for key in keys]
    assert wire.exchange(b"".join(data), count=8 * len(keys)) == b"STORED\r\n" * len(keys)


def missing(wire, keys):
    """How many of the keys are not found; a wrong value is an error."""
    count = 0
    for i in range(0, len(keys), 50):
        found = wire.get_many(keys[i:i + 50])
        count += sum(1 for key in keys[i:i + 50] if key not in found)
        assert all(value == value_of(key) for key, value in found.items())
    return count


def flush(servers):
    for server in servers:
        with server.wire() as wire:
            wire.command(b"flush_all\r\n", b"OK\r\n")


def both_ways(lab, servers, left, right, keys):
    """Written on the left all are read on the right; and the other way round."""
    for writer, reader in ((left, right), (right, left)):
        flush(servers)
        write_all(writer, keys)
        assert missing(reader, keys) == 0
        # Each key lies on one server, and on its own alone.
        assert sum(server.stat("curr_items") for server in servers) >= len(keys)


def nutcracker(lab, servers, **options):
    """A running twemproxy over "address:weight name" entries, ended with the lab."""
    proxy = Nutcracker(lab.directory, servers, **options)
    lab.servers.append(proxy)
    return proxy.start()


# twemproxy's hash, Ringside's name for it, servers, keys of the pool
CASES = [
    ("md5", "ketama", 3, {}),
    ("fnv1a_64", "ketama", 3, {}),
    ("fnv1_64", "ketama", 4, {}),
    ("fnv1a_32", "ketama", 5, {"weights": [1, 2, 3, 4, 50]}),
    ("fnv1_32", "ketama", 2, {}),
    ("one_at_a_time", "ketama", 3, {}),
    ("crc16", "ketama", 3, {}),
    ("crc32", "ketama", 3, {}),
    ("crc32a", "ketama", 3, {}),
    ("hsieh", "ketama", 3, {}),
    ("murmur", "ketama", 3, {"weights": [1, 1, 5]}),
    ("jenkins", "ketama", 3, {}),
    ("md5", "ketama", 7, {"weights": [1, 2, 3, 1, 7, 1, 10], "hash_tag": "{}"}),
    ("fnv1a_64", "modula", 4, {}),
    ("crc32a", "modula", 3, {"weights": [1, 3, 2]}),
    ("md5", "modula", 3, {"hash_tag": "::"}),
    ("md5", "ketama", 1, {}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case[:3])) + "-".join([""] + list(case[3])))
@pytest.mark.plain("nutcracker speaks no TLS")
def test_as_twemproxy(lab, case):
    hash_name, distribution, count, options = case
    count_of_keys = KEYS if case in CASES[:4] else KEYS // 5
    servers = lab.memcacheds(count)
    weights = options.get("weights", [1] * count)
    tag = {"hash_tag": options["hash_tag"]} if "hash_tag" in options else {}
    proxy = nutcracker(lab, ["%s:%d shard%d" % (s.address, w, i) for i, (s, w) in enumerate(zip(servers, weights))],
                       hash=hash_name, distribution=distribution, **tag)
    ringside = lab.ringside(
        servers=[{"address": s.address, "name": "shard%d" % i, "weight": w}
                 for i, (s, w) in enumerate(zip(servers, weights))],
        hash=hash_name, distribution={"modula": "modulo"}.get(distribution, distribution), **tag)
    both_ways(lab, servers, lab.wire(proxy.address), lab.wire(ringside), some_keys(count_of_keys))


@pytest.mark.plain("memcached speaks no TLS on Unix sockets")
def test_as_twemproxy_with_servers_known_by_address(lab):
    """Without names: host:port; host alone for port 11211; the path and a colon for a Unix socket."""
    default_port = None
    while default_port is None:
        host = "127.%d.%d.%d" % tuple(random.SystemRandom().randrange(1, 255) for _ in range(3))
        server = Memcached(lab.directory, host=host, port=11211)
        lab.servers.append(server)
        default_port = server.start()
    socket_path = lab.directory / "s"
    servers = [lab.memcached(), default_port, lab.memcached(unix=socket_path)]
    proxy = nutcracker(lab, ["%s:1" % servers[0].address, "%s:2" % servers[1].address, "%s:1" % socket_path])
    ringside = lab.ringside(servers=[servers[0].address, {"address": servers[1].host, "weight": 2},
                                     "unix:%s" % socket_path], hash="md5")
    both_ways(lab, servers, lab.wire(proxy.address), lab.wire(ringside), some_keys(KEYS))


@pytest.mark.parametrize("count", [25, 47])
@pytest.mark.plain("nutcracker speaks no TLS")
def test_as_twemproxy_where_its_arithmetic_is_short(lab, count):
    """With these numbers of servers float32 arithmetic gives 156 points a server instead of 160."""
    servers = lab.memcacheds(count, memory_mib=16)
    proxy = nutcracker(lab, ["%s:1 cache%d" % (s.address, i) for i, s in enumerate(servers)])
    ringside = lab.ringside(servers=[{"address": s.address, "name": "cache%d" % i} for i, s in enumerate(servers)],
                            hash="md5")
    both_ways(lab, servers, lab.wire(proxy.address), lab.wire(ringside), some_keys(KEYS // 2))


class Libmemcached:
    """pylibmc with what both_ways() needs of a Wire: whole sets and gets of many keys."""

    def __init__(self, servers, behaviors):
        self.client = pylibmc.Client(servers, behaviors=dict(behaviors, connect_timeout=30000, receive_timeout=60000000,
                                                             send_timeout=60000000))

    def exchange(self, data, count):
        stored = 0
        for block in data.split(b">\r\n")[:-1]:
            line, _, value = block.partition(b"\r\n")
            stored += bool(self.client.set(line.split(b" ")[1], value + b">"))
        return b"STORED\r\n" * stored

    def get_many(self, keys):
        return {key: value for key, value in self.client.get_multi(keys).items() if value is not None}


KETAMA = {"distribution": "consistent ketama", "hash": "md5", "ketama_hash": "md5"}
LIBMEMCACHED_CASES = {
    "weighted": ({"ketama_weighted": True}, [1, 1, 1], {"distribution": "ketama", "hash": "md5"}),
    "weighted-unequal": ({"ketama_weighted": True}, [1, 2, 7], {"distribution": "ketama", "hash": "md5"}),
    "ketama": ({"ketama": True}, [1, 1, 1], {"distribution": "ketama-libmemcached"}),
    "ketama-md5": ({"ketama": True, "hash": "md5"}, [1, 1, 1], {"distribution": "ketama-libmemcached", "hash": "md5"}),
    "spy": ({"distribution": "consistent ketama spy", "hash": "md5", "ketama_hash": "md5"}, [1, 1, 1],
            {"distribution": "ketama-spy", "hash": "md5"}),
    "modula": ({"distribution": "modula", "hash": "default"}, [1, 1, 1, 1],
               {"distribution": "modulo", "hash": "one_at_a_time"}),
    "modula-fnv1a_64": ({"distribution": "modula", "hash": "fnv1a_64"}, [1, 1, 1],
                        {"distribution": "modulo", "hash": "fnv1a_64"}),
    "modula-murmur": ({"distribution": "modula", "hash": "murmur"}, [1, 1, 1],
                      {"distribution": "modulo", "hash": "murmur"}),
    "modula-crc": ({"distribution": "modula", "hash": "crc"}, [1, 1, 1], {"distribution": "modulo", "hash": "crc"}),
}


@pytest.mark.parametrize("case", list(LIBMEMCACHED_CASES))
@pytest.mark.plain("libmemcached speaks no TLS")
def test_as_libmemcached(lab, case):
    behaviors, weights, pool = LIBMEMCACHED_CASES[case]
    keys = [key for key in some_keys(KEYS if case.startswith("weighted") else KEYS // 4) if b">\r\n" not in key]
    servers = lab.memcacheds(len(weights))
    client = Libmemcached(["%s:%d" % (s.address, w) for s, w in zip(servers, weights)], behaviors)
    ringside = lab.ringside(servers=[{"address": s.address, "weight": w} for s, w in zip(servers, weights)], **pool)
    both_ways(lab, servers, client, lab.wire(ringside), keys)
