"""
SASL SCRAM-SHA-256 of binary clients: who gets in, and that the server shows itself too; what ends an exchange; that a name that
is not known looks like one that is; and that it is the same for clients that are not ours (Cyrus SASL, libmemcached).
"""

import base64
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from binary import END_OPAQUE, BinaryWire, packet, store
from harness import DEADLINE_S, pool_of, split_address
from sasl import (CONTINUE, DENIED, SCRAM, ScramClient, ask, guarded, login, plain, read_reply, told, users_file)
from saslserver import sasl_memcached

pytestmark = pytest.mark.sanitize

BUSY = 0x85
# By SCRAM, and by PLAIN. Who has no keys has no SCRAM.
SCRAMS = {"app": b"pencil", "bob": b"\xc3\xbc with blanks ", "a,b=c": b"odd"}
PLAINS = {"app": b"plain-pencil", "bob": b"plain-bob", "a,b=c": b"plain-odd", "keyless": b"pencil"}
SUPPORT = Path(__file__).resolve().parent.parent / "support"
CLIENTS = Path(__file__).resolve().parent / "clients"


@pytest.fixture(scope="module")
def required(shared_lab, tmp_path_factory):
    return guarded(shared_lab, tmp_path_factory.mktemp("required"), PLAINS, scram=SCRAMS)


@pytest.fixture(scope="module")
def optional(shared_lab, tmp_path_factory):
    return guarded(shared_lab, tmp_path_factory.mktemp("optional"), PLAINS, "optional", scram=SCRAMS)


def client(user="app", password=None, **more):
    return ScramClient(user.encode(), SCRAMS.get(user, b"pencil") if password is None else password, **more)


def is_in(wire):
    """On a listener that insists on a login; the connection may be closed by asking."""
    return ask(wire, packet("noop")).status == 0


def is_denied(reply, opcode=0x22):
    return (reply.opcode, reply.status, reply.value) == (opcode, DENIED, b"Auth failure.")


def logins(ringside):
    with BinaryWire(ringside) as wire:
        ask(wire, login(plain(b"app", PLAINS["app"])))
        stats = {reply.key: reply.value for reply in wire.run(packet("stat", b"ringside"))}
    return int(stats[b"ringside_logins"]) - 1, int(stats[b"ringside_logins_failed"])


# ---- Who gets in ----

@pytest.mark.parametrize("user", SCRAMS)
@pytest.mark.parametrize("gs2", [b"n,,", b"y,,", b"n,a=%s,"])
def test_in(required, user, gs2):
    with BinaryWire(required) as wire:
        escaped = user.replace("=", "=3D").replace(",", "=2C").encode()
        client(user, gs2=gs2.replace(b"%s", escaped)).enter(wire)
        wire.in_step()


def test_extensions_that_may_be_passed_over(required):
    with BinaryWire(required) as wire:
        one = client()
        one.bare += b",e=more,t=a=b"
        one.first = one.gs2 + one.bare
        reply = ask(wire, login(one.first, SCRAM))
        reply = ask(wire, login(one.final(reply.value, b",x=y"), SCRAM, "sasl_step"))
        assert (reply.status, reply.value) == (0, one.expected)
        wire.in_step()


@pytest.mark.parametrize("user, password", [
    ("app", b"Pencil"), ("app", b""), ("app", PLAINS["app"]), ("keyless", PLAINS["keyless"]), ("nobody-1", b"pencil"),
    ("App", b"pencil"), ("x" * 65, b"pencil"), ("x" * 500, b"pencil"), ("\u00fc", b"pencil")])
def test_out(required, user, password):
    mark, before = required.log_mark(), logins(required)
    with BinaryWire(required) as wire:
        assert is_denied(ask(wire, client(user, password).begin(wire)))
        assert not is_in(wire)
    assert logins(required) == (before[0] + 1, before[1] + 1)
    assert len(required.log("login_failed", after=mark)) == 1


def test_in_after_out(required):
    with BinaryWire(required) as wire:
        assert is_denied(ask(wire, client(password=b"wrong").begin(wire)))
        client().enter(wire)
        wire.in_step()


