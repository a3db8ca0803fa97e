"""Where clients connect: TCP, IPv6, Unix sockets; denied commands; too many clients; the log's formats."""

import json
import os
import socket
import stat

import pytest

from harness import free_port, split_address

pytestmark = pytest.mark.sanitize


def test_several_listeners_of_all_kinds(lab):
    path = lab.directory / "ringside.sock"
    listen = ["127.0.0.1:0", "[::1]:0", {"address": "unix:%s" % path, "mode": "0660"}, "127.0.0.2:0"]
    ringside = lab.ringside({"listen": listen}, servers=lab.memcacheds(3))
    assert len(ringside.addresses) == 4
    lab.wire(ringside.addresses[0]).set("k", b"seen by all")
    for address in ringside.addresses:
        wire = lab.wire(address)
        assert wire.get("k") == b"seen by all"
        wire.in_step()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


def test_unix_socket_is_private_unless_told(lab):
    path = lab.directory / "ringside.sock"
    ringside = lab.ringside({"listen": ["unix:%s" % path]}, servers=lab.memcacheds(1))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    lab.wire(ringside).in_step()
    ringside.terminate()
    assert not path.exists(), "the socket's file is left behind"


def test_unix_socket_of_a_killed_ringside_is_taken_over(lab):
    path = lab.directory / "ringside.sock"
    servers = lab.memcacheds(1)
    first = lab.ringside({"listen": ["unix:%s" % path]}, servers=servers)
    first.kill()
    assert path.exists()
    second = lab.ringside({"listen": ["unix:%s" % path]}, servers=servers)
    lab.wire(second).in_step()


def test_unix_socket_in_use_is_left_alone(lab):
    path = lab.directory / "ringside.sock"
    servers = lab.memcacheds(1)
    first = lab.ringside({"listen": ["unix:%s" % path]}, servers=servers)
    second = lab.ringside({"listen": ["unix:%s" % path]}, servers=servers, start=False)
    second.exit_expected = 3
    second.launch().exit_expected = 3
    assert second.wait_exit() == 3
    lab.wire(first).in_step()


def test_a_file_in_the_place_of_the_socket_is_left_alone(lab):
    path = lab.directory / "precious"
    path.write_text("data")
    ringside = lab.ringside({"listen": ["unix:%s" % path]}, servers=lab.memcacheds(1), start=False)
    ringside.launch().exit_expected = 3
    assert ringside.wait_exit() == 3
    assert path.read_text() == "data"


@pytest.mark.plain("memcached speaks no TLS on Unix sockets")
def test_servers_on_all_kinds_of_addresses(lab):
    servers = [lab.memcached(), lab.memcached(host="::1"), lab.memcached(unix=lab.directory / "server.sock")]
    wire = lab.wire(lab.ringside(servers=servers))
    for i in range(300):
        wire.set("k%d" % i, b"%d" % i)
    for i in range(300):
        assert wire.get("k%d" % i) == b"%d" % i
    assert all(server.stat("curr_items") > 50 for server in servers)


def test_a_server_by_name(lab):
    server = lab.memcached()
    ringside = lab.ringside(servers=["localhost:%d" % server.port])
    lab.wire(ringside).in_step()
    assert server.stat("cmd_set") == 1


def test_denied_commands(lab):
    listen = [{"address": "127.0.0.1:0", "deny": ["flush_all", "set", "get", "mg", "ms", "stats", "version"]},
              "[::1]:0"]
    servers = lab.memcacheds(1)
    ringside = lab.ringside({"listen": listen}, servers=servers)
    wire, free = (lab.wire(address) for address in ringside.addresses)
    free.set("k", b"v")
    for line in (b"flush_all", b"flush_all 0", b"get k", b"get k k", b"mg k v", b"stats", b"version"):
        answer = wire.line(line)
        assert answer.startswith(b"CLIENT_ERROR ") and line.split()[0] in answer
        wire.command(b"touch k 0\r\n", b"TOUCHED\r\n")
    # The data block of a denied command is no command, and noreply stays silent.
    for line in (b"set k 0 0 11\r\ndelete k\r\n\r\r\n", b"ms k 10\r\ndelete k\r\n\r\n"):
        wire.send(line)
        assert wire.read_line().startswith(b"CLIENT_ERROR ")
        wire.command(b"touch k 0\r\n", b"TOUCHED\r\n")
    wire.command(b"set k 0 0 1 noreply\r\nx\r\nflush_all noreply\r\ntouch k 0\r\n", b"TOUCHED\r\n")
    assert free.get("k") == b"v"
    assert servers[0].stat("cmd_flush") == 0
    free.command(b"flush_all\r\n", b"OK\r\n")


