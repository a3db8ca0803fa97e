"""
A server that lies, one lie at a time: whatever it answers, the client gets one well-formed answer in its order, never
another's, and stays in step. Nothing that changes data is sent twice.
"""

import threading

import pytest

from fakeserver import (answer, close_instead, cut, cut_after_values, drip, endless, extra, garbage, held, mute,
                        rewritten, skip, split_values)
from faults import (NEVER_DOWN, ONE_WORKER, QUICK, expect_growth_below, expect_server_error, fakes_of, read_retrieval,
                    wait_until, wait_upstreams)
from harness import HarnessError

VALUE = b"value of the key " * 4


def one_fake(lab, **pool):
    """A Ringside over one fake server that is never taken for down, and a client."""
    fake = fakes_of(lab, 1)[0]
    pool.setdefault("health", NEVER_DOWN)
    ringside = lab.ringside(ONE_WORKER, servers=[fake], **pool)
    wire = lab.wire(ringside)
    wire.set(b"key", VALUE)
    return fake, ringside, wire


def replaced(old, new):
    """A lie: `old` in the reply is replaced."""
    def change(reply):
        if old not in reply:
            raise HarnessError("nothing to replace in %r" % reply)
        return reply.replace(old, new, 1)
    return rewritten(change)


# What a get of one key may be answered with by a server that has lost its mind. All of it shows in the first bytes or
# in the framing, so all of it must end in an error, and in a new connection.
LIES = {
    "garbage": garbage(),
    "garbage-line": answer(b"\x00\x01\x02\r\n"),
    "text": answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "stored": answer(b"STORED\r\n"),
    "number": answer(b"17\r\n"),
    "meta": answer(b"HD\r\n"),
    "version": answer(b"VERSION 1.6.18\r\n"),
    "stat": answer(b"STAT pid 1\r\nEND\r\n"),
    "lower-case": answer(b"end\r\n"),
    "no-return": answer(b"END\n"),
    "other-key": replaced(b"VALUE key ", b"VALUE kex "),
    "longer-key": replaced(b"VALUE key ", b"VALUE key2 "),
    "shorter-key": replaced(b"VALUE key ", b"VALUE ke "),
    "no-key": replaced(b"VALUE key ", b"VALUE  "),
    "no-length": replaced(b" 68\r\n", b"\r\n"),
    "negative-length": replaced(b" 68\r\n", b" -68\r\n"),
    "length-in-words": replaced(b" 68\r\n", b" 68x\r\n"),
    "huge-length": replaced(b" 68\r\n", b" 18446744073709551615\r\n"),
    "overflowing-length": replaced(b" 68\r\n", b" 18446744073709551684\r\n"),
    "length-too-small": replaced(b" 68\r\n", b" 67\r\n"),
    "length-by-two-too-small": replaced(b" 68\r\n", b" 66\r\n"),
    "body-without-end": replaced(VALUE + b"\r\n", VALUE + b"xy"),
    "value-twice": rewritten(lambda reply: split_values(reply)[0] + reply),
    "cut-in-the-word": cut(3),
    "cut-in-the-line": cut(10),
    "cut-after-the-line": cut(16),
    "cut-in-the-value": cut(40),
    "cut-in-the-value-by-reset": cut(40, reset=True),
    "cut-before-the-last-line-end": cut(-7),
    "cut-before-end": cut(-5),
    "cut-in-end": cut(-1),
    "nothing": close_instead(),
    "nothing-and-reset": close_instead(reset=True),
    "endless-line": endless(),
    "endless-value-line": endless(head=b"VALUE "),
    "endless-values": endless(b"VALUE key 0 68\r\n" + VALUE + b"\r\n"),
    "endless-ends": endless(b"END\r\n", head=b"nonsense\r\n"),
}


@pytest.mark.sanitize
@pytest.mark.parametrize("name", sorted(LIES))
def test_lie_to_a_get(lab, name):
    """The client sees the value (from another try) or an error, nothing else; the connection that lied is closed."""
    fake, ringside, wire = one_fake(lab)
    lied = {command.connection for command in fake.commands}
    fake.misbehave(LIES[name], verbs="get", times=1)
    wire.send(b"get key\r\n")
    values, last = read_retrieval(wire, [b"key"])
    if last == b"END":
        assert values == [(b"key", VALUE)], "a miss, or another value"
    else:
        assert b"main" in last and fake.address.encode() in last, last
        assert values in ([], [(b"key", VALUE)])
    wait_until(lambda: not lied & set(fake.open), "the connection that lied to be closed")
    wire.in_step()
    assert wire.get(b"key") == VALUE
    assert fake.count("set", b"key") == 1 and not fake.doubled()
    assert fake.count("get", b"key") <= 3


