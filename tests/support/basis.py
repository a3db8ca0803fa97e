"""
What all of the harness stands on: deadlines, free ports, addresses.

With RINGSIDE_TLS=1 in the environment all of it speaks TLS: every Ringside towards its clients and its servers, every
Memcached, FakeServer and Wire. Addresses where nobody does are told by plain_address().
"""

import os
import random
import socket
import time

# Long enough for a sanitizer build on a busy machine. A wait that ends sooner ends at once.
DEADLINE_S = float(os.environ.get("RINGSIDE_DEADLINE_S", "90"))

# Whether everything is to speak TLS that is not told otherwise.
ALL_TLS = os.environ.get("RINGSIDE_TLS", "") == "1"

_plain_addresses = set()


class HarnessError(AssertionError):
    """Something that the test relied on did not happen."""


def free_port(host="127.0.0.1"):
    """
    A TCP port that is free now. It lies below the kernel's range for outgoing connections, so that nobody gets it by
    chance while the server that uses it is down. Whoever starts a server on it must be ready to find it taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(2000):
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise HarnessError("no free port on " + host)


def wait_until(condition, what, deadline_s=None):
    """Calls condition() until it gives something true, and returns that. HarnessError after the deadline."""
    end = time.monotonic() + (DEADLINE_S if deadline_s is None else deadline_s)
    pause = 0.002
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise HarnessError("waited in vain: " + (what() if callable(what) else what))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def plain_address(address, is_plain=True):
    """Notes that whoever listens there speaks no TLS, whatever ALL_TLS says; or that it does again."""
    if is_plain:
        _plain_addresses.add(address)
    else:
        _plain_addresses.discard(address)


def speaks_tls(address):
    """Whether TLS is to be spoken to an address, as long as a test does not say it."""
    return ALL_TLS and address not in _plain_addresses


def split_address(address):
    """'host:port', '[v6]:port' or 'unix:path' to (family, what connect() takes)."""
    if address.startswith("unix:"):
        return socket.AF_UNIX, address[len("unix:"):]
    host, _, port = address.rpartition(":")
    if host.startswith("["):
        return socket.AF_INET6, (host[1:-1], int(port))
    return socket.AF_INET, (host, int(port))


def connect(address, deadline_s=None, tls=None):
    """
    A connected, blocking TCP (TCP_NODELAY) or Unix socket. Raises OSError when it is refused. tls: an ssl.SSLContext, or
    True: TLS that verifies nothing; or False: plain; or None: as speaks_tls() says. With TLS it is a TlsSocket.
    """
    sock = _connect_plain(address, deadline_s)
    if tls is None:
        tls = speaks_tls(address)
    if tls is False:
        return sock
    from certificates import client_side
    from tlssocket import TlsSocket
    return TlsSocket(sock, client_side() if tls is True else tls)


def _connect_plain(address, deadline_s):
    family, where = split_address(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(DEADLINE_S if deadline_s is None else deadline_s)
    try:
        sock.connect(where)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock
