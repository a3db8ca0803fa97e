"""
Storms: many verifying clients while servers die, freeze, restart, refuse and lie. Each request has exactly one answer,
in order; each value is the key's own; each connection is in step afterwards; descriptors and memory come back.
"""

import os

import pytest

from fakeserver import (answer, close_instead, cut, cut_after_values, drip, extra, garbage, late, mute, rewritten, skip)
from faults import (HASTY, NEVER_DOWN, calm, expect_growth_below, fakes_of, load_of, upstream_count, wait_down,
                    wait_until, wait_up)

# Requests in each phase of a storm. Builds with sanitizers are slower: fewer there.
PHASE = int(os.environ.get("STORM_REQUESTS", "5000"))
GROWTH_MIB = 64
MIX = "get=50,multi=15,set=20,quiet=3,delete=2,touch=2,mg=5,ms=3"


def checked(load, ringside, before_bytes):
    """Ends a storm, all servers being well, and looks at what it left."""
    calm(ringside)
    totals = load.finish()
    assert totals["tokens"] == totals["connects"], totals
    expect_growth_below(ringside, before_bytes, GROWTH_MIB)
    return totals


def kill(server):
    server.kill()


def freeze(server):
    server.freeze()


@pytest.mark.sanitize
@pytest.mark.parametrize("on_down", ["next", "hold"])
@pytest.mark.parametrize("on_error", ["error", "miss"])
@pytest.mark.parametrize("fault", [kill, freeze])
def test_server_dies_or_freezes(lab, on_down, on_error, fault):
    """One of three, twice; it comes back empty (killed), or with what it had (frozen)."""
    servers = lab.memcacheds(3)
    ringside = lab.ringside(servers=servers, on_down=on_down, on_error=on_error, **HASTY)
    load = load_of(lab, ringside, connections=20, depth=8, loose=True, errors=True, mix=MIX, value="64:4000")
    load.wait_requests(PHASE)
    before = ringside.rss()
    for turn in range(2):
        victim = servers[turn]
        mark = ringside.log_mark()
        fault(victim)
        wait_down(ringside, victim, after=mark)
        load.wait_requests(PHASE)
        if fault is kill:
            victim.start()
        else:
            victim.thaw()
        wait_up(ringside, victim, after=mark)
        load.wait_requests(PHASE)
    totals = checked(load, ringside, before)
    if on_down == "hold":
        assert totals["errors"] > 0
        assert all("main" in text and "127.0.0.1" in text for text in totals["error_kinds"]), totals["error_kinds"]


