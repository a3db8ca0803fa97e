"""
Clients of the binary protocol: the bytes are those of a real memcached, also for streams that are cut anywhere, through
routes, and for keys of any bytes; text and binary clients see the same items.
"""

import base64
import os
import random
import struct
import subprocess

import pytest

import streams
from binary import END_OPAQUE, OPCODES, BinaryWire, Generator, Replies, Side, count, packet, store, timed
from harness import DEADLINE_S, HarnessError, pool_of, split_address
from servers import door_of
from test_differential import SERVER_OPTIONS
from test_differential_routes import ROUTES

pytestmark = pytest.mark.sanitize

SEED = int(os.environ.get("DIFF_SEED", "1"))
STREAMS = int(os.environ.get("DIFF_BINARY_STREAMS", "12"))
SEGMENTS = 12


@pytest.fixture(scope="module")
def sides(shared_lab):
    """(a memcached for reference, a Ringside over one server, a Ringside over three)"""
    reference = shared_lab.memcached(tls=False, **SERVER_OPTIONS)  # see test_tls.py: over TLS it starves
    one = shared_lab.ringside(servers=shared_lab.memcacheds(1, **SERVER_OPTIONS))
    three = shared_lab.ringside(servers=shared_lab.memcacheds(3, **SERVER_OPTIONS))
    return reference, one, three


def run_stream(seed, reference, ringside, split, **options):
    """One stream on both sides, compared segment by segment. Returns the pairs of opcode and status that came."""
    seen = set()
    generator = Generator(seed, **options)
    left, right = Side(reference), Side(ringside)
    with left.wire, right.wire:
        for index in range(SEGMENTS):
            commands = generator.segment()
            expected = left.run(commands, lambda data: [data])
            got = right.run(commands, split)
            at = next((i for i, (a, b) in enumerate(zip(expected, got)) if a.masked() != b.masked()), None)
            if at is None and len(expected) != len(got):
                at = min(len(expected), len(got))
            if at is not None:
                raise HarnessError("seed %d, segment %d, reply %d of %d and %d:\n  memcached %r\n  ringside  %r" % (
                    seed, index, at, len(expected), len(got), expected[at:at + 3], got[at:at + 3]))
            seen.update((reply.opcode, reply.status) for reply in got)
    return seen


def split_at_random(rng):
    return lambda data: streams.cut(data, rng, rng.choice([1, 2, 3, 10, 40]))


@pytest.mark.parametrize("servers", [1, 3])
def test_streams_sent_whole(sides, servers):
    seen = set()
    for seed in range(SEED, SEED + STREAMS):
        seen |= run_stream(seed, sides[0], sides[1 if servers == 1 else 2], lambda data: [data], tag=b"bw%d-" % servers)
    if STREAMS >= 12:
        assert {status for _, status in seen} >= {0, 1, 2, 3, 5, 6, 0x81}
        quiet_hits = {OPCODES[name] for name in ("setq", "deleteq", "incrq", "appendq", "flushq", "quitq")}
        assert not {opcode for opcode, status in seen if status == 0} & quiet_hits


@pytest.mark.parametrize("servers", [1, 3])
def test_streams_cut_at_random(sides, servers):
    for seed in range(SEED + 1000, SEED + 1000 + STREAMS):
        run_stream(seed, sides[0], sides[1 if servers == 1 else 2], split_at_random(random.Random(seed)),
                   tag=b"bc%d-" % servers)