@pytest.mark.sanitize
@pytest.mark.parametrize("name", sorted(name for name in set(LIES) - {"stored", "cut-in-the-line", "cut-after-the-line"}
                                        if not any(word in name for word in ("key", "length", "value", "body"))))
def test_lie_to_a_write(lab, name):
    """A write that may have been carried out is never sent again: exactly one error, exactly one set at the server."""
    fake, ringside, wire = one_fake(lab)
    fake.misbehave(LIES[name], verbs="set", times=1)
    wire.send(b"set other 0 0 5\r\nvalue\r\n")
    expect_server_error(wire, "main", fake.address)
    wire.in_step()
    assert fake.count("set", b"other") == 1
    assert not fake.doubled()
    assert wire.get(b"key") == VALUE


@pytest.mark.sanitize
@pytest.mark.parametrize("verb, request_bytes, lie", [
    ("set", b"set k 0 0 1\r\nx\r\n", b"VALUE key 0 1\r\nx\r\nEND\r\n"),
    ("set", b"set k 0 0 1\r\nx\r\n", b"END\r\n"),
    ("set", b"set k 0 0 1\r\nx\r\n", b"DELETED\r\n"),
    ("set", b"set k 0 0 1\r\nx\r\n", b"ERROR\r\n"),  # then the data block was taken for a command
    ("delete", b"delete key\r\n", b"STORED\r\n"),
    ("incr", b"incr key 1\r\n", b"STORED\r\n"),
    ("incr", b"incr key 1\r\n", b"seventeen\r\n"),
    ("touch", b"touch key 0\r\n", b"DELETED\r\n"),
    ("mg", b"mg key v\r\n", b"END\r\n"),
    ("mg", b"mg key v\r\n", b"STORED\r\n"),
    ("mg", b"mg key v\r\n", b"VA key\r\n"),
    ("ms", b"ms k 1\r\nx\r\n", b"STORED\r\n"),
    ("md", b"md key\r\n", b"DELETED\r\n"),
    ("ma", b"ma key\r\n", b"17\r\n"),
])
def test_answer_of_another_type(lab, verb, request_bytes, lie):
    """A reply that cannot be an answer to this command is not handed on."""
    fake, ringside, wire = one_fake(lab)
    fake.misbehave(answer(lie), verbs=verb)
    wire.send(request_bytes)
    expect_server_error(wire, "main", fake.address)
    fake.behave()
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("line, verbs", [
    (b"SERVER_ERROR out of memory storing object", "set get"), (b"CLIENT_ERROR bad data chunk", "set get"),
    (b"SERVER_ERROR busy", "set get"), (b"ERROR", "get")])
def test_lawful_errors_pass(lab, line, verbs):
    """What a server may answer goes through as it is, and is no reason to distrust the connection or the server."""
    fake, ringside, wire = one_fake(lab, health=QUICK)
    connections = fake.connections
    fake.misbehave(answer(line + b"\r\n"), verbs=verbs)
    for _ in range(5):
        if "set" in verbs:
            wire.command(b"set key 0 0 1\r\nx\r\n", line + b"\r\n")
        wire.command(b"get key\r\n", line + b"\r\n")
    fake.behave()
    wire.in_step()
    assert fake.connections == connections
    assert not ringside.log("server_down")


@pytest.mark.sanitize
def test_drip(lab):
    """A reply that comes byte by byte is a slow reply, and no fault."""
    fake, ringside, wire = one_fake(lab)
    fake.misbehave(drip(), times=4)
    wire.send(b"get key\r\nset other 0 0 1\r\nx\r\nget other nothing key\r\nversion\r\n")
    wire.expect(b"VALUE key 0 68\r\n" + VALUE + b"\r\nEND\r\nSTORED\r\n"
                b"VALUE other 0 1\r\nx\r\nVALUE key 0 68\r\n" + VALUE + b"\r\nEND\r\nVERSION 1.6.18\r\n")
    wire.in_step()
    assert fake.connections == 1


@pytest.mark.sanitize
@pytest.mark.parametrize("count", [0, 1, 5, 9])
def test_multi_get_cut_short(lab, count):
    """Some values, then a close: what came is right and in order, and the end says that something is missing."""
    fake, ringside, wire = one_fake(lab)
    keys = [b"many:%d" % i for i in range(10)]
    for key in keys:
        wire.set(key, b"value of " + key)
    fake.misbehave(cut_after_values(count), verbs="get", times=1)
    wire.send(b"get " + b" ".join(keys) + b"\r\n")
    values, last = read_retrieval(wire, keys)
    assert all(value == b"value of " + key for key, value in values)
    if last == b"END":
        assert len(values) == 10, "keys are missing, and nothing tells"
    wire.in_step()


