"""What each command answers over three servers: order, pairing, quietness, and what reaches the servers."""

import base64

import pytest

import harness

pytestmark = pytest.mark.sanitize


@pytest.fixture
def fleet(lab):
    """(three memcached, a Ringside over them)"""
    servers = lab.memcacheds(3)
    return servers, lab.ringside(servers=servers)


def fill(wire, count, size=10):
    """Keys key:0… with values that name them. Returns {key: value}."""
    values = {b"key:%d" % i: (b"value of key:%d " % i).ljust(size, b".") for i in range(count)}
    data = b"".join(b"set %s 0 0 %d\r\n%s\r\n" % (k, len(v), v) for k, v in values.items())
    assert wire.exchange(data, count=8 * count) == b"STORED\r\n" * count
    return values


def test_keys_are_spread_over_all_servers(lab, fleet):
    servers, ringside = fleet
    fill(lab.wire(ringside), 3000)
    counts = [server.stat("curr_items") for server in servers]
    assert sum(counts) == 3000 and min(counts) > 600, counts


def test_multi_get_answers_in_the_order_of_the_request(lab, fleet):
    wire = lab.wire(fleet[1])
    values = fill(wire, 60)
    keys = [b"key:%d" % (i * 37 % 97) for i in range(97)]  # 60 of them are there.
    wire.send(b"get " + b" ".join(keys) + b"\r\n")
    assert wire.read_values() == [(key, values[key]) for key in keys if key in values]
    wire.in_step()


def test_multi_get_repeats_a_key_that_is_asked_for_twice(lab, fleet):
    wire = lab.wire(fleet[1])
    values = fill(wire, 10)
    keys = [b"key:3", b"key:7", b"key:3", b"absent", b"key:3", b"absent", b"key:1"]
    wire.send(b"get " + b" ".join(keys) + b"\r\n")
    assert wire.read_values() == [(key, values[key]) for key in keys if key in values]


def test_multi_get_of_misses_alone(lab, fleet):
    lab.wire(fleet[1]).command(b"get a b c d e f g h\r\ngets a b\r\n", b"END\r\nEND\r\n")


def test_gets_carries_flags_and_cas(lab, fleet):
    servers, ringside = fleet
    wire = lab.wire(ringside)
    for i in range(20):
        wire.command(b"set c:%d %d 0 3\r\nabc\r\n" % (i, i * 1000), b"STORED\r\n")
    wire.send(b"gets " + b" ".join(b"c:%d" % i for i in range(20)) + b"\r\n")
    for i in range(20):
        words = wire.read_line().split(b" ")
        assert words[:4] == [b"VALUE", b"c:%d" % i, b"%d" % (i * 1000), b"3"] and words[4].isdigit()
        assert wire.read_line() == b"abc"
        if i % 2:
            continue
        # The number is good at the server that gave it, and only once.
        other = lab.wire(ringside)
        other.command(b"cas c:%d 0 0 1 %s\r\nx\r\n" % (i, words[4]), b"STORED\r\n")
        other.command(b"cas c:%d 0 0 1 %s\r\ny\r\n" % (i, words[4]), b"EXISTS\r\n")
    wire.expect(b"END\r\n")
    wire.command(b"cas absent 0 0 1 1\r\ny\r\n", b"NOT_FOUND\r\n")


def test_get_and_touch_of_many_keys(lab, fleet):
    wire = lab.wire(fleet[1])
    values = fill(wire, 30)
    wire.send(b"gat 0 " + b" ".join(values) + b"\r\n")
    assert wire.read_values() == list(values.items())
    wire.send(b"gat -1 " + b" ".join(values) + b"\r\n")  # They expire at once.
    wire.read_values()
    wire.command(b"get " + b" ".join(values) + b"\r\n", b"END\r\n")


@pytest.mark.parametrize("line", [b"gat  0 k\r\n", b"  gat   0   k  \r\n", b"get  k\r\n", b" get k \r\n", b"gat 0  k\n",
                                  b"gat 00 k\r\n", b"gat -0 k\r\n"])
def test_lines_with_odd_spaces(lab, fleet, line):
    wire = lab.wire(fleet[1])
    wire.command(b"set k 0 0 1\r\nx\r\n" + line, b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
    wire.in_step()
    assert not fleet[1].log("protocol_error")


def test_pipelined_requests_are_answered_in_order_across_servers(lab, fleet):
    """Values of very different sizes, so that some servers answer much later than others."""
    wire = lab.wire(fleet[1])
    values = {b"o:%d" % i: b"%d;" % i * (1 if i % 7 else 9000) for i in range(300)}
    sets = b"".join(b"set %s 0 0 %d\r\n%s\r\n" % (k, len(v), v) for k, v in values.items())
    assert wire.exchange(sets, count=8 * 300) == b"STORED\r\n" * 300
    order = [b"o:%d" % (i * 61 % 300) for i in range(300)]
    data = bytearray()
    expected = bytearray()
    for i, key in enumerate(order):
        data += b"get %s\r\n" % key
        expected += b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(values[key]), values[key])
        if i % 10 == 3:
            data += b"version\r\nbogus\r\nget absent\r\n"
            expected += b"VERSION 1.6.18\r\nERROR\r\nEND\r\n"
        if i % 10 == 6:
            data += b"mg %s v k\r\nincr absent 1\r\nmn\r\n" % key
            expected += b"VA %d k%s\r\n%s\r\nNOT_FOUND\r\nMN\r\n" % (len(values[key]), key, values[key])
    assert wire.exchange(bytes(data), count=len(expected)) == expected
    wire.in_step()


