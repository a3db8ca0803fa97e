"""Much at once: long pipelines, very wide gets, large values."""

import contextlib
import hashlib
import select
import socket
import threading

import pytest

from certificates import certificates, server_side
from harness import ALL_TLS, DEADLINE_S


@pytest.fixture
def fleet(lab):
    servers = lab.memcacheds(3)
    return servers, lab.ringside(servers=servers)


def pattern(seed, size):
    """Bytes that belong to a seed, with all values in them."""
    block = b"".join(hashlib.sha256(b"%d/%d" % (seed, i)).digest() for i in range(128))
    return (block * (size // len(block) + 1))[:size]


def test_fifty_thousand_gets_in_one_pipeline(lab, fleet):
    wire = lab.wire(fleet[1])
    for i in range(0, 1000, 3):
        wire.send(b"set p:%d 0 0 %d noreply\r\n%d\r\n" % (i, len(str(i)), i))
    wire.command(b"mn\r\n", b"MN\r\n")
    data = b"".join(b"get p:%d\r\n" % (i * 7 % 1000) for i in range(50000))
    expected = b"".join(b"END\r\n" if i % 3 else b"VALUE p:%d 0 %d\r\n%d\r\nEND\r\n" % (i, len(str(i)), i)
                        for i in (i * 7 % 1000 for i in range(50000)))
    assert wire.exchange(data, count=len(expected)) == expected
    wire.in_step()


@pytest.mark.sanitize
def test_ten_thousand_keys_in_one_get(lab, fleet):
    wire = lab.wire(fleet[1])
    wire.exchange(b"".join(b"set w:%d 0 0 %d noreply\r\n%d\r\n" % (i, len(str(i)), i) for i in range(0, 7000, 2)))
    wire.command(b"mn\r\n", b"MN\r\n")
    order = [i * 3331 % 9000 for i in range(10000)]  # A thousand are asked for twice, and many are not there.
    line = b"get " + b" ".join(b"w:%d" % i for i in order) + b"\r\n"
    expected = b"".join(b"VALUE w:%d 0 %d\r\n%d\r\n" % (i, len(str(i)), i) for i in order if i < 7000 and i % 2 == 0)
    assert wire.exchange(line, count=len(expected) + 5) == expected + b"END\r\n"
    wire.in_step()


@pytest.mark.sanitize
def test_wide_gets_in_a_pipeline(lab, fleet):
    wire = lab.wire(fleet[1])
    wire.exchange(b"".join(b"set v:%d 0 0 4000 noreply\r\n%s\r\n" % (i, pattern(i, 4000)) for i in range(200)))
    wire.command(b"mn\r\n", b"MN\r\n")
    line = b"get " + b" ".join(b"v:%d" % i for i in range(199, -1, -1)) + b"\r\n"
    one = b"".join(b"VALUE v:%d 0 4000\r\n%s\r\n" % (i, pattern(i, 4000)) for i in range(199, -1, -1)) + b"END\r\n"
    assert wire.exchange(line * 20, count=20 * len(one)) == one * 20


@pytest.mark.sanitize
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 16383, 16384, 65535, 65536, 65537, 300000, 1000000, 1048576 - 200])
def test_values_of_all_sizes(lab, fleet, size):
    wire = lab.wire(fleet[1])
    value = pattern(size, size)
    for i in range(4):
        assert wire.exchange(b"set s:%d 7 0 %d\r\n%s\r\n" % (i, size, value), count=8) == b"STORED\r\n"
    expected = b"".join(b"VALUE s:%d 7 %d\r\n%s\r\n" % (i, size, value) for i in (2, 0, 3, 1)) + b"END\r\n"
    assert wire.exchange(b"get s:2 s:0 s:3 s:1\r\n", count=len(expected)) == expected
    meta = b"VA %d\r\n%s\r\n" % (size, value)
    assert wire.exchange(b"mg s:1 v\r\n", count=len(meta)) == meta
    wire.in_step()


