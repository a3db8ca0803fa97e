"""
The route tree on real servers: what arrives where, asked directly at the servers, and what the client sees.
"""

import pytest

from harness import pool_of, wait_until

pytestmark = pytest.mark.sanitize


def routed(lab, route, names, count=1, workers=1, **keys):
    """A Ringside with that route over pools of `count` servers each. (wire, {pool: [servers]}, ringside)"""
    pools = {name: lab.memcacheds(count) for name in names}
    config = {"workers": workers, "listen": ["127.0.0.1:0"], "route": route,
              "pools": {name: pool_of(servers, **keys) for name, servers in pools.items()}}
    ringside = lab.ringside(config)
    return lab.wire(ringside), pools, ringside


def only(pools, name):
    return pools[name][0]


def holds(server, key):
    """The value that lies on the server, or None."""
    return server.value(key)


def settled(check):
    """For what nobody waits for: it comes in the end."""
    wait_until(check, "what goes on behind the answer")


def ttl_of(lab, server, key):
    wire = lab.wire(server)
    wire.send(b"mg %s t\r\n" % key)
    return int(wire.read_line().split(b" t")[1])


def counters(lab, ringside):
    wire = lab.wire(ringside)
    wire.send(b"stats routes\r\n")
    return {name: int(value) for name, value in wire.read_stats().items()}


# ---- Choosing ----

def test_the_longest_prefix_chooses(lab):
    wire, pools, _ = routed(lab, {"prefix": {"a": "a", "a:b": "b", "*": "c"}}, ["a", "b", "c"])
    for key in (b"a1", b"a:b1", b"x", b"a:", b"b"):
        wire.set(key, b"v" + key)
    assert holds(only(pools, "a"), b"a1") == b"va1" and holds(only(pools, "a"), b"a:") == b"va:"
    assert holds(only(pools, "b"), b"a:b1") == b"va:b1"
    assert holds(only(pools, "c"), b"x") == b"vx" and holds(only(pools, "c"), b"b") == b"vb"
    wire.command(b"get x a1 a:b1 none a:\r\n", b"VALUE x 0 2\r\nvx\r\nVALUE a1 0 3\r\nva1\r\nVALUE a:b1 0 5\r\nva:b1\r\n"
                                               b"VALUE a: 0 3\r\nva:\r\nEND\r\n")


def test_without_a_fallback_no_prefix_is_an_error_line(lab):
    wire, _, _ = routed(lab, {"prefix": {"a": "a", "b": {"error": "closed"}, "c": "miss"}}, ["a"])
    wire.command(b"get x\r\n", b"SERVER_ERROR route prefix: no prefix matches the key\r\n")
    wire.command(b"set b1 0 0 1\r\nx\r\n", b"SERVER_ERROR closed\r\n")
    wire.command(b"get c1\r\nmg c1 v\r\ndelete c1\r\nmd c1 q O7\r\nincr c1 1\r\nset c1 0 0 1\r\nx\r\nmn\r\n",
                 b"END\r\nEN\r\nNOT_FOUND\r\nNF O7\r\nNOT_FOUND\r\nNOT_STORED\r\nMN\r\n")
    wire.command(b"set b1 0 0 1 noreply\r\nx\r\nget a b1 c1\r\n", b"SERVER_ERROR closed\r\n")


def test_the_command_chooses(lab):
    wire, pools, _ = routed(lab, {"command": {"get": "a", "write": "b", "*": "c"}}, ["a", "b", "c"])
    wire.set(b"k", b"1")
    assert holds(only(pools, "b"), b"k") == b"1"
    wire.command(b"get k\r\n", b"END\r\n")
    wire.command(b"incr k 1\r\n", b"NOT_FOUND\r\n")
    wire.command(b"delete k\r\n", b"DELETED\r\n")


# ---- Failover ----

def test_failover_only_when_the_first_fails(lab):
    wire, pools, ringside = routed(lab, {"failover": {"to": ["a", "b"]}}, ["a", "b"])
    wire.set(b"k", b"first")
    wire.command(b"get none\r\n", b"END\r\n")
    assert holds(only(pools, "a"), b"k") == b"first" and holds(only(pools, "b"), b"k") is None
    only(pools, "a").kill()
    wire.command(b"get k\r\n", b"END\r\n")
    wire.command(b"set k 0 0 6\r\nsecond\r\n", b"STORED\r\n")
    wire.command(b"get k k2 k\r\n", b"VALUE k 0 6\r\nsecond\r\nVALUE k 0 6\r\nsecond\r\nEND\r\n")
    assert 0 < ttl_of(lab, only(pools, "b"), b"k") <= 10
    told = counters(lab, ringside)
    assert told["failover:failovers"] >= 3 and told["failover:exhausted"] == 0


