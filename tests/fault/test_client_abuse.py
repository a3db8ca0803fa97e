"""
Clients that misbehave, from clumsy to hostile: others go on unharmed, memory stays bounded, descriptors come back, and
the process lives.
"""

import contextlib
import os
import random
import select
import signal
import socket
import threading
import time

import pytest

from fakeserver import FakeServer, held
from faults import ONE_WORKER, cpu_seconds, expect_growth_below, fakes_of, load_of, wait_until
from harness import HarnessError, connect

SCALE = int(os.environ.get("ABUSE_SCALE", "1"))
MIB = 1 << 20

HALVES = [
    b"g", b"get", b"get ", b"get key", b"get key\r", b"get key other", b"gat 0 ", b"set key", b"set key 0 0 10",
    b"set key 0 0 10\r\n", b"set key 0 0 10\r\n12345", b"set key 0 0 10\r\n1234567890",
    b"set key 0 0 10\r\n1234567890\r",
    b"set key 0 0 500000\r\n" + b"x" * 70000, b"set bad key with too many words 10\r\n123", b"cas key 0 0 3 1\r\nab",
    b"ms key 10\r\n123", b"mg key v", b"delete ke", b"incr key 1", b"get " + b"k" * 251, b"stats", b"flush_al",
    b"get a b c d\r\nget", b"version\r\nset key 0 0 3 noreply\r\nab", b"\r", b" ", b"\x00", b"\x80\x01\x00\x03",
    b"get " + b" ".join(b"key:%d" % i for i in range(1000)),
]