@pytest.mark.slow
def test_values_of_128_mebibytes(lab):
    server = lab.memcached(args=["-I", "128m"], memory_mib=1024)
    ringside = lab.ringside({"limits": {"item_size": "128MiB", "memory": "1GiB"}}, servers=[server])
    wire, other = lab.wire(ringside), lab.wire(ringside)
    value = pattern(1, (128 << 20) - 100000)
    assert wire.exchange(b"set huge 0 0 %d\r\n%s\r\n" % (len(value), value), count=8) == b"STORED\r\n"
    other.in_step()
    head = b"VALUE huge 0 %d\r\n" % len(value)
    got = wire.exchange(b"get huge\r\n", count=len(head) + len(value) + 7)
    assert hashlib.sha256(got).digest() == hashlib.sha256(head + value + b"\r\nEND\r\n").digest()
    wire.in_step()


@pytest.mark.slow
def test_an_upload_waits_for_its_server(lab):
    """A server that takes nothing: its client is not read on, and Ringside does not grow by the value."""
    server = lab.memcached(args=["-I", "128m"], memory_mib=1024)
    ringside = lab.ringside({"workers": 1, "limits": {"item_size": "128MiB", "memory": "1GiB"}}, servers=[server])
    wire = lab.wire(ringside)
    wire.in_step()
    before = ringside.rss()
    value = pattern(2, 64 << 20)
    data = memoryview(b"set huge 0 0 %d\r\n%s\r\n" % (len(value), value))
    server.freeze()
    wire.sock.setblocking(False)
    sent = 0
    while select.select([], [wire.sock], [], 3)[1]:
        sent += wire.sock.send(data[sent:sent + (1 << 20)])
    grown = ringside.rss() - before
    server.thaw()
    assert sent < len(data) and grown < 16 << 20, "%d bytes were taken, and it grew by %d" % (sent, grown)
    wire.sock.settimeout(wire.deadline_s)
    assert wire.exchange(data[sent:], count=8) == b"STORED\r\n"
    head = b"VALUE huge 0 %d\r\n" % len(value)
    got = wire.exchange(b"get huge\r\n", count=len(head) + len(value) + 7)
    assert hashlib.sha256(got).digest() == hashlib.sha256(head + value + b"\r\nEND\r\n").digest()


@pytest.mark.sanitize
@pytest.mark.parametrize("request_line", [b"get big\r\n", b"get big other\r\n", b"mg big v\r\n"])
def test_a_large_value_is_passed_on_as_it_comes(lab, request_line):
    """The server sends the second half only when the client has most of the first."""
    value = pattern(3, 2 << 20)
    head = b"VA %d\r\n" if request_line.startswith(b"mg") else b"VALUE big 0 %d\r\n"
    tail = b"\r\n" if request_line.startswith(b"mg") else b"\r\nEND\r\n"
    reply = head % len(value) + value + tail
    half_is_there = threading.Event()

    def answer(connection):
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                if line.startswith(b"version"):
                    connection.sendall(b"VERSION 1.6.18\r\n")
                    continue
                connection.sendall(reply[:1 << 20])
                half_is_there.wait(DEADLINE_S)
                connection.sendall(reply[1 << 20:])

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as plain, contextlib.ExitStack() as stack:
        listener = plain
        if ALL_TLS:
            listener = stack.enter_context(server_side(certificates().server).wrap_socket(plain, server_side=True))
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        ringside = lab.ringside({"limits": {"item_size": "4MiB"}},
                                servers=["127.0.0.1:%d" % listener.getsockname()[1]])
        wire = lab.wire(ringside)
        wire.send(request_line)
        first = wire.read_exactly(900000)
        half_is_there.set()
        assert first + wire.read_exactly(len(reply) - 900000) == reply
        wire.close()
        ringside.terminate()
        listener.shutdown(socket.SHUT_RDWR)


def test_many_clients_at_once(lab, fleet):
    wires = [lab.wire(fleet[1]) for _ in range(300)]
    for round_number in range(3):
        for i, wire in enumerate(wires):
            value = pattern(i, 1000 + round_number)
            wire.send(b"set m:%d 0 0 %d\r\n%s\r\nget m:%d\r\n" % (i, len(value), value, i))
        for i, wire in enumerate(wires):
            value = pattern(i, 1000 + round_number)
            wire.expect(b"STORED\r\nVALUE m:%d 0 %d\r\n%s\r\nEND\r\n" % (i, len(value), value))
    for wire in wires:
        wire.in_step()
