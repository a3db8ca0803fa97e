"""
The route tree when its children fail: down, frozen, slow, lying, coming back. Whatever happens, each answer belongs to its request,
and what a policy promises holds. No verdict goes by the clock: what is slow is frozen until the test thaws it.
"""

import pytest

from faults import HASTY, calm, load_of
from fakeserver import FakeServer, close_instead, cut, garbage
from harness import pool_of, wait_until

pytestmark = pytest.mark.sanitize

PATIENT = {"connect_timeout": "30s", "timeout": "60s", "health": {"panic": "100%"}}


def routed(lab, route, names, temper=None, workers=1):
    """(Ringside, {pool: its one server})"""
    servers = {name: lab.memcached() for name in names}
    config = {"listen": ["127.0.0.1:0"], "workers": workers, "route": route,
              "pools": {name: pool_of([server], **(temper or PATIENT)) for name, server in servers.items()}}
    return lab.ringside(config), servers


def settled(check):
    wait_until(check, "what goes on behind the answer")


# ---- A slow replica: frozen until the test says so ----

@pytest.mark.parametrize("write,frozen", [("first", "c"), ("majority", "c"), ("async", "b")])
def test_writes_do_not_wait_for_a_slow_replica(lab, write, frozen):
    """The answer comes while it is frozen; when it thaws it has got the writes."""
    ringside, servers = routed(lab, {"replicate": {"to": ["a", "b", "c"], "write": write}}, "abc")
    wire = lab.wire(ringside)
    wire.set(b"before", b"x")
    settled(lambda: all(server.value(b"before") for server in servers.values()))
    servers[frozen].freeze()
    for i in range(20):
        wire.command(b"set k%d 0 0 1\r\nx\r\n" % i, b"STORED\r\n")
    wire.command(b"delete before\r\n", b"DELETED\r\n")
    servers[frozen].thaw()
    settled(lambda: servers[frozen].value(b"k19") == b"x" and servers[frozen].value(b"before") is None)


def test_reads_do_not_wait_for_a_slow_copy(lab):
    ringside, servers = routed(lab, {"shadow": {"to": "a", "copy": "b", "sample": "100%"}}, "ab")
    wire = lab.wire(ringside)
    servers["b"].freeze()
    for i in range(50):
        wire.command(b"set k%d 0 0 1\r\nx\r\nget k%d\r\n" % (i, i), b"STORED\r\nVALUE k%d 0 1\r\nx\r\nEND\r\n" % i)
    servers["b"].thaw()
    settled(lambda: servers["b"].value(b"k49") == b"x")


def test_a_slow_server_holds_up_its_own_keys_alone(lab):
    ringside, servers = routed(lab, {"prefix": {"a": "a", "*": "b"}}, "ab")
    slow, other = lab.wire(ringside), lab.wire(ringside)
    slow.set(b"a", b"1")
    servers["a"].freeze()
    slow.send(b"get a b\r\n")
    for _ in range(20):
        other.command(b"get b\r\n", b"END\r\n")
    servers["a"].thaw()
    slow.expect(b"VALUE a 0 1\r\n1\r\nEND\r\n")


# ---- Frozen for longer than the timeout ----

