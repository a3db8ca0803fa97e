"""
A server that comes back with its memory intact may hold values from before it was away: on_return.
"""

import pytest

from harness import pool_of, wait_until

pytestmark = pytest.mark.sanitize

HEALTH = {"failures": 2, "probe": "100ms", "probe_max": "200ms", "panic": "100%"}


def fleet(lab, on_return, ringsides=1, **options):
    """(servers, Ringsides over both, keys of the second server)"""
    servers = [lab.memcached(), lab.memcached(**options)]
    config = {"listen": ["127.0.0.1:0"], "workers": 1, "pools": {"main": pool_of(
        servers, timeout="300ms", connect_timeout="300ms", health=HEALTH, on_return=on_return)}}
    started = [lab.ringside(config) for _ in range(ringsides)]
    wire = lab.wire(started[0])
    for i in range(100):
        wire.set(b"key:%d" % i, b"old")
    return servers, started, [b"key:%d" % i for i in range(100) if servers[1].value(b"key:%d" % i)]


def eject(lab, ringsides, server, key):
    """Each of them finds out by itself, by a client's requests."""
    for ringside in ringsides:
        with lab.wire(ringside) as wire:
            def down():
                wire.send(b"get %s\r\n" % key)
                wire.read_line()
                return "server_down pool main: server %s" % server.address in ringside.log_text()
            wait_until(down, "the ejection of " + server.address)


def returned(ringsides, count=1):
    for ringside in ringsides:
        ringside.wait_for_log("server_up", count=count)


def flushes(lab, ringsides):
    total = 0
    for ringside in ringsides:
        wire = lab.wire(ringside)
        wire.send(b"stats pools\r\n")
        total += int(wire.read_stats()["main:flushes"])
    return total


def test_kept_or_flushed_once_for_the_whole_fleet(lab):
    servers, ringsides, keys = fleet(lab, "flush", ringsides=2)
    servers[1].freeze()
    eject(lab, ringsides, servers[1], keys[0])
    with lab.wire(ringsides[0]) as wire:
        wire.set(keys[0], b"new")
    servers[1].thaw()
    returned(ringsides)
    assert [servers[1].value(key) for key in keys] == [None] * len(keys)
    assert flushes(lab, ringsides) == 1
    with lab.wire(ringsides[1]) as wire:
        wire.command(b"get %s\r\n" % keys[0], b"END\r\n")


def test_kept_if_that_is_wanted(lab):
    servers, ringsides, keys = fleet(lab, "keep")
    servers[1].freeze()
    eject(lab, ringsides, servers[1], keys[0])
    servers[1].thaw()
    returned(ringsides)
    assert all(servers[1].value(key) == b"old" for key in keys)


def test_a_server_that_forbids_flushing_comes_back_all_the_same(lab):
    servers, ringsides, keys = fleet(lab, "flush", args=["-F"])
    servers[1].freeze()
    eject(lab, ringsides, servers[1], keys[0])
    servers[1].thaw()
    returned(ringsides)
    assert ringsides[0].log("flush_refused") and flushes(lab, ringsides) == 0
    assert servers[1].value(keys[0]) == b"old"