def reset(sock):
    """Closes with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.close()


@pytest.mark.sanitize
@pytest.mark.parametrize("ending", ["close", "reset", "half-close"])
def test_half_requests(lab, ending):
    """A client leaves at every odd place of a request. Nothing of it reaches a server as something else."""
    fake = fakes_of(lab, 1)[0]
    ringside = lab.ringside(ONE_WORKER, servers=[fake])
    wire = lab.wire(ringside)
    wire.set(b"key", b"untouched")
    for half in HALVES:
        with contextlib.closing(connect(ringside.address)) as sock:
            sock.sendall(half)
            if ending == "reset":
                reset(sock)
            elif ending == "half-close":
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
        assert wire.get(b"key") == b"untouched"
    wire.in_step()
    ringside.wait_clients(1)
    changed = {write for write in fake.writes if write[1] == b"key"}
    assert changed == {(b"set", b"key", b"untouched")}, changed


@pytest.mark.sanitize
def test_half_requests_that_stay(lab):
    """Half a request from each of many clients, and none leaves: the others are served."""
    ringside = lab.ringside(ONE_WORKER, servers=lab.memcacheds(1))
    wires = [lab.wire(ringside) for _ in range(10 * len(HALVES))]
    for i, wire in enumerate(wires):
        wire.send(HALVES[i % len(HALVES)])
    other = lab.wire(ringside)
    for _ in range(20):
        other.in_step()


@pytest.mark.sanitize
def test_clients_that_never_read(lab):
    """They ask for much and take nothing: reading them stops, memory is bounded, and others are served."""
    ringside = lab.ringside({"workers": 1, "limits": {"memory": "64MiB"}}, servers=lab.memcacheds(1))
    other = lab.wire(ringside)
    other.set(b"large", b"L" * 500_000)
    other.set(b"small", b"s")
    before = ringside.rss()
    deaf = [lab.wire(ringside) for _ in range(20)]
    for wire in deaf:
        push_until_stuck(wire.sock, b"get large\r\n" * 1000, other)
    for _ in range(50):
        assert other.get(b"small") == b"s"
    expect_growth_below(ringside, before, 160)
    read_whole_answers(deaf[0], b"large", b"L" * 500_000, 100)
    for wire in deaf:
        wire.close()
    ringside.wait_clients(1)
    other.in_step()


def push_until_stuck(sock, data, other):
    """Sends until the other side has not taken anything for a while, or has closed."""
    timeout = sock.gettimeout()
    sock.setblocking(False)
    stuck, sent = 0, 0
    while stuck < 5 and sent < 8 * MIB:
        try:
            sent += sock.send(data)
            stuck = 0
        except BlockingIOError:
            stuck += 1
            assert other.get(b"small") == b"s"
        except ConnectionError:
            break
    sock.settimeout(timeout)


def read_whole_answers(wire, key, value, count):
    """What a client that reads after all finds: whole answers, one after another, unless it has been closed."""
    with contextlib.suppress(ConnectionError):
        for _ in range(count):
            try:
                line = wire.read_line()
            except HarnessError as error:
                if "connection closed" in str(error):
                    return
                raise
            if line.startswith(b"SERVER_ERROR "):
                continue
            assert line == b"VALUE %s 0 %d" % (key, len(value)), line[:200]
            wire.expect(value + b"\r\nEND\r\n")


@pytest.mark.sanitize
def test_a_slow_reader_gets_all_of_it(lab):
    """Back-pressure loses nothing: thousands of replies, read late and slowly, are all there and in order."""
    ringside = lab.ringside(ONE_WORKER, servers=lab.memcacheds(2))
    other = lab.wire(ringside)
    values = {b"key:%d" % i: (b"%d " % i) * 2000 for i in range(20)}
    for key, value in values.items():
        other.set(key, value)
    count = 3000
    keys = [b"key:%d" % (i * 7 % 20) for i in range(count)]
    slow = lab.wire(ringside)
    sender = threading.Thread(target=slow.send, args=(b"".join(b"get %s\r\n" % key for key in keys),), daemon=True)
    sender.start()
    for i in range(20):
        assert other.get(b"key:%d" % i) == values[b"key:%d" % i]
    for i, key in enumerate(keys):
        slow.expect(b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(values[key]), values[key]))
        if i % 500 == 0:
            other.in_step()
    sender.join()
    slow.in_step()


@pytest.mark.sanitize
def test_clients_that_vanish(lab):
    """Connections torn down over replies that are due, by the hundred, while others verify every answer."""
    ringside = lab.ringside(servers=lab.memcacheds(3))
    steady = load_of(lab, ringside, connections=10, depth=8, value="64:8000")
    rude = load_of(lab, ringside, connections=30, depth=16, keys=30, lifetime=20, rude=100, value="64:60000",
                   closes=True, loose=True)
    rude.wait_for(lambda totals: totals["connects"] >= 1000 * SCALE, "1000 connections")
    steady.wait_requests(1000)
    rude.finish()
    steady.finish()


@pytest.mark.sanitize
def test_many_connects(lab):
    """2 000 connections come and go, half of them torn down; descriptors and memory stay where they were."""
    ringside = lab.ringside(servers=lab.memcacheds(2))
    warm = load_of(lab, ringside, connections=40, keys=20, lifetime=5, rude=50)
    warm.wait_for(lambda totals: totals["connects"] >= 500, "500 connections")
    warm.finish()
    ringside.wait_clients(0)
    before, fds = ringside.rss(), ringside.fd_count()
    load = load_of(lab, ringside, connections=40, keys=20, lifetime=5, rude=50)
    load.wait_for(lambda totals: totals["connects"] >= 2000, "2000 connections")
    load.finish()
    ringside.wait_clients(0)
    expect_growth_below(ringside, before, 24)
    assert ringside.fd_count() <= fds + 8
    lab.wire(ringside).in_step()


@pytest.mark.sanitize
def test_connect_and_say_nothing(lab):
    """Half of them leave at once, half of them by a reset, before a byte."""
    ringside = lab.ringside(servers=lab.memcacheds(1))
    for i in range(1000):
        sock = connect(ringside.address)
        if i % 2:
            reset(sock)
        else:
            sock.close()
    ringside.wait_clients(0)
    lab.wire(ringside).in_step()


@pytest.mark.sanitize
def test_flood_of_tiny_writes(lab):
    """Requests that come byte by byte, from many clients at once."""
    ringside = lab.ringside(ONE_WORKER, servers=lab.memcacheds(2))
    stream = b"set tiny:%d 0 0 5\r\nvalue\r\nget tiny:%d\r\nget nothing tiny:%d\r\ndelete tiny:%d\r\nversion\r\n"
    wires = [lab.wire(ringside) for _ in range(20)]
    texts = [stream % ((i,) * 4) for i in range(len(wires))]
    for at in range(max(map(len, texts))):
        for wire, text in zip(wires, texts):
            if at < len(text):
                wire.send(text[at:at + 1])
    for i, wire in enumerate(wires):
        wire.expect(b"STORED\r\n" + b"VALUE tiny:%d 0 5\r\nvalue\r\nEND\r\n" % i * 2 + b"DELETED\r\n")
        assert wire.read_line().startswith(b"VERSION ")
        wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("size", [2000, 300_000, 900_000])
def test_slow_upload_holds_nobody_up(lab, size):
    """
    Many large values are begun and not finished. Everyone else uses the same server meanwhile, to the full. Then the
    uploads go on, and each value arrives whole.
    """
    ringside = lab.ringside(ONE_WORKER, servers=lab.memcacheds(1))
    uploads = [lab.wire(ringside) for _ in range(30)]
    values = [bytes((i * 31 + n) % 256 for n in range(1000)) * (size // 1000) for i in range(len(uploads))]
    half = len(values[0]) // 2
    for i, wire in enumerate(uploads):
        wire.send(b"set slow:%d 0 0 %d\r\n" % (i, len(values[i])) + values[i][:half])
    load = load_of(lab, ringside, connections=10, depth=8, requests=20_000, value="64:20000")
    totals = load.wait()
    assert totals["requests"] >= 20_000
    for i, wire in enumerate(uploads):
        wire.send(values[i][half:] + b"\r\n")
    for wire in uploads:
        wire.expect(b"STORED\r\n")
    for i, wire in enumerate(uploads):
        assert wire.get(b"slow:%d" % i) == values[i]
        wire.in_step()


@pytest.mark.sanitize
def test_slow_upload_pieces(lab):
    """Large values in small pieces at random places, several clients interleaved, each pipelining after it."""
    ringside = lab.ringside(ONE_WORKER, servers=lab.memcacheds(2))
    rng = random.Random(7)
    wires = [lab.wire(ringside) for _ in range(8)]
    texts = []
    for i in range(len(wires)):
        value = rng.randbytes(200_000 + 13 * i)
        texts.append(b"set piece:%d 0 0 %d\r\n" % (i, len(value)) + value + b"\r\nget piece:%d\r\nget nothing\r\n" % i)
    left = [memoryview(text) for text in texts]
    while any(left):
        for i, wire in enumerate(wires):
            count = rng.choice((1, 10, 500, 4000, 20_000))
            wire.send(left[i][:count])
            left[i] = left[i][count:]
    for i, wire in enumerate(wires):
        value = texts[i].split(b"\r\n", 1)[1][:200_000 + 13 * i]
        wire.expect(b"STORED\r\nVALUE piece:%d 0 %d\r\n%s\r\nEND\r\nEND\r\n" % (i, len(value), value))
        wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("ending", ["close", "reset"])
def test_upload_that_is_left(lab, ending):
    """The client goes in the middle of a large value: nothing is stored, and the next client's value is its own."""
    servers = lab.memcacheds(1)
    ringside = lab.ringside(ONE_WORKER, servers=servers)
    wire = lab.wire(ringside)
    for i in range(20):
        wire.set(b"large", b"before")
        left = lab.wire(ringside)
        left.send(b"set large 0 0 900000\r\n" + b"x" * (45_000 * i + 1))
        if i % 2:
            left.send(b"")
        if ending == "reset":
            left.reset()
        else:
            left.close()
        value = b"%d" % i * 300_000
        wire.set(b"other", value)
        assert wire.get(b"other") == value
        assert wire.get(b"large") == b"before"
    ringside.wait_clients(1)
    assert servers[0].value(b"large") == b"before"
    wire.in_step()


