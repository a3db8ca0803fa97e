"""Who Ringside is to servers that ask: passwords of pools, their files and variables, probes, reloads; against memcached -Y."""

import pytest

from guarded import guarded_memcached
from harness import ALL_TLS, free_port, wait_until
from serverlogins import COMMANDS, be_refused, change_password, use_all_kinds_of_connections

pytestmark = pytest.mark.sanitize

PASSWORD = "let-me-in-please"


def pool(servers, **keys):
    return dict({"servers": [server.address for server in servers], "connect_timeout": "30s", "timeout": "60s",
                 "auth": {"user": "ringside", "password_file": "secret"}}, **keys)


def start(lab, servers, password=PASSWORD, env=None, **keys):
    (lab.directory / "secret").write_text(password + "\n")
    return lab.ringside({"log": {"level": "debug"}, "pools": {"main": pool(servers, **keys)}}, env=env)


def guarded(lab, count=1, password=PASSWORD, **options):
    return [guarded_memcached(lab, {"ringside": password}, **options) for _ in range(count)]


def secret_is_kept(ringside, wire, *passwords):
    shown = []
    for form in ("", "settings", "servers", "pools", "ringside"):
        wire.send(("stats " + form).strip().encode() + b"\r\n")
        shown.append(wire.read_until(b"END\r\n").decode())
    with open("/proc/%d/cmdline" % ringside.pid, encoding="utf-8") as file:
        shown.append(file.read())
    shown.append(ringside.log_text())
    for password in passwords or (PASSWORD,):
        assert not any(password in text for text in shown)


def test_all_kinds_of_connections_log_in(lab):
    servers = guarded(lab, 3)
    ringside = start(lab, servers, connections=2)
    secret_is_kept(ringside, use_all_kinds_of_connections(lab, ringside, servers, 6))


def test_a_password_of_any_bytes(lab):
    for password in ("x", "$'\"\\#%{}[]", "p\u00e4ssw\u00f6rd", "y" * 200):
        servers = guarded(lab, password=password)
        ringside = start(lab, servers, password)
        lab.wire(ringside).in_step()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_password_is_told(lab, command):
    (server,) = guarded(lab)
    ringside = start(lab, [server], "wrong-and-hidden")
    secret_is_kept(ringside, be_refused(lab, ringside, server, command), "wrong-and-hidden")


def test_a_server_that_asks_where_the_pool_has_no_login(lab):
    servers = guarded(lab)
    ringside = lab.ringside({"pools": {"main": {"servers": [servers[0].address], "timeout": "60s"}}})
    assert lab.wire(ringside).line(b"get k").startswith(b"SERVER_ERROR pool main: server ")
    ringside.wait_for_log("greeting_refused")


def test_a_server_that_asks_for_nothing(lab):
    server = lab.memcached()
    ringside = start(lab, [server])
    wire = lab.wire(ringside)
    wire.in_step()
    assert wire.get("ringside") is None, "what was said as a login is not to be read"
    assert PASSWORD.encode() not in (server.value("ringside") or b"")


def test_each_pool_has_its_own(lab):
    one, two = guarded(lab, password="one-secret")[0], guarded(lab, password="two-secret")[0]
    (lab.directory / "secret").write_text("one-secret")
    config = {"pools": {"main": pool([one]), "other": pool([two], auth={"user": "ringside", "password_env": "TWO"})},
              "route": {"prefix": {"two:": "other", "*": "main"}}}
    ringside = lab.ringside(config, env={"TWO": "two-secret"})
    wire = lab.wire(ringside)
    wire.set("two:k", b"2")
    wire.set("k", b"1")
    assert one.value("k") == b"1" and two.value("two:k") == b"2" and one.value("two:k") is None
    secret_is_kept(ringside, wire, "one-secret", "two-secret")


def test_a_variable_that_is_not_there(lab):
    server = lab.memcached()
    config = {"pools": {"main": pool([server], auth={"user": "ringside", "password_env": "NOT_THERE"})}}
    ringside = lab.ringside(config, start=False)
    ringside.launch().exit_expected = 3
    assert ringside.wait_exit() == 3 and "NOT_THERE" in ringside.log_text()


PROBED = {"health": {"failures": 1, "probe": "20ms", "probe_max": "50ms", "panic": "100%"}, "on_down": "hold"}


def test_probes_log_in(lab):
    (server,) = guarded(lab, port=free_port())
    ringside = start(lab, [server], **PROBED)
    wire = lab.wire(ringside)
    wire.in_step()
    server.kill()
    assert wire.line(b"get k").startswith(b"SERVER_ERROR ")
    ringside.wait_for_log("server_down")
    server.restart()
    ringside.wait_for_log("server_up")
    wire.in_step()
    assert not ringside.log("login_refused") and server.stat("auth_errors") == 0


def test_a_password_that_changes(lab):
    (server,) = guarded(lab, port=free_port())
    ringside = start(lab, [server], **PROBED)
    wire = change_password(lab, ringside, server, {"ringside": "another-secret"})
    secret_is_kept(ringside, wire, PASSWORD, "another-secret")


def test_a_new_password_is_for_new_connections(lab):
    (server,) = guarded(lab)
    ringside = start(lab, [server])
    wire = lab.wire(ringside)
    wire.in_step()
    before = server.connections_total()
    (lab.directory / "secret").write_text("wrong-and-hidden\n")
    ringside.reload()
    wire.in_step()
    assert server.connections_total() == before
    # A value of that size takes a connection of its own: a new one.
    wire.send(b"set k 0 0 200000\r\n" + b"x" * 200_000 + b"\r\n")
    line = wire.read_line()
    # Over TLS the server may have gone before its refusal is read: what follows cannot be sent then.
    assert line.endswith(b"a refusal of the pool's login") or (ALL_TLS and line.endswith(b"closed the connection")), line
    (lab.directory / "secret").write_text(PASSWORD + "\n")
    ringside.reload()
    wire.set("k", b"x" * 200_000)
    wait_until(lambda: wire.get("k") == b"x" * 200_000, "the value")
    (lab.directory / "secret").write_text("two\nlines\n")
    ringside.reload(expect="reload_failed")
    wire.in_step()
    secret_is_kept(ringside, wire, PASSWORD, "wrong-and-hidden")
