"""
Short streams cut in two at every byte, each half sent with a write of its own: the replies are those of a real
memcached that got the stream whole.
"""

import time

import pytest

from replies import ReplyStream, masked

# Every stream begins by deleting its keys, so that it can be run again and again. {k} and {n} are keys.
STREAMS = [
    b"delete {k}\r\nset {k} 5 0 10\r\n0123456789\r\nget {k}\r\ngets {k} {n}\r\n",
    b"delete {k}\r\nset {k} 0 0 5 noreply\r\n\r\n\r\n\r\r\nget {k} {k}\r\n",
    b"delete {k}\r\nadd {k} 1 0 1\r\na\r\nappend {k} 0 0 3\r\nbcd\r\nprepend {k} 0 0 2\r\n\0\n\r\nget {n} {k}\r\n",
    b"delete {k}\r\nset {k} 0 0 0\r\n\r\nreplace {k} 0 0 1\r\nx\r\ncas {k} 0 0 1 9999999999\r\ny\r\nget {k}\r\n",
    b"delete {k}\r\ndelete {n}\r\nset {n} 0 0 2\r\n10\r\nincr {n} 5\r\ndecr {n} 1 noreply\r\nincr {k} 1\r\nget {n}\r\n",
    b"delete {k}\r\nset {k} 3 0 3\r\nabc\r\ntouch {k} 1000\r\ngat 0 {k} {n}\r\ngats 1000 {k}\r\n"
    b"delete {k} noreply\r\nmn\r\n",
    b"delete {k}\r\nms {k} 5 c F7 O123\r\nhello\r\nmg {k} v f k O9\r\nmg {n} v q\r\nmd {k} q\r\nmg {k} k\r\nmn\r\n",
    b"delete {n}\r\nma {n} N0 J5 v\r\nma {n} D3 MI v k\r\nma {n} MD q\r\nms {n} 2 MA q\r\n00\r\nget {n}\r\nme\r\n",
    b"get\r\n\r\nfoo\r\nset {k} 0 0 x\r\nversion\r\nincr {k} abc\r\ndelete\r\ntouch {k}\r\nget {k}\r\n",
    b"delete {k}\r\nset {k} 0 0 3\r\nabcd\r\nget {k}\r\nset {k} 0 0 2\r\nab\nversion\r\nget {k}\r\n",
    b"delete {k}\nset {k} 0 0 1\nx\r\nget {k}\n  get   {k}  {n} \r\nverbosity 1\r\nflush_all abc\r\n",
    b"delete {k}\r\nms {k} 2 b\r\nxx\r\nmg {k} v v\r\nms {k} 3 z\r\nabc\r\nmg {k}\r\nmn\r\nquitt\r\n",
]


def named(stream, tag):
    return stream.replace(b"{k}", b"split:k:" + tag).replace(b"{n}", b"split:n:" + tag)


def run(wire, pieces):
    """Sends the pieces and the mark, and gives the units of the replies, with the marks that the stream has itself."""
    replies = ReplyStream()
    marks = 1 + b"".join(pieces).count(b"\nmn\r\n")

    def done(received):
        return replies.feed(received).count(b"MN") >= marks
    for piece in pieces[:-1]:
        wire.send(piece)
        time.sleep(0.0003)  # So that the halves most often arrive apart. They need not.
    wire.exchange([pieces[-1] + b"mn\r\n"], until=done)
    return [(masked(line), block) for line, block in replies.units]


@pytest.fixture(scope="module")
def sides(shared_lab):
    """(a memcached for reference, a Ringside over three)"""
    return shared_lab.memcached(), shared_lab.ringside(servers=shared_lab.memcacheds(3))


@pytest.mark.sanitize
@pytest.mark.parametrize("index", range(len(STREAMS)))
def test_every_byte_boundary(shared_lab, sides, index):
    stream = named(STREAMS[index], b"%d" % index)
    reference, ringside = (shared_lab.wire(side) for side in sides)
    expected = run(reference, [stream])
    expected = run(reference, [stream])  # Now the first delete finds what the stream before it left.
    run(ringside, [stream])
    for at in range(1, len(stream)):
        got = run(ringside, [stream[:at], stream[at:]])
        assert got == expected, "cut at %d: %r | %r" % (at, stream[:at], stream[at:])


@pytest.mark.sanitize
@pytest.mark.parametrize("index", range(len(STREAMS)))
def test_one_byte_at_a_time(shared_lab, sides, index):
    stream = named(STREAMS[index], b"b%d" % index)
    reference, ringside = (shared_lab.wire(side) for side in sides)
    pieces = [stream[i:i + 1] for i in range(len(stream))]
    for _ in range(2):
        assert run(ringside, pieces) == run(reference, [stream])


@pytest.mark.sanitize
def test_all_streams_in_one_write(shared_lab, sides):
    stream = b"".join(named(stream, b"w%d" % i) for i, stream in enumerate(STREAMS)) * 3
    reference, ringside = (shared_lab.wire(side) for side in sides)
    for _ in range(3):
        assert run(ringside, [stream]) == run(reference, [stream])


@pytest.mark.sanitize
def test_large_value_cut_around_its_ends(shared_lab, sides):
    """Cuts within and around the line, the block's start and the block's end of a value of many buffers."""
    value = bytes(range(256)) * 600
    head = b"set split:large 9 0 %d\r\n" % len(value)
    stream = head + value + b"\r\nget split:large\r\n"
    wire = shared_lab.wire(sides[1])
    expected = [(b"STORED", None), (b"VALUE split:large 9 %d" % len(value), value + b"\r\n"), (b"END", None),
                (b"MN", None)]
    end = len(head) + len(value)
    for at in [1, len(head) - 1, len(head), len(head) + 1, end - 1, end, end + 1, end + 2, end + 3, end + 10,
               len(head) + 16383, len(head) + 16384, len(head) + 65535, len(head) + 65536]:
        assert run(wire, [stream[:at], stream[at:]]) == expected
