"""
pymemcache against a server: values checked against their keys.
Arguments: host, port, protocol (always ascii). Prints a line for each check that held (see CHECKS in
../test_clients.py), or ends with an assertion.
"""

import os
import sys
import time

from pymemcache.client.base import Client, PooledClient

COUNT = 500
told = set()


def passed(name):
    """Told once, though several kinds of client are tried."""
    if name not in told:
        print(name + ": ok", flush=True)
    told.add(name)


def value(i):
    return b"value of py:%d\r\nEND\r\n" % i + bytes([97 + i % 26]) * (i * 7 % 300)


def check_multi(client):
    assert client.set_multi({"py:%d" % i: value(i) for i in range(COUNT)}, noreply=False) == []
    for i in range(COUNT):
        assert client.get("py:%d" % i) == value(i)
    assert client.get("none") is None
    passed("set")
    got = client.get_multi(["py:%d" % i for i in range(2 * COUNT)])
    assert got == {"py:%d" % i: value(i) for i in range(COUNT)}
    got = client.gets_many(["py:%d" % i for i in range(2 * COUNT)])
    assert {key: pair[0] for key, pair in got.items()} == {"py:%d" % i: value(i) for i in range(COUNT)}
    assert client.delete_multi(["py:1", "py:2"], noreply=False) is True
    assert client.get("py:1") is None
    passed("multi")


def check_changes(client):
    assert client.add("a", b"1", noreply=False) is True
    assert client.add("a", b"2", noreply=False) is False
    passed("add")
    assert client.replace("a", b"mid", noreply=False) is True
    assert client.replace("none", b"x", noreply=False) is False
    passed("replace")
    assert client.append("a", b"-end", noreply=False) is True
    assert client.append("none", b"x", noreply=False) is False
    passed("append")
    assert client.prepend("a", b"start-", noreply=False) is True
    assert client.get("a") == b"start-mid-end"
    passed("prepend")
    assert client.touch("a", 1000, noreply=False) is True
    assert client.touch("none", 1000, noreply=False) is False
    passed("touch")
    assert client.delete("a", noreply=False) is True
    assert client.delete("a", noreply=False) is False
    passed("delete")
    assert client.set("n", b"10", noreply=False)
    assert client.incr("n", 5) == 15 and client.decr("n", 14) == 1 and client.decr("n", 5) == 0
    assert client.incr("none", 1) is None
    passed("count")
    client.set("c", b"one", noreply=False)
    got, cas = client.gets("c")
    assert got == b"one" and client.cas("c", b"two", cas, noreply=False) is True
    assert client.cas("c", b"three", cas, noreply=False) is False
    assert client.cas("none", b"three", cas, noreply=False) is None
    assert client.get("c") == b"two"
    passed("cas")


def check_bytes(client):
    large = os.urandom(900000)
    assert client.set("large", large, noreply=False) and client.get("large") == large
    passed("large")
    wild = [b"", b"\r\n", b"\r\nEND\r\n", b"VALUE k:1 0 1\r\n"]
    for data in wild + [bytes((i + j) % 256 for j in range(i)) for i in range(300)]:
        client.set("bytes", data, noreply=False)
        assert client.get("bytes") == data
    passed("bytes")


class Flagged:
    """A serializer that shows the flags."""

    def serialize(self, _, value):
        return value, 0

    def deserialize(self, _, value, flags):
        return value, flags


def check_flags(kind, address):
    client = kind(address, timeout=90, serde=Flagged(), default_noreply=False)
    for flags in (0, 1, 4294967295):
        client.set("flags", b"x", flags=flags)
        assert client.get("flags") == (b"x", flags)
    client.close()
    passed("flags")


def check_expiry(client):
    end = time.monotonic() + 10
    while client.get("brief") is not None:
        assert time.monotonic() < end, "it does not expire"
        time.sleep(0.1)
    assert client.get("long") == b"long"
    passed("expiry")


def check_quiet(client):
    for i in range(COUNT):
        client.set("quiet:%d" % i, value(i), noreply=True)
    client.delete("quiet:0", noreply=True)
    client.incr("quiet:0", 1, noreply=True)
    assert client.get("quiet:0") is None
    assert client.get_multi(["quiet:%d" % i for i in range(1, COUNT)]) == {
        "quiet:%d" % i: value(i) for i in range(1, COUNT)}
    passed("noreply")


def check_server(client):
    assert client.version().startswith(b"1.")
    passed("version")
    stats = client.stats()
    assert int(stats[b"curr_items"]) > COUNT
    passed("stats")
    assert client.flush_all(noreply=False) is True
    assert client.get("quiet:1") is None
    passed("flush")


def main(host, port, _protocol):
    for kind in (Client, PooledClient):
        client = kind((host, int(port)), timeout=90, connect_timeout=30, default_noreply=False)
        client.set("brief", b"brief", expire=1)
        client.set("long", b"long", expire=1000)
        check_multi(client)
        check_changes(client)
        check_bytes(client)
        check_flags(kind, (host, int(port)))
        check_quiet(client)
        check_expiry(client)
        check_server(client)
        client.close()


main(*sys.argv[1:])
