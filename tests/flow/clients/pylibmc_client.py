"""
pylibmc against a server: values checked against their keys.
Arguments: host, port, protocol (ascii or binary). Prints a line for each check that held (see CHECKS in
../test_clients.py), or ends with an assertion.
"""

import os
import sys
import time

import pylibmc

COUNT = 500
told = set()


def passed(name):
    """Told once, though several kinds of client are tried."""
    if name not in told:
        print(name + ": ok", flush=True)
    told.add(name)


def value(i):
    return b"value of lmc:%d\r\nEND\r\n" % i + bytes([97 + i % 26]) * (i * 7 % 300)


def refused(call, *args):
    """In the binary protocol, some refusals of what is not there are exceptions."""
    try:
        return call(*args) is False
    except pylibmc.NotFound:
        return True


def check_multi(client):
    everything = {"lmc:%d" % i: value(i) for i in range(COUNT)}
    assert client.set_multi(everything) == []
    for key in everything:
        assert client.get(key) == everything[key]
    assert client.get("none") is None
    passed("set")
    assert client.get_multi(["lmc:%d" % i for i in range(2 * COUNT)]) == everything
    client.delete_multi(["lmc:1", "lmc:2"])
    assert client.get("lmc:1") is None and client.get("lmc:3") == value(3)
    passed("multi")


def check_changes(client):
    assert client.add("a", b"1") is True
    assert client.add("a", b"2") is False
    passed("add")
    assert client.replace("a", b"mid") is True
    assert refused(client.replace, "none", b"x")
    passed("replace")
    assert client.append("a", b"-end") is True and client.prepend("a", b"start-") is True
    assert client.get("a") == b"start-mid-end"
    assert refused(client.append, "none", b"x")
    passed("append")
    passed("prepend")
    assert client.touch("a", 1000) is True and refused(client.touch, "none", 1000)
    passed("touch")
    assert client.delete("a") is True and refused(client.delete, "a") and client.get("a") is None
    passed("delete")
    client.set("n", 10)
    assert client.incr("n", 5) == 15 and client.decr("n", 14) == 1 and client.decr("n", 5) == 0
    passed("count")
    client.set("c", b"one")
    got, cas = client.gets("c")
    assert got == b"one" and client.cas("c", b"two", cas) is True and client.cas("c", b"three", cas) is False
    assert client.get("c") == b"two"
    passed("cas")
    for typed in (1, 2 ** 40, 1.5, True, None, "text", [1, {"a": b"b"}], b""):
        client.set("typed", typed)
        assert client.get("typed") == typed
    passed("flags")


def check_bytes(client):
    large = os.urandom(900000)
    assert client.set("large", large) and client.get("large") == large
    passed("large")
    for data in (b"", b"\r\n", b"\r\nEND\r\n", b"VALUE k:1 0 1\r\n", bytes(range(256))):
        assert client.set("bytes", data) and client.get("bytes") == data
    passed("bytes")


def check_expiry(client):
    end = time.monotonic() + 10
    while client.get("brief") is not None:
        assert time.monotonic() < end, "it does not expire"
        time.sleep(0.1)
    assert client.get("long") == b"long"
    passed("expiry")


def check_quiet(host, port, binary):
    client = pylibmc.Client(["%s:%s" % (host, port)], binary=binary, behaviors={"_noreply": True, "tcp_nodelay": True})
    for i in range(200):
        client.set("quiet:%d" % i, value(i))
    client.delete("quiet:0")
    client.disconnect_all()
    client = pylibmc.Client(["%s:%s" % (host, port)], binary=binary)
    # It left on another connection, so that it may still be on its way.
    end = time.monotonic() + 90
    while client.get("quiet:0") is not None or client.get("quiet:199") is None:
        there = client.get_multi(["quiet:%d" % i for i in range(200)])
        assert time.monotonic() < end, "quiet requests did not arrive; there are: %s" % sorted(there)
    assert client.get_multi(["quiet:%d" % i for i in range(200)]) == {"quiet:%d" % i: value(i) for i in range(1, 200)}
    client.disconnect_all()
    passed("noreply")


def check_server(client):
    (_, stats), = client.get_stats()
    assert int(stats["curr_items"]) > COUNT
    passed("stats")
    client.flush_all()
    assert client.get("lmc:3") is None
    passed("flush")


def main(host, port, protocol):
    binary = protocol == "binary"
    for behaviors in ({}, {"no_block": True}, {"buffer_requests": False, "cas": True}, {"ketama": True}):
        client = pylibmc.Client(["%s:%s" % (host, port)], binary=binary,
                                behaviors=dict({"cas": True, "tcp_nodelay": True}, **behaviors))
        client.set("brief", b"brief", time=1)
        client.set("long", b"long", time=1000)
        check_multi(client)
        check_changes(client)
        check_bytes(client)
        check_expiry(client)
        check_quiet(host, port, binary)
        check_server(client)
        client.disconnect_all()


main(*sys.argv[1:])