@pytest.mark.plain("a client too many is told so by an alert: see test_handshakes.py")
def test_too_many_clients_are_told_so(lab):
    ringside = lab.ringside({"limits": {"clients": 8}}, servers=lab.memcacheds(1))
    wires = [lab.wire(ringside) for _ in range(8)]
    for wire in wires:
        wire.in_step()
    for _ in range(20):
        lab.wire(ringside).expect_closed(b"SERVER_ERROR too many connections\r\n")
    for wire in wires:
        wire.in_step()
    for wire in wires[:4]:
        wire.close()
    ringside.wait_clients(4)
    for wire in [lab.wire(ringside) for _ in range(4)]:
        wire.in_step()


def test_taken_port(lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        ringside = lab.ringside({"listen": [address]}, servers=lab.memcacheds(1), start=False)
        ringside.launch().exit_expected = 3
        assert ringside.wait_exit() == 3
        assert address in ringside.log_text()


def test_a_second_ringside_on_the_same_port_is_refused(lab):
    """SO_REUSEPORT must not let two of them share a port without anybody knowing."""
    servers = lab.memcacheds(1)
    first = lab.ringside({"workers": 2}, servers=servers)
    second = lab.ringside({"workers": 2, "listen": [first.address]}, servers=servers, start=False)
    second.launch().exit_expected = 3
    assert second.wait_exit() == 3
    lab.wire(first).in_step()


def test_a_port_of_choice(lab):
    port = free_port()
    ringside = lab.ringside({"listen": ["127.0.0.1:%d" % port]}, servers=lab.memcacheds(1))
    assert split_address(ringside.address)[1] == ("127.0.0.1", port)
    lab.wire(ringside).in_step()


def test_restart_while_old_connections_linger(lab):
    """A port whose old connections are in TIME_WAIT can be listened on again at once."""
    servers = lab.memcacheds(1)
    first = lab.ringside(servers=servers)
    address = first.address
    wires = [lab.wire(first) for _ in range(5)]
    for wire in wires:
        wire.in_step()
    first.terminate()
    second = lab.ringside({"listen": [address]}, servers=servers)
    lab.wire(second).in_step()


def test_log_as_json(lab):
    ringside = lab.ringside({"log": {"level": "debug", "format": "json"}}, servers=lab.memcacheds(1))
    lab.wire(ringside).in_step()
    ringside.terminate()
    lines = [json.loads(line) for line in ringside.log_text().splitlines()]
    assert all(set(line) >= {"time", "level", "event", "message"} for line in lines)
    assert {"listening", "ended"} <= {line["event"] for line in lines}


def test_log_as_text(lab):
    ringside = lab.ringside({"log": {"level": "debug"}}, servers=lab.memcacheds(1))
    lab.wire(ringside).in_step()
    ringside.terminate()
    assert all(line.event for line in ringside.log()), ringside.log_text()
    assert {line.level for line in ringside.log()} <= {"debug", "info", "warning", "error"}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_numbers_of_workers(lab, workers):
    ringside = lab.ringside({"workers": workers}, servers=lab.memcacheds(2))
    wires = [lab.wire(ringside) for _ in range(40)]
    for wire in wires:
        wire.in_step()
    lines = lab.wire(ringside)
    lines.send(b"stats ringside\r\n")
    assert lines.read_stats()["ringside_workers"] == str(workers)


def test_connections_to_servers_are_as_configured(lab):
    """For each server: workers x connections, however many clients there are."""
    servers = lab.memcacheds(2)
    ringside = lab.ringside({"workers": 2}, servers=servers, connections=2)
    wires = [lab.wire(ringside) for _ in range(60)]
    for _ in range(5):
        for wire in wires:
            wire.send(b"".join(b"get k%d\r\n" % i for i in range(30)))
        for wire in wires:
            wire.expect(b"END\r\n" * 30)
    for server in servers:
        assert 1 <= server.connections_total() <= 4
