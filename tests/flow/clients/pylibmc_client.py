"""
pylibmc in its text mode against a server: values checked against their keys.
Arguments: host, port. Ends with an assertion, or prints "ok".
"""

import os
import sys

import pylibmc

COUNT = 500


def value(i):
    return b"value of lmc:%d\r\nEND\r\n" % i + bytes([97 + i % 26]) * (i * 7 % 300)


def check_multi(client):
    everything = {"lmc:%d" % i: value(i) for i in range(COUNT)}
    assert client.set_multi(everything) == []
    for key in everything:
        assert client.get(key) == everything[key]
    assert client.get_multi(["lmc:%d" % i for i in range(2 * COUNT)]) == everything
    client.delete_multi(["lmc:1", "lmc:2"])
    assert client.get("lmc:1") is None and client.get("lmc:3") == value(3)


def check_changes(client):
    assert client.add("a", b"1") is True
    assert client.add("a", b"2") is False
    assert client.replace("a", b"mid") is True
    assert client.replace("none", b"x") is False
    assert client.append("a", b"-end") is True and client.prepend("a", b"start-") is True
    assert client.get("a") == b"start-mid-end"
    assert client.touch("a", 1000) is True
    assert client.delete("a") is True and client.delete("a") is False
    client.set("n", 10)
    assert client.incr("n", 5) == 15 and client.decr("n", 14) == 1
    client.set("c", b"one")
    got, cas = client.gets("c")
    assert got == b"one" and client.cas("c", b"two", cas) is True and client.cas("c", b"three", cas) is False
    assert client.get("c") == b"two"
    for typed in (1, 2 ** 40, 1.5, True, None, "text", [1, {"a": b"b"}], b""):
        client.set("typed", typed)
        assert client.get("typed") == typed


def check_bytes(client):
    large = os.urandom(900000)
    assert client.set("large", large) and client.get("large") == large


def check_server(client):
    (_, stats), = client.get_stats()
    assert int(stats["curr_items"]) > COUNT
    client.flush_all()
    assert client.get("lmc:3") is None


def main(host, port):
    for behaviors in ({}, {"no_block": True}, {"buffer_requests": False, "cas": True}, {"ketama": True}):
        client = pylibmc.Client(["%s:%s" % (host, port)], binary=False,
                                behaviors=dict({"cas": True, "tcp_nodelay": True}, **behaviors))
        check_multi(client)
        check_changes(client)
        check_bytes(client)
        check_server(client)
        client.disconnect_all()
    print("ok")


main(*sys.argv[1:])
