"""
A new configuration by SIGHUP, most often under load: no request fails because of it, what stays is left alone, and a
broken file changes nothing.
"""

import re
import signal
from pathlib import Path

import pytest

from harness import connect, pool_of, wait_until
from load import Load

pytestmark = pytest.mark.sanitize


def config_of(servers, listen=None, **pool):
    """One pool over servers. Listens where `listen` says, else on a port of the kernel's choice."""
    config = {"workers": 2, "pools": {"main": pool_of(servers, **pool)}, "route": "main"}
    config["listen"] = listen or ["127.0.0.1:0"]
    return config


def own_stats(wire):
    wire.send(b"stats ringside\r\n")
    return wire.read_stats()


def all_workers_connected(servers, workers=2):
    """Waits until every worker has its connection to every server."""
    for server in servers:
        wait_until(lambda: server.connections_open() >= workers, "connections to " + server.address)


def test_reloads_without_change_under_load(lab):
    servers = lab.memcacheds(3)
    ringside = lab.ringside(config_of(servers))
    with Load(ringside.address, connections=30) as load:
        load.wait_requests(5000)
        all_workers_connected(servers)
        before = [server.connections_total() for server in servers]
        for _ in range(20):
            ringside.reload()
            load.wait_requests(200)
        totals = load.finish()
    assert totals["errors"] == 0
    assert [server.connections_total() for server in servers] == before, "connections were opened anew"
    told = own_stats(lab.wire(ringside))
    assert told["ringside_reloads"] == "20" and told["ringside_reload_failures"] == "0"


def test_servers_come_and_go_under_load(lab):
    """Added, removed, weighed anew: no request fails, and the servers that stay keep their connections."""
    servers = lab.memcacheds(6)
    stay, others = servers[:3], servers[3:]
    ringside = lab.ringside(config_of(stay))
    with Load(ringside.address, connections=30, loose=True) as load:
        load.wait_requests(5000)
        all_workers_connected(stay)
        before = [server.connections_total() for server in stay]
        for round_number in range(4):
            weighed = [{"address": s.address, "weight": w} for s, w in zip(stay, (1, 2 + round_number, 5))]
            for members in (stay + others[:1], stay + others, others[1:] + stay, weighed, stay):
                ringside.reload(config_of(members))
                load.wait_requests(500)
        totals = load.finish()
    assert totals["errors"] == 0 and totals["connects"] == 30, totals
    assert [server.connections_total() for server in stay] == before, "connections were opened anew"
    for server in others:
        wait_until(lambda: server.connections_open() == 0, "the connections to a removed server to be closed")
        assert server.stat("cmd_get") > 0


def test_all_servers_replaced_under_load(lab):
    old, new = lab.memcacheds(3), lab.memcacheds(2)
    ringside = lab.ringside(config_of(old))
    with Load(ringside.address, connections=20, loose=True) as load:
        for _ in range(5):
            load.wait_requests(1000)
            ringside.reload(config_of(new))
            load.wait_requests(1000)
            ringside.reload(config_of(old))
        assert load.finish()["errors"] == 0


def test_timeouts_and_other_settings_change_under_load(lab):
    servers = lab.memcacheds(3)
    ringside = lab.ringside(config_of(servers))
    with Load(ringside.address, connections=20) as load:
        load.wait_requests(2000)
        all_workers_connected(servers)
        before = [server.connections_total() for server in servers]
        for changes in ({"timeout": "50s"}, {"connect_timeout": "20s"}, {"on_error": "miss"}, {"on_down": "hold"},
                        {"health": {"failures": 7, "probe": "5s", "probe_max": "60s", "panic": "30%"}}, {}):
            ringside.reload(config_of(servers, **changes))
            load.wait_requests(500)
        assert load.finish()["errors"] == 0
    assert [server.connections_total() for server in servers] == before, "connections were opened anew"


def test_a_new_timeout_is_in_force(lab):
    server = lab.memcached()
    ringside = lab.ringside(config_of([server], timeout="1h"))
    wire = lab.wire(ringside)
    wire.in_step()
    ringside.reload(config_of([server], timeout="100ms"))
    server.freeze()
    assert wire.line(b"incr k 1").startswith(b"SERVER_ERROR ")
    server.thaw()


def test_listeners_come_and_go_under_load(lab):
    """The listeners that stay, and their clients, notice nothing."""
    servers = lab.memcacheds(2)
    path = lab.directory / "extra.sock"
    base = ["127.0.0.1:0"]
    extra = [{"address": "unix:%s" % path, "mode": "0600"}, "127.0.0.3:0"]
    ringside = lab.ringside(config_of(servers))
    with Load(ringside.address, connections=20) as load:
        for _ in range(4):
            mark = ringside.log_mark()
            ringside.reload(config_of(servers, listen=base + extra))
            added = [re.search(r"(unix:\S+|[\d.]+:\d+)", line.message).group(1)
                     for line in ringside.log("listening", after=mark)]
            assert len(added) == 2, added
            for address in added:
                with lab.wire(address) as wire:
                    wire.in_step()
            load.wait_requests(300)
            ringside.reload(config_of(servers, listen=base))
            for address in added:
                wait_until(lambda: is_refused(address), "%s to be closed" % address)
            assert not path.exists()
            load.wait_requests(300)
        totals = load.finish()
    assert totals["errors"] == 0 and totals["connects"] == 20, totals