@pytest.mark.sanitize
def test_restart_without_a_pause(lab):
    """A server that is restarted at once, empty, five times: at most the requests under way fail."""
    servers = lab.memcacheds(2)
    ringside = lab.ringside(servers=servers, **HASTY)
    load = load_of(lab, ringside, connections=20, depth=4, loose=True, errors=True, mix=MIX)
    load.wait_requests(PHASE)
    before = ringside.rss()
    for _ in range(5):
        servers[0].restart()
        load.wait_requests(PHASE // 2)
    load.wait_requests(PHASE)
    checked(load, ringside, before)


@pytest.mark.sanitize
@pytest.mark.slow
def test_everything_at_once(lab):
    """Three servers, one killed, one frozen, one healthy, and the other way round; two connections to each."""
    servers = lab.memcacheds(3)
    ringside = lab.ringside(servers=servers, connections=2, on_down="next", **HASTY)
    load = load_of(lab, ringside, connections=30, depth=8, loose=True, errors=True, mix=MIX, value="64:20000")
    load.wait_requests(PHASE)
    before = ringside.rss()
    for a, b in ((0, 1), (1, 2), (2, 0)):
        mark = ringside.log_mark()
        servers[a].kill()
        servers[b].freeze()
        wait_down(ringside, servers[a], after=mark)
        wait_down(ringside, servers[b], after=mark)
        load.wait_requests(PHASE)
        servers[a].start()
        servers[b].thaw()
        wait_up(ringside, servers[a], after=mark)
        wait_up(ringside, servers[b], after=mark)
        load.wait_requests(PHASE)
    checked(load, ringside, before)


@pytest.mark.sanitize
@pytest.mark.parametrize("size", [200_000])
def test_large_values_while_a_server_dies(lab, size):
    """Values that are streamed: a client in the middle of one may lose its connection, and never gets a wrong byte."""
    servers = lab.memcacheds(2)
    ringside = lab.ringside(servers=servers, **HASTY)
    load = load_of(lab, ringside, connections=8, depth=4, keys=20, loose=True, errors=True, closes=True,
                   mix="get=60,multi=10,set=30", multi=4, value="64:%d" % size)
    load.wait_requests(PHASE // 4)
    for _ in range(3):
        mark = ringside.log_mark()
        servers[0].kill()
        wait_down(ringside, servers[0], after=mark)
        load.wait_requests(PHASE // 4)
        servers[0].start()
        wait_up(ringside, servers[0], after=mark)
        load.wait_requests(PHASE // 4)
    calm(ringside)
    load.finish()


def own_key(reply):
    """A lie: another key stands in the first VALUE line."""
    return reply.replace(b"VALUE p", b"VALUE q", 1)


def without_line_end(reply):
    """A lie: the last data block is longer than it says."""
    return reply[:-len(b"\r\nEND\r\n")] + b"more\r\nEND\r\n" if reply.startswith(b"VALUE") else reply


# name: (misbehaviour, of which commands, which mix the load has). Lies that no byte gives away (one STORED too many
# among other STOREDs) are told only where something does give them away.
EVERYTHING = MIX
LIES = {
    "garbage": (garbage(), None, EVERYTHING),
    "garbage-line": (answer(b"\x00\x01\r\n"), None, EVERYTHING),
    "cut-1": (cut(1), None, EVERYTHING),
    "cut-12": (cut(12), None, EVERYTHING),
    "cut-before-the-end": (cut(-1), None, EVERYTHING),
    "cut-by-reset": (cut(15, reset=True), None, EVERYTHING),
    "values-cut-off": (cut_after_values(2), "get", EVERYTHING),
    "close": (close_instead(), None, EVERYTHING),
    "reset": (close_instead(reset=True), None, EVERYTHING),
    "mute": (mute(), None, EVERYTHING),
    "late": (late(600), None, EVERYTHING),
    "slow": (late(50), None, EVERYTHING),
    "drip": (drip(1, 7), None, EVERYTHING),
    "out-of-memory": (answer(b"SERVER_ERROR out of memory storing object\r\n"), "set ms", EVERYTHING),
    "stored-to-a-get": (answer(b"STORED\r\n"), "get mg", EVERYTHING),
    "end-to-a-set": (answer(b"END\r\n"), "set ms delete touch", EVERYTHING),
    "other-key": (rewritten(own_key), "get", EVERYTHING),
    "data-block-too-long": (rewritten(without_line_end), "get", EVERYTHING),
    "reply-too-many": (extra(b"STORED\r\n"), "get", "get=80,multi=20"),
    "value-too-many": (extra(b"VALUE nobody:asked 0 1\r\nx\r\nEND\r\n"), "get set", "get=60,multi=20,set=20"),
    "reply-left-out": (skip(), "get", "get=60,multi=20,set=20"),
}


@pytest.mark.sanitize
@pytest.mark.parametrize("name", sorted(LIES))
def test_liar_among_the_servers(lab, name):
    """Every fiftieth answer of one server is a lie, and it is never ejected. The storm over, all is well again."""
    play, verbs, mix = LIES[name]
    fakes = fakes_of(lab, 2)
    timing = dict(HASTY, health=NEVER_DOWN)
    ringside = lab.ringside(servers=fakes, on_down="hold", **timing)
    load = load_of(lab, ringside, connections=12, depth=6, loose=True, errors=True, mix=mix, value="64:3000")
    load.wait_requests(PHASE // 2)
    before = ringside.rss()
    rule = fakes[0].misbehave(play, verbs=verbs or "get set delete touch mg ms", every=50)
    wait_until(lambda: rule.played >= 20, lambda: "twenty lies: %d; %s" % (rule.played, load.totals))
    load.wait_requests(PHASE // 5)
    fakes[0].behave()
    fakes[0].close_connections(reset=True)  # a misbehaviour may still be under way on one
    load.wait_requests(PHASE // 2)
    checked(load, ringside, before)
    doubled = [write for fake in fakes for write in fake.doubled()]
    assert not doubled, "writes that were sent twice: %s" % doubled[:3]


@pytest.mark.sanitize
@pytest.mark.parametrize("on_down", ["next", "hold"])
def test_server_that_flaps(lab, on_down):
    """Refuses, accepts, closes what is idle, swallows connections, again and again."""
    fakes = fakes_of(lab, 3)
    ringside = lab.ringside(servers=fakes, on_down=on_down, **HASTY)
    load = load_of(lab, ringside, connections=12, depth=6, loose=True, errors=True, mix=MIX)
    load.wait_requests(PHASE // 2)
    before = ringside.rss()
    for turn in range(6):
        fake = fakes[turn % 2]
        [fake.refuse, fake.close_connections, lambda: fake.accept_and("close"), fake.blackhole,
         lambda: fake.accept_and("reset"), lambda: fake.close_connections(reset=True)][turn]()
        load.wait_requests(PHASE // 4)
        fake.behave()
        fake.listen()
        load.wait_requests(PHASE // 4)
    load.wait_requests(PHASE // 4)
    checked(load, ringside, before)
    assert not [write for fake in fakes for write in fake.doubled()]


@pytest.mark.sanitize
def test_upstream_connections_stay_few(lab):
    """Faults do not leave connections behind: at most workers x connections to each server, and those for uploads."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside({"workers": 2}, servers=fakes, connections=2, **dict(HASTY, health=NEVER_DOWN))
    load = load_of(lab, ringside, connections=12, depth=6, loose=True, errors=True, mix=MIX)
    load.wait_requests(PHASE // 4)
    fakes[0].misbehave(close_instead(), every=30)
    fakes[1].misbehave(mute(), every=500)
    load.wait_requests(PHASE // 2)
    for fake in fakes:
        fake.behave()
        fake.close_connections(reset=True)
    load.wait_requests(PHASE // 4)
    calm(ringside)
    load.finish()
    wait_until(lambda: upstream_count(ringside) <= 2 * 2 * 2,
               lambda: "at most eight upstream connections: %s" % ringside.sockets())