def test_out_after_in(required):
    """An attempt ends the login before it, as PLAIN's does."""
    with BinaryWire(required) as wire:
        client().enter(wire)
        wire.in_step()
        client("bob").begin(wire)
        assert not is_in(wire)


def test_one_after_another(required):
    with BinaryWire(required) as wire:
        for user in ("app", "bob", "app"):
            client(user).enter(wire)
            wire.in_step()
        assert ask(wire, login(plain(b"keyless", PLAINS["keyless"]))).status == 0
        wire.in_step()


def test_the_list(lab, tmp_path):
    """SCRAM is offered where everybody has keys: clients choose the strongest by themselves."""
    ringside = guarded(lab, tmp_path, PLAINS)
    for scram, expected in (({}, b"PLAIN"), (SCRAMS, b"PLAIN"), ({**SCRAMS, "keyless": b"x"}, b"PLAIN SCRAM-SHA-256")):
        users_file(tmp_path / "users", PLAINS, scram)
        ringside.reload()
        assert told(ringside, packet("sasl_list"))[0].value == expected


def test_rules_by_user(lab, tmp_path):
    rules = [{"user": "app", "keys": ["app:*"], "commands": ["all"]}]
    with BinaryWire(guarded(lab, tmp_path, PLAINS, "optional", scram=SCRAMS, access=rules)) as wire:
        assert wire.one(store("set", b"app:k", b"v")).status == DENIED
        client().enter(wire)
        assert [wire.one(store("set", key, b"v")).status for key in (b"app:k", b"k")] == [0, DENIED]


# ---- What ends an exchange ----

OTHERS = {
    "auth": login(b"n,,n=app,r=x", SCRAM), "auth plain": login(plain(b"app", PLAINS["app"])),
    "auth of no mechanism": login(b"x", b"OTHER"), "list": packet("sasl_list"), "version": packet("version"),
    "step of plain": login(b"x", b"PLAIN", "sasl_step"), "empty step": login(b"", SCRAM, "sasl_step"),
    "step that is too long": login(b"c=biws," + b"x" * 3000, SCRAM, "sasl_step"),
    "step that is much too long": login(b"c=biws," + b"x" * 300000, SCRAM, "sasl_step"),
    "step of plus": login(b"x", SCRAM + b"-PLUS", "sasl_step"),
}
REFUSED = set(OTHERS) - {"list", "version"}
HARMLESS = {"noop": packet("noop"), "get": packet("get", b"k"), "set": store("set", b"k", b"v"),
            "no opcode": packet(0x66, b"", b"", b"v"), "stat": packet("stat", b"ringside"),
            "verbosity": packet("verbosity", b"", b"\0\0\0\1")}


@pytest.mark.parametrize("name", OTHERS)
def test_another_in_between(required, name):
    with BinaryWire(required) as wire:
        final = client().begin(wire)
        reply = ask(wire, OTHERS[name])
        assert (reply.status != 0) == (name in REFUSED), reply
        if name in REFUSED:
            assert is_denied(reply, OTHERS[name][1])
        assert is_denied(ask(wire, final))
        client().enter(wire)
        wire.in_step()


@pytest.mark.parametrize("name", HARMLESS)
def test_a_command_in_between(optional, name):
    with BinaryWire(optional) as wire:
        final = client().begin(wire)
        assert wire.run(HARMLESS[name])
        assert is_denied(ask(wire, final))
        client().enter(wire)
        wire.in_step()


@pytest.mark.parametrize("command", [packet("noop"), packet("get", b"k"), store("setq", b"k", b"v")])
def test_a_command_in_between_where_a_login_is_required(required, command):
    with BinaryWire(required) as wire:
        final = client().begin(wire)
        wire.send(command + final)
        replies = wire.read_to_close()
        assert replies[6:8] == b"\0\x20" and len(replies) == 24 + len("Auth failure.")