@pytest.mark.sanitize
def test_multi_get_with_a_value_out_of_order(lab):
    """Values in another order than asked for are not paired with the wrong keys."""
    fake, ringside, wire = one_fake(lab)
    keys = [b"many:%d" % i for i in range(6)]
    for key in keys:
        wire.set(key, b"value of " + key)
    fake.misbehave(rewritten(lambda reply: b"".join(split_values(reply)[-2::-1]) + b"END\r\n"), verbs="get", times=1)
    wire.send(b"get " + b" ".join(keys) + b"\r\n")
    values, last = read_retrieval(wire, keys)
    assert all(value == b"value of " + key for key, value in values)
    assert last != b"END" or len(values) == 6
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("data", [b"STORED\r\n", b"END\r\n", b"VALUE key 0 1\r\nx\r\nEND\r\n", b"\r\n", b"x",
                                  b"SERVER_ERROR going down\r\n"])
def test_bytes_that_nobody_asked_for(lab, data):
    """On an idle connection they close it, and reach nobody."""
    fake, ringside, wire = one_fake(lab)
    old = set(fake.open)
    assert len(old) == 1
    fake.push(data)
    wait_until(lambda: not old & set(fake.open), "the connection with stray bytes to be closed")
    wire.command(b"get nothing\r\n", b"END\r\n")
    assert wire.get(b"key") == VALUE
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("data", [b"STORED\r\n", b"END\r\n", b"VALUE key 0 1\r\nx\r\nEND\r\n"])
def test_a_reply_too_many(lab, data):
    """It comes with a right reply. The next request must not get it."""
    fake, ringside, wire = one_fake(lab)
    old = set(fake.open)
    fake.misbehave(extra(data), verbs="get", times=1)
    assert wire.get(b"key") == VALUE
    wait_until(lambda: not old & set(fake.open), "the connection with stray bytes to be closed")
    wire.set(b"other", b"1")
    assert wire.get(b"other") == b"1"
    wire.in_step()


@pytest.mark.sanitize
def test_greeting(lab):
    """A server that speaks first is no memcached."""
    fake = fakes_of(lab, 1)[0]
    fake.store.put(b"key", VALUE)
    fake.accept_and(b"220 mail.example ESMTP\r\n")
    ringside = lab.ringside(ONE_WORKER, servers=[fake], health=NEVER_DOWN)
    wire = lab.wire(ringside)
    for _ in range(5):
        wire.send(b"get key\r\n")
        expect_server_error(wire, "main", fake.address)
    fake.behave()
    fake.close_connections()
    wait_upstreams(ringside, 0)
    assert wire.get(b"key") == VALUE
    wire.in_step()


@pytest.mark.sanitize
def test_a_reply_left_out(lab):
    """The answer to the first get is missing; the others do not slip by one."""
    fake, ringside, wire = one_fake(lab, timeout="1s")
    keys = [b"many:%d" % i for i in range(20)]
    for key in keys:
        wire.set(key, b"value of " + key)
    fake.misbehave(skip(), verbs="get", times=1)
    wire.send(b"".join(b"get %s\r\n" % key for key in keys))
    for key in keys:
        values, last = read_retrieval(wire, [key])
        assert values in ([], [(key, b"value of " + key)]), "another's value"
        assert values or last != b"END", "a miss of a key that is there"
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("count", [0, 1, 50, 99])
def test_pipeline_broken(lab, count, reset):
    """The connection breaks in the middle of a pipeline: each request has exactly one answer, in order."""
    fake, ringside, wire = one_fake(lab)
    fake.misbehave(close_instead(reset), verbs="set", skip=count, times=1)
    sets = b"".join(b"set piped:%d 0 0 9\r\nvalue%04d\r\n" % (i, i) for i in range(100))
    wire.send(sets + b"".join(b"get piped:%d\r\n" % i for i in range(100)))
    answers = [wire.read_line() for _ in range(100)]
    assert all(a == b"STORED" or a.startswith(b"SERVER_ERROR ") for a in answers), answers
    for i in range(100):
        values, last = read_retrieval(wire, [b"piped:%d" % i])
        assert values in ([], [(b"piped:%d" % i, b"value%04d" % i)])
        if answers[i] == b"STORED" and last == b"END":
            assert values, "stored, and yet a miss"
    assert any(a.startswith(b"SERVER_ERROR ") for a in answers)
    wire.in_step()
    assert not fake.doubled()


