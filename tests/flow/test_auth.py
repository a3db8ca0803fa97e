"""
Who a client is: logins by password against a real memcached -Y, byte for byte; optional logins; users that go; peers of Unix
sockets; names in certificates; and that no password shows anywhere.
"""

import contextlib
import os
import select
import signal
import socket
import ssl
import subprocess

import pytest

from guarded import BUSY, DENIED, NOBODY, WRONG, guarded_memcached, login, write_users
from harness import DEADLINE_S, Wire, connect, ringside_path, run_ringside

pytestmark = pytest.mark.sanitize

USERS = {"app": "secret", "bob": "hunter2"}
GOOD = login("app", "secret")
KEY = b"ringside:login"
# A check of that hash takes a while; see password_check.h for how many may wait.
COSTLY = {"ln": 15, "r": 8}


def start(lab, auth="required", users=None, costs=None, listener=None, servers=None, **config):
    path = write_users(lab.directory / "users", users or USERS, **(costs or {}))
    config.setdefault("listen", [dict({"address": "127.0.0.1:0", "auth": auth}, **(listener or {}))])
    config.setdefault("users", {"file": str(path)})
    return lab.ringside(config, servers=servers or lab.memcacheds(1))


@pytest.fixture(scope="module")
def pair(shared_lab):
    """A Ringside that asks for a login, and a memcached that does, with the same users."""
    return start(shared_lab), guarded_memcached(shared_lab, USERS)


def after_login(wire, name="app", password="secret"):
    wire.command(login(name, password), b"STORED\r\n")
    return wire


# What is said before the login that follows each; every item draws one line.
SCRIPTS = {
    "nothing": [],
    "wrong password": [login("app", "secrat")],
    "longer password": [login("app", "secret2")],
    "shorter password": [login("app", "secre")],
    "unknown user": [login("nobody", "secret")],
    "another's password": [login("app", "hunter2")],
    "case of the name": [login("App", "secret")],
    "two failures": [login("app", "a"), login("app", "b")],
    "no password": [b"set k 0 0 3\r\napp\r\n"],
    "no password, a blank": [b"set k 0 0 4\r\napp \r\n"],
    "nothing in the block": [b"set k 0 0 0\r\n\r\n"],
    "blanks alone": [b"set k 0 0 3\r\n   \r\n"],
    "a colon between": [b"set k 0 0 10\r\napp:secret\r\n"],
    "bad termination": [b"set k 0 0 10\r\napp secretxy"],
    "bad termination, LF": [b"set k 0 0 10\r\napp secret\n\n"],
    "long password": [login("app", "x" * 1100)],
    "long name": [login("x" * 1000, "secret")],
    "commands": [b"get k\r\n", b"get a b\r\n", b"version\r\n", b"stats\r\n", b"mn\r\n", b"mg k v\r\n",
                 b"delete k noreply\r\n", b"flush_all\r\n", b"quit\r\n", b"nonsense\r\n"],
    "empty lines": [b"\r\n", b" \n"],
    "other storage commands": [b"add k 0 0 10\r\n", b"app secret\r\n", b"ms k 10\r\n", b"app secret\r\n"],
    "bad lengths": [b"set k 0 0\r\n", b"set k 0 0 \r\n", b"set k 0 0 x\r\n", b"set k 0 0 -1\r\n"],
    "capitals": [b"SET k 0 0 10\r\n"],
    "a long line": [b"get " + b"k" * 1500 + b"\r\n"],
    "NUL": [b"get \0\r\n"],
}

# Logins that are good in spite of how they look; the rest follows at once.
GOOD_FORMS = {
    "plain": GOOD,
    "noreply": b"set k 0 0 10 noreply\r\napp secret\r\n",
    "LF": b"set k 0 0 10\napp secret\r\n",
    "blanks": b"  set  k  0  0  14 \r\n  app  secret \r\n",
    "three words": b"set k 0 0 15\r\napp secret more\r\n",
    "a key that is none": b"set " + b"k" * 300 + b" x y 10\r\napp secret\r\n",
    "a sign": b"set k 0 0 +10\r\napp secret\r\n",
}