def test_stand_in_times_are_capped_not_stretched(lab):
    wire, pools, _ = routed(lab, {"failover": {"to": ["a", "b"], "expiry": "100s"}}, ["a", "b"])
    only(pools, "a").kill()
    for key, time in ((b"never", b"0"), (b"long", b"5000"), (b"short", b"50")):
        wire.command(b"set %s 0 %s 1\r\nx\r\n" % (key, time), b"STORED\r\n")
    wire.command(b"ms meta 1\r\nx\r\nms metalong 1 T500\r\nx\r\nset gone 0 -1 1\r\nx\r\nget gone\r\n",
                 b"HD\r\nHD\r\nSTORED\r\nEND\r\n")
    server = only(pools, "b")
    assert 90 < ttl_of(lab, server, b"never") <= 100 and 90 < ttl_of(lab, server, b"long") <= 100
    assert 40 < ttl_of(lab, server, b"short") <= 50
    assert 90 < ttl_of(lab, server, b"meta") <= 100 and 90 < ttl_of(lab, server, b"metalong") <= 100


def test_failover_on_a_miss_if_asked(lab):
    wire, pools, _ = routed(lab, {"failover": {"to": ["a", "b"], "on": ["miss"]}}, ["a", "b"])
    with only(pools, "b").wire() as direct:
        direct.set(b"k", b"b")
        direct.set(b"m", b"meta")
    wire.set(b"j", b"a")
    wire.command(b"get k\r\nget k j none m\r\nmg m v\r\n",
                 b"VALUE k 0 1\r\nb\r\nEND\r\nVALUE k 0 1\r\nb\r\nVALUE j 0 1\r\na\r\nVALUE m 0 4\r\nmeta\r\nEND\r\n"
                 b"VA 4\r\nmeta\r\n")


def test_every_target_failed_is_one_line(lab):
    wire, pools, ringside = routed(lab, {"failover": {"to": ["a", "b"]}}, ["a", "b"])
    for name in ("a", "b"):
        only(pools, name).kill()
    line = b"SERVER_ERROR route failover: all 2 targets failed\r\n"
    wire.command(b"get k\r\n", line)
    wire.command(b"set k 0 0 1\r\nx\r\n", line)
    wire.command(b"set k 0 0 1 noreply\r\nx\r\nget a b\r\n", line)
    assert counters(lab, ringside)["failover:exhausted"] >= 4