def test_steps_out_of_place(required):
    with BinaryWire(required) as wire:
        final = client().begin(wire)
        assert ask(wire, final).status == 0
        assert is_denied(ask(wire, final)), "twice"
        wire.in_step()
    with BinaryWire(required) as wire:
        assert is_denied(ask(wire, final)), "without a start, and of another connection"
        client().begin(wire)
        assert is_denied(ask(wire, final)), "of another exchange"
        assert not is_in(wire)


FIRSTS = [b"", b"n,,", b"n,,n=app", b"n,,r=x", b"p=tls-unique,,n=app,r=x", b"n,,m=x,n=app,r=x", b"n,,n=app,r=x,m=y",
          b"n,a=bob,n=app,r=x", b"n,,n=,r=x", b"n,,n=app=,r=x", b"n,,n=app,r=x y", b"n,,n=app,r=x\0", b"\0app\0pencil",
          b"n,,n=app,r=" + b"x" * 1024, b"n,,n=app,r=" + b"x" * 5000, b"n,,n=app,r=" + b"x" * 100000]


@pytest.mark.parametrize("message", FIRSTS, ids=range(len(FIRSTS)))
def test_first_messages_that_are_refused(required, message):
    with BinaryWire(required) as wire:
        assert is_denied(ask(wire, login(message, SCRAM)), 0x21)
        assert is_denied(ask(wire, login(b"c=biws,r=x,p=", SCRAM, "sasl_step")))
        client().enter(wire)
        wire.in_step()


