"""
Pools with `protocol: binary`: the commands' tests and random streams once more, over servers that are spoken to in binary; SASL
towards `memcached -S`; TLS beneath it; large values, probes, reloads.
"""

import os

import pytest

import test_commands
import test_differential
from basis import free_port
from certificates import certificates
from harness import HarnessError, Lab, Wire, pool_of
from saslserver import CANNOT_START, SaslMemcached, cannot_start
from serverlogins import COMMANDS, be_refused, change_password, use_all_kinds_of_connections
from test_server_auth import PROBED, secret_is_kept

pytestmark = pytest.mark.sanitize

PASSWORD = b"let-me-in-please"
STREAMS = max(1, test_differential.STREAMS // 8)


class BinaryLab(Lab):
    """Its pools speak binary, where nothing else is said."""

    def ringside(self, config=None, servers=None, **options):
        if servers is not None:
            options.setdefault("protocol", "binary")
        elif isinstance(config, dict):
            config = {**config, "pools": {name: {"protocol": "binary", **keys} for name, keys in config["pools"].items()}}
        return super().ringside(config, servers, **options)


@pytest.fixture
def lab(tmp_path):
    made = BinaryLab(tmp_path)
    yield made
    made.close()


# ---- The tests of the commands, over this file's `lab` ----

fleet = test_commands.fleet

for _name, _test in vars(test_commands).items():
    if _name.startswith("test_"):
        globals()[_name] = _test


# ---- Streams, beside a memcached that speaks text ----

@pytest.fixture(scope="module")
def sides(shared_lab):
    """(a memcached for reference, a Ringside over one server, a Ringside over three)"""
    options = test_differential.SERVER_OPTIONS
    reference = shared_lab.memcached(tls=False, **options)
    return (reference, *(shared_lab.ringside(servers=shared_lab.memcacheds(count, **options), protocol="binary")
                         for count in (1, 3)))


@pytest.mark.parametrize("servers", [1, 3])
def test_streams(shared_lab, sides, servers):
    kinds = set()
    for seed in range(STREAMS):
        kinds |= test_differential.run_stream(seed, sides[0], sides[1 if servers == 1 else 2], test_differential.whole,
                                              tag="binary%d-" % servers, big=False, binary=True)
    missing = set(test_differential.KINDS) - kinds - {b"ME", b"SERVER_ERROR"}
    assert STREAMS < 10 or not missing, "never seen: %s" % missing


def test_streams_byte_by_byte(shared_lab, sides):
    def split(data):
        return [data[i:i + 1] for i in range(len(data))] if len(data) < 4000 else [data]
    for seed in range(1000, 1000 + STREAMS):
        test_differential.run_stream(seed, sides[0], sides[2], split, tag="bytes-", big=False, length=4, binary=True)


# ---- What binary has no words for ----

@pytest.mark.parametrize("command", [b"me k\r\n", b"mg k t\r\n", b"mg k v h\r\n", b"mg k l\r\n", b"mg k N30\r\n",
                                     b"mg k R30 v\r\n", b"ms k 3 I\r\nabc\r\n", b"ms k 3 MA N30\r\nabc\r\n", b"md k I\r\n",
                                     b"ma k T30\r\n", b"ma k t\r\n"])
def test_what_has_no_binary_form(lab, command):
    (server,) = lab.memcacheds(1)
    wire = lab.wire(lab.ringside(servers=[server]))
    wire.command(b"set k 0 0 1\r\n5\r\n", b"STORED\r\n")
    wire.command(command * 3 + b"get k\r\n", b"CLIENT_ERROR unsupported over the binary protocol\r\n" * 3 +
                 b"VALUE k 0 1\r\n5\r\nEND\r\n")
    wire.in_step()


def test_statistics(lab):
    servers = lab.memcacheds(3)
    wire = lab.wire(lab.ringside(servers=servers))
    for i in range(50):
        wire.set("k%d" % i, b"x")
    wire.send(b"stats\r\n")
    assert int(wire.read_stats()["curr_items"]) == 50
    wire.send(b"stats settings\r\n")
    assert int(wire.read_stats()["maxconns"]) > 0
    wire.send(b"stats items\r\n")
    assert wire.read_stats()
    wire.command(b"stats reset\r\n", b"RESET\r\n")
    wire.in_step()


def test_a_server_that_refuses_to_be_flushed(lab):
    wire = lab.wire(lab.ringside(servers=lab.memcacheds(1, args=["-F"])))
    wire.command(b"flush_all\r\n", b"CLIENT_ERROR flush_all not allowed\r\n")
    wire.in_step()


# ---- Large values ----

def noise(size):
    return (b"\r\nEND\r\n\x81\x0c" + os.urandom(1000)) * (size // 1009) + b"z" * (size % 1009)


@pytest.mark.parametrize("size", [16384, 65535, 65536, 300_000, (1 << 20) - 300])
def test_large_values(lab, size):
    wire = lab.wire(lab.ringside(servers=lab.memcacheds(2)))
    values = {b"large:%d" % i: noise(size) for i in range(6)}
    for key, value in values.items():
        wire.command(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"STORED\r\n")
    wire.send(b"get absent " + b" ".join(values) + b" absent\r\n")
    assert wire.read_values() == list(values.items())
    for key, value in values.items():
        wire.command(b"mg %s v s k\r\n" % key, b"VA %d s%d k%s\r\n%s\r\n" % (size, size, key, value))
        wire.command(b"mg %s s\r\n" % key, b"HD s%d\r\n" % size)
    wire.command(b"append large:0 0 0 3 noreply\r\nabc\r\nmn\r\n", b"MN\r\n")
    wire.in_step()


def test_a_value_that_the_server_finds_too_large(lab):
    wire = lab.wire(lab.ringside({"limits": {"item_size": "8MiB"}}, servers=lab.memcacheds(1)))
    for size in (1_100_000, 5_000_000):
        wire.set("k", b"old")
        wire.send(b"set k 0 0 %d\r\n%s\r\n" % (size, noise(size)))
        assert wire.read_line().startswith(b"SERVER_ERROR")
        assert wire.get("k") in (None, b"old")  # of an upload the client may have stopped before the server dropped it
        wire.in_step()


def test_a_large_value_without_its_end(lab):
    """It is not stored, and no fault of the server's."""
    (server,) = lab.memcacheds(1)
    ringside = lab.ringside(servers=[server], health={"failures": 1, "panic": "100%"})
    wire = lab.wire(ringside)
    for end in (b"xx", b"\rx", b"\n\r"):
        wire.send(b"set k 0 0 300000\r\n" + noise(300_000) + end)
        assert wire.read_line() == ("SERVER_ERROR pool main: server %s: a data block without its end"
                                    % server.address).encode()
        wire = lab.wire(ringside)
        assert wire.get("k") is None
        wire.in_step()
    assert not ringside.log("server_down") and not ringside.log("protocol_error")


# ---- Reload ----

def test_the_protocol_changes(lab):
    servers = lab.memcacheds(2)
    ringside = lab.ringside({"pools": {"main": pool_of(servers, protocol="text")}})
    wire = lab.wire(ringside)
    for protocol in ("binary", "text", "binary"):
        wire.command(b"set k 0 0 1\r\nx\r\nma n N0 J1\r\nms gone 1 MM\r\nx\r\n",
                     b"STORED\r\nHD\r\nCLIENT_ERROR invalid mode for ms M token\r\n")
        wire.set("large", b"x" * 200_000)
        before = sum(server.connections_total() for server in servers)
        ringside.reload({"pools": {"main": pool_of(servers, protocol=protocol)}})
        wire.in_step()
        for i in range(20):
            wire.set("k%d" % i, b"x")
        assert sum(server.connections_total() for server in servers) > before
        wire.send(b"mg k t\r\n")
        told = wire.read_line()
        assert told.startswith(b"CLIENT_ERROR unsupported" if protocol == "binary" else b"HD t")


def test_a_server_that_comes_back(lab):
    server = lab.memcached(port=free_port())
    ringside = lab.ringside(servers=[server], on_return="flush", **PROBED)
    wire = lab.wire(ringside)
    wire.in_step()
    server.kill()
    assert wire.line(b"get k").startswith(b"SERVER_ERROR ")
    ringside.wait_for_log("server_down")
    server.restart()
    ringside.wait_for_log("server_up")
    wire.in_step()


def test_a_server_that_was_out_of_reach_is_flushed(lab):
    server = lab.memcached()
    ringside = lab.ringside(servers=[server], on_return="flush", timeout="300ms", connect_timeout="300ms", **PROBED)
    wire = lab.wire(ringside)
    wire.set("k", b"old")
    server.freeze()
    assert wire.line(b"get k").startswith(b"SERVER_ERROR ")
    ringside.wait_for_log("server_down")
    server.thaw()
    ringside.wait_for_log("server_flushed")
    ringside.wait_for_log("server_up")
    assert wire.get("k") is None
    wire.in_step()


# ---- SASL ----

def start_guarded(lab, number=0, **options):
    directory = lab.directory / ("sasl-%d" % number)
    directory.mkdir()
    try:
        server = SaslMemcached(directory, {"ringside": PASSWORD}, **options)
        lab.servers.append(server)
        return server.start()
    except CANNOT_START as error:
        return cannot_start(error)


def pool(servers, **keys):
    return {"servers": [server.address for server in servers], "connect_timeout": "30s", "timeout": "60s",
            "protocol": "binary", "auth": {"user": "ringside", "password_file": "secret", "mechanism": "sasl"}, **keys}


def start(lab, servers, password=PASSWORD, **keys):
    (lab.directory / "secret").write_bytes(password + b"\n")
    return lab.ringside({"log": {"level": "debug"}, "pools": {"main": pool(servers, **keys)}})


def test_all_kinds_of_connections_log_in(lab):
    servers = [start_guarded(lab, i) for i in range(2)]
    ringside = start(lab, servers, connections=2)
    secret_is_kept(ringside, use_all_kinds_of_connections(lab, ringside, servers, 4), PASSWORD.decode())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_password_is_told(lab, command):
    server = start_guarded(lab)
    ringside = start(lab, [server], b"wrong-and-hidden")
    secret_is_kept(ringside, be_refused(lab, ringside, server, command), "wrong-and-hidden")


def test_a_server_that_asks_where_the_pool_has_no_login(lab):
    server = start_guarded(lab)
    ringside = lab.ringside({"pools": {"main": {"servers": [server.address], "timeout": "60s"}}})
    assert lab.wire(ringside).line(b"get k").startswith(b"SERVER_ERROR pool main: server ")
    ringside.wait_for_log("greeting_refused")


def test_a_server_that_asks_for_nothing(lab):
    server = lab.memcached()
    ringside = start(lab, [server])
    wire = lab.wire(ringside)
    wire.in_step()
    assert wire.get("ringside") is None and not ringside.log("login_refused")


def test_text_to_a_server_that_speaks_binary_alone(lab):
    server = start_guarded(lab)
    ringside = lab.ringside({"pools": {"main": {"servers": [server.address], "timeout": "300ms", "protocol": "text"}}})
    assert lab.wire(ringside).line(b"get k").startswith(b"SERVER_ERROR pool main: server ")


def test_binary_to_a_server_that_speaks_text_alone(lab):
    server = lab.memcached(args=["-B", "ascii"])
    ringside = lab.ringside({"pools": {"main": {"servers": [server.address], "timeout": "60s"}}})
    assert lab.wire(ringside).line(b"get k").startswith(b"SERVER_ERROR pool main: server ")
    ringside.wait_for_log("protocol_error", containing="no binary reply")


def test_a_password_that_changes(lab):
    """Also: probes log in."""
    server = start_guarded(lab, port=free_port())
    ringside = start(lab, [server], **PROBED)
    wire = change_password(lab, ringside, server, {"ringside": b"another-secret"})
    secret_is_kept(ringside, wire, PASSWORD.decode(), "another-secret")


# ---- TLS beneath it ----

@pytest.mark.plain("says itself who speaks TLS")
@pytest.mark.parametrize("sasl", [False, True], ids=["", "sasl"])
def test_over_tls(lab, sasl):
    made = certificates()
    server = start_guarded(lab, tls=made.server) if sasl else lab.memcached(tls=made.server)
    tls = {"tls": {"ca": str(made.ca)}}
    if sasl:
        ringside = start(lab, [server], **tls)
    else:
        ringside = lab.ringside({"pools": {"main": pool_of([server], **tls)}})
    wires = [lab.wire(ringside, tls=False) for _ in range(4)]
    large = noise(700_000)
    for i, wire in enumerate(wires):
        # Many packets at once, so that records are full, and values larger than records between them.
        keys = [b"%s-%d-%d" % (b"k" * 200, i, k) for k in range(120)]
        data = b"".join(b"set %s 0 0 %d\r\n%s\r\n" % (key, 10 + 300 * k, b"v" * (10 + 300 * k)) for k, key in enumerate(keys))
        assert wire.exchange(data, count=8 * len(keys)) == b"STORED\r\n" * len(keys)
        wire.send(b"get " + b" ".join(keys[:9]) + b"\r\n")
        assert len(wire.read_values()) == 9
        data = b"".join(b"get %s\r\n" % key for key in keys * 5)
        expected = b"".join(b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, 10 + 300 * k, b"v" * (10 + 300 * k))
                            for k, key in enumerate(keys)) * 5
        assert wire.exchange(data, count=len(expected)) == expected
        wire.set("large", large)
        assert wire.get("large") == large
        wire.in_step()
    assert not ringside.log("protocol_error") and not ringside.log("connection_failed")
