"""Servers that fail under binary clients: an error is a reply with a status, and the connection stays in step."""

import threading

import pytest

from binary import OPCODES, BinaryWire, count, packet, store
from fakeserver import FakeServer, answer, cut, held, mute
from faults import NEVER_DOWN, ONE_WORKER, QUICK, fakes_of, wait_up

pytestmark = pytest.mark.sanitize

TEMPORARY = 0x86


def expect_failure(reply, server, opcode):
    assert reply.status == TEMPORARY and reply.opcode == opcode, reply
    assert server.address.encode() in reply.value and not reply.value.endswith(b"\r\n"), reply


def spread(wire, fakes, count=60):
    """Keys on each of the servers."""
    for i in range(count):
        assert wire.one(store("set", b"home:%d" % i, b"at %d" % i)).status == 0
    found = {fake: [b"home:%d" % i for i in range(count) if fake.store.value(b"home:%d" % i) is not None]
             for fake in fakes}
    assert all(found.values())
    return found


def test_a_server_that_refuses(lab):
    """The request's opaque comes back; others are untouched; quiet commands tell the failure too."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=QUICK)
    with BinaryWire(ringside) as wire:
        keys = spread(wire, fakes)
        fakes[0].refuse()
        dead, alive = keys[fakes[0]][0], keys[fakes[1]][0]
        replies = wire.run(packet("getq", dead, opaque=b"aaaa"), packet("getkq", alive, opaque=b"bbbb"),
                           store("setq", dead, b"x" * 5000, opaque=b"cccc"), packet("deleteq", dead, opaque=b"dddd"))
        assert [reply.opaque for reply in replies] == [b"aaaa", b"bbbb", b"cccc", b"dddd"]
        for i, opcode in ((0, 0x09), (2, 0x11), (3, 0x14)):
            expect_failure(replies[i], fakes[0], opcode)
        assert replies[1].status == 0 and replies[1].key == alive
        assert wire.one(store("set", dead, b"y" * 300000)).status == TEMPORARY
        fakes[0].listen()
        wait_up(ringside, fakes[0])
        wire.in_step()


def test_errors_as_misses(lab):
    """on_error: miss. A quiet get says nothing, getk names its key."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=NEVER_DOWN, on_error="miss")
    with BinaryWire(ringside) as wire:
        keys = spread(wire, fakes)
        fakes[0].refuse()
        dead = keys[fakes[0]][0]
        assert wire.run(packet("getq", dead), packet("getkq", dead)) == []
        reply = wire.one(packet("getk", dead))
        assert (reply.status, reply.key, reply.value) == (1, dead, b"")
        expect_failure(wire.one(store("set", dead, b"x")), fakes[0], 0x01)


def test_a_server_that_dies_in_the_middle_of_a_small_value(lab):
    """What has not gone out yet is taken back: the error is the reply."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=NEVER_DOWN)
    with BinaryWire(ringside) as wire:
        assert wire.one(store("set", b"k", b"0123456789" * 20)).status == 0
        fakes[0].misbehave(cut(50), verbs="mg")
        reply = wire.one(packet("get", b"k"))
        expect_failure(reply, fakes[0], 0x00)
        fakes[0].behave()
        wire.in_step()


def test_a_server_that_dies_in_the_middle_of_a_large_value(lab):
    """A part of the value is out: nothing but the close can tell. What was due before it comes whole."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside({**ONE_WORKER, "limits": {"item_size": "8MiB"}}, servers=fakes, on_down="hold",
                            health=NEVER_DOWN)
    value = b"0123456789" * 400000
    with BinaryWire(ringside) as wire:
        assert wire.one(store("set", b"k", value)).status == 0
        assert wire.one(packet("get", b"k")).value == value
        fakes[0].misbehave(cut(3000000), verbs="mg")
        wire.send(packet("noop", opaque=b"1234") + packet("getk", b"k") + packet("noop"))
        assert wire.read_exactly(24)[12:16] == b"1234"
        rest = wire.read_to_close()
    assert len(rest) < len(value)
    if rest[6:8] == b"\0\0":
        assert value.startswith(rest[24 + 4 + 1:])
    fakes[0].behave()
    with BinaryWire(ringside) as wire:
        wire.in_step()