@pytest.mark.parametrize("line", [
    b"set q 0 0 1 noreply\r\nx\r\n", b"add q 0 0 1 noreply\r\nx\r\n", b"replace q 0 0 1 noreply\r\nx\r\n",
    b"append q 0 0 1 noreply\r\nx\r\n", b"prepend q 0 0 1 noreply\r\nx\r\n", b"cas q 0 0 1 1 noreply\r\nx\r\n",
    b"delete q noreply\r\n", b"delete q 0 noreply\r\n", b"incr q 1 noreply\r\n", b"decr q 1 noreply\r\n",
    b"touch q 0 noreply\r\n", b"flush_all noreply\r\n", b"flush_all 0 noreply\r\n", b"verbosity 0 noreply\r\n",
    b"incr q abc noreply\r\n", b"set " + b"q" * 251 + b" 0 0 1 noreply\r\nx\r\n",
    b"set q 0 0 2000000 noreply\r\n" + b"x" * 2000000 + b"\r\n", b"touch q abc noreply\r\n", b"delete q 7 noreply\r\n",
], ids=lambda line: line[:24].decode().split("\r")[0].replace(" ", "_"))
def test_noreply_is_never_answered(lab, fleet, line):
    wire = lab.wire(fleet[1])
    wire.command(b"set q 0 0 3\r\nabc\r\n", b"STORED\r\n")
    wire.command(line * 3 + b"version\r\n", b"VERSION 1.6.18\r\n")
    wire.in_step()


def test_noreply_commands_are_carried_out(lab, fleet):
    wire = lab.wire(fleet[1])
    for i in range(50):
        key = b"n:%d" % i
        wire.command(b"set %s 0 0 2 noreply\r\n10\r\nincr %s 5 noreply\r\nappend %s 0 0 1 noreply\r\n7\r\n"
                     b"decr %s 7 noreply\r\nget %s\r\n" % (key, key, key, key, key),
                     b"VALUE %s 0 3\r\n150\r\nEND\r\n" % key)
        wire.command(b"delete %s noreply\r\nget %s\r\n" % (key, key), b"END\r\n")


def test_no_server_is_sent_noreply(lab, fleet):
    """Servers answer everything, so that Ringside can tell whose answer is whose."""
    servers, ringside = fleet
    wire = lab.wire(ringside)
    for i in range(30):
        wire.command(b"set a:%d 0 0 1 noreply\r\nx\r\nversion\r\n" % i, b"VERSION 1.6.18\r\n")
    assert sum(server.stat("cmd_set") for server in servers) == 30
    written = sum(server.stat("bytes_written") for server in servers)
    assert written >= 30 * len(b"STORED\r\n")


def test_quiet_meta_commands_and_mn(lab, fleet):
    wire = lab.wire(fleet[1])
    data = b"".join(b"ms z:%d 2 q\r\nok\r\n" % i for i in range(200)) + b"mn\r\n"
    wire.command(data, b"MN\r\n")
    wanted = [b"z:%d" % i for i in range(190, 210)]
    wire.send(b"".join(b"mg %s v k q\r\n" % key for key in wanted) + b"mn\r\n")
    for key in wanted[:10]:
        wire.expect(b"VA 2 k%s\r\nok\r\n" % key)
    wire.expect(b"MN\r\n")
    wire.command(b"md z:1 q\r\nmd z:2 q\r\nma counter N0 J5\r\nma counter q\r\nmn\r\nmg counter v\r\nmg z:1\r\n",
                 b"HD\r\nMN\r\nVA 1\r\n6\r\nEN\r\n")
    wire.in_step()


def test_quiet_meta_commands_show_what_is_not_nominal(lab, fleet):
    wire = lab.wire(fleet[1])
    wire.command(b"ms e 1 q\r\nx\r\nms e 1 q ME\r\ny\r\nmn\r\n", b"NS\r\nMN\r\n")
    wire.command(b"ms e 1 q C99999999\r\nx\r\nmd e q C99999999\r\nma e q\r\nmn\r\n",
                 b"EX\r\nEX\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\nMN\r\n")


def test_opaques_come_back_with_their_own_request(lab, fleet):
    wire = lab.wire(fleet[1])
    fill(wire, 100)
    order = [i * 17 % 100 for i in range(100)]
    wire.send(b"".join(b"mg key:%d O%d k s\r\n" % (i, i + 5000) for i in order) + b"mn\r\n")
    for i in order:
        words = wire.read_line().split(b" ")
        assert words[0] == b"HD" and set(words[1:3]) == {b"O%d" % (i + 5000), b"kkey:%d" % i}, words
    wire.expect(b"MN\r\n")


