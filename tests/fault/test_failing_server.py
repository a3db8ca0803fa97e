"""Servers that refuse, hang, die and come back: what clients see, and what is sent to whom."""

import threading

import pytest

from fakeserver import close_instead, held, mute
from faults import (NEVER_DOWN, ONE_WORKER, QUICK, expect_server_error, fakes_of, homes, read_retrieval, wait_down,
                    wait_up, wait_upstreams)


@pytest.mark.sanitize
def test_refused_is_named(lab):
    """The error names pool, server and reason, and the client stays in step."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=QUICK)
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    fakes[0].refuse()
    for key in keys[fakes[0]][:20]:
        wire.send(b"get %s\r\n" % key)
        expect_server_error(wire, "main", fakes[0].address)
        wire.send(b"set %s 0 0 1\r\nx\r\n" % key)
        expect_server_error(wire, "main", fakes[0].address)
        wire.send(b"delete %s\r\nincr %s 1\r\ntouch %s 0\r\nmg %s v\r\n" % (key, key, key, key))
        for _ in range(4):
            expect_server_error(wire, "main", fakes[0].address)
    for key in keys[fakes[1]]:
        assert wire.get(key) == b"at " + key
    fakes[0].listen()
    wait_up(ringside, fakes[0])
    for key in keys[fakes[0]]:
        assert wire.get(key) == b"at " + key
    wire.in_step()


@pytest.mark.sanitize
def test_reasons_differ(lab):
    """Refused, timed out, closed: three texts, so that an operator knows which."""
    fakes = fakes_of(lab, 3)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=NEVER_DOWN, timeout="1s")
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    fakes[0].refuse()
    fakes[1].misbehave(mute(), verbs="set")
    fakes[2].misbehave(close_instead(), verbs="set")
    texts = set()
    for fake in fakes:
        wire.send(b"set %s 0 0 1\r\nx\r\n" % keys[fake][0])
        texts.add(expect_server_error(wire, "main", fake.address).replace(fake.address.encode(), b""))
    assert len(texts) == 3, texts


@pytest.mark.sanitize
def test_connection_that_is_never_made(lab):
    """A server whose host swallows packets: connect_timeout ends the wait, with an error or on the next server."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=QUICK, connect_timeout="300ms")
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    fakes[0].blackhole()
    fakes[0].close_connections()
    wait_upstreams(ringside, 1)
    seen = len(fakes[0].commands)
    for key in keys[fakes[0]][:5]:
        wire.send(b"set %s 0 0 1\r\nx\r\n" % key)
        expect_server_error(wire, "main", fakes[0].address)
    for key in keys[fakes[1]]:
        assert wire.get(key) == b"at " + key
    assert fakes[0].count("set", since=seen) == 0
    fakes[0].listen()
    wait_up(ringside, fakes[0])
    for key in keys[fakes[0]]:
        assert wire.get(key) == b"at " + key
    wire.in_step()


@pytest.mark.sanitize
def test_slow_server_delays_only_its_own_keys(lab):
    """While one server owes an answer, other clients get theirs from the other servers."""
    fakes = fakes_of(lab, 3)
    ringside = lab.ringside(ONE_WORKER, servers=fakes)
    wire, other = lab.wire(ringside), lab.wire(ringside)
    keys = homes(wire, fakes)
    go = threading.Event()
    fakes[0].misbehave(held(go), verbs="get")
    wire.send(b"get %s\r\n" % keys[fakes[0]][0])
    fakes[0].wait_for("get")
    for fake in fakes[1:]:
        for key in keys[fake]:
            assert other.get(key) == b"at " + key
    assert not go.is_set()
    go.set()
    assert read_retrieval(wire, keys[fakes[0]][:1]) == ([(keys[fakes[0]][0], b"at " + keys[fakes[0]][0])], b"END")
    wire.in_step()
    other.in_step()


@pytest.mark.sanitize
def test_order_waits_for_the_slow_one(lab):
    """On one client's connection replies leave in the order of the requests, also when a later one is ready first."""
    fakes = fakes_of(lab, 3)
    ringside = lab.ringside(ONE_WORKER, servers=fakes)
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    mixed = [key for triple in zip(*(keys[fake][:20] for fake in fakes)) for key in triple]
    go = threading.Event()
    fakes[1].misbehave(held(go), verbs="get")
    wire.send(b"".join(b"get %s\r\n" % key for key in mixed))
    fakes[2].wait_for("get", 20)
    fakes[0].wait_for("get", 20)
    go.set()
    for key in mixed:
        wire.expect(b"VALUE %s 0 %d\r\nat %s\r\nEND\r\n" % (key, 3 + len(key), key))
    wire.in_step()