def test_streams_byte_by_byte(sides):
    for seed in range(SEED + 2000, SEED + 2000 + max(2, STREAMS // 3)):
        run_stream(seed, sides[0], sides[2], lambda data: [data[i:i + 1] for i in range(len(data))]
                   if len(data) < 4000 else [data], tag=b"bb-", big=False, length=4)


@pytest.mark.parametrize("name", ROUTES)
def test_a_transparent_route(lab, name):
    reference = lab.memcached(tls=False, **SERVER_OPTIONS)
    ringside = lab.ringside({"listen": ["127.0.0.1:0"], "route": ROUTES[name], "pools": {
        pool: pool_of(lab.memcacheds(1, **SERVER_OPTIONS)) for pool in ("a", "b")}})
    for seed in range(SEED, SEED + max(2, STREAMS // 3)):
        run_stream(seed, reference, ringside, split_at_random(random.Random(seed)), tag=b"br-")


# What closes the connection

BAD = [
    packet("get"), packet("get", b"k", b"1234"), packet("get", b"k", b"", b"value"), packet("get", b"k" * 251),
    packet("set", b"k", b"", b"v"), packet("set", b"", b"\0" * 8, b"v"), packet("set", b"k", b"\0" * 7, b"v"),
    packet("delete", b"k", b"", b"v"), packet("delete"), packet("incr", b"k"), packet("incr", b"k", b"\0" * 20, b"v"),
    packet("append", b"", b"", b"v"), packet("append", b"k", b"\0" * 8, b"v"), packet("touch", b"k"),
    packet("gat", b"", b"\0\0\0\0"), packet("noop", b"k"), packet("noop", b"", b"", b"v"), packet("version", b"k"),
    packet("quit", b"k"), packet("quitq", b"", b"\0"), packet("flush", b"k"), packet("flush", b"", b"\0\0"),
    packet("flushq", b"", b"", b"v"), packet("stat", b"", b"\0\0\0\0"), packet("sasl_auth"), packet("sasl_list", b"k"),
    packet(0x66, b"k" * 251), packet("get", b"key", body=2), packet("set", b"k", b"\0" * 8, body=8),
    packet("noop", magic=0x81), packet("noop", magic=0x00), b"x" * 24, packet("quit"), packet("quitq"),
]


@pytest.mark.parametrize("index", range(len(BAD)))
def test_what_closes(sides, index):
    """The replies that are due come, then the same error, or none, then the close."""
    # memcached closes at a bad magic without the replies that are due: there the header stands alone.
    before = packet("noop", opaque=b"1234") if BAD[index][:1] == b"\x80" else b""
    got = []
    for side in (sides[0], sides[2]):
        with BinaryWire(side) as wire:
            if before:
                wire.send(before)
                wire.read_exactly(24)
            else:
                wire.run()
            wire.send(BAD[index])
            got.append(wire.read_to_close())
    assert got[0] == got[1], (BAD[index], got)


def test_replies_that_are_due_come_before_the_close(sides):
    with BinaryWire(sides[2]) as wire:
        wire.send(store("set", b"due", b"1") + packet("get", b"due", opaque=b"abcd") + b"garbage")
        replies = Replies().feed(bytearray(wire.read_to_close())).all
    assert [reply.status for reply in replies] == [0, 0] and replies[1].value == b"1"


def test_a_text_client_is_not_taken_for_binary(sides):
    """0x80 counts as the first byte only."""
    for side in (sides[0], sides[2]):
        with BinaryWire(side) as wire:
            wire.send(b"version\r\n")
            wire.read_line()
            wire.send(b"\x80\r\n")
            assert wire.read_line() == b"ERROR"


# Keys and items

KEYS = [b"plain", b" ", b"\0", b"\r\n", b"a b", b"\x80", b"x\r\nmn\r\n", b"\xff" * 250, b"y" * 250, bytes(range(186)),
        b"tab\tkey", b"\x7f", b"noreply", b"b", b"="]


def test_keys_of_any_bytes(sides):
    with BinaryWire(sides[2]) as wire:
        for i, key in enumerate(KEYS):
            assert wire.one(store("set", key, b"value %d" % i, flags=i)).status == 0
        for i, key in enumerate(KEYS):
            reply = wire.one(packet("getk", key))
            assert (reply.status, reply.key, reply.value, reply.extras) == (0, key, b"value %d" % i, struct.pack(">I", i))
            assert wire.one(packet("delete", key)).status == 0
            reply = wire.one(packet("getk", key))
            assert (reply.status, reply.key, reply.value) == (1, key, b"")


def test_a_long_key_that_is_no_text_is_refused(sides):
    """base64 of more than 186 bytes is longer than a server's key may be."""
    with BinaryWire(sides[2]) as wire:
        for data in (store("set", b" " * 187, b"x" * 100), store("set", b" " * 187, b"x" * 100000),
                     packet("get", b"\n" * 250), packet("getq", b"\0" * 200), timed("touch", b" " * 187)):
            reply = wire.one(data)
            assert reply.status == 4 and b"186" in reply.value
        wire.in_step()


def test_text_and_binary_clients_share_items(sides):
    """Each key lies on the same server for both."""
    with BinaryWire(sides[2]) as binary, BinaryWire(sides[2]) as text:
        for i in range(200):
            key = b"shared:%d" % i
            assert binary.one(store("set", key, b"from binary", flags=9)).status == 0
            text.send(b"get %s\r\n" % key)
            text.expect(b"VALUE %s 9 11\r\nfrom binary\r\nEND\r\n" % key)
            text.send(b"set %s 7 0 9\r\nfrom text\r\n" % key)
            text.expect(b"STORED\r\n")
            reply = binary.one(packet("get", key))
            assert (reply.value, reply.extras) == (b"from text", b"\0\0\0\7")


def test_encoded_keys_lie_where_meta_puts_them(sides):
    with BinaryWire(sides[2]) as binary, BinaryWire(sides[2]) as text:
        for i in range(100):
            assert binary.one(store("set", b"blank %d" % i, b"v%d" % i)).status == 0
        for i in range(100):
            text.send(b"mg %s v b\r\n" % base64.b64encode(b"blank %d" % i))
            text.expect(b"VA %d\r\nv%d\r\n" % (len(b"v%d" % i), i))


@pytest.mark.parametrize("size", [0, 1, 1021, 1022, 1023, 1024, 1025, 4095, 4096, 65400, 65500, 65536, 65537, 131072,
                                  700000])
def test_values_around_the_sizes_of_blocks(sides, size):
    """Cut around their ends: a value is copied, referred to, or streams, by its size."""
    value = bytes(random.Random(size).randbytes(size))
    request = store("set", b"sized", value)
    stream = request + packet("getk", b"sized") + packet("append", b"sized", b"", b"!") + packet("getq", b"sized")
    stream += packet("noop", opaque=END_OPAQUE)
    with BinaryWire(sides[2]) as wire:
        for at in {1, 23, 24, 31, 36, 37, 38, len(request) - 1, len(request), len(request) + 1, len(request) // 2}:
            replies = wire.run_pieces([stream[:at], stream[at:]])
            assert [reply.status for reply in replies] == [0] * 4
            assert replies[1].value == value and replies[1].key == b"sized" and replies[3].value == value + b"!"


def test_counters(sides):
    with BinaryWire(sides[2]) as wire:
        assert wire.one(count("incr", b"c", 5, expiry=0xffffffff)).status == 1
        assert wire.one(count("incr", b"c", 5, 10)).value == struct.pack(">Q", 10)
        assert wire.one(count("incr", b"c", 5, 10)).value == struct.pack(">Q", 15)
        assert wire.one(count("decr", b"c", 100)).value == struct.pack(">Q", 0)
        assert wire.run(count("incrq", b"c", (1 << 64) - 1)) == []
        assert wire.one(count("incr", b"c", 0)).value == b"\xff" * 8
        wire.one(packet("delete", b"c"))


def test_stat_version_flush(sides):
    reference, _, three = sides
    with BinaryWire(three) as wire, BinaryWire(reference) as direct:
        replies = wire.run(packet("stat", opaque=b"stat"))
        assert replies[-1].key == b"" and replies[-1].value == b"" and all(r.opaque == b"stat" for r in replies)
        names = {reply.key: reply.value for reply in replies[:-1]}
        assert int(names[b"curr_items"]) >= 0 and b"ringside_uptime" in names or len(names) > 40
        assert len(wire.run(packet("stat", b"settings"))) > 1
        assert len(wire.run(packet("stat", b"ringside"))) > 1
        assert [r.masked() for r in wire.run(packet("stat", b"nonsense"), packet("stat", b"reset"))] == [
            r.masked() for r in direct.run(packet("stat", b"nonsense"), packet("stat", b"reset"))]
        assert wire.one(packet("version")).value == direct.one(packet("version")).value
        assert wire.one(packet("verbosity", b"", b"\0\0\0\1")).status == 0
        assert wire.one(store("set", b"gone", b"x")).status == 0
        assert wire.run(packet("flushq", b"", b"\0\0\0\0")) == []
        assert wire.one(packet("get", b"gone")).status == 1


def test_denied_commands(lab):
    ringside = lab.ringside({"listen": [{"address": "127.0.0.1:0", "deny": ["flush_all", "set", "stats"]}]},
                            servers=lab.memcacheds(1))
    with BinaryWire(ringside) as wire:
        for data in (packet("flush"), packet("flushq"), store("set", b"k", b"x" * 200000), store("setq", b"k", b"v"),
                     packet("stat")):
            reply = wire.one(data)
            assert reply.status == 0x20 and b"denied" in reply.value
        assert wire.one(store("add", b"k", b"v")).status == 0
        wire.one(packet("delete", b"k"))


def test_too_large_removes_the_old_value(lab):
    ringside = lab.ringside({"limits": {"item_size": "100KiB"}}, servers=lab.memcacheds(1))
    with BinaryWire(ringside) as wire:
        assert wire.one(store("set", b"k", b"old")).status == 0
        reply = wire.one(store("add", b"k", b"x" * 200000))
        assert (reply.status, reply.value) == (3, b"Too large.")
        assert wire.one(packet("get", b"k")).value == b"old"
        assert wire.one(store("setq", b"k", b"x" * 200000)).status == 3
        assert wire.one(packet("get", b"k")).status == 1
        wire.in_step()


def test_memccapable(sides):
    """libmemcached's own check of a server, in both protocols."""
    for ringside in sides[1:]:
        host, port = split_address(door_of(ringside.address))[1]
        for mode in ("-b", "-a"):
            done = subprocess.run(["memccapable", "-h", host, "-p", str(port), mode, "-t", "60"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=4 * DEADLINE_S)
            said = done.stdout.decode("utf-8", "replace")
            assert done.returncode == 0 and "All tests passed" in said, said