@pytest.mark.parametrize("mechanism", [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-1", b"scram-sha-256", b"SCRAM-SHA-256 ", b"SCRAM"])
def test_mechanisms_that_there_are_not(required, mechanism):
    with BinaryWire(required) as wire:
        assert is_denied(ask(wire, login(client().first, mechanism)), 0x21)


def test_the_longest_first_message(required):
    with BinaryWire(required) as wire:
        client(nonce=b"x" * 900).enter(wire)
        wire.in_step()


BROKEN = {
    "nonce": lambda message: message.replace(b",r=", b",r=x"),
    "nonce cut": lambda message: re.sub(rb"..,p=", b",p=", message),
    "binding": lambda message: message.replace(b"c=biws", b"c=eSws"),
    "no binding": lambda message: message.replace(b"c=biws,", b""),
    "base64": lambda message: message[:-5] + b"-" + message[-4:],
    "padding": lambda message: message.rstrip(b"="),
    "proof cut": lambda message: message[:-4],
    "proof long": lambda message: message + b"AAAA",
    "no proof": lambda message: message[:message.index(b",p=")],
    "m=": lambda message: message.replace(b",p=", b",m=x,p="),
    "behind the proof": lambda message: message + b",e=x",
    "NUL": lambda message: message + b"\0",
    "LF": lambda message: message + b"\n",
    "empty": lambda message: b"",
    "too long": lambda message: message.replace(b",p=", b",e=" + b"x" * 1000 + b",p="),
}


@pytest.mark.parametrize("name", BROKEN)
def test_final_messages_that_are_refused(required, name):
    mark = required.log_mark()
    with BinaryWire(required) as wire:
        final = client().begin(wire)[24 + len(SCRAM):]
        assert is_denied(ask(wire, login(BROKEN[name](final), SCRAM, "sasl_step")))
        assert is_denied(ask(wire, login(final, SCRAM, "sasl_step"))), "the exchange is over"
        client().enter(wire)
    assert required.log("login_failed", after=mark) == [], "no password was wrong"


# ---- Names that are not known ----

def challenge(ringside, user):
    """The salt and the iterations that it is given."""
    with BinaryWire(ringside) as wire:
        one = client(user)
        one.begin(wire)
    return one.salt, one.iterations


def test_an_unknown_name_looks_like_a_known_one(lab, tmp_path):
    ringside = guarded(lab, tmp_path, PLAINS, scram=SCRAMS)
    names = list(SCRAMS) + ["keyless", "nobody", "n" * 300]
    before = {name: challenge(ringside, name) for name in names}
    assert len({salt for salt, _ in before.values()}) == len(names)
    assert {(len(salt), count) for salt, count in before.values()} == {(16, 4096)}
    assert {name: challenge(ringside, name) for name in names} == before
    ringside.reload()
    assert {name: challenge(ringside, name) for name in names} == before


def test_nonces_differ(required):
    with BinaryWire(required) as wire:
        nonces = set()
        for _ in range(50):
            reply = ask(wire, login(b"n,,n=app,r=same", SCRAM))
            nonces.add(reply.value.split(b",")[0])
            assert is_denied(ask(wire, login(b"", SCRAM, "sasl_step")))
        assert len(nonces) == 50


# ---- Too many ----

def test_too_many_wrong_ones(lab, tmp_path):
    """The last ones are told that it is too many; and nothing of that outlasts the delays."""
    ringside = guarded(lab, tmp_path, PLAINS, scram=SCRAMS)
    wires = [BinaryWire(ringside) for _ in range(100)]
    finals = [client(password=b"wrong").begin(wire) for wire in wires]
    for wire, final in zip(wires, finals):
        wire.send(final)
    statuses = [read_reply(wire).status for wire in wires]
    assert set(statuses) == {DENIED, BUSY} and 64 <= statuses.count(DENIED) < 100
    for wire in wires:
        wire.close()
    limit = time.monotonic() + DEADLINE_S
    with BinaryWire(ringside) as wire:
        while ask(wire, client().begin(wire)).status == BUSY:
            assert time.monotonic() < limit
        wire.in_step()
    assert logins(ringside)[1] >= 100


# ---- Bytes in pieces, order, and clients that leave ----

def test_split_at_every_byte(required):
    one = client()
    first = login(one.first, SCRAM)
    for at in range(1, len(first)):
        with BinaryWire(required) as wire:
            wire.send(first[:at])
            reply = ask(wire, first[at:])
            final = login(one.final(reply.value), SCRAM, "sasl_step")
            split = min(at, len(final) - 1)
            wire.send(final[:split])
            reply = ask(wire, final[split:])
            assert (reply.status, reply.value) == (0, one.expected)
    with BinaryWire(required) as wire:
        wire.send_pieces([first[i:i + 1] for i in range(len(first))])
        final = login(one.final(read_reply(wire).value), SCRAM, "sasl_step")
        wire.send_pieces([final[i:i + 1] for i in range(len(final))])
        assert read_reply(wire).status == 0
        wire.in_step()


def test_commands_behind_the_login(required):
    large = os.urandom(300000)
    with BinaryWire(required) as wire:
        final = client().begin(wire)
        replies = wire.run(final, store("set", b"behind", large), packet("get", b"behind"))
        assert [reply.status for reply in replies] == [0] * 3 and replies[2].value == large


def test_commands_behind_a_wrong_login(required):
    with BinaryWire(required) as wire:
        final = client(password=b"wrong").begin(wire)
        wire.send(final + store("setq", b"never-by-scram", b"x" * 300000) + packet("noop"))
        received = wire.read_to_close()
        assert len(received) == 2 * (24 + len("Auth failure.")) and received[1] == 0x22 and received[24 + 13 + 1] == 0x11
    with BinaryWire(required) as wire:
        client().enter(wire)
        assert wire.one(packet("get", b"never-by-scram")).status == 1


def test_the_replies_keep_their_places(optional):
    with BinaryWire(optional) as wire:
        for password in (None, b"wrong"):
            one = client(password=password)
            wire.send(store("set", b"place", b"x" * 100000) + packet("getk", b"place") +
                      login(one.first, SCRAM, opaque=b"abcd"))
            replies = [read_reply(wire) for _ in range(3)]
            assert [reply.opcode for reply in replies] == [0x01, 0x0c, 0x21] and replies[2].opaque == b"abcd"
            final = login(one.final(replies[2].value), SCRAM, "sasl_step", opaque=b"efgh")
            wire.send(final + packet("getk", b"place") + packet("noop", opaque=END_OPAQUE))
            replies = [read_reply(wire) for _ in range(3)]
            assert [reply.opcode for reply in replies] == [0x22, 0x0c, 0x0a] and replies[0].opaque == b"efgh"
            assert replies[0].status == (0 if password is None else DENIED)


def test_clients_that_leave(required):
    for leave in (BinaryWire.reset, BinaryWire.close):
        for password in (None, b"wrong"):
            for _ in range(5):
                wire = BinaryWire(required)
                final = client(password=password).begin(wire)
                leave(wire)
                wire = BinaryWire(required)
                final = client(password=password).begin(wire)
                wire.send(final[:50])
                leave(wire)
                wire = BinaryWire(required)
                wire.send(client(password=password).begin(wire) + packet("noop"))
                leave(wire)
    with BinaryWire(required) as wire:
        while ask(wire, client().begin(wire)).status == BUSY:
            pass
        wire.in_step()


# ---- Reloads in the middle ----

def test_a_changed_password(lab, tmp_path):
    """The exchange ends by the keys that it began with."""
    ringside = guarded(lab, tmp_path, PLAINS, scram=SCRAMS)
    with BinaryWire(ringside) as wire, BinaryWire(ringside) as other:
        final = client().begin(wire)
        users_file(tmp_path / "users", PLAINS, {**SCRAMS, "app": b"another"})
        ringside.reload()
        assert ask(wire, final).status == 0
        wire.in_step()
        assert is_denied(ask(other, client().begin(other)))
        client(password=b"another").enter(other)


def test_a_user_that_is_taken_away(lab, tmp_path):
    ringside = guarded(lab, tmp_path, PLAINS, scram=SCRAMS)
    with BinaryWire(ringside) as wire:
        final = client().begin(wire)
        users_file(tmp_path / "users", {"bob": b"x"}, SCRAMS)
        ringside.reload()
        ask(wire, final)
        assert not is_in(wire)


def test_users_that_are_taken_away(lab, tmp_path):
    config = {"listen": [{"address": "127.0.0.1:0"}], "pools": {"main": pool_of([lab.memcached()])}, "route": "main"}
    ringside = lab.ringside({**config, "listen": [{"address": "127.0.0.1:0", "auth": "optional"}],
                             "users": users_file(tmp_path / "users", PLAINS, SCRAMS)})
    with BinaryWire(ringside) as wire, BinaryWire(ringside) as left:
        final = client().begin(wire)
        client().begin(left)
        ringside.reload(config)
        assert ask(wire, final).status in (0x81, DENIED)
        wire.in_step()


# ---- Clients that are not ours ----

def cyrus(wire, user, password):
    """Cyrus' libsasl2 over the wire; what it says at the end, and the last reply."""
    process = subprocess.Popen([sys.executable, SUPPORT / "saslclient.py", SCRAM, user], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, env={**os.environ, "PASSWORD": password.hex()})
    try:
        op, reply = "sasl_auth", None
        line = process.stdout.readline().strip()
        while re.fullmatch("([0-9a-f]{2})+", line):
            reply = ask(wire, login(bytes.fromhex(line), SCRAM, op))
            if reply.status not in (0, CONTINUE):
                break
            process.stdin.write(reply.value.hex() + "\n")
            process.stdin.flush()
            line, op = process.stdout.readline().strip(), "sasl_step"
        return line, reply
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("user", ["app", "bob", "a,b=c"])
def test_cyrus(required, user):
    """It checks the server's signature."""
    with BinaryWire(required) as wire:
        said, reply = cyrus(wire, user, SCRAMS[user])
        assert (said, reply.opcode, reply.status) == ("done", 0x22, 0)
        wire.in_step()


@pytest.mark.parametrize("user", ["app", "keyless", "nobody-2"])
def test_cyrus_with_a_wrong_password(required, user):
    with BinaryWire(required) as wire:
        assert is_denied(cyrus(wire, user, b"wrong")[1])


@pytest.mark.binary
@pytest.mark.plain("libmemcached speaks no TLS")
@pytest.mark.parametrize("argv", [[sys.executable, CLIENTS / "sasl/pylibmc_login.py"],
                                  ["php", CLIENTS / "sasl/memcached_login.php"]], ids=["pylibmc", "php-memcached"])
def test_libmemcached_chooses_it(lab, tmp_path, argv):
    """The password that PLAIN wants is another one."""
    ringside = guarded(lab, tmp_path, {"app": PLAINS["app"]}, scram={"app": b"pencil"})
    host, port = split_address(ringside.address)[1]
    for password, said in (("pencil", "in\n"), (PLAINS["app"].decode(), "refused\n")):
        done = subprocess.run(list(map(str, argv)) + [host, str(port), "app", password], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S)
        assert done.stdout == said, done.stderr


# ---- Beside memcached -S ----

@pytest.fixture(scope="module")
def reference(shared_lab, tmp_path_factory):
    return sasl_memcached(shared_lab, tmp_path_factory.mktemp("sasl"), SCRAMS, "plain scram-sha-256")


def test_the_list_as_memcached(reference, lab, tmp_path):
    ringside = guarded(lab, tmp_path, {"app": b"x"}, scram=SCRAMS)
    lists = [told(side, packet("sasl_list"))[0] for side in (reference, ringside)]
    assert sorted(lists[0].value.split(b" ")) == sorted(lists[1].value.split(b" ")) == [b"PLAIN", SCRAM]


AS_MEMCACHED = ["nonce", "binding", "no binding", "no proof", "proof cut", "m=", "empty"]


@pytest.mark.parametrize("name", AS_MEMCACHED)
def test_final_messages_as_memcached(reference, required, name):
    replies = []
    for side in (reference, required):
        with BinaryWire(side) as wire:
            final = client().begin(wire)[24 + len(SCRAM):]
            replies.append(ask(wire, login(BROKEN[name](final), SCRAM, "sasl_step")).masked())
    assert replies[0] == replies[1]


@pytest.mark.parametrize("message", FIRSTS[1:4] + FIRSTS[5:6] + FIRSTS[8:9], ids=str)
def test_first_messages_as_memcached(reference, required, message):
    """Left out are some that it takes at this point: channel binding, acting for another, `m=` at the end."""
    replies = [told(side, login(message, SCRAM), packet("sasl_list"))[0].masked() for side in (reference, required)]
    assert replies[0] == replies[1]


def test_the_end_differs(reference, required):
    """memcached says its last word with status 0x21, and wants an empty step; here it comes with the success."""
    with BinaryWire(reference) as wire:
        one = client()
        reply = ask(wire, one.begin(wire))
        assert (reply.status, reply.value) == (CONTINUE, one.expected)
        assert ask(wire, login(b"", SCRAM, "sasl_step")).status == 0
    with BinaryWire(required) as wire:
        one = client()
        reply = ask(wire, one.begin(wire))
        assert (reply.status, reply.value) == (0, one.expected)


# ---- Secrets ----

def test_no_secrets_are_told(lab, tmp_path):
    ringside = guarded(lab, tmp_path, PLAINS, scram=SCRAMS, log={"level": "debug"})
    finals = []
    for user, password in (("app", b"pencil"), ("app", b"wr0ng"), ("strange-name", b"pencil")):
        with BinaryWire(ringside) as wire:
            finals.append(client(user, password).begin(wire))
            ask(wire, finals[-1])
    with BinaryWire(ringside) as wire:
        client().enter(wire)
        replies = [reply for argument in (b"ringside", b"servers") for reply in wire.run(packet("stat", argument))]
    said = b"".join(reply.key + reply.value for reply in replies)
    said += ringside.log_text().encode()
    keys = re.findall(r"\$([^$\s]{20,})", (tmp_path / "users").read_text())
    assert len(keys) >= 5 * len(SCRAMS)
    for secret in [b"strange-name"] + [key.encode() for key in keys] + [final[-44:] for final in finals]:
        assert secret not in said and base64.b64encode(secret)[:-4] not in said
