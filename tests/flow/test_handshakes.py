"""How many TLS handshakes may be under way, and how long one may take."""

import socket
import ssl

import pytest

from harness import wait_until
from test_auth import make_certificates, tls_wire

pytestmark = [pytest.mark.sanitize, pytest.mark.plain("these tests say themselves who speaks TLS")]


@pytest.fixture
def start(lab):
    make_certificates(lab.directory, "server")

    def start(**limits):
        config = {"workers": 1, "limits": limits,
                  "listen": [{"address": "127.0.0.1:0", "tls": {"certificate": "server.pem", "key": "server.key"}},
                             {"address": "127.0.0.2:0"}]}
        return lab.ringside(config, servers=lab.memcacheds(1))
    return start


# What is said to those who are sent away: fatal, internal_error.
ALERT = b"\x15\x03\x03\x00\x02\x02\x50"


def own(wire, name):
    wire.send(b"stats ringside\r\n")
    return int(wire.read_stats()["ringside_" + name])


def test_a_slow_handshake_is_closed(lab, start):
    ringside = start(handshake="300ms", handshakes=5, stall="1h")
    plain = lab.wire(ringside.addresses[1])
    early = tls_wire(lab, ringside)
    early.in_step()
    idle = tls_wire(lab, ringside)
    for count in (3, 6, 9):
        slow = [lab.wire(ringside) for _ in range(3)]
        slow[1].send(b"\x16")
        # A client's hello, and no more than its beginning.
        slow[2].send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
        for wire in slow:
            wire.expect_closed()
        wait_until(lambda: own(plain, "clients_stalled_closed") == count, "the clients to be counted")
    for wire in (early, idle, plain, tls_wire(lab, ringside)):
        wire.in_step()


def test_progress_does_not_buy_time(lab, start):
    ringside = start(handshake="200ms", stall="1h")
    wire = lab.wire(ringside)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(400)
    sent = 0
    with pytest.raises(OSError):
        while sent < 1_000_000:
            wire.sock.sendall(hello[sent % len(hello):][:1] if sent < len(hello) else b"")
            sent += 1
            wire.sock.settimeout(0.02)
            try:
                if not wire.sock.recv(1):
                    raise OSError("closed")
            except socket.timeout:
                continue
    assert sent < len(hello), "it was closed before all of it was said"


def test_more_handshakes_than_allowed_are_refused(lab, start):
    ringside = start(handshakes=4, handshake="1h")
    plain = lab.wire(ringside.addresses[1])
    served = [tls_wire(lab, ringside) for _ in range(12)]
    # Those that are done do not count, though most of them have said nothing yet.
    for wire in served[::3]:
        wire.in_step()
    silent = [lab.wire(ringside) for _ in range(4)]
    ringside.wait_clients(len(served) + len(silent) + 1)
    before = own(plain, "clients_accepted")
    for _ in range(3):
        lab.wire(ringside).expect_closed(ALERT)
    with pytest.raises(ssl.SSLError, match="(?i)alert internal error"):
        tls_wire(lab, ringside)
    assert own(plain, "handshakes_refused") == 4
    assert own(plain, "clients_accepted") == before
    for wire in [*served, plain]:
        wire.in_step()
    # Those in the clear have no handshake.
    lab.wire(ringside.addresses[1]).in_step()
    for wire in silent[:2]:
        wire.close()
    ringside.wait_clients(len(served) + 2 + 2)
    tls_wire(lab, ringside).in_step()
    # One that fails gives its place back too.
    for _ in range(10):
        failing = lab.wire(ringside)
        failing.send(b"get k\r\n")
        assert b"VALUE" not in failing.read_to_close()
        failing.close()
    tls_wire(lab, ringside).in_step()


def test_a_reload_changes_the_limits(lab, start):
    ringside = start(handshakes=1, handshake="1h")
    silent = lab.wire(ringside)
    ringside.wait_clients(1)
    lab.wire(ringside).expect_closed(ALERT)
    ringside.reload(ringside.config.replace('"handshakes": 1', '"handshakes": 2'))
    tls_wire(lab, ringside).in_step()
    silent.close()


def test_clients_too_many_are_told_by_an_alert(lab, start):
    """limits.clients: each is told in what its listener speaks."""
    ringside = start(clients=4)
    served = [tls_wire(lab, ringside) for _ in range(3)]
    plain = lab.wire(ringside.addresses[1])
    for wire in [*served, plain]:
        wire.in_step()
    for _ in range(3):
        lab.wire(ringside).expect_closed(ALERT)
        lab.wire(ringside.addresses[1]).expect_closed(b"SERVER_ERROR too many connections\r\n")
    with pytest.raises(ssl.SSLError, match="(?i)alert internal error"):
        tls_wire(lab, ringside)
    assert own(plain, "clients_refused") == 7 and own(plain, "handshakes_refused") == 0
    served[0].close()
    ringside.wait_clients(3)
    tls_wire(lab, ringside).in_step()