REST = b"set a 0 0 1\r\nx\r\nget a\r\nget b\r\nnonsense\r\ndelete a\r\nget a\r\nmn\r\n"
REST_ANSWER = b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nEND\r\nERROR\r\nDELETED\r\nEND\r\nMN\r\n"


def say(lab, to, items):
    """Each when the one before it is answered; the last is to end in MN."""
    wire = lab.wire(to)
    answers = []
    for item in items:
        wire.send(item)
        answers.append(wire.read_until(b"MN\r\n" if item is items[-1] else b"\r\n"))
    wire.close()
    return b"".join(answers)


@pytest.mark.parametrize("name", SCRIPTS)
def test_answers_before_the_login_are_memcacheds(shared_lab, pair, name):
    items = SCRIPTS[name] + [GOOD + REST]
    ringside, memcached = (say(shared_lab, to, items) for to in pair)
    assert ringside == memcached and ringside.endswith(b"STORED\r\n" + REST_ANSWER)
    # All at once; memcached 1.6.18 loses answers then.
    if name in ("two failures", "no password", "bad termination", "commands", "bad lengths", "other storage commands"):
        assert say(shared_lab, pair[0], [b"".join(items)]) == memcached


@pytest.mark.parametrize("name", GOOD_FORMS)
def test_good_logins_of_all_forms(shared_lab, pair, name):
    script = GOOD_FORMS[name] + REST
    ringside, memcached = (say(shared_lab, to, [script]) for to in pair)
    assert ringside == memcached == b"STORED\r\n" + REST_ANSWER


def test_split_at_every_byte(shared_lab, pair):
    script = GOOD + b"get a\r\nmn\r\n"
    for i in range(1, len(script)):
        wire = shared_lab.wire(pair[0])
        wire.send(script[:i])
        if i % 4 == 0:
            pair[0].wait_read()
        wire.send(script[i:])
        wire.expect(b"STORED\r\nEND\r\nMN\r\n")
        wire.close()
    wire = shared_lab.wire(pair[0])
    wire.send_pieces([script[i:i + 1] for i in range(len(script))])
    wire.expect(b"STORED\r\nEND\r\nMN\r\n")


def test_half_a_login_and_the_end(shared_lab, pair):
    for end in (1, 12, len(GOOD) - 1):
        wire = shared_lab.wire(pair[0])
        wire.send(GOOD[:end])
        wire.shutdown_write()
        wire.expect_closed()


def test_a_login_and_the_end(shared_lab, pair):
    wire = shared_lab.wire(pair[0])
    wire.send(GOOD + REST)
    wire.shutdown_write()
    wire.expect_closed(b"STORED\r\n" + REST_ANSWER)


def test_a_line_that_does_not_end_is_closed(shared_lab, pair):
    for to in pair:
        wire = shared_lab.wire(to)
        wire.send(b"x" * 3000)
        wire.expect_closed()
    # What was answered before is not lost.
    wire = shared_lab.wire(pair[0])
    wire.send(b"get a\r\n" + b"x" * 3000)
    wire.expect_closed(NOBODY)


def test_blanks_do_not_make_a_login_too_large_to_be_kept(shared_lab, pair):
    """A line as long as what is read at once, and its data block cut off."""
    for blanks in (1900, 2100, 30_000, 65_000, 65_500, 65_523, 65_524, 65_530, 70_000):
        wire = shared_lab.wire(pair[0])
        wire.send(b"set k 0 0 10" + b" " * blanks + b"\n")
        pair[0].wait_read()
        with contextlib.suppress(OSError):  # it may have been closed
            wire.send(b"app secret\r\nquit\r\n")
            wire.shutdown_write()
        assert wire.read_to_close() in (b"STORED\r\n", NOBODY * 3, b"")
        wire.close()