def test_base64_keys_live_with_their_plain_twins(lab, fleet):
    """`key:3` and its base64 form with flag b are the same key, so they must be on the same server."""
    wire = lab.wire(fleet[1])
    values = fill(wire, 40)
    for key, value in values.items():
        word = base64.b64encode(key)
        wire.command(b"mg %s b v\r\n" % word, b"VA %d\r\n%s\r\n" % (len(value), value))
        wire.command(b"ms %s 1 b\r\nz\r\nget %s\r\n" % (word, key), b"HD\r\nVALUE %s 0 1\r\nz\r\nEND\r\n" % key)
        wire.command(b"md %s b\r\nget %s\r\n" % (word, key), b"HD\r\nEND\r\n")


def test_flush_all_reaches_every_server(lab, fleet):
    servers, ringside = fleet
    wire = lab.wire(ringside)
    values = fill(wire, 300)
    wire.command(b"flush_all\r\n", b"OK\r\n")
    wire.command(b"get " + b" ".join(list(values)[:100]) + b"\r\n", b"END\r\n")
    assert [server.stat("cmd_flush") for server in servers] == [1, 1, 1]
    wire.command(b"flush_all 0\r\nflush_all 1000\r\nflush_all noreply\r\nflush_all 10 noreply\r\nmn\r\n",
                 b"OK\r\nOK\r\nMN\r\n")
    assert [server.stat("cmd_flush") for server in servers] == [5, 5, 5]


def test_flush_all_reaches_only_pools_of_the_route(lab):
    used, unused = lab.memcacheds(2), lab.memcacheds(1)
    ringside = lab.ringside({"pools": {"a": harness.pool_of(used), "b": harness.pool_of(unused)}, "route": "a"})
    lab.wire(ringside).command(b"flush_all\r\n", b"OK\r\n")
    assert [server.stat("cmd_flush") for server in used + unused] == [1, 1, 0]


def test_version_is_the_servers(lab, fleet):
    wire = lab.wire(fleet[1])
    wire.command(b"version\r\n", b"VERSION 1.6.18\r\n")
    for server in fleet[0]:
        server.kill()
    wire.command(b"version\r\n", b"VERSION 1.6.18\r\n")  # Remembered.


def test_verbosity(lab, fleet):
    wire = lab.wire(fleet[1])
    wire.command(b"verbosity 1\r\nverbosity 0\r\nverbosity\r\nverbosity x\r\n",
                 b"OK\r\nOK\r\nERROR\r\nCLIENT_ERROR bad command line format\r\n")


def test_quit_closes_after_the_answers_that_are_due(lab, fleet):
    wire = lab.wire(fleet[1])
    values = fill(wire, 50)
    expected = b"".join(b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (k, len(v), v) for k, v in values.items())
    wire.send(b"".join(b"get %s\r\n" % key for key in values) + b"quit\r\nget key:1\r\n")
    wire.expect_closed(before=expected)


def test_half_close_after_requests_still_draws_the_answers(lab, fleet):
    """A client such as `printf … | nc -N` closes its writing side at once."""
    wire = lab.wire(fleet[1])
    values = fill(wire, 20)
    wire.send(b"get " + b" ".join(values) + b"\r\nversion\r\n")
    wire.shutdown_write()
    wire.expect_closed(b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (k, len(v), v) for k, v in values.items()) +
                       b"END\r\nVERSION 1.6.18\r\n")


def test_negative_expiry_times(lab, fleet):
    wire = lab.wire(fleet[1])
    wire.command(b"set x 0 -1 1\r\na\r\nget x\r\n", b"STORED\r\nEND\r\n")
    wire.command(b"set x 0 0 1\r\na\r\ntouch x -1\r\nget x\r\n", b"STORED\r\nTOUCHED\r\nEND\r\n")


def test_delete_with_zero(lab, fleet):
    wire = lab.wire(fleet[1])
    wire.command(b"set x 0 0 1\r\na\r\ndelete x 0\r\ndelete x 0\r\n", b"STORED\r\nDELETED\r\nNOT_FOUND\r\n")


def test_a_client_sees_its_own_writes_in_one_pipeline(lab, fleet):
    wire = lab.wire(fleet[1])
    data, expected = bytearray(), bytearray()
    for i in range(500):
        key = b"rw:%d" % (i % 13)
        data += b"set %s 0 0 %d\r\n%d\r\nget %s\r\n" % (key, len(str(i)), i, key)
        expected += b"STORED\r\nVALUE %s 0 %d\r\n%d\r\nEND\r\n" % (key, len(str(i)), i)
    assert wire.exchange(bytes(data), count=len(expected)) == expected


def test_hash_tags_keep_keys_together(lab):
    servers = lab.memcacheds(3)
    ringside = lab.ringside(servers=servers, hash_tag="{}")
    wire = lab.wire(ringside)
    for i in range(100):
        wire.set("user:{42}:%d" % i, b"x")
    assert sorted(server.stat("curr_items") for server in servers) == [0, 0, 100]
