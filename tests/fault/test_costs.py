"""What Ringside promises to cost: memory for idle clients, allocations and system calls in steady state."""

import mmap
import os
import resource
import socket
import struct
import subprocess

import pytest

from binary import BinaryWire, count, packet, store
from faults import is_sanitized, load_of
from harness import ALL_TLS, connect, wait_until
from load import build

MIB = 1 << 20
IDLE_CLIENTS = int(os.environ.get("IDLE_CLIENTS", "10000"))


class Page:
    """A shared page that a preload writes and the test reads: numbers of 64 bits."""

    def __init__(self, path, size=1 << 16):
        self.path = str(path)
        with open(self.path, "wb") as new:
            new.truncate(size)
        with open(self.path, "r+b") as opened:
            self.map = mmap.mmap(opened.fileno(), size)

    def __getitem__(self, index):
        return struct.unpack_from("<Q", self.map, index * 8)[0]

    def __setitem__(self, index, value):
        struct.pack_into("<Q", self.map, index * 8, value)

    def numbers(self, count):
        """The first `count` of them."""
        return struct.unpack_from("<%dQ" % count, self.map)


def preload(name):
    """The path of a preload built from tests/support."""
    return str(build(name + ".so", [name + ".c"], ["-fPIC", "-shared"]))


@pytest.fixture(autouse=True)
def plain_build_only():
    if is_sanitized():
        pytest.skip("a sanitizer has its own allocator and its own costs")


