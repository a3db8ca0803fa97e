"""
python-memcached against a server. Arguments: host, port, protocol (always ascii).
Prints a line for each check that held (see CHECKS in ../test_clients.py), or ends with an assertion.
"""

import sys
import time

import memcache

COUNT = 200
EVERY_BYTE = bytes(range(256))


def passed(name):
    print(name + ": ok", flush=True)


def value(i):
    return b"value of k:%d\r\nEND\r\n" % i + bytes([97 + i % 26]) * (i * 7 % 300)


def check_keys(client):
    for i in range(COUNT):
        assert client.set("k:%d" % i, value(i))
    for i in range(COUNT):
        assert client.get("k:%d" % i) == value(i)
    assert client.get("none") is None
    passed("set")
    everything = {"k:%d" % i: value(i) for i in range(COUNT)}
    assert client.get_multi(["k:%d" % i for i in range(2 * COUNT)]) == everything
    several = {"m:%d" % i: value(i) for i in range(COUNT)}
    assert client.set_multi(several) == [] and client.get_multi(list(several)) == several
    assert client.delete_multi(["m:1", "m:2"]) and client.get_multi(["m:1", "m:2", "m:3"]) == {"m:3": value(3)}
    passed("multi")


def check_changes(client):
    assert client.add("a", b"1") and not client.add("a", b"2")
    passed("add")
    assert client.replace("a", b"mid") and not client.replace("none", b"x")
    passed("replace")
    assert client.append("a", b"-end") and not client.append("none", b"x")
    passed("append")
    assert client.prepend("a", b"start-") and client.get("a") == b"start-mid-end"
    passed("prepend")
    client.set("c", b"one")
    assert client.gets("c") == b"one" and client.cas("c", b"two")
    assert not client.cas("c", b"three") and client.get("c") == b"two"
    passed("cas")
    client.set("n", 10)
    assert client.incr("n", 5) == 15 and client.decr("n", 14) == 1 and client.decr("n", 5) == 0
    assert client.incr("none") is None
    passed("count")
    # The library tells no difference between deleted and not found.
    assert client.delete("a") and client.get("a") is None and client.delete("a")
    passed("delete")
    assert client.touch("c", 1000) and not client.touch("none", 1000)
    passed("touch")


def check_bytes(client):
    for data in (b"", b"\r\n", b"\r\nEND\r\n", b"VALUE k:1 0 1\r\n", EVERY_BYTE):
        assert client.set("bytes", data) and client.get("bytes") == data
    passed("bytes")
    large = (EVERY_BYTE * 3516)[:900000]
    assert client.set("large", large) and client.get("large") == large
    passed("large")
    for typed in (42, 2 ** 40, True, "t\u00e4xt", [1, {"a": b"b"}]):
        assert client.set("typed", typed) and client.get("typed") == typed
    passed("flags")


def check_quiet(client):
    for i in range(COUNT):
        client.set("q:%d" % i, value(i), noreply=True)
    client.delete("q:0", noreply=True)
    assert client.get("q:0") is None
    assert client.get_multi(["q:%d" % i for i in range(COUNT)]) == {"q:%d" % i: value(i) for i in range(1, COUNT)}
    passed("noreply")


def check_expiry(client):
    end = time.monotonic() + 10
    while client.get("brief") is not None:
        assert time.monotonic() < end, "it does not expire"
        time.sleep(0.1)
    assert client.get("long") == b"long"
    passed("expiry")


def check_server(client):
    (_, stats), = client.get_stats()
    assert int(stats["curr_items"]) > COUNT
    passed("stats")
    client.flush_all()
    assert client.get_multi(["k:%d" % i for i in range(COUNT)]) == {}
    passed("flush")


def main(host, port, _protocol):
    client = memcache.Client(["%s:%s" % (host, port)], cache_cas=True, socket_timeout=90, dead_retry=0)
    client.set("brief", b"brief", time=1)
    client.set("long", b"long", time=1000)
    check_keys(client)
    check_changes(client)
    check_bytes(client)
    check_quiet(client)
    check_expiry(client)
    check_server(client)
    client.disconnect_all()


main(*sys.argv[1:])