@pytest.mark.sanitize
def test_upload_to_a_server_that_hangs(lab):
    """The server stops taking bytes in the middle of a large value: the client is told, and not left waiting."""
    servers = lab.memcacheds(1, args=["-I", "64m"], memory_mib=512)
    ringside = lab.ringside({"workers": 1, "limits": {"item_size": "64MiB"}}, servers=servers, timeout="1s",
                            on_down="hold", health={"failures": 1000, "probe": "50ms", "probe_max": "200ms"})
    wire = lab.wire(ringside)
    wire.set(b"large", b"1" * 2_000_000)
    servers[0].freeze()
    answer = wire.exchange([b"set large 0 0 40000000\r\n", b"2" * 40_000_000 + b"\r\n"], count=14)
    assert answer.startswith(b"SERVER_ERROR "), answer[:100]
    wire.read_line()
    servers[0].thaw()
    wait_until(lambda: usable(wire), "the server to answer again")
    wire.in_step()


def usable(wire):
    """Whether a value can be stored."""
    wire.send(b"set probe 0 0 1\r\nx\r\n")
    return wire.read_line() == b"STORED"


@pytest.mark.sanitize
@pytest.mark.plain("a client too many is told so by an alert: see test_handshakes.py")
def test_too_many_clients(lab):
    """limits.clients: one more is told so and closed; when one leaves, another may come."""
    ringside = lab.ringside({"limits": {"clients": 20}}, servers=lab.memcacheds(1))
    wires = [lab.wire(ringside) for _ in range(20)]
    for wire in wires:
        wire.in_step()
    for _ in range(10):
        lab.wire(ringside).expect_closed(b"SERVER_ERROR too many connections\r\n")
    for wire in wires:
        wire.in_step()
    wires.pop().close()
    wait_until(lambda: admitted(lab, ringside), "room for one more client")
    for wire in wires:
        wire.in_step()


