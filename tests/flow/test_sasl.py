"""
SASL PLAIN of binary clients: who gets in, what is answered before that, as `memcached -S` does it; access rules by user; and
that no password is told to anybody. SCRAM has its own file, test_scram.py.
"""

import base64
import os

import pytest

from binary import END_OPAQUE, BinaryWire, Replies, count, packet, store, timed
from sasl import DENIED, guarded, login, plain, told, users_file
from saslserver import sasl_memcached

pytestmark = pytest.mark.sanitize

PASSWORDS = {"app": b"s3cret-of-app", "bob": b"\xc3\xbc with blanks ", "twin": b"s3cret-of-app"}
GOOD = login(plain(b"app", PASSWORDS["app"]))


@pytest.fixture(scope="module")
def required(shared_lab, tmp_path_factory):
    return guarded(shared_lab, tmp_path_factory.mktemp("required"), PASSWORDS)


@pytest.fixture(scope="module")
def optional(shared_lab, tmp_path_factory):
    return guarded(shared_lab, tmp_path_factory.mktemp("optional"), PASSWORDS, "optional")


def enter(wire, user, password=None):
    reply = wire.one(login(plain(user.encode(), PASSWORDS[user] if password is None else password)))
    assert (reply.opcode, reply.status, reply.value) == (0x21, 0, b"Authenticated"), reply


# ---- Beside memcached -S ----

@pytest.fixture(scope="module")
def reference(shared_lab, tmp_path_factory):
    return sasl_memcached(shared_lab, tmp_path_factory.mktemp("sasl"), PASSWORDS)


WRONG = login(plain(b"nobody-1", b"x"))

ALIKE = {
    "list": [packet("sasl_list", opaque=b"abcd"), packet("sasl_list")],
    "good": [login(plain(b"app", PASSWORDS["app"]), opaque=b"abcd"), store("set", b"k", b"v"), packet("getk", b"k")],
    "good, any bytes": [login(plain(b"bob", PASSWORDS["bob"])), packet("noop")],
    "wrong": [login(plain(b"nobody-2", b"x"), opaque=b"abcd")],
    "wrong by a byte": [login(plain(b"twin", PASSWORDS["twin"][:-1]))],
    "wrong, then good": [WRONG, GOOD, packet("noop")],
    "good, then wrong": [GOOD, packet("noop"), WRONG, packet("noop")],
    "good, then no user": [GOOD, packet("noop"), login(b"\0\0x"), packet("noop")],
    "acting for oneself": [login(plain(b"app", PASSWORDS["app"], b"app")), packet("noop")],
    "acting for another": [login(plain(b"app", PASSWORDS["app"], b"bob")), packet("noop")],
    "acting for nobody known": [login(plain(b"app", PASSWORDS["app"], b"x" * 300)), packet("noop")],
    "acting for a part of oneself": [login(plain(b"app", PASSWORDS["app"], b"ap")), packet("noop")],
    "without NUL": [login(b"app"), packet("sasl_list")],
    "with one NUL": [login(b"\0app"), packet("sasl_list")],
    "no user": [login(b"\0\0secret"), packet("sasl_list")],
    "no password": [login(b"\0app\0"), packet("sasl_list")],
    "NULs alone": [login(b"\0\0"), packet("sasl_list")],
    "too many NULs": [login(plain(b"nobody-3", b"x\0y")), packet("sasl_list")],
    "another mechanism": [login(b"x", b"CRAM-MD5"), packet("sasl_list")],
    "a step without a start": [login(plain(b"app", PASSWORDS["app"]), op="sasl_step"), packet("sasl_list")],
    "a step of another mechanism": [login(b"x", b"OTHER", "sasl_step"), packet("sasl_list")],
    "too long": [login(plain(b"app", b"s" * 5000)), packet("sasl_list")],
    "much too long": [login(plain(b"app", b"s" * 200000)), packet("sasl_list")],
    "no mechanism": [login(b"\0app\0x", b""), packet("sasl_list")],
    "a list with a key": [packet("sasl_list", b"k"), packet("sasl_list")],
    "the version is for all": [packet("version", opaque=b"abcd"), packet("sasl_list")],
    "a version with a key": [packet("version", b"k")],
    "a body shorter than its key": [packet("get", b"key", body=2)],
}