@pytest.fixture
def many_descriptors():
    """A function that sees to so many descriptors for this test, or skips it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def see_to(count):
        if hard != resource.RLIM_INFINITY and hard < count:
            pytest.skip("RLIMIT_NOFILE is %d; %d are needed" % (hard, count))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    yield see_to
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_idle_clients_cost_little_memory(lab, many_descriptors):
    """10 000 clients that have each had an answer cost at most 12 MiB more than none; over TLS 200."""
    wanted = IDLE_CLIENTS + 500
    many_descriptors(wanted)
    ringside = lab.ringside({"limits": {"clients": IDLE_CLIENTS + 100}}, servers=lab.memcacheds(2),
                            wrapper=["prlimit", "--nofile=%d" % wanted])
    wire = lab.wire(ringside)
    wire.set(b"key", b"v" * 100)
    warm = load_of(lab, ringside, connections=50, depth=4, requests=20_000)
    warm.wait()
    warm.close()
    ringside.wait_clients(1)
    before = ringside.rss()
    crowd = []
    try:
        for start in range(0, IDLE_CLIENTS, 200):
            part = [connect(ringside.address) for _ in range(200)]
            crowd += part
            for sock in part:
                sock.sendall(b"get key nothing\r\n")
            for sock in part:
                expected = b"VALUE key 0 100\r\n" + b"v" * 100 + b"\r\nEND\r\n"
                got = b""
                while len(got) < len(expected):
                    got += sock.recv(4096) or b"closed"
                assert got == expected
        assert ringside.client_count() == IDLE_CLIENTS + 1
        grown = ringside.rss() - before
        print("%d idle clients: %.1f MiB, %d bytes each" % (IDLE_CLIENTS, grown / MIB, grown // IDLE_CLIENTS))
        limit = 200 if ALL_TLS else 12
        assert grown <= limit * MIB * IDLE_CLIENTS / 10000, "%.1f MiB for %d idle clients" % (grown / MIB, IDLE_CLIENTS)
        wire.in_step()
    finally:
        for sock in crowd:
            sock.close()
    ringside.wait_clients(1)


@pytest.mark.plain("a client's own memory hides it")
def test_clients_that_are_answered_at_once_leave_little_behind(lab, many_descriptors):
    """2 000 clients get their answers from one read of a server that stood still: what that takes for a moment is little."""
    count = 2000
    many_descriptors(count + 500)
    server = lab.memcached()
    ringside = lab.ringside({"workers": 1, "limits": {"clients": count + 100}}, servers=[server], timeout="60s",
                            wrapper=["prlimit", "--nofile=%d" % (count + 500)])
    wire = lab.wire(ringside)
    wire.set(b"key", b"v" * 60)
    crowd = [connect(ringside.address) for _ in range(count)]
    try:
        ringside.wait_clients(count + 1)
        before = ringside.rss()
        server.freeze()
        for sock in crowd:
            sock.sendall(b"get key\r\n")
        wait_until(lambda: own_requests(wire) >= count, "all requests to be read")
        server.thaw()
        expected = b"VALUE key 0 60\r\n" + b"v" * 60 + b"\r\nEND\r\n"
        for sock in crowd:
            assert sock.recv(len(expected), socket.MSG_WAITALL) == expected
        grown = ringside.rss() - before
        print("%d bytes each" % (grown // count))
        # A block of 4 KiB for each would make 8 MiB.
        assert grown <= 2 * MIB, "%.1f MiB for %d answers" % (grown / MIB, count)
    finally:
        for sock in crowd:
            sock.close()


def own_requests(wire):
    """How many requests Ringside has read so far."""
    wire.send(b"stats ringside\r\n")
    return int(wire.read_stats()["ringside_requests"])


def callers(page, pid):
    """The recorded callers of the allocator, as text with function names where addr2line knows them."""
    maps = []
    with open("/proc/%d/maps" % pid) as lines:
        for line in lines:
            fields = line.split()
            if len(fields) > 5 and fields[5].startswith("/"):
                low, high = (int(n, 16) for n in fields[0].split("-"))
                maps.append((low, high, int(fields[2], 16), fields[5]))
    text = []
    for record in range(min(page[2], 32)):
        frames = [page[3 + record * 12 + i] for i in range(12)]
        text.append("call %d:" % (record + 1))
        for frame in frames:
            for low, high, offset, path in maps:
                if low <= frame < high:
                    done = subprocess.run(["addr2line", "-f", "-s", "-p", "-e", path, hex(frame - low + offset)],
                                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                    text.append("    %s %s" % (os.path.basename(path), done.stdout.decode().strip()))
    return "\n".join(text)


@pytest.mark.parametrize("name, options", [
    ("gets", {"mix": "get=100", "depth": 1}),
    ("pipelined", {"mix": "get=80,set=20", "depth": 16}),
    ("everything", {"mix": "get=50,multi=15,set=20,quiet=3,delete=2,touch=2,mg=5,ms=3", "depth": 8}),
    ("larger values", {"mix": "get=70,set=30", "depth": 4, "value": "64:12000"}),
])
@pytest.mark.plain("OpenSSL takes its buffers anew for each record, so that idle connections hold none")
def test_no_allocation_in_steady_state(lab, tmp_path, name, options):
    """After warm-up a load of the same shape is served without one call of the allocator."""
    page = Page(tmp_path / "page")
    ringside = lab.ringside(servers=lab.memcacheds(3), wrapper=["setarch", "-R"],
                            env={"LD_PRELOAD": preload("countalloc"), "COUNTALLOC_FILE": page.path})
    assert page[1] > 0, "the preload does not count"
    load = load_of(lab, ringside, connections=20, **options)
    load.wait_requests(100_000)
    for attempt in range(5):  # free lists reach their high-water mark by chance: some rounds of the same load
        page[0] = 1
        calls = page[1]
        page[2] = 0
        before = load.totals["replies"]
        load.wait_requests(50_000)
        made = page[1] - calls
        page[0] = 0
        print("%s, round %d: %d allocations in %d requests" % (name, attempt, made, load.totals["replies"] - before))
        if made == 0:
            break
    assert made == 0, "%d allocations; the first:\n%s" % (made, callers(page, ringside.pid))
    load.finish()


@pytest.mark.plain("OpenSSL takes its buffers anew for each record, so that idle connections hold none")
def test_no_allocation_for_binary_clients(lab, tmp_path):
    """The same for the binary protocol: values that are copied and that are referred to, hits, misses, errors."""
    page = Page(tmp_path / "page")
    ringside = lab.ringside({"workers": 1}, servers=lab.memcacheds(3), wrapper=["setarch", "-R"],
                            env={"LD_PRELOAD": preload("countalloc"), "COUNTALLOC_FILE": page.path})
    packets = []
    for i in range(100):
        key = b"key %d" % i if i % 3 == 0 else b"key:%d" % i
        packets += [store(("set", "setq")[i % 2], key, b"v" * (i * 60)), packet("getkq", key),
                    packet("getq", b"absent"), packet("get", key), count("incr", b"n%d" % i), packet("version"),
                    packet("append", b"absent", b"", b"x"), packet(0x77), packet("noop")]
    with BinaryWire(ringside) as wire:
        for attempt in range(40):  # the first rounds warm up
            page[0], calls, page[2] = int(attempt > 10), page[1], 0
            assert len(wire.run(*packets)) > 700
            made = page[1] - calls
            if attempt > 10 and made == 0:
                break
        assert made == 0, "%d allocations; the first:\n%s" % (made, callers(page, ringside.pid))
        page[0] = 0


TURNS, READS, EMPTY, WRITES, SHORT, MORE_READS, MORE_WRITES, MAX_READS, MAX_WRITES, AFTER_FULL = range(10)


@pytest.mark.parametrize("name, options", [
    ("depth 1", {"mix": "get=90,set=10", "depth": 1, "connections": 50}),
    ("depth 16", {"mix": "get=90,set=10", "depth": 16, "connections": 20}),
    ("everything", {"mix": "get=50,multi=15,set=20,quiet=3,delete=2,touch=2,mg=5,ms=3", "depth": 8, "connections": 20}),
])
def test_one_read_and_one_write_a_turn(lab, tmp_path, name, options):
    """At most one read and one write for each connection and turn of the loop, and no read that finds nothing."""
    page = Page(tmp_path / "page")
    ringside = lab.ringside({"workers": 1}, servers=lab.memcacheds(2),
                            env={"LD_PRELOAD": preload("countio"), "COUNTIO_FILE": page.path})
    load = load_of(lab, ringside, **options)
    load.wait_requests(20_000)
    before, requests = page.numbers(10), load.totals["replies"]
    page[MAX_READS] = page[MAX_WRITES] = 0
    load.wait_requests(50_000)
    after, requests = page.numbers(10), load.totals["replies"] - requests
    load.finish()
    made = [a - b for a, b in zip(after, before)]
    print("%s: %d requests, %d turns, %d reads, %d writes; %.3f system calls a request" %
          (name, requests, made[TURNS], made[READS], made[WRITES],
           (made[TURNS] + made[READS] + made[WRITES]) / requests))
    assert made[TURNS] and made[READS] and made[WRITES], "the preload does not count"
    assert page[MAX_READS] == 1, "%d reads of one connection in a turn; %d of %d reads are such" % (
        page[MAX_READS], made[MORE_READS], made[READS])
    assert page[MAX_WRITES] == 1, "%d writes to one connection in a turn; %d of %d writes are such" % (
        page[MAX_WRITES], made[MORE_WRITES], made[WRITES])
    assert made[EMPTY] <= made[READS] // 100, "%d of %d reads found nothing" % (made[EMPTY], made[READS])