def test_a_login_that_is_too_long_is_refused_and_closed(shared_lab, pair):
    for size in (1153, 100_000, 99_999_999, 99_999_999_999):
        wire = shared_lab.wire(pair[0])
        wire.send(b"set k 0 0 %d\r\napp " % size)
        wire.expect_closed(WRONG)


def test_nothing_is_kept_for_the_next_client(shared_lab, pair):
    for _ in range(50):
        wire = shared_lab.wire(pair[0])
        wire.command(b"get a\r\n", NOBODY)
        wire.command(GOOD + b"get a\r\n", b"STORED\r\nEND\r\n")
        wire.close()
    wire = shared_lab.wire(pair[0])
    wire.send(b"get a\r\n" * 3)
    wire.expect(NOBODY * 3)


def test_a_second_login_is_a_command(shared_lab, pair):
    wire = after_login(shared_lab.wire(pair[0]))
    wire.command(GOOD, b"STORED\r\n")
    assert wire.get("k") == b"app secret", "any key but one is stored, once logged in"
    wire.command(b"delete k\r\n", b"DELETED\r\n")
    wire.command(login("bob", "hunter2", KEY) + b"get %s\r\n" % KEY, b"STORED\r\nEND\r\n")
    wire.command(login("bob", "no", KEY), WRONG)
    wire.in_step()


# Optional logins


def test_optional_logins(lab):
    servers = lab.memcacheds(1)
    ringside = start(lab, "optional", servers=servers,
                     access=[{"user": "app", "commands": ["all"]}, {"user": "*", "commands": ["get"]}])
    wire = lab.wire(ringside)
    wire.command(b"get a\r\nset a 0 0 1\r\nx\r\n", b"END\r\n" + DENIED)
    wire.command(GOOD, DENIED)
    wire.command(login("app", "wrong", KEY), WRONG)
    wire.command(b"add %s 0 0 10\r\napp secret\r\n" % KEY, DENIED)
    wire.command(b"set %s 0 0 3\r\napp\r\n" % KEY, b"CLIENT_ERROR bad authentication token format\r\n")
    wire.command(b"set %s 0 0 10\r\napp secretxy" % KEY, b"CLIENT_ERROR bad data chunk\r\n")
    wire.command(b"set a 0 0 1\r\nx\r\n", DENIED)
    # Before and behind it, in one write.
    wire.command(b"get a\r\n" + login("app", "secret", KEY) + REST, b"END\r\nSTORED\r\n" + REST_ANSWER)
    wire.in_step()
    lab.wire(ringside).command(b"set a 0 0 1\r\nx\r\n", DENIED)
    assert servers[0].value(KEY) is None


def test_an_optional_login_without_reply(lab):
    ringside = start(lab, "optional", access=[{"user": "app", "commands": ["all"]}])
    wire = lab.wire(ringside)
    for body in (b"app wrong", b"app", b"no such"):
        wire.send(b"set %s 0 0 %d noreply\r\n%s\r\n" % (KEY, len(body), body))
    wire.command(b"get a\r\n", DENIED)
    wire.send(b"set %s 0 0 10 noreply\r\napp secret\r\n" % KEY)
    wire.in_step()


def test_a_login_never_reaches_a_server_whatever_its_size(lab):
    servers = lab.memcacheds(1)
    ringside = start(lab, "optional", servers=servers)
    before = int(servers[0].stats()["cmd_set"])
    wire = lab.wire(ringside)
    for size in (1150, 1153, 2000, 60_000, 70_000, 200_000, 1_000_000):
        wire.send(b"set %s 0 0 %d\r\n" % (KEY, size) + b"app secret".ljust(size, b"x") + b"\r\n")
        wire.expect(WRONG)
        wire.send(b"set %s 0 0 %d noreply\r\n" % (KEY, size) + b"app secret".ljust(size, b"x") + b"\r\n")
    wire.command(b"get %s\r\n" % KEY, b"END\r\n")
    assert int(servers[0].stats()["cmd_set"]) == before
    wire.in_step()