@pytest.mark.parametrize("route", [
    {"failover": {"to": ["a", "b"]}},
    {"replicate": {"to": ["a", "b"], "write": "first"}},
    {"prefix": {"*": {"failover": {"to": [{"replicate": {"to": ["a"]}}, "b"]}}}},
], ids=["failover", "replicate", "nested"])
def test_a_frozen_child_costs_a_timeout_and_no_more(lab, route):
    ringside, servers = routed(lab, route, "ab", dict(HASTY, health={"failures": 1000000}))
    wire = lab.wire(ringside)
    servers["a"].freeze()
    wire.command(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
    wire.command(b"get k\r\nget k j k\r\n",
                 b"VALUE k 0 1\r\nx\r\nEND\r\nVALUE k 0 1\r\nx\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
    servers["a"].thaw()
    wire.in_step()


def test_warm_that_is_frozen_is_empty(lab):
    ringside, servers = routed(lab, {"warm": {"cold": "a", "warm": "b"}}, "ab", dict(HASTY, health={"failures": 1000000}))
    wire = lab.wire(ringside)
    servers["b"].freeze()
    wire.command(b"get k\r\nset k 0 0 1\r\nx\r\nget k none\r\n", b"END\r\nSTORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
    servers["b"].thaw()


# ---- A child that lies ----

@pytest.mark.parametrize("play", [garbage(), close_instead(), cut(9)], ids=["garbage", "closes", "cut"])
def test_a_lying_child_is_passed_over(lab, play):
    """What it says never reaches a client; the stand-in answers."""
    liar, honest = lab.adopt(FakeServer()), lab.memcached()
    ringside = lab.ringside({"listen": ["127.0.0.1:0"], "workers": 1, "route": {"failover": {"to": ["a", "b"]}}, "pools": {
        "a": pool_of([liar.address], **PATIENT), "b": pool_of([honest], **PATIENT)}})
    wire = lab.wire(ringside)
    with honest.wire() as direct:
        direct.command(b"set k 0 0 5\r\nright\r\nset j 0 0 1\r\ny\r\n", b"STORED\r\nSTORED\r\n")
    liar.store.put(b"k", b"wrong")
    liar.misbehave(play, verbs="get")
    for _ in range(5):
        wire.send(b"get k\r\n")
        answer = wire.read_until(b"END\r\n")
        assert answer == b"VALUE k 0 5\r\nright\r\nEND\r\n"
    liar.behave()
    wire.command(b"mn\r\n", b"MN\r\n")


# ---- Storms: each value that is read is the right one for its key ----

STORM_ROUTES = {
    "failover": {"failover": {"to": ["a", "b"]}},
    "failover by miss": {"failover": {"to": ["a", "b"], "on": ["down", "timeout", "error", "miss"]}},
    "replicate": {"replicate": {"to": ["a", "b", "c"], "write": "majority", "read": "least_connections"}},
    "warm": {"warm": {"cold": "a", "warm": "b"}},
    "migrate": {"migrate": {"from": "a", "to": "b", "start": "2020-01-01", "over": "1h", "hold": "50%"}},
    "tree": {"prefix": {"p": {"failover": {"to": [{"replicate": {"to": ["a", "b"], "read": "round_robin"}}, "c"]}},
                        "*": {"shadow": {"to": "a", "copy": "c", "sample": "50%"}}}},
}


@pytest.mark.parametrize("name", STORM_ROUTES)
def test_children_die_freeze_and_come_back_under_load(lab, name):
    ringside, servers = routed(lab, STORM_ROUTES[name], "abc", HASTY, workers=2)
    load = load_of(lab, ringside, connections=20, depth=8, loose=True, errors=True, closes=True, value="64:90000",
                   mix="get=45,multi=15,set=20,quiet=3,delete=4,touch=2,mg=6,ms=5")
    load.wait_requests(2000)
    for victim in (servers["a"], servers["b"]):
        victim.kill()
        load.wait_requests(1500)
        victim.restart()
        load.wait_requests(1500)
        victim.freeze()
        load.wait_requests(300)
        victim.thaw()
        load.wait_requests(1500)
    calm(ringside)
    totals = load.finish()
    assert totals["wrong"] == 0 and totals["hung"] == 0
    lab.wire(ringside).command(b"mn\r\n", b"MN\r\n")


# ---- Memory ----

def test_routed_requests_leave_nothing_behind(lab):
    """Runs, legs and gathered values are all given back: memory and descriptors are flat."""
    ringside, _ = routed(lab, STORM_ROUTES["tree"], "abc")
    load = load_of(lab, ringside, connections=10, depth=8, value="64:20000")
    load.wait_requests(20000)
    before, fds = ringside.rss(), ringside.fd_count()
    load.wait_requests(100000)
    grown = ringside.rss() - before
    load.finish()
    assert ringside.fd_count() <= fds + 4
    if "asan" not in str(ringside.process.args) and not ringside.log_text().count("Sanitizer"):
        assert grown < 32 << 20, "grown by %d bytes" % grown