def admitted(lab, ringside):
    """Whether a new client is let in."""
    with contextlib.closing(connect(ringside.address)) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"version\r\n")
            return sock.recv(100).startswith(b"VERSION ")
    return False


@pytest.mark.sanitize
def test_too_many_clients_do_not_spin(lab):
    """A crowd at the door, over and over: those inside are served, and the process does not burn the processor."""
    ringside = lab.ringside({"workers": 1, "limits": {"clients": 5}}, servers=lab.memcacheds(1))
    inside = [lab.wire(ringside) for _ in range(5)]
    for wire in inside:
        wire.in_step()
    crowd = []
    try:
        for _ in range(300):
            crowd.append(connect(ringside.address, tls=False))
        for wire in inside:
            wire.in_step()
        before = cpu_seconds(ringside.pid)
        time.sleep(1)
        assert cpu_seconds(ringside.pid) - before < 0.5
        for sock in crowd:
            # The alert is internal_error.
            assert sock.recv(100) in (b"SERVER_ERROR too many connections\r\n", b"\x15\x03\x03\0\2\2\x50", b"")
    finally:
        for sock in crowd:
            sock.close()
    for wire in inside:
        wire.in_step()


@pytest.mark.sanitize
def test_idle_clients_are_closed(lab):
    """limits.idle: who says nothing is closed; who speaks is not."""
    ringside = lab.ringside({"limits": {"idle": "5s"}}, servers=lab.memcacheds(1))
    active = lab.wire(ringside)
    idle = [lab.wire(ringside) for _ in range(5)]
    for wire in idle[:3]:
        wire.in_step()
    closed = set()
    while len(closed) < len(idle):
        active.in_step()
        readable, _, _ = select.select([w.sock for w in idle if w not in closed], [], [], 0.05)
        for wire in idle:
            if wire.sock in readable and is_closed(wire):
                closed.add(wire)
    active.in_step()
    ringside.wait_clients(1)


def is_closed(wire):
    """Whether a readable one is at its end. Over TLS it may have been readable for a ticket."""
    wire.sock.setblocking(False)
    try:
        assert wire.sock.recv(100) == b""
        return True
    except BlockingIOError:
        return False


@pytest.mark.sanitize
def test_out_of_descriptors(lab):
    """
    A low RLIMIT_NOFILE: those inside are served on, nobody is left hanging by a spinning loop, and when clients leave
    new ones are accepted.
    """
    ringside = lab.ringside({"workers": 1}, servers=lab.memcacheds(2), wrapper=["prlimit", "--nofile=64:64"])
    inside = [lab.wire(ringside) for _ in range(10)]
    for wire in inside:
        wire.in_step()
    inside[0].get_many([b"key:%d" % i for i in range(100)])  # a connection to each server stands
    crowd = []
    try:
        for _ in range(150):
            crowd.append(connect(ringside.address, tls=False))
        for wire in inside:
            wire.in_step()
        before = cpu_seconds(ringside.pid)
        time.sleep(1)
        assert cpu_seconds(ringside.pid) - before < 0.5, "it spins"
        for wire in inside:
            wire.in_step()
    finally:
        for sock in crowd:
            sock.close()
    wait_until(lambda: admitted(lab, ringside), "a new client to be let in")
    for wire in inside:
        wire.in_step()


