"""What is asked of a pool's login to its servers, whichever way the servers are logged in to."""


def use_all_kinds_of_connections(lab, ringside, servers, wire_count):
    """Lanes, connections for large values, statistics and flushes; nothing may be refused. The first of the wires."""
    wires = [lab.wire(ringside) for _ in range(wire_count)]
    for number, wire in enumerate(wires):
        for i in range(20):
            wire.set("k%d-%d" % (number, i), b"%d" % i)
        assert len(wire.get_many([b"k%d-%d" % (number, i) for i in range(30)])) == 20
        wire.in_step()
    # A value of its own connection, statistics and flushes of all servers.
    wires[0].set("large", b"x" * 500_000)
    assert wires[1].get("large") == b"x" * 500_000
    wires[0].send(b"stats\r\n")
    items = int(wires[0].read_stats()["curr_items"])
    assert items == sum(server.stat("curr_items") for server in servers) == 20 * wire_count + 1
    wires[0].command(b"flush_all\r\nget large\r\nversion\r\n", b"OK\r\nEND\r\nVERSION 1.6.18\r\n")
    assert not ringside.log("login_refused") and not ringside.log("protocol_error")
    assert all(server.stat("auth_errors") == 0 for server in servers)
    return wires[0]


# Requests of every kind, which a refused login is to be told to.
COMMANDS = [b"get k\r\n", b"set k 0 0 1\r\nx\r\n", b"mg k v\r\n", b"get a b c\r\n",
            b"set k 0 0 100000\r\n" + b"x" * 100_000 + b"\r\n"]


def be_refused(lab, ringside, server, command):
    """The command's answer and the log say that the server lets nobody in; nothing is carried out. The wire."""
    wire = lab.wire(ringside)
    for _ in range(3):
        wire.send(command)
        line = wire.read_line().decode()
        assert line == "SERVER_ERROR pool main: server %s: a refusal of the pool's login" % server.address
    told = ringside.wait_for_log("login_refused")
    assert told.level == "warning" and server.address in told.message and "`ringside`" in told.message
    assert server.stat("cmd_set") == 0, "no request is carried out behind a refused login"
    return wire


def change_password(lab, ringside, server, users):
    """The server, whose probes are frequent, comes back with other users, and the pool's secret follows. The wire."""
    wire = lab.wire(ringside)
    wire.in_step()
    server.kill()
    assert wire.line(b"get k").startswith(b"SERVER_ERROR ")
    server.set_users(users)
    server.restart()
    ringside.wait_for_log("probe_failed", containing="does not let")
    assert not ringside.log("server_up"), "a probe is not good without its login"
    (lab.directory / "secret").write_text("another-secret\n")
    ringside.reload()
    ringside.wait_for_log("server_up")
    wire.in_step()
    return wire