def test_deny_does_not_stop_a_login(lab):
    ringside = start(lab, "optional", listener={"deny": ["set"]},
                     access=[{"user": "app", "commands": ["read", "write"]}])
    wire = lab.wire(ringside)
    wire.command(login("app", "secret", KEY) + b"get a\r\n", b"STORED\r\nEND\r\n")
    wire.command(b"set a 0 0 1\r\nx\r\n", b"CLIENT_ERROR set is denied on this listener\r\n")
    wire.command(b"get a\r\n", b"END\r\n")


# Failures, storms, leaving


@pytest.mark.slow
def test_a_wrong_password_is_answered_later_than_a_good_one(lab):
    ringside = start(lab)
    wrong, good = lab.wire(ringside), lab.wire(ringside)
    for _ in range(4):
        wrong.command(login("app", "wrong"), WRONG)
    wrong.send(login("app", "wrong"))
    ringside.wait_read()
    good.send(GOOD)
    readable, _, _ = select.select([wrong.sock, good.sock], [], [], DEADLINE_S)
    assert readable == [good.sock], "the one that is checked first is answered last"
    good.expect(b"STORED\r\n")
    wrong.expect(WRONG)
    wrong.command(GOOD + b"get a\r\n", b"STORED\r\nEND\r\n")


@pytest.mark.slow
def test_a_storm_of_logins_holds_up_nobody(lab):
    ringside = start(lab, costs={"ln": 13, "r": 8})
    served = after_login(lab.wire(ringside))
    storm = [lab.wire(ringside) for _ in range(200)]
    for wire in storm:
        wire.send(GOOD + b"get a\r\n")
    for i in range(300):
        served.set("k%d" % (i % 7), b"%d" % i)
        assert served.get("k%d" % (i % 7)) == b"%d" % i
    answers = []
    for wire in storm:
        answers.append(wire.read_line() + b"\r\n")
        wire.expect(b"END\r\n" if answers[-1] == b"STORED\r\n" else NOBODY)
    assert set(answers) <= {b"STORED\r\n", BUSY} and answers.count(b"STORED\r\n") >= 64
    for wire, answer in zip(storm, answers):
        while answer == BUSY:
            wire.send(GOOD)
            answer = wire.read_line() + b"\r\n"
        wire.command(b"get a\r\n", b"END\r\n")
    served.send(b"stats ringside\r\n")
    told = served.read_stats()
    assert told["ringside_logins"] == "201" and int(told["ringside_logins_failed"]) >= answers.count(BUSY)


@pytest.mark.slow
def test_a_flood_of_logins_from_elsewhere_holds_up_no_login(lab):
    """
    More clients than places in the queue try passwords by TCP, each again as soon as it is answered. One on the Unix socket
    logs in again and again: it is never told that too many wait.
    """
    path = lab.directory / "login.sock"
    listen = [{"address": "127.0.0.1:0", "auth": "required"}, {"address": "unix:%s" % path, "auth": "required", "mode": "0777"}]
    ringside = start(lab, costs={"ln": 14, "r": 8}, listen=listen)
    flood = [lab.wire(ringside) for _ in range(150)]
    for wire in flood:
        wire.send(login("app", "wrong") * 50)
    wire = lab.wire(flood[0].address)
    wire.send(GOOD)
    while wire.read_line() + b"\r\n" != BUSY:
        wire = lab.wire(flood[0].address)
        wire.send(login("else", "wrong"))
    for _ in range(10):
        with Wire("unix:%s" % path) as good:
            good.command(GOOD + b"get a\r\n", b"STORED\r\nEND\r\n")
    for wire in flood:
        wire.reset()


