"""SIGTERM: what is under way is finished within a limit, nothing new is accepted, the status is 0."""

import signal

import pytest

from harness import connect, wait_until

pytestmark = pytest.mark.sanitize


def test_idle_clients_do_not_hold_it_up(lab):
    ringside = lab.ringside(servers=lab.memcacheds(2))
    wires = [lab.wire(ringside) for _ in range(20)]
    for wire in wires[:10]:
        wire.in_step()
    ringside.terminate()
    for wire in wires:
        wire.expect_closed()


def test_requests_under_way_are_answered(lab):
    server = lab.memcached()
    ringside = lab.ringside({"limits": {"drain": "80s"}}, servers=[server])
    wires = [lab.wire(ringside) for _ in range(10)]
    for i, wire in enumerate(wires):
        wire.set("k%d" % i, b"%d" % i)
    server.freeze()
    for i, wire in enumerate(wires):
        wire.send(b"get k%d\r\nincr k%d 1\r\n" % (i, i))
    mark = ringside.log_mark()
    for wire in wires:
        wire.send(b"mn\r\n")
    ringside.wait_read()
    ringside.exit_expected = 0
    ringside.signal(signal.SIGTERM)
    ringside.wait_for_log("ending", after=mark)
    server.thaw()
    for i, wire in enumerate(wires):
        wire.expect_closed(b"VALUE k%d 0 1\r\n%d\r\nEND\r\n%d\r\nMN\r\n" % (i, i, i + 1))
    assert ringside.wait_exit() == 0


def test_nothing_new_is_accepted(lab):
    server = lab.memcached()
    ringside = lab.ringside({"limits": {"drain": "80s"}}, servers=[server])
    wire = lab.wire(ringside)
    wire.in_step()
    address = ringside.address
    server.freeze()
    wire.send(b"get absent\r\n")
    ringside.wait_read()
    mark = ringside.log_mark()
    ringside.exit_expected = 0
    ringside.signal(signal.SIGTERM)
    ringside.wait_for_log("ending", after=mark)

    def refused():
        try:
            sock = connect(address)
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            return False  # it stood in the queue of a listener that was being closed
        sock.close()
        return False
    wait_until(refused, "connections to be refused")
    server.thaw()
    wire.expect_closed(b"END\r\n")
    assert ringside.wait_exit() == 0


def test_the_limit_ends_it_all_the_same(lab):
    server = lab.memcached()
    ringside = lab.ringside({"limits": {"drain": "300ms"}}, servers=[server])
    wire = lab.wire(ringside)
    wire.in_step()
    server.freeze()
    wire.send(b"get absent\r\n")
    ringside.terminate()
    wire.read_to_close()


def test_a_second_signal_ends_it_at_once(lab):
    server = lab.memcached()
    ringside = lab.ringside({"limits": {"drain": "1h"}}, servers=[server])
    wire = lab.wire(ringside)
    wire.in_step()
    server.freeze()
    wire.send(b"get absent\r\n")
    ringside.wait_read()
    mark = ringside.log_mark()
    ringside.exit_expected = 0
    ringside.signal(signal.SIGTERM)
    ringside.wait_for_log("ending", after=mark)
    ringside.signal(signal.SIGTERM)
    assert ringside.wait_exit() == 0


def test_interrupt_is_as_good(lab):
    ringside = lab.ringside(servers=lab.memcacheds(1))
    lab.wire(ringside).in_step()
    ringside.exit_expected = 0
    ringside.signal(signal.SIGINT)
    assert ringside.wait_exit() == 0


def test_under_load(lab):
    """Clients in full flight: each gets whole answers up to the close, and the status is 0."""
    ringside = lab.ringside(servers=lab.memcacheds(3))
    wires = [lab.wire(ringside) for _ in range(10)]
    for i, wire in enumerate(wires):
        wire.set("k%d" % i, b"v" * 1000)
    for i, wire in enumerate(wires):
        wire.send(b"get k%d\r\n" % i * 400)
    ringside.terminate()
    for i, wire in enumerate(wires):
        unit = b"VALUE k%d 0 1000\r\n%s\r\nEND\r\n" % (i, b"v" * 1000)
        got = wire.read_to_close()
        assert got == unit * (len(got) // len(unit)), "an answer was cut"