@pytest.mark.sanitize
def test_timeouts_are_the_requests_own(lab):
    """Requests on one connection, the server answers none: each has its error; and none is sent a second time."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, health=NEVER_DOWN, timeout="1s")
    wires = [lab.wire(ringside) for _ in range(8)]
    fakes[0].misbehave(mute())
    for i, wire in enumerate(wires):
        wire.send(b"set own:%d 0 0 1\r\n%d\r\n" % (i, i))
    for wire in wires:
        expect_server_error(wire, "main", fakes[0].address)
    fakes[0].behave()
    fakes[0].close_connections(reset=True)
    assert all(count == 1 for write, count in fakes[0].writes.items())
    wait_upstreams(ringside, 0)
    for wire in wires:
        wire.in_step()


@pytest.mark.sanitize
def test_idle_connection_closed_by_its_server(lab):
    """No failure at all: the next request opens a new one, ten times over, though one failure would be enough."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=QUICK)
    wire = lab.wire(ringside)
    for i in range(10):
        wire.set(b"key", b"%d" % i)
        assert wire.get(b"key") == b"%d" % i
        fakes[0].close_connections(reset=i % 2 == 1)
        wait_upstreams(ringside, 0)
    wire.in_step()
    assert not ringside.log("server_down")
    assert fakes[0].connections == 11


@pytest.mark.sanitize
@pytest.mark.parametrize("how", ["close", "reset"])
def test_close_after_accept(lab, how):
    """A server that takes connections and drops them is down; no request is lost in a loop, none is left waiting."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=QUICK, timeout="1s")
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    fakes[0].accept_and(how)
    fakes[0].close_connections()
    wait_upstreams(ringside, 1)
    for _ in range(5):
        wire.send(b"get %s\r\nset %s 0 0 1\r\nx\r\n" % (keys[fakes[0]][0], keys[fakes[0]][1]))
        expect_server_error(wire, "main", fakes[0].address)
        expect_server_error(wire, "main", fakes[0].address)
    wait_down(ringside, fakes[0])
    fakes[0].behave()
    wait_up(ringside, fakes[0])
    assert wire.get(keys[fakes[0]][0]) == b"at " + keys[fakes[0]][0]
    wire.in_step()


def broken_pool(lab, on_error):
    """Two fakes, one of them refusing and held; a client, and the keys of each."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", on_error=on_error, health=QUICK)
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    fakes[0].refuse()
    wait_upstreams(ringside, 1)
    return fakes, ringside, wire, keys