# Before a login these are answered 0x20, and the connection is closed.
CLOSED = {name: packet(name, b"k") for name in ("get", "getq", "getk", "getkq", "delete", "deleteq")}
CLOSED.update({name: store(name, b"k", b"v") for name in ("set", "setq", "add", "addq", "replace", "replaceq")})
CLOSED.update({name: packet(name, b"k", b"", b"v") for name in ("append", "appendq", "prepend", "prependq")})
CLOSED.update({name: count(name, b"k") for name in ("incr", "incrq", "decr", "decrq")})
CLOSED.update({name: timed(name, b"k") for name in ("touch", "gat", "gatq", "gatk", "gatkq")})
CLOSED.update({name: packet(name) for name in ("noop", "quit", "quitq", "stat", "flush", "flushq")})
CLOSED["stat of an argument"] = packet("stat", b"ringside")
CLOSED["verbosity"] = packet("verbosity", b"", b"\0\0\0\1")
CLOSED["an opcode that is not known"] = packet(0x66, b"k", b"", b"v")
CLOSED["a get without a key"] = packet("get")
CLOSED["a key that is too long"] = packet("get", b"k" * 251)
CLOSED["a key that is no text"] = packet("get", b"\r\n" * 100)


@pytest.mark.parametrize("name", ALIKE)
def test_as_memcached(required, reference, name):
    expected, got = (told(side, *ALIKE[name]) for side in (reference, required))
    assert [reply.masked() for reply in got] == [reply.masked() for reply in expected]


@pytest.mark.parametrize("name", CLOSED)
def test_nothing_before_the_login(required, name):
    """0x20 and the close, whatever comes behind it."""
    replies = told(required, CLOSED[name], GOOD, packet("version"))
    assert [(reply.opcode, reply.status, reply.value) for reply in replies] == [
        (CLOSED[name][1], DENIED, b"Auth failure.")]


@pytest.mark.parametrize("name", CLOSED)
def test_nothing_before_the_login_as_memcached(reference, required, name):
    expected, got = (told(side, CLOSED[name]) for side in (reference, required))
    assert [reply.masked() for reply in got] == [reply.masked() for reply in expected]


# ---- Where it differs from memcached, on purpose ----

def test_the_list_keeps_the_login(required):
    """memcached forgets who one is at each list."""
    assert [reply.status for reply in told(required, GOOD, packet("sasl_list"), packet("noop"))] == [0] * 4


def test_a_message_that_comes_with_a_step_is_refused(required):
    """PLAIN is one message, and comes with the mechanism's name; memcached would wait for it."""
    replies = told(required, login(b""), login(plain(b"app", PASSWORDS["app"]), op="sasl_step"))
    assert [reply.status for reply in replies] == [DENIED] * 3


def test_another_login_behind_a_good_one(required):
    """Which memcached refuses, once for each good one."""
    replies = told(required, GOOD, packet("noop"), login(plain(b"bob", PASSWORDS["bob"])), packet("noop"), GOOD)
    assert [reply.status for reply in replies] == [0] * 6


def test_mechanisms_are_named_in_capital_letters(required):
    replies = told(required, login(plain(b"app", PASSWORDS["app"]), b"plain"), login(b"x", b"x" * 250))
    assert [reply.status for reply in replies] == [DENIED] * 3


# ---- Bytes in pieces, and what follows a login ----

