"""
What an auditor's scanner looks for on a port with TLS, asked with `openssl s_client`: old versions, weak ciphers, downgrades,
compression, renegotiation, tickets, early data; and the days that a certificate has left.
"""

import contextlib
import datetime
import re
import ssl
import subprocess

import pytest

from certificates import certificates, client_side
from harness import DEADLINE_S
from test_tls import listening, tls_wire

pytestmark = [pytest.mark.sanitize, pytest.mark.plain("these tests say themselves who speaks TLS")]


@pytest.fixture(scope="module")
def ringside(shared_lab):
    """One with an EC certificate, then one with RSA."""
    listen = [listening(), {**listening(certificates().server_rsa), "address": "127.0.0.2:0"}]
    return shared_lab.ringside({"listen": listen}, servers=shared_lab.memcacheds(1))


def s_client(address, *options):
    """(whether it was served, all that it printed)"""
    done = subprocess.run(["openssl", "s_client", "-ign_eof", "-connect", address, *map(str, options)],
                          input=b"version\r\nquit\r\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S)
    told = done.stdout.decode("utf-8", "replace")
    return re.search(r"^VERSION ", told, re.M) is not None, told


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions(ringside, version):
    for address in ringside.addresses:
        met, told = s_client(address, version, "-cipher", "ALL:@SECLEVEL=0")
        assert not met and "alert protocol version" in told, told


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_new_versions(ringside, version):
    for address in ringside.addresses:
        met, told = s_client(address, version, "-CAfile", certificates().ca, "-verify_hostname", "localhost",
                             "-verify_return_error")
        assert met and "Verification: OK" in told, told
        assert "Compression: NONE" in told and "Expansion: NONE" in told
        assert version == "-tls1_3" or "Secure Renegotiation IS supported" in told
        assert "Max Early Data: 0" in told or version == "-tls1_2", told
        assert "No ALPN negotiated" in told
        # X25519 or a NIST curve: forward secrecy.
        assert re.search(r"Server Temp Key: (X25519|ECDH)", told), told


WEAK = ["NULL", "aNULL", "LOW", "EXPORT", "RC4", "DES", "3DES", "MD5", "SEED", "IDEA", "PSK", "SRP"]


def test_weak_ciphers(ringside):
    """All of them that this OpenSSL can still offer."""
    offered = []
    for cipher in WEAK:
        options = "-cipher", cipher + ":@SECLEVEL=0"
        known = subprocess.run(["openssl", "ciphers", "-s", "-tls1_2", options[1]], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
        if known.returncode != 0 or not known.stdout.strip():
            continue
        offered.append(cipher)
        for address in ringside.addresses:
            met, told = s_client(address, "-tls1_2", *options)
            assert not met and "alert handshake failure" in told, (cipher, told)
    assert {"NULL", "aNULL"} <= set(offered), "the client offers nothing that is weak"


def test_the_server_chooses_the_cipher(ringside):
    chosen = set()
    for order in ("AES128-GCM-SHA256:ECDHE-%s-AES256-GCM-SHA384", "AES256-GCM-SHA384:ECDHE-%s-AES128-GCM-SHA256"):
        for address, kind in zip(ringside.addresses, ("ECDSA", "RSA")):
            met, told = s_client(address, "-tls1_2", "-cipher", "ECDHE-%s-%s" % (kind, order % kind))
            assert met, told
            chosen.add((kind, re.search(r"Cipher is (\S+)", told)[1]))
    assert len(chosen) == 2, chosen


def test_a_fallback_that_is_not_needed_is_refused(ringside):
    """RFC 7507: whoever tries a lower version again was pushed down."""
    met, told = s_client(ringside.address, "-tls1_2", "-fallback_scsv")
    assert not met and "alert inappropriate fallback" in told, told
    met, told = s_client(ringside.address, "-fallback_scsv")
    assert met, told


def test_a_downgrade_leaves_its_mark(lab, ringside):
    """RFC 8446, 4.1.3: what a client that knows TLS 1.3 sees if somebody on the way took it out of its hello."""
    marks = {}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        wire = tls_wire(lab, ringside.address, context=client_side(version=version), shake=False)
        wire.sock.received = bytearray()
        wire.sock.shake()
        hello = wire.sock.received
        assert hello[0] == 22 and hello[5] == 2, "no server hello"
        marks[version] = bytes(hello[11:43])[-8:]
    assert marks[ssl.TLSVersion.TLSv1_2] == b"DOWNGRD\x01"
    assert not marks[ssl.TLSVersion.TLSv1_3].startswith(b"DOWNGRD")


def test_tickets_say_how_long_they_live(ringside):
    met, told = s_client(ringside.address, "-tls1_2")
    assert met and int(re.search(r"ticket lifetime hint: (\d+)", told)[1]) <= 7 * 86400, told
    met, told = s_client(ringside.address, "-tls1_2", "-no_ticket")
    assert met and "TLS session ticket" not in told


# Days


def days_of(wire):
    wire.send(b"stats ringside\r\n")
    return wire.read_stats()["ringside_certificate_days"]


def test_days_until_a_certificate_expires(lab):
    """The first to expire counts, of listeners and pools; a change of the file is followed."""
    made = certificates()
    end = datetime.datetime(2099, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)
    left = (end - datetime.datetime.now(datetime.timezone.utc)).days
    own = made.client.copy_to(lab.directory)
    server = lab.memcached(tls=made.server, client_ca=made.ca)
    pool = {"ca": str(made.ca), "certificate": str(own.certificate), "key": str(own.key)}
    ringside = lab.ringside({"listen": [listening()]}, servers=[server], tls=pool)
    wire = tls_wire(lab, ringside)
    assert abs(int(days_of(wire)) - left) <= 1
    mark = ringside.log_mark()
    own.take(made.client_expired)
    ringside.wait_for_log("certificate_changed", after=mark)
    assert int(days_of(wire)) < -300
    own.take(made.client)
    ringside.reload()
    assert abs(int(days_of(wire)) - left) <= 1
    plain = lab.wire(lab.ringside(servers=lab.memcacheds(1, tls=False)), tls=False)
    with contextlib.closing(plain):
        assert days_of(plain) == "none"