def test_clients_that_leave_during_a_check(lab):
    ringside = start(lab, costs=COSTLY)
    for how in ("close", "reset"):
        wires = [lab.wire(ringside) for _ in range(5)]
        for wire in wires:
            wire.send(GOOD)
        ringside.wait_read()
        for wire in wires:
            getattr(wire, how)()
    # While its answer is put off.
    wire = lab.wire(ringside)
    wire.send(login("app", "wrong"))
    ringside.wait_read()
    wire.reset()
    after_login(lab.wire(ringside)).in_step()


def test_the_end_comes_during_a_check(lab):
    ringside = start(lab, costs=COSTLY, limits={"drain": "200ms"})
    wires = [lab.wire(ringside) for _ in range(20)]
    for wire in wires:
        wire.send(GOOD)
    ringside.wait_read()
    ringside.terminate()
    for wire in wires:
        assert wire.read_to_close() in (b"", b"STORED\r\n")


# Reloads


def test_a_user_that_is_removed(lab):
    ringside = start(lab)
    users = lab.directory / "users"
    app, bob = after_login(lab.wire(ringside)), after_login(lab.wire(ringside), "bob", "hunter2")
    write_users(users, {"bob": "changed"})
    app.in_step()
    ringside.reload()
    app.command(b"get a\r\n" + GOOD, NOBODY + WRONG)
    bob.in_step()
    lab.wire(ringside).command(login("bob", "hunter2"), WRONG)
    app.command(login("bob", "changed") + b"get a\r\n", b"STORED\r\nEND\r\n")
    write_users(users, USERS)
    ringside.reload()
    after_login(lab.wire(ringside)).in_step()
    # A file that is not good leaves the old users.
    users.write_text("app\n")
    ringside.reload(expect="reload_failed")
    after_login(lab.wire(ringside)).in_step()


def test_a_user_that_is_removed_while_it_logs_in(lab):
    ringside = start(lab, costs=COSTLY)
    wires = [lab.wire(ringside) for _ in range(30)]
    for wire in wires:
        wire.send(GOOD)
    ringside.wait_read()
    write_users(lab.directory / "users", {"bob": "hunter2"})
    ringside.reload()
    for wire in wires:
        wire.send(b"get a\r\n")
        assert wire.read_line() in (b"STORED", WRONG[:-2])
        wire.expect(NOBODY)


def test_a_user_that_is_removed_in_the_middle_of_a_long_get(lab):
    ringside = start(lab)
    wire = after_login(lab.wire(ringside))
    wire.set("last", b"a secret")
    wire.send(b"get" + b" absent" * 20_000)
    ringside.wait_read()
    write_users(lab.directory / "users", {"bob": "hunter2"})
    ringside.reload()
    wire.send(b" last last\r\n")
    wire.expect(DENIED)
    wire.command(b"get last\r\n", NOBODY)


@pytest.mark.parametrize("keep_users", [True, False])
def test_clients_of_a_listener_that_has_gone_still_have_to_log_in(lab, keep_users):
    path = "unix:%s" % (lab.directory / "guarded.sock")
    listen = [{"address": path, "auth": "required"}, "127.0.0.1:0"]
    ringside = start(lab, listen=listen)
    plain, inside, outside = lab.wire(ringside.addresses[1]), lab.wire(path), lab.wire(path)
    after_login(inside)
    outside.command(b"get a\r\n", NOBODY)
    config = {"listen": ["127.0.0.1:0"], "pools": {"main": {"servers": [lab.servers[0].address]}}}
    if keep_users:
        config["users"] = {"file": str(lab.directory / "users")}
    ringside.reload(config)
    for _ in range(2):
        outside.command(b"get a\r\nflush_all\r\nversion\r\n", NOBODY * 3)
        ringside.reload(config)
    plain.in_step()
    if keep_users:
        inside.in_step()
        after_login(outside).in_step()
    else:
        inside.command(b"get a\r\n", NOBODY)
        outside.command(GOOD, WRONG)