@pytest.mark.sanitize
def test_late_reply_is_dropped(lab):
    """A get times out; its reply comes afterwards, and the next request does not get it."""
    fake, ringside, wire = one_fake(lab, timeout="1s")
    wire.set(b"other", b"2")
    go = threading.Event()
    fake.misbehave(held(go), verbs="get", times=1)
    wire.send(b"get key\r\n")
    expect_server_error(wire, "main", fake.address)
    wire.send(b"get other\r\nget nothing\r\n")
    go.set()
    for key, value in ((b"other", b"2"), (b"nothing", None)):
        values, last = read_retrieval(wire, [key])
        assert values in ([], [(key, value)]), "another's value"
        assert last != b"END" or bool(values) == bool(value)
    wire.in_step()
    assert wire.get(b"key") == VALUE


@pytest.mark.sanitize
def test_late_reply_to_a_write_is_dropped(lab):
    """The same with writes: they are not sent again, and the count of answers stays right."""
    fake, ringside, wire = one_fake(lab, timeout="1s")
    go = threading.Event()
    fake.misbehave(held(go), verbs="set", times=1)
    wire.send(b"set other 0 0 1\r\n1\r\n")
    expect_server_error(wire, "main", fake.address)
    go.set()
    for i in range(50):
        wire.send(b"set later:%d 0 0 2\r\n%02d\r\nget later:%d\r\n" % (i, i, i))
        stored = wire.read_line()
        values, last = read_retrieval(wire, [b"later:%d" % i])
        assert stored == b"STORED" or stored.startswith(b"SERVER_ERROR ")
        assert values in ([], [(b"later:%d" % i, b"%02d" % i)])
    wire.in_step()
    assert fake.count("set", b"other") == 1
    assert not fake.doubled()


@pytest.mark.sanitize
def test_server_that_never_answers_again(lab):
    """Each request times out on its own; the connection without any progress is given up, and a new one works."""
    fake, ringside, wire = one_fake(lab, timeout="1s")
    fake.misbehave(mute(), verbs="get", times=1)
    wire.send(b"get key\r\nget key\r\nset other 0 0 1\r\nx\r\n")
    for _ in range(3):
        line = wire.read_line()
        if line.startswith(b"VALUE"):
            wire.expect(VALUE + b"\r\nEND\r\n")
        else:
            assert line == b"STORED" or line.startswith(b"SERVER_ERROR "), line
    wait_until(lambda: fake_answers(wire), "a new connection to the server")
    wire.in_step()
    assert fake.count("set", b"other") <= 1
    assert not fake.doubled()


def fake_answers(wire):
    """Whether a get is answered with its value."""
    wire.send(b"get key\r\n")
    values, last = read_retrieval(wire, [b"key"])
    assert values in ([], [(b"key", VALUE)])
    return bool(values)


@pytest.mark.sanitize
@pytest.mark.parametrize("size", [100_000, 1_000_000])
@pytest.mark.parametrize("reset", [False, True])
def test_large_value_cut(lab, size, reset):
    """
    A large value may be on its way to the client when its source dries up. Then only a close is honest; if nothing
    has gone out yet, an error. Never a whole value that is not the right one.
    """
    fake, ringside, wire = one_fake(lab)
    value = bytes(i * 7 % 251 for i in range(size))
    wire.set(b"large", value)
    fake.misbehave(cut(size // 2, reset), verbs="get")
    wire.send(b"get large\r\n")
    try:
        line = wire.read_line()
    except (HarnessError, ConnectionResetError):
        line = b""  # closed before anything was sent
    if line.startswith(b"VALUE"):
        try:
            got = wire.read_to_close()
        except HarnessError:
            raise HarnessError("half a value, and then neither more nor a close") from None
        assert len(got) < size + 2 and value.startswith(got), "wrong bytes in a value"
    else:
        assert line.startswith(b"SERVER_ERROR ") or not line
    fake.behave()
    again = lab.wire(ringside)
    assert again.get(b"large") == value
    again.in_step()


@pytest.mark.sanitize
def test_endless_reply_costs_no_memory(lab):
    """Lines and values without end are cut off, again and again, and leave nothing behind."""
    fake, ringside, wire = one_fake(lab)
    plays = [endless(), endless(head=b"VALUE key 0 "), endless(b"VALUE key 0 1\r\nx\r\n"), endless(b"\r\n")]
    for _ in range(3):
        for play in plays:
            fake.behave()
            fake.misbehave(play, verbs="get", times=1)
            wire.send(b"get key\r\n")
            read_retrieval(wire, [b"key"])
    before = ringside.rss()
    for _ in range(10):
        for play in plays:
            fake.behave()
            fake.misbehave(play, verbs="get", times=1)
            wire.send(b"get key\r\n")
            read_retrieval(wire, [b"key"])
    wire.in_step()
    expect_growth_below(ringside, before, 16)