def test_what_may_have_been_done_is_not_done_again(lab):
    """A frozen server may have counted: incr stays where it was; a set may go on."""
    wire, pools, _ = routed(lab, {"failover": {"to": ["a", "b"]}}, ["a", "b"], timeout="300ms",
                            health={"failures": 1000})
    with only(pools, "b").wire() as direct:
        direct.set(b"n", b"5")
    wire.set(b"n", b"1")
    only(pools, "a").freeze()
    wire.send(b"incr n 1\r\n")
    assert wire.read_line().startswith(b"SERVER_ERROR pool a")
    wire.command(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
    assert holds(only(pools, "b"), b"n") == b"5" and holds(only(pools, "b"), b"k") == b"x"
    wire.command(b"get n\r\n", b"VALUE n 0 1\r\n5\r\nEND\r\n")


def test_one_gutter_serves_two_pools(lab):
    route = {"prefix": {"a": {"failover": {"to": ["a", "gutter"]}}, "b": {"failover": {"to": ["b", "gutter"]}}}}
    wire, pools, _ = routed(lab, route, ["a", "b", "gutter"])
    only(pools, "a").kill()
    only(pools, "b").kill()
    wire.command(b"set a1 0 0 1\r\n1\r\nset b1 0 0 1\r\n2\r\nget b1 a1\r\n",
                 b"STORED\r\nSTORED\r\nVALUE b1 0 1\r\n2\r\nVALUE a1 0 1\r\n1\r\nEND\r\n")
    assert holds(only(pools, "gutter"), b"a1") == b"1"


def test_the_budget_spares_the_stand_in(lab):
    wire, pools, ringside = routed(lab, {"failover": {"to": ["a", "b"], "budget": "10%"}}, ["a", "b"])
    only(pools, "a").kill()
    for _ in range(200):
        wire.send(b"get k\r\n")
        assert wire.read_line().startswith((b"END", b"SERVER_ERROR pool a"))
    told = counters(lab, ringside)
    assert 10 <= told["failover:failovers"] <= 10 + 200 // 10 + 1
    assert told["failover:failovers"] + told["failover:over_budget"] == 200


def test_a_large_value_fails_over(lab):
    value = bytes(range(256)) * 3000
    wire, pools, _ = routed(lab, {"failover": {"to": ["a", "b"]}}, ["a", "b"])
    wire.set(b"big", value)
    assert wire.get(b"big") == value
    only(pools, "a").kill()
    wire.set(b"big", value)
    assert wire.get(b"big") == value
    wire.command(b"set big 0 0 %d\r\n%sXX" % (len(value), value), b"CLIENT_ERROR bad data chunk\r\n")
    wire.in_step()


# ---- Replicas ----

def replicated(lab, count=3, **options):
    names = ["a", "b", "c"][:count]
    return routed(lab, {"replicate": dict(to=names, **options)}, names)


def everywhere(pools, key):
    return [holds(servers[0], key) for servers in pools.values()]


@pytest.mark.parametrize("write", ["all", "majority", "first", "async"])
def test_writes_reach_every_replica(lab, write):
    wire, pools, _ = replicated(lab, write=write)
    value = b"x" * 100000
    wire.set(b"k", b"v")
    wire.set(b"big", value)
    settled(lambda: everywhere(pools, b"k") == [b"v"] * 3 and everywhere(pools, b"big") == [value] * 3)
    wire.command(b"delete k\r\n", b"DELETED\r\n")
    settled(lambda: everywhere(pools, b"k") == [None] * 3)
    wire.command(b"set q 0 0 1 noreply\r\nx\r\ndelete big noreply\r\nmn\r\n", b"MN\r\n")
    settled(lambda: everywhere(pools, b"big") == [None] * 3 and everywhere(pools, b"q") == [b"x"] * 3)


def test_a_delete_is_found_if_one_replica_had_it(lab):
    wire, pools, _ = replicated(lab)
    with pools["b"][0].wire() as direct:
        direct.set(b"k", b"v")
    wire.command(b"delete k\r\ndelete k\r\n", b"DELETED\r\nNOT_FOUND\r\n")


def test_conditional_writes_are_the_primarys(lab):
    wire, pools, _ = replicated(lab)
    with pools["b"][0].wire() as direct:
        direct.set(b"k", b"stale")
    wire.command(b"add k 0 0 3\r\nnew\r\nadd k 0 0 1\r\nx\r\n", b"STORED\r\nNOT_STORED\r\n")
    settled(lambda: everywhere(pools, b"k") == [b"new"] * 3)
    wire.command(b"append k 0 0 1\r\n!\r\n", b"STORED\r\n")
    settled(lambda: everywhere(pools, b"k") == [b"new!"] * 3)
    wire.command(b"set n 0 0 1\r\n5\r\nincr n 2\r\n", b"STORED\r\n7\r\n")
    settled(lambda: everywhere(pools, b"n") == [b"7"] * 3)
    wire.command(b"touch n 100\r\ngat 100 n\r\n", b"TOUCHED\r\nVALUE n 0 1\r\n7\r\nEND\r\n")


def test_cas_is_the_primarys(lab):
    wire, pools, _ = replicated(lab, read="round_robin")
    wire.set(b"k", b"v")
    for _ in range(4):
        wire.send(b"gets k\r\n")
        unique = wire.read_line().split()[4]
        wire.read_until(b"END\r\n")
        wire.command(b"cas k 0 0 1 %s\r\nw\r\n" % unique, b"STORED\r\n")
        wire.command(b"cas k 0 0 1 %s\r\nz\r\n" % unique, b"EXISTS\r\n")
        settled(lambda: everywhere(pools, b"k") == [b"w"] * 3)


@pytest.mark.parametrize("read", ["first", "round_robin", "least_connections", "fastest"])
def test_reads_go_on_when_a_replica_is_down(lab, read):
    wire, pools, _ = replicated(lab, read=read)
    for i in range(20):
        wire.set(b"k%d" % i, b"v%d" % i)
    pools["a"][0].kill()
    for i in range(20):
        assert wire.get(b"k%d" % i) == b"v%d" % i
    assert wire.get_many([b"k%d" % i for i in range(20)]) == {b"k%d" % i: b"v%d" % i for i in range(20)}


def test_round_robin_takes_turns(lab):
    wire, pools, _ = replicated(lab, read="round_robin")
    for name, servers in pools.items():
        with servers[0].wire() as direct:
            direct.set(b"k", name.encode())
    assert [wire.get(b"k") for _ in range(6)] == [wire.get(b"k") for _ in range(6)]
    assert sorted({wire.get(b"k") for _ in range(3)}) == [b"a", b"b", b"c"]


def test_one_replica_down_and_the_policies(lab):
    for write, answer in (("all", b"SERVER_ERROR"), ("majority", b"STORED"), ("first", b"STORED"), ("async", b"STORED")):
        wire, pools, _ = replicated(lab, write=write)
        pools["c"][0].kill()
        wire.send(b"set k 0 0 1\r\nx\r\n")
        assert wire.read_line().startswith(answer), write
        settled(lambda: holds(pools["a"][0], b"k") == b"x" and holds(pools["b"][0], b"k") == b"x")
        wire.command(b"mn\r\n", b"MN\r\n")


def test_pipelined_writes_keep_their_order(lab):
    wire, pools, _ = replicated(lab)
    for _ in range(50):
        wire.command(b"delete k\r\nadd k 0 0 1\r\n1\r\nappend k 0 0 1\r\n2\r\nget k\r\n" if _ else
                     b"set k 0 0 1\r\n0\r\nget k\r\n",
                     b"DELETED\r\nSTORED\r\nSTORED\r\nVALUE k 0 2\r\n12\r\nEND\r\n" if _ else
                     b"STORED\r\nVALUE k 0 1\r\n0\r\nEND\r\n")


# ---- Warm ----

def test_misses_are_filled_from_warm(lab):
    wire, pools, ringside = routed(lab, {"warm": {"cold": "a", "warm": "b"}}, ["a", "b"])
    value = b"y" * 50000
    with only(pools, "b").wire() as direct:
        direct.command(b"set k 7 1000 5\r\nhello\r\nset forever 0 0 1\r\nf\r\nset n 0 0 2\r\n41\r\nset gone 0 0 1\r\nx\r\n",
                       b"STORED\r\n" * 4)
        direct.set(b"big", value)
    wire.command(b"get k\r\nget none\r\n", b"VALUE k 7 5\r\nhello\r\nEND\r\nEND\r\n")
    assert holds(only(pools, "a"), b"k") == b"hello"
    assert 900 < ttl_of(lab, only(pools, "a"), b"k") <= 1000
    wire.command(b"get big none forever k\r\n", b"VALUE big 0 50000\r\n" + value +
                 b"\r\nVALUE forever 0 1\r\nf\r\nVALUE k 7 5\r\nhello\r\nEND\r\n")
    assert ttl_of(lab, only(pools, "a"), b"forever") == -1
    wire.command(b"incr n 1\r\n", b"42\r\n")
    wire.command(b"add k 0 0 1\r\nx\r\n", b"NOT_STORED\r\n")
    wire.command(b"mg forever v s f\r\n", b"VA 1 s1 f0\r\nf\r\n")
    told = counters(lab, ringside)
    assert told["warm:fills"] >= 4 and told["warm:undone"] == 0
    wire.command(b"delete gone\r\nget gone\r\n", b"DELETED\r\nEND\r\n")
    assert holds(only(pools, "b"), b"gone") is None


def test_writes_leave_nothing_old_in_warm(lab):
    wire, pools, _ = routed(lab, {"warm": {"cold": "a", "warm": "b"}}, ["a", "b"])
    with only(pools, "b").wire() as direct:
        direct.command(b"set k 0 0 3\r\nold\r\nset c 0 0 1\r\n1\r\n", b"STORED\r\n" * 2)
    wire.command(b"set k 0 0 3\r\nnew\r\ndelete k\r\nget k\r\nset k 0 0 1\r\nz\r\nget k\r\n",
                 b"STORED\r\nDELETED\r\nEND\r\nSTORED\r\nVALUE k 0 1\r\nz\r\nEND\r\n")
    assert holds(only(pools, "b"), b"k") is None
    wire.command(b"append c 0 0 1\r\n2\r\nget c\r\n", b"STORED\r\nVALUE c 0 2\r\n12\r\nEND\r\n")
    settled(lambda: holds(only(pools, "b"), b"c") is None)


def test_warm_may_be_dead(lab):
    wire, pools, _ = routed(lab, {"warm": {"cold": "a", "warm": "b"}}, ["a", "b"])
    only(pools, "b").kill()
    wire.command(b"get k\r\nset k 0 0 1\r\nx\r\nget k\r\ndelete k\r\nget k j\r\n",
                 b"END\r\nSTORED\r\nVALUE k 0 1\r\nx\r\nEND\r\nDELETED\r\nEND\r\n")


def test_cold_dead_is_a_failure(lab):
    wire, pools, _ = routed(lab, {"warm": {"cold": "a", "warm": "b"}}, ["a", "b"])
    only(pools, "a").kill()
    for command in (b"get k\r\n", b"set k 0 0 1\r\nx\r\n", b"delete k\r\n", b"incr k 1\r\n"):
        wire.send(command)
        assert wire.read_line().startswith(b"SERVER_ERROR pool a")
    wire.command(b"mn\r\n", b"MN\r\n")


# ---- Migrate ----

def migrating(lab, hold, start="2026-01-01", over="1s"):
    node = {"from": "a", "to": "b", "start": start, "over": over, "hold": hold}
    return routed(lab, {"migrate": node}, ["a", "b"])


def test_before_its_start_and_after_its_end(lab):
    wire, pools, _ = migrating(lab, "100%", start="2999-01-01", over="1h")
    wire.set(b"k", b"v")
    assert everywhere(pools, b"k") == [b"v", None]
    wire, pools, _ = migrating(lab, "100%")
    wire.set(b"k", b"v")
    assert everywhere(pools, b"k") == [None, b"v"]


def test_held_half_way(lab):
    wire, pools, ringside = migrating(lab, "50%")
    keys = [b"key:%d" % i for i in range(400)]
    for server in (only(pools, "a"), only(pools, "b")):
        with server.wire() as direct:
            for key in keys:
                direct.set(key, b"old")
    for key in keys:
        wire.set(key, b"new")
    at = [(holds(only(pools, "a"), key), holds(only(pools, "b"), key)) for key in keys]
    assert set(at) == {(b"new", None), (None, b"new")}, "the other side's is deleted"
    assert 130 < sum(a is None for a, _ in at) < 270
    assert all(value == b"new" for value in wire.get_many(keys).values())
    with only(pools, "a").wire() as direct, only(pools, "b").wire() as other:
        for key in keys[:50]:
            direct.set(key, b"a")
            other.set(key, b"b")
            wire.command(b"delete %s\r\n" % key, b"DELETED\r\n")
            assert everywhere(pools, key) == [None, None]
    told = counters(lab, ringside)
    assert told["migrate:moved"] > 100 and told["migrate:stayed"] > 100 and told["migrate:other_failed"] == 0


# ---- Shadow, limit, rewrite, ttl ----

def test_a_share_of_keys_is_copied(lab):
    wire, pools, ringside = routed(lab, {"shadow": {"to": "a", "copy": "b", "sample": "30%"}}, ["a", "b"])
    keys = [b"key:%d" % i for i in range(300)]
    for key in keys:
        wire.set(key, b"v")
    copied = [key for key in keys if holds(only(pools, "b"), key)]
    assert 50 < len(copied) < 130 and all(holds(only(pools, "a"), key) for key in keys)
    only(pools, "b").kill()
    for key in keys:
        assert wire.get(key) == b"v"
    settled(lambda: counters(lab, ringside)["shadow:copies_failed"] >= len(copied))


def test_more_than_the_limit_is_refused(lab):
    wire, pools, ringside = routed(lab, {"limit": {"to": "a", "rate": "1/s", "burst": 5}}, ["a"], workers=2)
    wire.send(b"get k\r\n" * 40 + b"mn\r\n")
    answers = [wire.read_line() for _ in range(41)]
    assert answers[:5] == [b"END"] * 5 and answers[40] == b"MN"
    refused = b"SERVER_ERROR route limit: more than 1 requests a second"
    assert answers.count(refused) >= 30
    assert counters(lab, ringside)["limit:refused"] == answers.count(refused)


def test_keys_are_rewritten_down_and_up(lab):
    wire, pools, _ = routed(lab, {"rewrite": {"to": "a", "add": "new:", "strip": "old:"}}, ["a"])
    wire.set(b"old:1", b"v1")
    wire.set(b"2", b"v2")
    assert holds(only(pools, "a"), b"new:1") == b"v1" and holds(only(pools, "a"), b"new:2") == b"v2"
    wire.command(b"get old:1\r\nget 2 none old:1\r\n",
                 b"VALUE old:1 0 2\r\nv1\r\nEND\r\nVALUE 2 0 2\r\nv2\r\nVALUE old:1 0 2\r\nv1\r\nEND\r\n")
    wire.command(b"mg 2 k v O9\r\nms bTEx 2 b k\r\nv3\r\nmg bTEx b k v\r\n", b"VA 2 k2 O9\r\nv2\r\nHD kbTEx b\r\n"
                 b"VA 2 kbTEx b\r\nv3\r\n")
    wire.command(b"gat 100 2\r\ndelete 2\r\ntouch 2 5\r\n", b"VALUE 2 0 2\r\nv2\r\nEND\r\nDELETED\r\nNOT_FOUND\r\n")
    wire.command(b"get %s\r\n" % (b"k" * 248), b"CLIENT_ERROR route rewrite: the key with its new prefix is too long\r\n")
    value = b"z" * 300000
    wire.set(b"big", value)
    assert wire.get(b"big") == value and holds(only(pools, "a"), b"new:big") == value
    wire.in_step()


def test_times_are_bounded(lab):
    wire, pools, _ = routed(lab, {"ttl": {"to": "a", "max": "100s", "jitter": "50%"}}, ["a"])
    for i in range(40):
        wire.command(b"set k%d 0 0 1\r\nx\r\n" % i, b"STORED\r\n")
    times = [ttl_of(lab, only(pools, "a"), b"k%d" % i) for i in range(40)]
    assert all(48 <= time <= 100 for time in times) and len(set(times)) > 5
    wire.command(b"set s 0 -1 1\r\nx\r\nget s\r\nget k0\r\n", b"STORED\r\nEND\r\nVALUE k0 0 1\r\nx\r\nEND\r\n")


# ---- Together ----

def test_a_deep_tree(lab):
    tree = {"prefix": {"s:": {"failover": {"to": [
        {"replicate": {"to": [{"rewrite": {"to": "a", "strip": "s:"}}, "b"], "read": "round_robin"}}, "c"]}},
        "*": {"shadow": {"to": {"ttl": {"to": "c", "max": "1h"}}, "copy": "b"}}}}
    wire, pools, _ = routed(lab, tree, ["a", "b", "c"])
    wire.set(b"s:1", b"v")
    assert everywhere(pools, b"1") == [b"v", None, None] and everywhere(pools, b"s:1") == [None, b"v", None]
    for _ in range(4):
        wire.command(b"get s:1 x s:1\r\n", b"VALUE s:1 0 1\r\nv\r\nVALUE s:1 0 1\r\nv\r\nEND\r\n")
    only(pools, "a").kill()
    only(pools, "b").kill()
    wire.command(b"set s:1 0 0 1\r\ng\r\n", b"STORED\r\n")
    for _ in range(4):
        assert wire.get(b"s:1") == b"g"
    wire.in_step()


def test_a_client_that_leaves_does_not_stop_its_deletes(lab):
    wire, pools, ringside = replicated(lab)
    wire.set(b"k", b"v")
    pools["a"][0].freeze()
    wire.send(b"delete k\r\n")
    settled(lambda: holds(pools["b"][0], b"k") is None)
    wire.close()
    pools["a"][0].thaw()
    settled(lambda: everywhere(pools, b"k") == [None] * 3)


def test_a_reload_changes_the_route_under_way(lab):
    wire, pools, ringside = routed(lab, {"failover": {"to": ["a", "b"]}}, ["a", "b"])
    wire.set(b"k", b"v")
    config = {"workers": 1, "listen": ["127.0.0.1:0"], "route": {"replicate": {"to": ["a", "b"]}},
              "pools": {name: pool_of(servers) for name, servers in pools.items()}}
    ringside.reload(config)
    wire.set(b"j", b"w")
    assert everywhere(pools, b"j") == [b"w"] * 2 and wire.get(b"k") == b"v"