def test_auth_is_turned_on_and_off(lab):
    ringside = start(lab, "none")
    wire = lab.wire(ringside)
    wire.in_step()
    config = {"listen": [{"address": "127.0.0.1:0", "auth": "required"}],
              "pools": {"main": {"servers": [lab.servers[0].address]}},
              "users": {"file": str(lab.directory / "users")}}
    ringside.reload(config)
    wire.command(b"get a\r\n" + GOOD + b"get a\r\n", NOBODY + b"STORED\r\nEND\r\n")
    other = lab.wire(ringside)
    other.command(b"get a\r\n", NOBODY)
    config["listen"] = ["127.0.0.1:0"]
    ringside.reload(config)
    other.in_step()
    wire.in_step()


# By what the connection tells


def test_peers_of_a_unix_socket(lab):
    path = "unix:%s" % (lab.directory / "peers.sock")
    uid = os.getuid()

    def config(peers):
        return {"listen": [{"address": path, "auth": "required", "peers": peers}, {"address": "127.0.0.1:0"}],
                "pools": {"main": {"servers": [lab.servers[0].address]}},
                "access": [{"user": "app", "commands": ["all"]}, {"user": "other", "commands": ["get"]}]}
    lab.memcached()
    ringside = lab.ringside(config({str(uid): "app", str(uid + 1): "other"}))
    wire = lab.wire(path)
    wire.in_step()
    lab.wire(ringside.addresses[1]).command(b"get a\r\n", DENIED)
    ringside.reload(config({str(uid): "other"}))
    for connection in (wire, lab.wire(path)):
        connection.command(b"get a\r\nset a 0 0 1\r\nx\r\n", b"END\r\n" + DENIED)
    ringside.reload(config({str(uid + 1): "app"}))
    for connection in (wire, lab.wire(path)):
        connection.command(b"get a\r\n", NOBODY)
    ringside.reload(config({str(uid): "app"}))
    wire.in_step()


def make_certificates(directory, *names):
    """ca.pem, and NAME.pem with NAME.key for a server and for clients, all by the same authority."""
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=directory, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=DEADLINE_S)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority",
            "-addext", "basicConstraints=critical,CA:TRUE")
    for name in names:
        openssl("req", *curve, "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name)
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1",
                "-out", name + ".pem")