def test_split_at_every_byte(required):
    stream = packet("sasl_list") + GOOD + store("set", b"split", b"value") + packet("getk", b"split")
    stream += packet("noop", opaque=END_OPAQUE)
    for at in range(1, len(stream)):
        with BinaryWire(required) as wire:
            replies = wire.run_pieces([stream[:at], stream[at:]])
            assert [reply.status for reply in replies] == [0] * 4, (at, replies)
            assert replies[0].value == b"PLAIN" and replies[3].value == b"value"
    with BinaryWire(required) as wire:
        replies = wire.run_pieces([stream[i:i + 1] for i in range(len(stream))])
        assert [reply.status for reply in replies] == [0] * 4


def test_commands_behind_the_login(required):
    """They wait for it, and are worked off in order; a large value too."""
    large = os.urandom(300000)
    stream = [GOOD] + [store("setq", b"behind:%d" % i, b"%d" % i) for i in range(300)]
    stream += [store("set", b"behind:large", large)] + [packet("getk", b"behind:%d" % i) for i in range(300)]
    stream += [packet("get", b"behind:large")]
    with BinaryWire(required) as wire:
        replies = wire.run(*stream)
        assert [reply.status for reply in replies] == [0] * 303
        assert [reply.value for reply in replies[2:302]] == [b"%d" % i for i in range(300)]
        assert replies[302].value == large


def test_commands_behind_a_wrong_login(required):
    replies = told(required, login(plain(b"nobody-4", b"x")), store("setq", b"never", b"x" * 300000), packet("noop"))
    assert [(reply.opcode, reply.status) for reply in replies] == [(0x21, DENIED), (0x11, DENIED)]
    assert [reply.status for reply in told(required, GOOD, packet("get", b"never"))] == [0, 1, 0]


def test_the_reply_keeps_its_place(optional):
    """A login behind requests that are under way."""
    with BinaryWire(optional) as wire:
        for i in range(20):
            replies = wire.run(store("set", b"place", b"x" * 100000), packet("getk", b"place"), GOOD, packet("sasl_list"),
                               packet("getk", b"place"))
            assert [reply.opcode for reply in replies] == [0x01, 0x0c, 0x21, 0x20, 0x0c]
            assert [reply.status for reply in replies] == [0] * 5


def test_clients_that_leave_while_their_password_is_checked(required):
    for message in (GOOD, login(plain(b"nobody-5", b"x"))):
        for leave in (BinaryWire.reset, BinaryWire.close):
            for _ in range(10):
                wire = BinaryWire(required)
                wire.send(message + store("set", b"left", b"x"))
                leave(wire)
    with BinaryWire(required) as wire:
        enter(wire, "app")
        wire.in_step()


def test_many_at_once(required):
    wires = [BinaryWire(required) for _ in range(30)]
    for i, wire in enumerate(wires):
        name = b"app" if i % 3 else b"stranger-%d" % i
        wire.send(login(plain(name, PASSWORDS["app"]), opaque=b"%4d" % i) + packet("noop", opaque=END_OPAQUE))
    for i, wire in enumerate(wires):
        replies = Replies().feed(bytearray(wire.read_exactly(24 + len("Authenticated" if i % 3 else "Auth failure.")))).all
        assert [(r.status, r.opaque) for r in replies] == [(0 if i % 3 else DENIED, b"%4d" % i)]
        wire.close()


# ---- auth ----

def test_optional(optional):
    with BinaryWire(optional) as wire:
        wire.in_step()
        assert wire.one(packet("sasl_list")).value == b"PLAIN"
        assert wire.one(login(plain(b"nobody-6", b"x"))).status == DENIED
        wire.in_step()
        enter(wire, "app")
        wire.in_step()


def test_none(lab, tmp_path):
    """As a memcached without SASL, though there are users."""
    with BinaryWire(guarded(lab, tmp_path, PASSWORDS, "none")) as wire:
        replies = wire.run(packet("sasl_list"), GOOD, login(b"x", op="sasl_step"))
        assert [(reply.status, reply.value) for reply in replies] == [(0x81, b"Unknown command")] * 3
        wire.in_step()


