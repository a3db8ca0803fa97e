"""
pymemcache against a server: values checked against their keys.
Arguments: host, port. Ends with an assertion, or prints "ok".
"""

import os
import sys

from pymemcache.client.base import Client, PooledClient

COUNT = 500


def value(i):
    return b"value of py:%d\r\nEND\r\n" % i + bytes([97 + i % 26]) * (i * 7 % 300)


def check_multi(client):
    assert client.set_multi({"py:%d" % i: value(i) for i in range(COUNT)}, noreply=False) == []
    for i in range(COUNT):
        assert client.get("py:%d" % i) == value(i)
    got = client.get_multi(["py:%d" % i for i in range(2 * COUNT)])
    assert got == {"py:%d" % i: value(i) for i in range(COUNT)}
    got = client.gets_many(["py:%d" % i for i in range(2 * COUNT)])
    assert {key: pair[0] for key, pair in got.items()} == {"py:%d" % i: value(i) for i in range(COUNT)}
    assert client.delete_multi(["py:1", "py:2"], noreply=False) is True
    assert client.get("py:1") is None


def check_changes(client):
    assert client.add("a", b"1", noreply=False) is True
    assert client.add("a", b"2", noreply=False) is False
    assert client.replace("a", b"mid", noreply=False) is True
    assert client.replace("none", b"x", noreply=False) is False
    assert client.append("a", b"-end", noreply=False) is True
    assert client.prepend("a", b"start-", noreply=False) is True
    assert client.get("a") == b"start-mid-end"
    assert client.touch("a", 1000, noreply=False) is True
    assert client.gat("a", 1000) == b"start-mid-end" if hasattr(client, "gat") else True
    assert client.delete("a", noreply=False) is True
    assert client.delete("a", noreply=False) is False
    assert client.set("n", b"10", noreply=False)
    assert client.incr("n", 5) == 15 and client.decr("n", 14) == 1
    assert client.incr("none", 1) is None
    client.set("c", b"one", noreply=False)
    got, cas = client.gets("c")
    assert got == b"one" and client.cas("c", b"two", cas, noreply=False) is True
    assert client.cas("c", b"three", cas, noreply=False) is False
    assert client.cas("none", b"three", cas, noreply=False) is None
    assert client.get("c") == b"two"


def check_bytes(client):
    large = os.urandom(900000)
    assert client.set("large", large, noreply=False) and client.get("large") == large
    for i in range(300):
        data = bytes((i + j) % 256 for j in range(i))
        client.set("bytes", data, noreply=False)
        assert client.get("bytes") == data


def check_quiet(client):
    for i in range(COUNT):
        client.set("quiet:%d" % i, value(i), noreply=True)
    client.delete("quiet:0", noreply=True)
    client.incr("quiet:0", 1, noreply=True)
    assert client.get("quiet:0") is None
    assert client.get_multi(["quiet:%d" % i for i in range(1, COUNT)]) == {
        "quiet:%d" % i: value(i) for i in range(1, COUNT)}


def check_server(client):
    assert client.version().startswith(b"1.")
    stats = client.stats()
    assert int(stats[b"curr_items"]) > COUNT
    assert client.flush_all(noreply=False) is True
    assert client.get("quiet:1") is None


def main(host, port):
    for kind in (Client, PooledClient):
        client = kind((host, int(port)), timeout=90, connect_timeout=30, default_noreply=False)
        check_multi(client)
        check_changes(client)
        check_bytes(client)
        check_quiet(client)
        check_server(client)
        client.close()
    print("ok")


main(*sys.argv[1:])