def tls_wire(lab, ringside, name=None):
    """
    A Wire over TLS, which shows the certificate of that name, if any. By TLS 1.2, where the handshake ends here when it has
    ended there.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(lab.directory / "ca.pem")
    if name is not None:
        context.load_cert_chain(lab.directory / (name + ".pem"), lab.directory / (name + ".key"))
    wire = Wire.__new__(Wire)
    wire.address, wire.deadline_s, wire.pending = ringside.address, DEADLINE_S, bytearray()
    wire.sock = context.wrap_socket(connect(ringside.address, tls=False))
    lab.wires.append(wire)
    return wire


def test_names_in_certificates(lab):
    make_certificates(lab.directory, "server", "app", "eve")
    ringside = start(lab, listener={"tls": {
        "certificate": "server.pem", "key": "server.key", "client_ca": "ca.pem", "client_certificate": "request"}},
        access=[{"user": "app", "commands": ["read", "write"]}, {"user": "bob", "commands": ["read"]}])
    tls_wire(lab, ringside, "app").in_step()
    # A name that no rule has is a user, who may do nothing.
    eve = tls_wire(lab, ringside, "eve")
    eve.command(b"get a\r\n", DENIED)
    eve.command(login("bob", "hunter2", KEY), b"STORED\r\n")
    eve.command(b"get a\r\nset a 0 0 1\r\nx\r\n", b"END\r\n" + DENIED)
    without = tls_wire(lab, ringside)
    without.command(b"get a\r\n", NOBODY)
    without.command(login("bob", "hunter2") + b"get a\r\n", b"STORED\r\nEND\r\n")
    # When the user goes, the name in the certificate is what is left.
    write_users(lab.directory / "users", {"app": "secret"})
    ringside.reload()
    eve.command(b"get a\r\n", DENIED)
    without.command(b"get a\r\n", NOBODY)


# Secrets


def test_no_password_shows_anywhere(lab):
    words = ["hush-client-1", "hush-client-2", "hush-server-3", "hush-server-4"]
    right, wrong, upstream, elsewhere = words
    (lab.directory / "secret").write_text(upstream + "\n")
    server = guarded_memcached(lab, {"pool": upstream})
    config = {"log": {"level": "debug"},
              "pools": {"main": {"servers": [server.address], "auth": {"user": "pool", "password_file": "secret"}},
                        "other": {"servers": [server.address], "auth": {"user": "pool", "password_env": "HUSH"}}},
              "route": {"prefix": {"other:": "other", "*": "main"}},
              "listen": [{"address": "127.0.0.1:0", "auth": "optional"}],
              "users": {"file": str(write_users(lab.directory / "users", {"app": right}))}}
    ringside = lab.ringside(config, env={"HUSH": elsewhere})
    wire = lab.wire(ringside)
    wire.command(login("app", wrong, KEY), WRONG)
    wire.command(login("no", wrong, KEY), WRONG)
    wire.command(login("app", right, KEY), b"STORED\r\n")
    wire.command(b"set %s 0 0 9\r\nx %s\r\n" % (KEY, right[:7].encode()), WRONG)
    wire.in_step()
    shown = [wire.line(b"get other:a")]
    assert shown[0].startswith(b"SERVER_ERROR ")
    for form in ("", "settings", "items", "slabs", "ringside", "servers", "pools", "routes"):
        wire.send(("stats " + form).strip().encode() + b"\r\n")
        shown.append(wire.read_until(b"END\r\n"))
    ringside.reload()
    ringside.signal(signal.SIGHUP)
    shown.append(run_ringside("plan", ringside.config_path, ringside.config_path).stdout)
    (lab.directory / "bad").write_text("HUSH " + right + "\n" + right + "\n")
    config["pools"]["main"]["auth"]["password_file"] = "bad"
    config["users"] = {"file": str(lab.directory / "bad")}
    ringside.reload(config, expect="reload_failed")
    with open("/proc/%d/cmdline" % ringside.pid, "rb") as file:
        shown.append(file.read())
    wire.in_step()
    ringside.terminate()
    shown.append(ringside.log_text().encode())
    assert b"login_failed" in shown[-1] and b"login_refused" in shown[-1]
    for word in words:
        for text in shown:
            assert word.encode() not in text, "%s in %r" % (word, text)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees into a process that lets nobody see into it")
def test_no_core_is_dumped(lab):
    if any(mark in ringside_path().read_bytes() for mark in (b"__asan_init", b"__tsan_init", b"__msan_init")):
        pytest.skip("a sanitizer looks into its own process")
    ringside = start(lab, user="nobody")
    after_login(lab.wire(ringside)).in_step()
    # What is not dumpable belongs to root in /proc: see proc(5).
    assert os.stat("/proc/%d/mem" % ringside.pid).st_uid == 0
    with open("/proc/%d/status" % ringside.pid, encoding="utf-8") as status:
        (uids,) = [line.split()[1:] for line in status if line.startswith("Uid:")]
    assert "0" not in uids


def test_what_is_not_a_client(lab):
    """Garbage before the login: no crash, and others are served."""
    ringside = start(lab)
    served = after_login(lab.wire(ringside))
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x01" + os.urandom(5000), b"\0" * 5000,
                 b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
        wire = lab.wire(ringside)
        wire.send(data)
        with contextlib.suppress(OSError):
            wire.sock.shutdown(socket.SHUT_WR)
        assert set(wire.read_to_close().split(b"\r\n")) <= {NOBODY[:-2], b""}
    served.in_step()