def is_refused(address):
    try:
        connect(address).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


def test_denied_commands_change(lab):
    server = lab.memcached()
    ringside = lab.ringside(config_of([server]))
    early = lab.wire(ringside)
    early.command(b"flush_all\r\n", b"OK\r\n")
    ringside.reload(config_of([server], listen=[{"address": "127.0.0.1:0", "deny": ["flush_all"]}]))
    for wire in (early, lab.wire(ringside)):
        assert wire.line(b"flush_all").startswith(b"CLIENT_ERROR ")
    ringside.reload(config_of([server]))
    early.command(b"flush_all\r\n", b"OK\r\n")


def test_limits_change(lab):
    server = lab.memcached()
    config = config_of([server])
    ringside = lab.ringside(dict(config, limits={"item_size": "10KiB"}))
    wire = lab.wire(ringside)
    data = b"set k 0 0 20000\r\n" + b"x" * 20000 + b"\r\n"
    wire.command(data, b"SERVER_ERROR object too large for cache\r\n")
    ringside.reload(dict(config, limits={"item_size": "30KiB"}))
    wire.command(data, b"STORED\r\n")


def test_the_route_changes(lab):
    old, new = lab.memcacheds(1), lab.memcacheds(1)
    config = {"listen": ["127.0.0.1:0"], "pools": {"a": pool_of(old), "b": pool_of(new)}}
    ringside = lab.ringside(dict(config, route="a"))
    wire = lab.wire(ringside)
    wire.set("k", b"old")
    ringside.reload(dict(config, route="b"))
    assert wire.get("k") is None
    wire.set("k", b"new")
    assert (old[0].value("k"), new[0].value("k")) == (b"old", b"new")


def test_a_name_keeps_its_keys_when_its_address_changes(lab):
    servers, successor = lab.memcacheds(3), lab.memcached()
    members = [{"address": server.address, "name": "cache-%d" % i} for i, server in enumerate(servers)]
    ringside = lab.ringside(config_of(members))
    wire = lab.wire(ringside)
    for i in range(300):
        wire.set("k%d" % i, b"%d" % i)
    with servers[1].wire() as direct:
        moved = set(direct.get_many([b"k%d" % i for i in range(300)]))
    members[1]["address"] = successor.address
    ringside.reload(config_of(members))
    for i in range(300):
        assert (wire.get("k%d" % i) is None) == (b"k%d" % i in moved)
    for key in moved:
        wire.set(key, b"again")
    assert successor.stat("curr_items") == len(moved) > 50


def test_the_log_tells_what_changed(lab):
    servers = lab.memcacheds(4)
    ringside = lab.ringside(config_of(servers[:3]))
    wire = lab.wire(ringside)
    for i in range(1000):
        wire.set("k%d" % i, b"%d" % i)
    line = ringside.reload(config_of(servers))
    assert servers[3].address in line.message
    share = float(re.search(r"([\d.]+)%", line.message).group(1))
    missing = 1000 - len(wire.get_many([b"k%d" % i for i in range(1000)]))
    assert abs(share - missing / 10) < 6, "%s%% are said to move, and %d of 1000 did" % (share, missing)
    line = ringside.reload(config_of(servers[1:]))
    assert servers[0].address in line.message


def test_a_request_under_way_on_a_removed_server_is_answered(lab):
    servers = lab.memcacheds(2)
    ringside = lab.ringside(config_of(servers))
    wire = lab.wire(ringside)
    for i in range(100):
        wire.set("k%d" % i, b"%d" % i)
    with servers[0].wire() as direct:
        keys = sorted(direct.get_many([b"k%d" % i for i in range(100)]))
    servers[0].freeze()
    wires = [lab.wire(ringside) for _ in range(8)]
    for one in wires:
        one.send(b"get " + keys[0] + b"\r\n")
    ringside.wait_read()
    ringside.reload(config_of(servers[1:]))
    servers[0].thaw()
    for one in wires:
        one.expect(b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (keys[0], len(keys[0]) - 1, keys[0][1:]))
        one.in_step()
    wait_until(lambda: servers[0].connections_open() == 0, "the connections to the removed server to be closed")


BROKEN = [
    ("pools: [", r"\.yaml:\d+:\d+: "),
    ("listen: [127.0.0.1:0]\npools:\n  main:\n    servers: [127.0.0.1:1]\n    timeout: 5\nroute: main\n",
     r"\.yaml:5:14: .*5"),
    ("listen: [127.0.0.1:0]\npools:\n  main:\n    servers: [127.0.0.1:1]\nroute: other\n", r"\.yaml:5:8: .*other"),
    ("", r"\.yaml"),
]


