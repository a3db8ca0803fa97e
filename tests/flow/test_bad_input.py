"""
Input that Ringside refuses: the answer, the connection still in step, and not a byte of it at a server.

Where Ringside answers as memcached does, a real memcached is asked too, so that the expectations here cannot be wrong.
"""

import pytest

from harness import wait_until

pytestmark = pytest.mark.sanitize

LONG = b"L" * 251
FORMAT = b"CLIENT_ERROR bad command line format\r\n"
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"
CHUNK = b"CLIENT_ERROR bad data chunk\r\n"

# What memcached answers in the same way, to the byte.
AS_MEMCACHED = [
    (b"\r\n", b"ERROR\r\n"),
    (b"\n", b"ERROR\r\n"),
    (b"   \r\n", b"ERROR\r\n"),
    (b"foo\r\n", b"ERROR\r\n"),
    (b"GET a\r\n", b"ERROR\r\n"),
    (b"get\r\n", b"ERROR\r\n"),
    (b"gets \r\n", b"ERROR\r\n"),
    (b"gat\r\n", b"ERROR\r\n"),
    (b"gat abc k\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"get " + LONG + b"\r\n", FORMAT),
    (b"gets a b " + LONG + b" c\r\n", FORMAT),
    (b"set\r\n", b"ERROR\r\n"),
    (b"set k 0 0\r\n", b"ERROR\r\n"),
    (b"set k 0 0 x\r\n", FORMAT),
    (b"set k 0 0 -1\r\n", FORMAT),
    (b"set k 0 0 99999999999999999999\r\n", FORMAT),
    (b"set k 0 0 1.5\r\n", FORMAT),
    (b"set k 0 0 3\r\nabcd\r\n", CHUNK + b"ERROR\r\n"),
    (b"set k 0 0 3\r\nabcdefghi\r\n", CHUNK + b"ERROR\r\n"),
    (b"set k 0 0 3\r\nab\r\n\r\n", CHUNK + b"ERROR\r\n"),
    (b"set k 0 0 3\nabc\nfoo\r\n", CHUNK + b"ERROR\r\n"),
    (b"add k 0 0 0\r\nx\r\n", CHUNK + b"ERROR\r\n"),
    (b"ms k 3\r\nabcd\r\n", CHUNK + b"ERROR\r\n"),
    (b"set k 0 0 1048577\r\n" + b"x" * 1048577 + b"\r\n", TOO_LARGE),
    (b"set k 0 0 3000000\r\n" + b"x" * 3000000 + b"\r\n", TOO_LARGE),
    (b"append k 0 0 3000000\r\n" + b"x" * 3000000 + b"\r\n", TOO_LARGE),
    (b"cas k 0 0 3000000 5\r\n" + b"x" * 3000000 + b"\r\n", TOO_LARGE),
    (b"ms k 3000000\r\n" + b"x" * 3000000 + b"\r\n", TOO_LARGE),
    (b"ms k 3000000 q\r\n" + b"x" * 3000000 + b"\r\n", TOO_LARGE),
    (b"incr\r\n", b"ERROR\r\n"),
    (b"incr k\r\n", b"ERROR\r\n"),
    (b"incr k x\r\n", b"CLIENT_ERROR invalid numeric delta argument\r\n"),
    (b"decr k -5\r\n", b"CLIENT_ERROR invalid numeric delta argument\r\n"),
    (b"incr " + LONG + b" 1\r\n", FORMAT),
    (b"delete\r\n", b"ERROR\r\n"),
    (b"delete k 5\r\n", b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"),
    (b"delete k 0 0 0\r\n", b"ERROR\r\n"),
    (b"delete " + LONG + b"\r\n", FORMAT),
    (b"touch k\r\n", b"ERROR\r\n"),
    (b"touch k x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"touch " + LONG + b" 0\r\n", FORMAT),
    (b"flush_all x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"flush_all 1 2 3\r\n", b"ERROR\r\n"),
    (b"mg\r\n", b"ERROR\r\n"),
    (b"mg " + LONG + b" v\r\n", FORMAT),
    (b"mg k v v\r\n", b"CLIENT_ERROR duplicate flag\r\n"),
    (b"mg k O" + b"o" * 40 + b"\r\n", None),  # memcached looks at the length only when it answers
    (b"mg k Tx\r\n", b"CLIENT_ERROR bad token in command line format\r\n"),
    (b"mg !! b\r\n", b"CLIENT_ERROR error decoding key\r\n"),
    (b"ms k\r\n", FORMAT),
    (b"ms k x\r\n", FORMAT),
    (b"ms k -1\r\n", FORMAT),
    (b"ms k 2 MX\r\nab\r\n", b"CLIENT_ERROR invalid mode for ms M token\r\n"),
    (b"ms k 2 v v\r\nab\r\n", b"CLIENT_ERROR duplicate flag\r\n"),
    (b"md\r\n", b"ERROR\r\n"),
    (b"md k v v\r\n", b"CLIENT_ERROR invalid or duplicate flag\r\n"),
    (b"ma k MX\r\n", b"CLIENT_ERROR invalid mode for ma M token\r\n"),
    (b"me\r\n", FORMAT),
    (b"mz k\r\n", b"ERROR\r\n"),
]

# What Ringside answers in its own way: memcached takes control characters in keys, and takes the data block of a
# command that it has refused for the next command.
OWN_WAY = [
    (b"get a\x01b\r\n", FORMAT),
    (b"get a\tb\r\n", FORMAT),
    (b"get ok a\x7fb\r\n", FORMAT),
    (b"get a\x00b\r\n", FORMAT),
    (b"get a\rb\r\n", FORMAT),
    (b"delete a\x02\r\n", FORMAT),
    (b"incr a\x03 1\r\n", FORMAT),
    (b"mg a\x1f v\r\n", FORMAT),
    (b"set a\x01 0 0 5\r\nhello\r\n", FORMAT),
    (b"set " + LONG + b" 0 0 5\r\nhello\r\n", FORMAT),
    (b"set " + LONG + b" 0 0 13\r\nset x 0 0 1\r\n\r\n", FORMAT),
    (b"set k x 0 5\r\nhello\r\n", FORMAT),
    (b"set k 0 x 5\r\nhello\r\n", FORMAT),
    (b"cas k 0 0 5 x\r\nhello\r\n", FORMAT),
    (b"set k x 0 5 noreply\r\nhello\r\n", b""),
    (b"ms " + LONG + b" 5\r\nhello\r\n", FORMAT),
    (b"ms a\x01 5\r\nhello\r\n", FORMAT),
    (b"set " + LONG + b" 0 0 3000000\r\n" + b"x" * 3000000 + b"\r\n", FORMAT),
]

NOT_FOR_A_PROXY = [
    b"shutdown", b"shutdown graceful", b"cache_memlimit 100", b"slabs reassign 1 2", b"slabs automove 0",
    b"lru mode flat", b"lru tune 10 25 0.1 2.0", b"lru_crawler enable", b"lru_crawler metadump all", b"watch",
    b"watch fetchers",
    b"debugtime p", b"misbehave", b"extstore item_size 1", b"refresh_certs",
]


@pytest.fixture(scope="module")
def fleet(shared_lab):
    """(a memcached for reference, the servers, a Ringside over them)"""
    servers = shared_lab.memcacheds(3)
    return shared_lab.memcached(tls=False), servers, shared_lab.ringside(servers=servers)


def name(entry):
    data = entry[0] if isinstance(entry, tuple) else entry
    return "".join(chr(c) if 32 < c < 127 else "_" for c in data[:40])


def sets_seen(servers):
    return sum(server.stat("cmd_set") for server in servers)


@pytest.mark.parametrize("entry", AS_MEMCACHED, ids=name)
def test_answered_as_memcached_does(shared_lab, fleet, entry):
    reference, _, ringside = fleet
    data, expected = entry
    direct = shared_lab.wire(reference)
    direct.send(data + b"mn\r\n")
    answer = direct.read_until(b"MN\r\n")
    assert expected is None or answer == expected + b"MN\r\n", "memcached itself"
    wire = shared_lab.wire(ringside)
    wire.command(data + b"mn\r\n", answer)
    wire.in_step()
    # And within a pipeline, cut in pieces.
    pieces = [b"get absent\r\n" + data[:7], data[7:50], data[50:], b"get absent\r\nmn\r\n"]
    expected = b"END\r\n" + answer[:-4] + b"END\r\nMN\r\n"
    assert wire.exchange([p for p in pieces if p], count=len(expected)) == expected
    wire.in_step()


@pytest.mark.parametrize("entry", OWN_WAY, ids=name)
def test_answered_in_its_own_way(shared_lab, fleet, entry):
    _, servers, ringside = fleet
    data, expected = entry
    before = sets_seen(servers)
    wire = shared_lab.wire(ringside)
    wire.command(data + b"mn\r\n", expected + b"MN\r\n")
    assert sets_seen(servers) == before, "something was stored"
    pieces = [b"get absent\r\n" + data[:7], data[7:50], data[50:], b"get absent\r\nmn\r\n"]
    expected = b"END\r\n" + expected + b"END\r\nMN\r\n"
    assert wire.exchange([p for p in pieces if p], count=len(expected)) == expected
    wire.in_step()


@pytest.mark.parametrize("line", NOT_FOR_A_PROXY, ids=name)
def test_not_for_a_proxy(shared_lab, fleet, line):
    _, servers, ringside = fleet
    wire = shared_lab.wire(ringside)
    answer = wire.line(line)
    assert answer.startswith(b"CLIENT_ERROR ") and line.split()[0] in answer
    wire.in_step()
    assert all(server.alive for server in servers)


def test_refused_commands_never_reach_a_server(lab):
    server = lab.memcached()
    ringside = lab.ringside(servers=[server])
    wire = lab.wire(ringside)
    wire.command(b"mn\r\n", b"MN\r\n")
    before = server.stat("bytes_read")
    again = server.stat("bytes_read")
    own_stats = again - before  # What one `stats` of the harness itself costs.
    refused = [e for e in AS_MEMCACHED + OWN_WAY if e[1] in (FORMAT, b"ERROR\r\n") and len(e[0]) < 1000]
    for data, expected in refused:
        wire.command(data, expected)
    assert server.stat("bytes_read") == again + own_stats, "bytes of a refused command were sent"


def test_refused_retrieval_is_refused_as_a_whole(lab):
    """No key of it is looked up, wherever the bad one stands."""
    server = lab.memcached()
    wire = lab.wire(lab.ringside(servers=[server]))
    for keys in ([LONG], [b"a", LONG], [b"a"] * 50 + [LONG] + [b"b"] * 50, [b"a", b"b\x01"]):
        wire.command(b"get " + b" ".join(keys) + b"\r\n", FORMAT)
    assert server.stat("cmd_get") == 0


def test_line_without_end_is_refused_and_closed(shared_lab, fleet):
    for start in (b"x", b"set ", b"mg ", b"delete k", b"incr "):
        wire = shared_lab.wire(fleet[2])
        wire.command(b"version\r\n", b"VERSION 1.6.18\r\n")
        wire.send(b"get absent\r\n" + start + b"a" * 5000)
        answer = wire.read_to_close()
        assert answer.startswith(b"END\r\nCLIENT_ERROR line too long"), answer


def test_long_get_streams(shared_lab, fleet):
    """A line of 300 KB, sent in small pieces: the keys are answered, in order."""
    wire = shared_lab.wire(fleet[2])
    keys = [b"streamed:key:%06d" % i for i in range(16000)]
    for i in range(0, 16000, 100):
        wire.set(keys[i], b"%d" % i)
    line = b"get " + b" ".join(keys) + b"\r\n"
    expected = b"".join(b"VALUE %s 0 %d\r\n%d\r\n" % (keys[i], len(str(i)), i) for i in range(0, 16000, 100))
    expected += b"END\r\n"
    for size in (1000, 1999, 7001, 50000):
        pieces = [line[i:i + size] for i in range(0, len(line), size)]
        assert wire.exchange(pieces, count=len(expected)) == expected
    wire.in_step()


@pytest.mark.parametrize("size", [500, 1 << 20])
def test_long_get_with_a_bad_key(shared_lab, fleet, size):
    """The error stands where END would; what was found before it may stand before it. The connection goes on."""
    wire = shared_lab.wire(fleet[2])
    wire.set(b"long:0", b"zero")
    keys = [b"long:%d" % i for i in range(4000)] + [LONG] + [b"more:%d" % i for i in range(100)]
    line = b"get " + b" ".join(keys) + b"\r\nmn\r\n"
    wire.exchange([line[i:i + size] for i in range(0, len(line), size)])
    answer = wire.read_until(b"MN\r\n")
    assert answer in (FORMAT + b"MN\r\n", b"VALUE long:0 0 4\r\nzero\r\n" + FORMAT + b"MN\r\n")
    wire.in_step()


def test_long_get_whose_bad_key_comes_before_the_rest(shared_lab, fleet):
    """The same where the bad key has been read, and the line's end has not."""
    wire, other = shared_lab.wire(fleet[2]), shared_lab.wire(fleet[2])

    def bytes_read():
        other.send(b"stats ringside\r\n")
        return int(other.read_stats()["ringside_bytes_read"])

    begin = b"get " + b" ".join(b"long:%d" % i for i in range(4000)) + b" " + LONG + b" more:1 "
    before = bytes_read()
    wire.send(begin)
    wait_until(lambda: bytes_read() >= before + len(begin), "the first part to be read")
    wire.send(b"more:2\r\nmn\r\n")
    assert wire.read_until(b"MN\r\n").endswith(FORMAT + b"MN\r\n")
    wire.in_step()


def test_http_is_turned_away(shared_lab, fleet):
    wire = shared_lab.wire(fleet[2])
    wire.send(b"GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert wire.read_to_close().startswith(b"ERROR\r\n")


def test_get_noreply_is_a_key(shared_lab, fleet):
    wire = shared_lab.wire(fleet[2])
    wire.set(b"noreply", b"yes")
    assert wire.get_many([b"x", b"noreply"]) == {b"noreply": b"yes"}


def test_keys_at_the_limit_and_high_bytes(shared_lab, fleet):
    wire = shared_lab.wire(fleet[2])
    for key in (b"k" * 250, b"\xff\xfe\x80\xc3\xa9", b"'\"{}[]()$`\\;|&<>", b"0", b"-1", b"set", b"\xe2\x82\xac" * 83):
        wire.set(key, b"v:" + key)
        assert wire.get(key) == b"v:" + key


def test_item_size_is_the_configured_one(lab):
    server = lab.memcached(args=["-I", "8m"], memory_mib=128)
    ringside = lab.ringside({"limits": {"item_size": "100KiB"}}, servers=[server])
    wire = lab.wire(ringside)
    wire.command(b"set k 0 0 102400\r\n" + b"x" * 102400 + b"\r\n", b"STORED\r\n")
    wire.command(b"set k 0 0 102401\r\n" + b"x" * 102401 + b"\r\n", TOO_LARGE)
    wire.command(b"ms k 102401\r\n" + b"x" * 102401 + b"\r\n", TOO_LARGE)
    wire.command(b"set k 0 0 102401 noreply\r\n" + b"x" * 102401 + b"\r\nmn\r\n", b"MN\r\n")
    wire.in_step()