@pytest.mark.sanitize
def test_out_of_descriptors_towards_servers(lab):
    """No descriptor is left for a connection to a server: a SERVER_ERROR, and the server is not blamed for it."""
    servers = lab.memcacheds(2)
    ringside = lab.ringside({"workers": 1}, servers=servers, wrapper=["prlimit", "--nofile=48:48"],
                            health={"failures": 1, "probe": "50ms", "probe_max": "200ms", "panic": "100%"})
    first = lab.wire(ringside)
    crowd = []
    try:
        for _ in range(150):
            crowd.append(connect(ringside.address, tls=False))
        first.line(b"verbosity 1")  # a connection that was let in
        answers = set()
        for i in range(100):
            first.send(b"get key:%d\r\n" % i)
            answers.add(first.read_line())
        assert all(a == b"END" or a.startswith(b"SERVER_ERROR ") for a in answers), answers
    finally:
        for sock in crowd:
            sock.close()
    assert not ringside.log("server_down")
    wait_until(lambda: usable(first), "the servers to be reached")
    for _ in range(20):
        first.in_step()


def test_memory_limit(lab):  # not under sanitizers: they hold back freed memory
    """limits.memory: many clients with many large replies due are slowed down or refused; the process stays small."""
    ringside = lab.ringside({"workers": 1, "limits": {"memory": "48MiB"}}, servers=lab.memcacheds(1))
    other = lab.wire(ringside)
    other.set(b"large", b"L" * 900_000)
    other.set(b"small", b"s")
    before = ringside.rss()
    crowd = [connect(ringside.address) for _ in range(150)]
    try:
        for sock in crowd:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                sock.send(b"get large\r\n" * 50)
        served = 0
        for _ in range(200):
            other.send(b"get small\r\n")
            line = other.read_line()
            if line == b"VALUE small 0 1":
                other.expect(b"s\r\nEND\r\n")
                served += 1
            else:
                assert line.startswith(b"SERVER_ERROR "), line
        expect_growth_below(ringside, before, 112)
    finally:
        for sock in crowd:
            sock.close()
    ringside.wait_clients(1)
    wait_until(lambda: usable(other), "room in memory again")
    other.in_step()


@pytest.mark.sanitize
def test_everyone_shouts(lab):
    """Rude, slow and correct clients together, with a server that restarts in between."""
    servers = lab.memcacheds(2)
    ringside = lab.ringside(servers=servers, health={"failures": 2, "probe": "50ms", "probe_max": "200ms"})
    steady = load_of(lab, ringside, connections=10, depth=8, loose=True, errors=True)
    rude = load_of(lab, ringside, connections=10, depth=8, keys=20, lifetime=10, rude=80, loose=True, errors=True)
    halves = [lab.wire(ringside) for _ in HALVES]
    for half, wire in zip(HALVES, halves):
        wire.send(half)
    for _ in range(3):
        servers[0].restart()
        steady.wait_requests(2000)
        rude.wait_requests(200)
    wait_until(lambda: len(ringside.log("server_down")) == len(ringside.log("server_up")), "all servers to be up")
    rude.finish()
    steady.finish()


@pytest.mark.sanitize
def test_what_was_sent_before_leaving_is_done(lab):
    """
    A client that waits for no answer sends a long pipeline and leaves: all of it is carried out, also when replies that let
    Ringside go on with it come together with the end of the stream.
    """
    fake = lab.adopt(FakeServer())
    may_answer = threading.Event()
    ringside = lab.ringside({"workers": 1}, servers=[fake], timeout="80s", health={"failures": 1000})
    lab.wire(ringside).in_step()
    fake.misbehave(held(may_answer), verbs="set")
    wire = lab.wire(ringside)
    wire.send(b"".join(b"set gone:%d 0 0 1 noreply\r\nx\r\n" % i for i in range(300)))
    ringside.wait_read()
    ringside.signal(signal.SIGSTOP)
    may_answer.set()
    wait_until(lambda: fake.store.value(b"gone:40") is not None, "the server to answer")
    wire.close()
    ringside.signal(signal.SIGCONT)
    wait_until(lambda: all(fake.store.value(b"gone:%d" % i) is not None for i in range(300)), "all sets to arrive")