def test_a_user_that_a_reload_takes_away(lab, tmp_path):
    ringside = guarded(lab, tmp_path, PASSWORDS)
    with BinaryWire(ringside) as bob, BinaryWire(ringside) as app:
        enter(bob, "bob")
        enter(app, "app")
        users_file(tmp_path / "users", {"app": PASSWORDS["app"]})
        ringside.reload()
        app.in_step()
        bob.send(packet("noop"))
        assert bob.read_to_close()[6:8] == b"\0\x20"


# ---- Access rules ----

GROUPS = {"read": ["get", "getq", "getk", "getkq"],
          "write": [name for name in CLOSED if name.rstrip("q") in ("set", "add", "replace", "append", "prepend", "delete")],
          "arithmetic": ["incr", "incrq", "decr", "decrq"], "touch": ["touch", "gat", "gatq", "gatk", "gatkq"],
          "admin": ["stat", "verbosity", "flush", "flushq"], "none": [], "all": []}


@pytest.fixture(scope="module")
def ruled(shared_lab, tmp_path_factory):
    """A user for each group of commands, with that group's name; and some for keys."""
    rules = [{"user": group, "commands": [group]} for group in GROUPS]
    rules += [{"user": "app", "keys": ["app:*", "one"], "commands": ["read", "write", "arithmetic", "touch"]},
              {"user": "*", "keys": ["public:*"], "commands": ["read"]}]
    passwords = {name: name.encode() for name in list(GROUPS) + ["app", "bob"]}
    return guarded(shared_lab, tmp_path_factory.mktemp("ruled"), passwords, "optional", access=rules)


def is_refused(wire, data):
    replies = wire.run(data)
    refused = [reply for reply in replies if reply.status == DENIED]
    assert not refused or (len(replies) == 1 and refused[0].value == b"access denied"), replies
    return bool(refused)


@pytest.mark.parametrize("group", GROUPS)
def test_commands_by_user(ruled, group):
    with BinaryWire(ruled) as wire:
        enter(wire, group, group.encode())
        for other, names in GROUPS.items():
            for name in names:
                assert is_refused(wire, CLOSED[name]) == (group not in (other, "all")), name
        assert not is_refused(wire, packet("noop"))
        assert is_refused(wire, packet("version")) == (group == "none")
        assert is_refused(wire, store("set", b"k", b"v", cas=9)) == (group not in ("write", "all"))


KEYS = [b"app:k", b"one", b"app:", b"app:\0\r\n \xff", b"app:" + b"x" * 246, b"app:" + b" " * 182]
OTHERS = [b"k", b"on", b"one2", b"one ", b"app", b"\0app:k", b" app:k", b"APP:k", b"one\0", b"\xff" * 250]


def test_keys_by_user(ruled):
    made = {"get": packet, "set": lambda op, key: store(op, key, b"v"), "setq": lambda op, key: store(op, key, b"v"),
            "incr": count, "gatk": timed, "touch": timed, "deleteq": packet, "append": lambda op, key: packet(op, key, b"", b"v")}
    with BinaryWire(ruled) as wire:
        enter(wire, "app", b"app")
        for key in KEYS + OTHERS:
            for op, make in made.items():
                assert is_refused(wire, make(op, key)) == (key in OTHERS), (op, key)
        assert is_refused(wire, packet("flush")) and is_refused(wire, packet("stat"))


def test_nobody(ruled):
    with BinaryWire(ruled) as nobody, BinaryWire(ruled) as all_:
        enter(all_, "all", b"all")
        assert all_.one(store("set", b"public:k", b"news")).status == 0
        assert nobody.one(packet("get", b"public:k")).value == b"news"
        assert is_refused(nobody, store("set", b"public:k", b"x")) and is_refused(nobody, timed("gat", b"public:k"))
        assert is_refused(nobody, packet("getq", b"app:k"))