@pytest.mark.parametrize("entry", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.plain("it is about lines of a file that is written anew for TLS")
def test_a_broken_file_changes_nothing(lab, entry):
    text, expected = entry
    servers = lab.memcacheds(2)
    config = config_of(servers)
    ringside = lab.ringside(config)
    with Load(ringside.address, connections=10) as load:
        load.wait_requests(1000)
        mark = ringside.log_mark()
        ringside.reload(text, expect="reload_failed")
        errors = [line for line in ringside.log(after=mark) if line.level == "error"]
        assert any(re.search(expected, line.message) for line in errors), ringside.log_text(mark)
        load.wait_requests(1000)
        assert own_stats(lab.wire(ringside))["ringside_reload_failures"] == "1"
        ringside.reload(config)
        assert load.finish()["errors"] == 0


@pytest.mark.plain("it is about lines of a file that is written anew for TLS")
def test_every_error_of_a_broken_file_is_logged(lab):
    ringside = lab.ringside(config_of(lab.memcacheds(1)))
    mark = ringside.log_mark()
    ringside.reload("listen: [127.0.0.1:0]\npools:\n  main:\n    servers: [127.0.0.1:1]\n    timeout: soon\n"
                    "    hash: x\nroute: nowhere\n", expect="reload_failed")
    lines = [int(re.search(r"\.yaml:(\d+):\d+:", line.message).group(1)) for line in ringside.log("config_error", mark)]
    assert lines == [5, 6, 7]


def test_a_missing_file_changes_nothing(lab):
    ringside = lab.ringside(config_of(lab.memcacheds(1)))
    ringside.config_path.unlink()
    ringside.reload(expect="reload_failed")
    lab.wire(ringside).in_step()


def test_a_listener_that_cannot_be_had_changes_nothing(lab):
    servers = lab.memcacheds(2)
    other = lab.ringside(config_of(servers[:1]))
    ringside = lab.ringside(config_of(servers[:1]))
    ringside.reload(config_of(servers, listen=["127.0.0.1:0", other.address]), expect="reload_failed")
    wire = lab.wire(ringside)
    for i in range(50):
        wire.set("k%d" % i, b"x")
    assert servers[1].stat("curr_items") == 0, "the new servers are in force"
    ringside.reload(config_of(servers))
    wire.in_step()


def test_signals_in_a_row(lab):
    """Many SIGHUPs, some of which are lost in each other: the last configuration is in force in the end."""
    servers = lab.memcacheds(3)
    ringside = lab.ringside(config_of(servers[:2]))
    with Load(ringside.address, connections=10, loose=True) as load:
        load.wait_requests(500)
        for i in range(60):
            ringside.write_config(config_of(servers if i % 2 else servers[:2]))
            ringside.signal(signal.SIGHUP)
        mark = ringside.log_mark()
        ringside.reload(config_of(servers[1:]))
        load.wait_requests(500)
        assert load.finish()["errors"] == 0
    wait_until(lambda: servers[0].connections_open() == 0, "the removed server's connections to be closed: " +
               ringside.log_text(mark))
    assert not ringside.log("reload_failed")


def worker_states(ringside):
    """The scheduler's letter for each worker: S is asleep."""
    states = []
    for task in Path("/proc/%d/task" % ringside.pid).iterdir():
        name, _, fields = task.joinpath("stat").read_text().partition("(")[2].rpartition(")")
        if name.startswith("worker-"):
            states.append(fields.split()[0])
    return states


def times_asleep(ringside):
    """How often its workers have gone to sleep so far."""
    total = 0
    for task in Path("/proc/%d/task" % ringside.pid).iterdir():
        if task.joinpath("comm").read_text().startswith("worker-"):
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", task.joinpath("status").read_text(), re.M)[1])
    return total


def sleeps_of(ringside, wire, requests=300):
    """How often they go to sleep while one client asks so often, one request at a time."""
    before = times_asleep(ringside)
    for _ in range(requests):
        wire.command(b"get nothing\r\n", b"END\r\n")
    return times_asleep(ringside) - before


def test_a_polling_worker_sleeps_less(lab):
    servers = lab.memcacheds(1)
    ringside = lab.ringside(dict(config_of(servers), busy_poll=1000))
    wire = lab.wire(ringside)
    # On a machine with other work, a round trip may take longer than it looks: one quiet moment is enough.
    wait_until(lambda: sleeps_of(ringside, wire) < 150, "a worker that looks for events in place of sleeping")
    ringside.reload(dict(config_of(servers), busy_poll=0))
    wait_until(lambda: sleeps_of(ringside, wire) >= 300, "a worker that waits for each request")


def test_busy_polling_comes_and_goes_under_load(lab):
    """No request fails because of it, and with nothing to do workers sleep all the same."""
    servers = lab.memcacheds(2)
    ringside = lab.ringside(config_of(servers))
    with Load(ringside.address, connections=30) as load:
        for busy_poll in (200, 0, 1000):
            load.wait_requests(2000)
            ringside.reload(dict(config_of(servers), busy_poll=busy_poll))
        load.wait_requests(2000)
        assert load.finish()["errors"] == 0
    wait_until(lambda: worker_states(ringside) == ["S", "S"], "both workers to sleep")
    lab.wire(ringside).in_step()