@pytest.mark.sanitize
@pytest.mark.parametrize("verb", [b"get", b"gets", b"gat 0", b"gats 0"])
def test_failed_get_under_on_error_miss(lab, verb):
    """The keys of the broken server are absent, the others are there, in order, and END ends it."""
    fakes, ringside, wire, keys = broken_pool(lab, "miss")
    mixed = [key for pair in zip(keys[fakes[0]][:30], keys[fakes[1]][:30]) for key in pair]
    wire.command(verb + b" " + keys[fakes[0]][0] + b"\r\n", b"END\r\n")
    wire.send(verb + b" " + b" ".join(mixed) + b"\r\n")
    values, last = read_retrieval(wire, mixed)
    assert last == b"END"
    assert values == [(key, b"at " + key) for key in mixed if key in keys[fakes[1]]]
    wire.command(b"mg %s v\r\n" % keys[fakes[0]][0], b"EN\r\n")
    wire.send(b"set %s 0 0 1\r\nx\r\n" % keys[fakes[0]][0])
    expect_server_error(wire, "main", fakes[0].address)
    fakes[0].listen()
    wait_up(ringside, fakes[0])
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("verb", [b"get", b"gets", b"gat 0", b"gats 0"])
def test_failed_get_under_on_error_error(lab, verb):
    """What was found, then a SERVER_ERROR in the place of END."""
    fakes, ringside, wire, keys = broken_pool(lab, "error")
    mixed = [key for pair in zip(keys[fakes[0]][:30], keys[fakes[1]][:30]) for key in pair]
    wire.send(verb + b" " + keys[fakes[0]][0] + b"\r\n")
    expect_server_error(wire, "main", fakes[0].address)
    wire.send(verb + b" " + b" ".join(mixed) + b"\r\n")
    values, last = read_retrieval(wire, mixed)
    assert last.startswith(b"SERVER_ERROR ") and b"main" in last and fakes[0].address.encode() in last
    assert values == [(key, b"at " + key) for key in mixed if key in keys[fakes[1]]]
    wire.send(verb + b" " + b" ".join(keys[fakes[1]][:2]) + b"\r\n")
    assert read_retrieval(wire, keys[fakes[1]][:2]) == ([(key, b"at " + key) for key in keys[fakes[1]][:2]], b"END")
    wire.send(b"mg %s v\r\n" % keys[fakes[0]][0])
    expect_server_error(wire, "main", fakes[0].address)
    fakes[0].listen()
    wait_up(ringside, fakes[0])
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("on_down", ["next", "hold"])
def test_noreply_never_draws_a_byte(lab, on_down):
    """Also when it fails: what comes next on the connection is the answer to the next request."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down=on_down, health=QUICK)
    wire = lab.wire(ringside)
    fakes[0].refuse()
    quiet = (b"set a 0 0 1 noreply\r\nx\r\nadd a 0 0 1 noreply\r\nx\r\ndelete a noreply\r\nincr a 1 noreply\r\n"
             b"touch a 0 noreply\r\nms a 1 q\r\nx\r\nmd a q\r\n")
    wire.send(quiet * 3 + b"mn\r\n")
    # Quiet meta commands keep back success, and only that.
    lines = []
    while not lines or lines[-1] != b"MN":
        lines.append(wire.read_line())
    assert len(lines) <= 3 * 2 + 1 and all(line.startswith(b"SERVER_ERROR ") for line in lines[:-1]), lines
    fakes[0].listen()
    wait_up(ringside, fakes[0])
    wire.command(quiet.split(b"ms a")[0] + b"get a\r\n", b"END\r\n")
    wire.in_step()


@pytest.mark.sanitize
def test_read_is_tried_again_and_not_for_ever(lab):
    """A connection that breaks under a get costs one more try at most some times; then the client is told."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, health=NEVER_DOWN)
    wire = lab.wire(ringside)
    wire.set(b"key", b"value")
    fakes[0].misbehave(close_instead(), verbs="get", times=1)
    wire.send(b"get key\r\n")
    values, last = read_retrieval(wire, [b"key"])
    assert values == [(b"key", b"value")] or last.startswith(b"SERVER_ERROR ")
    fakes[0].misbehave(close_instead(), verbs="get")
    for _ in range(5):
        seen = len(fakes[0].commands)
        wire.send(b"get key\r\n")
        expect_server_error(wire, "main", fakes[0].address)
        assert 1 <= fakes[0].count("get", since=seen) <= 3
    fakes[0].behave()
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("verb, request_bytes", [
    ("set", b"set key 0 0 1\r\nx\r\n"), ("add", b"add new 0 0 1\r\nx\r\n"), ("append", b"append key 0 0 1\r\nx\r\n"),
    ("cas", b"cas key 0 0 1 1\r\nx\r\n"), ("delete", b"delete key\r\n"), ("incr", b"incr number 1\r\n"),
    ("decr", b"decr number 1\r\n"), ("touch", b"touch key 0\r\n"), ("gat", b"gat 0 key\r\n"),
    ("ms", b"ms key 1\r\nx\r\n"), ("md", b"md key\r\n"), ("ma", b"ma number\r\n"),
    ("mg", b"mg nothing v N30\r\n"), ("mg", b"mg key v T30\r\n")])
@pytest.mark.parametrize("how", ["close", "reset", "mute"])
def test_write_is_never_sent_twice(lab, verb, request_bytes, how):
    """It may have been carried out: there is one error, and the server has seen it once."""
    fakes = fakes_of(lab, 2)
    play = {"close": close_instead(), "reset": close_instead(reset=True), "mute": mute()}[how]
    ringside = lab.ringside(ONE_WORKER, servers=fakes, health=NEVER_DOWN, timeout="1s" if how == "mute" else "60s")
    wire = lab.wire(ringside)
    wire.set(b"key", b"value")
    wire.set(b"number", b"1")
    for fake in fakes:
        fake.misbehave(play, verbs=verb)
    wire.send(request_bytes)
    expect_server_error(wire, "main")
    for fake in fakes:
        fake.behave()
        fake.close_connections(reset=True)
    wait_upstreams(ringside, 0)
    wire.in_step()
    seen = [command for fake in fakes for command in fake.commands if request_bytes.startswith(command.line + b"\r\n")]
    assert len(seen) == 1, seen
