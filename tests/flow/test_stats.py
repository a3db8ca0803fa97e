"""`stats` in all its forms: sums over the servers, Ringside's own, and what an exporter expects."""

import pytest

pytestmark = pytest.mark.sanitize


@pytest.fixture
def fleet(lab):
    servers = lab.memcacheds(3)
    return servers, lab.ringside(servers=servers)


def stats(wire, form=""):
    wire.send(("stats " + form).strip().encode() + b"\r\n")
    return wire.read_stats()


def load(wire):
    for i in range(300):
        wire.set("k%d" % i, b"x" * 100)
    wire.get_many([b"k%d" % i for i in range(0, 600, 3)])
    wire.command(b"incr absent 1\r\ndelete k1\r\ntouch k2 0\r\n", b"NOT_FOUND\r\nDELETED\r\nTOUCHED\r\n")


def test_counters_are_added_up(lab, fleet):
    servers, ringside = fleet
    wire = lab.wire(ringside)
    load(wire)
    told = stats(wire)
    own = [server.stats() for server in servers]
    for name in ("cmd_get", "cmd_set", "get_hits", "get_misses", "curr_items", "total_items", "bytes", "delete_hits",
                 "incr_misses", "cmd_touch", "evictions", "limit_maxbytes", "cas_hits", "cmd_flush"):
        assert int(told[name]) == sum(int(o[name]) for o in own), name
    assert int(told["curr_items"]) == 299 and int(told["get_hits"]) == 100
    assert int(told["uptime"]) <= min(int(o["uptime"]) for o in own)
    assert told["version"] == "1.6.18"
    for name in ("pid", "time", "pointer_size", "rusage_user", "rusage_system", "threads", "max_connections"):
        assert name in told, name
    # Every name that a server tells is told, and once.
    assert set(own[0]) <= set(told)
    wire.in_step()


def test_own_counters(lab, fleet):
    wire = lab.wire(fleet[1])
    load(wire)
    told = stats(wire, "ringside")
    assert told["ringside_pid"] == str(fleet[1].pid)
    assert all(name.startswith("ringside_") for name in told)
    general = stats(wire)
    assert set(general) >= set(told), "the general form ends with Ringside's own"


def test_servers_and_pools(lab, fleet):
    servers, ringside = fleet
    wire = lab.wire(ringside)
    load(wire)
    told = stats(wire, "servers")
    for server in servers:
        assert told["main:%s:state" % server.address] == "up"
    pools = stats(wire, "pools")
    assert pools["main:servers"] == "3" and pools["main:servers_down"] == "0"


@pytest.mark.parametrize("form", ["settings", "items", "slabs", "sizes"])
def test_forms_of_memcached(lab, fleet, form):
    servers, ringside = fleet
    wire = lab.wire(ringside)
    load(wire)
    told = stats(wire, form)
    expected = servers[0].stats(form)
    if form == "sizes":
        assert told.keys() == expected.keys() or "sizes_status" in told
    else:
        assert set(expected) <= set(told)
    if form == "items":
        number = [name for name in expected if name.endswith(":number")][0]
        assert int(told[number]) == sum(int(s.stats("items").get(number, 0)) for s in servers) == 299
    if form == "settings":
        assert told["evictions"] == "on" and told["item_size_max"] == "1048576"
    wire.in_step()


def test_reset(lab, fleet):
    servers, ringside = fleet
    wire = lab.wire(ringside)
    load(wire)
    assert sum(server.stat("cmd_set") for server in servers) == 300
    wire.command(b"stats reset\r\n", b"RESET\r\n")
    assert [server.stat("cmd_set") for server in servers] == [0, 0, 0]


def test_unknown_forms_are_refused(lab, fleet):
    wire = lab.wire(fleet[1])
    for form in (b"nonsense", b"detail on", b"cachedump 1 10", b"conns"):
        wire.send(b"stats " + form + b"\r\n")
        answer = wire.read_line()
        assert answer.startswith((b"CLIENT_ERROR ", b"ERROR")), answer
        wire.in_step()


def test_stats_keep_their_place_in_a_pipeline(lab, fleet):
    wire = lab.wire(fleet[1])
    wire.set("k", b"v")
    for _ in range(20):
        wire.send(b"get k\r\nstats\r\nget k\r\nstats ringside\r\nget absent\r\nstats reset\r\nget k\r\n")
        wire.expect(b"VALUE k 0 1\r\nv\r\nEND\r\n")
        wire.read_stats()
        wire.expect(b"VALUE k 0 1\r\nv\r\nEND\r\n")
        wire.read_stats()
        wire.expect(b"END\r\nRESET\r\nVALUE k 0 1\r\nv\r\nEND\r\n")


def test_stats_with_a_dead_server_tell_of_the_others(lab):
    servers = lab.memcacheds(3)
    ringside = lab.ringside(servers=servers)
    wire = lab.wire(ringside)
    load(wire)
    servers[1].kill()
    told = stats(wire)
    assert int(told["curr_items"]) == servers[0].stat("curr_items") + servers[2].stat("curr_items")
    wire.command(b"version\r\n", b"VERSION 1.6.18\r\n")