def test_a_wrong_login_leaves_nobody(ruled):
    """A connection that two users share by turns: who fails does not go on as the one before."""
    with BinaryWire(ruled) as wire:
        enter(wire, "app", b"app")
        assert not is_refused(wire, store("set", b"app:turn", b"v"))
        assert wire.one(login(plain(b"nobody-7", b"x"))).status == DENIED
        assert is_refused(wire, packet("get", b"app:turn"))
        enter(wire, "bob", b"bob")
        assert is_refused(wire, packet("get", b"app:turn"))
        enter(wire, "app", b"app")
        assert not is_refused(wire, packet("delete", b"app:turn"))


@pytest.mark.parametrize("op", ["set", "setq"])
def test_a_set_that_is_too_large_removes_only_what_one_may_write(ruled, op):
    large = b"x" * ((1 << 20) + 1)
    with BinaryWire(ruled) as all_, BinaryWire(ruled) as app, BinaryWire(ruled) as nobody:
        enter(all_, "all", b"all")
        enter(app, "app", b"app")
        for key in (b"app:large", b"other:large", b"public:large", b"app:\r\nlarge"):
            assert all_.one(store("set", key, b"old")).status == 0
        assert app.one(store(op, b"other:large", large)).status == 3
        assert nobody.one(store(op, b"public:large", large)).status == 3
        assert nobody.one(store(op, b"app:large", large)).status == 3
        assert [all_.one(packet("get", key)).value for key in (b"app:large", b"other:large", b"public:large")] == [b"old"] * 3
        assert app.one(store(op, b"app:large", large)).status == 3
        assert app.one(store(op, b"app:\r\nlarge", large)).status == 3
        assert [all_.one(packet("get", key)).status for key in (b"app:large", b"app:\r\nlarge")] == [1, 1]


def test_a_large_value_of_a_forbidden_key(ruled):
    """It is dropped whole, whatever stands in it."""
    inside = store("set", b"app:inside", b"v") * 3000
    with BinaryWire(ruled) as app, BinaryWire(ruled) as nobody:
        enter(app, "app", b"app")
        assert is_refused(nobody, store("set", b"app:k", inside)) and is_refused(nobody, packet("append", b"k", b"", inside))
        assert app.one(packet("get", b"app:inside")).status == 1


# ---- Secrets ----

def test_no_secrets_are_told(lab, tmp_path):
    ringside = guarded(lab, tmp_path, PASSWORDS, log={"level": "debug"})
    messages = [plain(b"app", PASSWORDS["app"]), plain(b"bob", PASSWORDS["bob"]), plain(b"app", b"n0t-the-password"),
                plain(b"strange-name", b"oth3r-password"), plain(b"app", b"l0ng-password" * 400), b"n0-nul-at-all",
                plain(b"app", b"acts-f0r-another", b"bob")]
    said = b""
    for message in messages + [b"an0ther-mechanism"]:
        mechanism = b"LOGIN" if message.startswith(b"an0") else b"PLAIN"
        said += b"".join(reply.value for reply in told(ringside, login(message, mechanism)))
    with BinaryWire(ringside) as wire:
        enter(wire, "app")
        stats = {}
        for argument in (b"", b"ringside", b"servers", b"pools", b"routes", b"settings"):
            for reply in wire.run(packet("stat", argument) if argument else packet("stat")):
                stats[reply.key] = reply.value
    said += b"".join(key + value for key, value in stats.items()) + ringside.log_text().encode()
    assert int(stats[b"ringside_logins"]) == 3 and int(stats[b"ringside_logins_failed"]) == 2
    assert len(ringside.log("login_failed")) == 2
    for secret in (PASSWORDS["app"], PASSWORDS["bob"], b"n0t-the", b"oth3r", b"l0ng", b"n0-nul", b"acts-f0r", b"an0ther",
                   b"strange-name"):
        assert secret not in said and base64.b64encode(secret)[:-4] not in said
    hashes = [line.split("$")[-1] for line in (tmp_path / "users").read_text().splitlines()]
    assert not any(key.encode() in said for key in hashes)