def test_a_slow_server_and_quiet_gets(lab):
    """The replies keep the order of the requests; a noop comes behind them all; other clients do not wait."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes)
    with BinaryWire(ringside) as wire, BinaryWire(ringside) as other:
        keys = spread(wire, fakes)
        go = threading.Event()
        fakes[0].misbehave(held(go), verbs="mg")
        slow, quick = keys[fakes[0]][:3], keys[fakes[1]][:3]
        mixed = [key for pair in zip(slow, quick) for key in pair]
        wire.send(b"".join(packet("getkq", key) for key in mixed) + packet("getq", b"absent") +
                  packet("noop", opaque=b"\xffEND"))
        fakes[0].wait_for("mg")
        for key in quick:
            assert other.one(packet("getk", key)).key == key
        assert not go.is_set()
        go.set()
        assert [reply.key for reply in wire.run_pieces([])] == mixed


@pytest.mark.parametrize("length", [(1 << 32) + 24, (1 << 32) - 4, (1 << 32) - 5, 1 << 31, (1 << 64) - 3, (1 << 64) - 1])
def test_a_server_whose_value_does_not_fit_a_reply(lab, length):
    """
    A reply has 32 bits for its length. What follows must never be read as replies, for those of other servers stand on
    the same connection.
    """
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=NEVER_DOWN)
    forged = b"\x81\x0d\0\1\4\0\0\0\0\0\0\7evil" + b"\0" * 12 + b"Kno"
    with BinaryWire(ringside) as wire:
        for op in ("getk", "getkq", "incr"):
            fakes[0].misbehave(answer(b"VA %d f0 c1\r\n" % length + forged * 100), verbs="mg ma")
            expect_failure(wire.one(count(op, b"k") if op == "incr" else packet(op, b"k")), fakes[0], OPCODES[op])
            fakes[0].behave()
            wire.in_step()


def test_the_old_value_under_a_key_that_is_a_word(lab):
    """memcached 1.6.40 and later take `delete noreply` for a delete without a reply."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes)
    with BinaryWire(ringside) as wire:
        assert wire.one(store("set", b"noreply", b"x" * ((1 << 20) + 1))).status == 3
        wire.in_step()
    assert [command.line for command in fakes[0].commands if command.verb == b"delete"] == [b"delete noreply 0"]


@pytest.mark.parametrize("at", [24, 30, 33, 3000, 70000, 299999])
def test_a_client_that_leaves_in_the_middle_of_its_value(lab, at):
    """Nothing of it is stored, and nobody else notices."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes)
    with BinaryWire(ringside) as other:
        assert other.one(store("set", b"k", b"old")).status == 0
        for leave in (BinaryWire.reset, BinaryWire.close):
            wire = BinaryWire(ringside)
            wire.send(packet("get", b"k") + store("set", b"k", b"x" * 300000)[:at])
            wire.read_exactly(24 + 4 + 3)
            leave(wire)
            ringside.wait_clients(1)
            assert other.one(packet("get", b"k")).value == b"old"
        other.in_step()


def test_a_client_that_leaves_in_the_middle_of_a_reply(lab):
    """The rest of the value is drained, and reaches nobody."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes)
    with BinaryWire(ringside) as other:
        assert other.one(store("set", b"large", b"y" * 900000)).status == 0
        for leave in (BinaryWire.reset, BinaryWire.close):
            for _ in range(5):
                wire = BinaryWire(ringside)
                wire.send(packet("getk", b"large") * 8)
                wire.read_exactly(1000)
                leave(wire)
                assert other.one(packet("getk", b"small")).status == 1
        other.in_step()


def test_no_answer_in_time(lab):
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=NEVER_DOWN, timeout="300ms")
    with BinaryWire(ringside) as wire:
        fakes[0].misbehave(mute(), verbs="mg")
        replies = wire.run(packet("getq", b"a"), packet("getkq", b"b"), packet("getk", b"c"))
        assert [reply.opcode for reply in replies] == [0x09, 0x0d, 0x0c]
        for reply in replies:
            expect_failure(reply, fakes[0], reply.opcode)


def test_a_server_without_meta_commands(lab):
    """It sees none, not even the line of an upload, whose value it would take for commands."""
    fake = lab.adopt(FakeServer(version=b"1.4.39"))
    ringside = lab.ringside(ONE_WORKER, servers=[fake])
    with BinaryWire(ringside) as wire:
        wire.one(packet("version"))
        for data in (packet("get", b"k"), store("set", b"k", b"x"), store("set", b"k", b"x" * 200000)):
            for _ in range(2):
                reply = wire.one(data)
                assert reply.status == TEMPORARY, reply
        assert b"1.6.10" in wire.one(packet("get", b"k")).value
        assert not {"mg", "ms"} & set(fake.verbs())


def test_reads_go_on_to_a_replica(lab):
    """A binary get shows a CAS number, but is no request for one: it may go to any replica. A copy's number fits nowhere."""
    a, b = fakes_of(lab, 2)
    pool = {"on_down": "hold", "health": NEVER_DOWN, "connect_timeout": "30s", "timeout": "60s"}
    ringside = lab.ringside({**ONE_WORKER, "route": {"replicate": {"to": ["a", "b"]}}, "pools": {
        "a": dict(pool, servers=[a.address]), "b": dict(pool, servers=[b.address])}})
    with BinaryWire(ringside) as wire:
        for i in range(5):
            assert wire.one(store("set", b"k", b"value")).cas < 1 << 63
        assert wire.one(packet("get", b"k")).cas < 1 << 63
        a.refuse()
        reply = wire.one(packet("getk", b"k"))
        assert (reply.status, reply.key, reply.value) == (0, b"k", b"value")
        assert reply.cas >= 1 << 63


def test_round_robin_over_replicas(lab):
    a, b = fakes_of(lab, 2)
    ringside = lab.ringside({**ONE_WORKER, "route": {"replicate": {"to": ["a", "b"], "read": "round_robin"}}, "pools": {
        "a": {"servers": [a.address]}, "b": {"servers": [b.address]}}})
    with BinaryWire(ringside) as wire:
        assert wire.one(store("set", b"k", b"value")).status == 0
        copies = [wire.one(packet("get", b"k")).cas >> 63 for _ in range(6)]
        assert copies in ([0, 1] * 3, [1, 0] * 3)
