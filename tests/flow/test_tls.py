"""
TLS: towards servers, whose certificates must be good; towards clients; changes of certificates while it serves; and what a
hostile or careless peer can do below the protocol.
"""

import contextlib
import os
import select
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from basis import connect
from certificates import certificates, client_side, server_side
from fakeserver import FakeServer, held
from harness import DEADLINE_S, HarnessError, expect_growth_below, wait_until
from tlssocket import TlsSocket, records

pytestmark = [pytest.mark.sanitize, pytest.mark.plain("these tests say themselves who speaks TLS")]

QUICK = {"failures": 1, "probe": "50ms", "probe_max": "200ms", "panic": "100%"}
BOTH_VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3],
                                        ids=["1.2", "1.3"])


def paths(**files):
    """What stands in a configuration: paths as text; an Identity as certificate and key."""
    identity = files.pop("identity", None)
    if identity is not None:
        files.update(certificate=identity.certificate, key=identity.key)
    return {name: str(value) for name, value in files.items()}


def listening(identity=None, client_ca=None, asks=None, **more):
    """A listener with TLS."""
    tls = paths(identity=identity or certificates().server, **({"client_ca": client_ca} if client_ca else {}))
    tls.update({"client_certificate": asks} if asks else {}, **more)
    return {"address": "127.0.0.1:0", "tls": tls}


def fake_of(lab, identity=None):
    return lab.adopt(FakeServer(tls=server_side(identity or certificates().server)))


class TlsServer:
    """One that says at the socket's end what is wrong (asyncio does not), and answers nothing else. A context manager."""

    def __init__(self, context):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.context = context

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(DEADLINE_S)
        self.listener.close()

    def serve(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            with self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False) as tls:
                with contextlib.suppress(OSError):
                    tls.do_handshake()
                # A close at once would be a RST, and overtake the alert.
                with contextlib.suppress(OSError):
                    while os.read(tls.fileno(), 4096):
                        pass


def tls_wire(lab, ringside, deadline_s=None, context=None, **options):
    """A Wire over a TlsSocket of these options."""
    sock = TlsSocket(connect(ringside if isinstance(ringside, str) else ringside.address, deadline_s, tls=False),
                     context or client_side(ca=certificates().ca), **options)
    return lab.wire(ringside, sock=sock)


def refused(lab, ringside, **options):
    """The words with which a client of these options is turned away, in the handshake or with its first request."""
    try:
        wire = tls_wire(lab, ringside, **options)
        wire.send(b"mn\r\n")
        wire.expect(b"MN\r\n")
    except (ssl.SSLError, ConnectionError, HarnessError) as error:
        assert "no answer" not in str(error), error
        return str(error)
    raise HarnessError("it was let in")


# --- To servers


@BOTH_VERSIONS
@pytest.mark.parametrize("kind", ["server", "server_rsa"])
def test_to_memcached(lab, kind, version):
    servers = lab.memcacheds(3, tls=getattr(certificates(), kind))
    tls = paths(ca=certificates().ca, **({"min_version": "1.3"} if version == ssl.TLSVersion.TLSv1_3 else {}))
    wire = lab.wire(lab.ringside(servers=servers, tls=tls))
    for i in range(300):
        wire.set("k%d" % i, b"%d" % i * 50)
    assert wire.get_many(["k%d" % i for i in range(300)]) == {b"k%d" % i: b"%d" % i * 50 for i in range(300)}
    assert all(server.stat("curr_items") > 30 for server in servers)
    wire.set("large", b"L" * 1_000_000)
    assert wire.get("large") == b"L" * 1_000_000
    wire.in_step()


@pytest.mark.parametrize("values", [[10], [300], [5, 50, 700, 16000], [2000, 9000, 16000, 40000, 200000]], ids=str)
def test_long_pipelines_do_not_starve_in_memcached(lab, values):
    """
    memcached waits for its socket though it holds a part of a record, when that is more than it has room for or than a
    value lacks. So no record may hold the end of one request and another.
    """
    server = lab.memcached(tls=certificates().server, memory_mib=512)
    wire = lab.wire(lab.ringside({"workers": 1}, servers=[server], tls=paths(ca=certificates().ca)))
    requests = [b"set k%d 0 0 %d\r\n%s\r\n" % (i % 50, size, b"v" * size)
                for i, size in enumerate(values * (1200 // len(values) if max(values) < 20000 else 100))]
    requests = [request for pair in zip(requests, [b"get absent\r\n", b"delete absent\r\n"] * len(requests))
                for request in pair]
    replies = wire.exchange([b"".join(requests)], until=lambda got: got.count(b"\n") == len(requests))
    expected = [b"STORED" if i % 2 == 0 else (b"END", b"NOT_FOUND")[i // 2 % 2] for i in range(len(requests))]
    assert replies.split(b"\r\n")[:-1] == expected


BAD_CERTIFICATES = [
    ("foreign", {}, b"unable to get local issuer certificate"), ("wrong_name", {}, b"IP address mismatch"),
    ("expired", {}, b"certificate has expired"), ("self_signed", {}, b"self-signed certificate"),
    ("revoked", {"crl": True}, b"certificate revoked"),
]


@pytest.mark.parametrize("kind, more, words", BAD_CERTIFICATES, ids=[row[0] for row in BAD_CERTIFICATES])
def test_bad_certificates_of_servers(lab, kind, more, words):
    """Its keys get an error that says why, it is taken out, the others serve; it is back when its certificate is good."""
    made = certificates()
    bad, good = fake_of(lab, getattr(made, kind)), fake_of(lab)
    tls = paths(ca=made.ca, **({"crl": made.crl} if more else {}))
    ringside = lab.ringside({"workers": 1}, servers=[bad, good], on_down="hold", health=QUICK, tls=tls)
    wire = lab.wire(ringside)
    keys = [b"k%d" % i for i in range(40)]
    errors = []
    for key in keys:
        answer = wire.line(b"set %s 0 0 1\r\nx" % key)
        if answer != b"STORED":
            errors.append(answer)
    assert errors and len(errors) < len(keys)
    assert all(line.startswith(b"SERVER_ERROR ") for line in errors), errors
    assert words in errors[0] and bad.address.encode() in errors[0] and b"main" in errors[0], errors[0]
    assert not bad.commands, "something was sent to a server that is not known"
    line = ringside.wait_for_log("server_down", containing=bad.address)
    assert words.decode() in line.message, line
    bad.tls.load_cert_chain(made.server.certificate, made.server.key)
    ringside.wait_for_log("server_up", containing=bad.address)
    for key in keys:
        wire.set(key, b"y")
    assert bad.count("set") and good.count("set")


def test_a_good_server_with_a_crl(lab):
    server = lab.memcached(tls=certificates().server)
    lab.wire(lab.ringside(servers=[server], tls=paths(ca=certificates().ca, crl=certificates().crl))).in_step()


CHAINED = [
    ("crl", "server", None), ("crl", "chained", b"unable to get certificate CRL"), ("crl_below", "chained", None),
    ("crl_below", "server", b"unable to get certificate CRL"), ("crl_below", "chained_revoked", b"certificate revoked"),
    ("crl_both", "server", None), ("crl_both", "chained", None), ("crl_both", "revoked", b"certificate revoked"),
    ("crl_both", "chained_revoked", b"certificate revoked"), ("crl_above", "chained", b"certificate revoked"),
    ("crl_above", "server", None),
]


@pytest.mark.parametrize("crl, kind, words", CHAINED, ids=["-".join(row[:2]) for row in CHAINED])
def test_crls_and_intermediates_of_servers(lab, crl, kind, words):
    """A list is due of who issued the certificate; of those above, what is there is heeded."""
    made = certificates()
    fake = fake_of(lab, getattr(made, kind))
    wire = lab.wire(lab.ringside(servers=[fake], tls=paths(ca=made.ca, crl=getattr(made, crl))))
    line = wire.line(b"get k")
    assert line == b"END" if words is None else line.startswith(b"SERVER_ERROR ") and words in line, line


@pytest.mark.parametrize("server_has", [False, True], ids=["plain-server", "tls-server"])
def test_one_side_alone_speaks_tls(lab, server_has):
    made = certificates()
    odd, even = lab.memcached(tls=server_has and made.server), lab.memcached(tls=not server_has and made.server)
    pool = {} if server_has else {"tls": paths(ca=made.ca)}
    ringside = lab.ringside({"workers": 1}, servers=[odd, even], on_down="hold", connect_timeout="2s", timeout="2s",
                            health=QUICK, **pool)
    wire = lab.wire(ringside)
    answers = [wire.line(b"set k%d 0 0 1\r\nx" % i) for i in range(40)]
    errors = [answer for answer in answers if answer != b"STORED"]
    assert errors and len(errors) < len(answers)
    assert all(line.startswith(b"SERVER_ERROR ") and odd.address.encode() in line for line in errors), errors
    ringside.wait_for_log("server_down", containing=odd.address)
    odd.tls = None if server_has else made.server
    odd.restart()
    ringside.wait_for_log("server_up", containing=odd.address)
    for i in range(40):
        wire.set("k%d" % i, b"y")
    assert odd.stat("curr_items") and even.stat("curr_items")


def test_insecure(lab):
    """It takes any certificate, and says so."""
    made = certificates()
    fakes = [fake_of(lab, identity) for identity in (made.self_signed, made.expired, made.foreign, made.wrong_name)]
    ringside = lab.ringside(servers=fakes, tls={"insecure": "yes"})
    wire = lab.wire(ringside)
    for i in range(100):
        wire.set("k%d" % i, b"x")
    assert all(fake.count("set") for fake in fakes)
    assert "main" in ringside.wait_for_log("tls_insecure").message


def test_server_name(lab):
    """It is what is verified, and what is asked for."""
    fake = fake_of(lab, certificates().other)
    tls = paths(ca=certificates().ca, server_name="other.test")
    lab.wire(lab.ringside(servers=[fake], tls=tls)).in_step()
    assert set(fake.asked_for) == {"other.test"}


def test_names_are_asked_for_and_addresses_are_not(lab):
    """SNI has no room for addresses."""
    fake = fake_of(lab)
    ringside = lab.ringside(servers=["localhost:%d" % fake.port], tls=paths(ca=certificates().ca))
    lab.wire(ringside).in_step()
    assert set(fake.asked_for) == {"localhost"}
    ringside.terminate()
    fake.asked_for.clear()
    lab.wire(lab.ringside(servers=[fake], tls=paths(ca=certificates().ca))).in_step()
    assert set(fake.asked_for) == {None}


@pytest.mark.parametrize("shows, is_good", [("client", True), (None, False), ("client_foreign", False)])
def test_servers_that_ask_for_a_certificate(lab, shows, is_good):
    made = certificates()
    server = lab.memcached(tls=made.server, client_ca=made.ca)
    tls = paths(ca=made.ca, **({"identity": getattr(made, shows)} if shows else {}))
    ringside = lab.ringside(servers=[server], tls=tls, connect_timeout="2s", timeout="2s")
    wire = lab.wire(ringside)
    if is_good:
        wire.in_step()
    else:
        line = wire.line(b"get k")
        assert line.startswith(b"SERVER_ERROR ") and server.address.encode() in line, line


def test_the_reason_of_a_server_that_refuses_ringsides_certificate(lab):
    """In TLS 1.3 it is told only after the handshake."""
    made = certificates()
    with TlsServer(server_side(made.server, client_ca=made.ca)) as server:
        ringside = lab.ringside({"workers": 1}, servers=[server.address], tls=paths(ca=made.ca))
        line = lab.wire(ringside).line(b"get k")
        assert line.startswith(b"SERVER_ERROR ") and b"the server refused our certificate" in line, line
        assert b"certificate required" in line, line


@BOTH_VERSIONS
@pytest.mark.parametrize("shows", [None, "client_foreign"])
def test_the_log_says_whose_certificate_was_refused(lab, shows, version):
    """Also where only probes are left to find it out."""
    made = certificates()
    context = server_side(made.server, client_ca=made.ca)
    context.minimum_version = context.maximum_version = version
    with TlsServer(context) as server:
        tls = paths(ca=made.ca, **({"identity": getattr(made, shows)} if shows else {}))
        ringside = lab.ringside({"workers": 1, "log": {"level": "debug"}}, servers=[server.address], tls=tls, health=QUICK,
                                on_down="hold")
        assert lab.wire(ringside).line(b"get k").startswith(b"SERVER_ERROR ")
        # Who shows none is refused by name in TLS 1.3 alone.
        words = "alert handshake failure" if version == ssl.TLSVersion.TLSv1_2 and not shows else \
            "the server refused our certificate"
        for event in ("server_down", "probe_failed"):
            ringside.wait_for_log(event, containing=words)


@pytest.mark.parametrize("kind, words", [
    ("memcached", "the handshake had no answer in time: the server may not speak TLS"),
    ("talker", "the server does not speak TLS"), ("half", "the handshake was not done in time")])
def test_a_server_without_tls_is_told(lab, kind, words):
    """memcached waits for a line's end, which a handshake may happen to have; others speak at once."""
    says = {"memcached": b"", "talker": b"ERROR\r\n", "half": b"\x16\x03\x03"}[kind]
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as taken:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    sock = taken.enter_context(server.accept()[0])
                    sock.sendall(says)
        threading.Thread(target=serve, daemon=True).start()
        address = "127.0.0.1:%d" % server.getsockname()[1]
        ringside = lab.ringside({"workers": 1, "log": {"level": "debug"}}, servers=[address],
                                tls=paths(ca=certificates().ca), connect_timeout="300ms", timeout="300ms", health=QUICK,
                                on_down="hold")
        line = lab.wire(ringside).line(b"get k")
        assert line.startswith(b"SERVER_ERROR ") and words.encode() in line, line
        for event in ("server_down", "probe_failed"):
            ringside.wait_for_log(event, containing=words)
        ringside.terminate()
        server.shutdown(socket.SHUT_RDWR)


@BOTH_VERSIONS
def test_sessions_are_taken_up_again(lab, version):
    """50 connections that are lost and opened again cost no handshake in full."""
    context = server_side(certificates().server)
    context.minimum_version = context.maximum_version = version
    fake = lab.adopt(FakeServer(tls=context))
    ringside = lab.ringside({"workers": 1}, servers=[fake], connections=50, tls=paths(ca=certificates().ca))
    wires = [lab.wire(ringside) for _ in range(50)]
    for wire in wires:
        wire.set("k", b"x")
    assert fake.connections == 50
    before = fake.resumed
    fake.close_connections()
    wait_until(lambda: ringside.sockets()["upstream"] == 0, "the connections to end")
    for wire in wires:
        assert wire.get("k") == b"x"
    assert fake.connections == 100
    assert fake.resumed - before == 50


def test_sessions_are_not_kept_over_a_change_of_ca(lab):
    """What was verified once is verified anew."""
    made = certificates()
    fake = fake_of(lab)
    config = {"workers": 1, "pools": {"main": {"servers": [fake.address], "tls": paths(ca=made.ca)}}}
    ringside = lab.ringside(config)
    wire = lab.wire(ringside)
    wire.set("k", b"x")
    config["pools"]["main"]["tls"] = paths(ca=made.foreign_ca)
    ringside.reload(config)
    fake.close_connections()
    wait_until(lambda: ringside.sockets()["upstream"] == 0, "the connection to end")
    line = lab.wire(ringside).line(b"get k")
    assert line.startswith(b"SERVER_ERROR ") and b"issuer" in line, line


def test_min_version_to_servers(lab):
    context = server_side(certificates().server)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = paths(ca=certificates().ca)
    lab.wire(lab.ringside(servers=[lab.adopt(FakeServer(tls=context))], tls=tls)).in_step()
    with TlsServer(context) as server:
        line = lab.wire(lab.ringside(servers=[server.address], tls={**tls, "min_version": "1.3"})).line(b"get k")
    assert line.startswith(b"SERVER_ERROR ") and b"protocol version" in line, line


def test_a_server_that_cuts_a_reply(lab):
    """A FIN without close_notify in the middle of a value is an error, never a shorter value."""
    fake = fake_of(lab)
    ringside = lab.ringside({"workers": 1}, servers=[fake], tls=paths(ca=certificates().ca))
    wire = lab.wire(ringside)
    fake.store.put(b"k", b"v" * 500)

    async def play(connection, command, reply):
        connection.send(reply[:300])
        connection.transport.abort()
    fake.misbehave(play, verbs="get", times=1)
    line = wire.line(b"get k")
    if not line.startswith(b"SERVER_ERROR "):
        wire.expect(b"v" * 500 + b"\r\nEND\r\n")
    assert wire.get("k") == b"v" * 500


# --- To clients


@BOTH_VERSIONS
@pytest.mark.parametrize("kind", ["server", "server_rsa", "chained"])
def test_to_clients(lab, kind, version):
    identity = getattr(certificates(), kind)
    ringside = lab.ringside({"listen": [listening(identity)]}, servers=lab.memcacheds(2, tls=False))
    wire = tls_wire(lab, ringside, context=client_side(ca=certificates().ca, version=version))
    assert wire.sock.tls.getpeercert(True) == identity.der()
    assert wire.sock.tls.version() == "TLSv" + ("1.2" if version == ssl.TLSVersion.TLSv1_2 else "1.3")
    for i in range(100):
        wire.set("k%d" % i, b"%d" % i * 100)
    assert len(wire.get_many(["k%d" % i for i in range(100)])) == 100
    wire.set("large", b"L" * 1_000_000)
    assert wire.get("large") == b"L" * 1_000_000
    wire.in_step()


def test_sni(lab):
    """The name that a client asks for chooses; the first is for all others."""
    made = certificates()
    further = [paths(identity=made.other), paths(identity=made.wildcard)]
    ringside = lab.ringside({"listen": [listening(made.server, certificates=further)]}, servers=lab.memcacheds(1))
    for name, identity in [("other.test", made.other), ("OTHER.test", made.other), ("a.wild.test", made.wildcard),
                           ("localhost", made.server), ("unknown.test", made.server), (None, made.server),
                           ("a.b.wild.test", made.server)]:
        wire = tls_wire(lab, ringside, name=name)
        assert wire.sock.tls.getpeercert(True) == identity.der(), name
        wire.in_step()


@BOTH_VERSIONS
@pytest.mark.parametrize("asks, good, bad", [
    ("none", [None, "client", "client_foreign"], []),
    ("request", [None, "client"], ["client_expired", "client_foreign", "client_revoked"]),
    ("require", ["client"], [None, "client_expired", "client_foreign", "client_revoked"]),
])
def test_client_certificates(lab, asks, good, bad, version):
    made = certificates()
    tls = listening(client_ca=made.ca, asks=asks, crl=str(made.crl)) if asks != "none" else listening()
    ringside = lab.ringside({"listen": [tls]}, servers=lab.memcacheds(1))

    def context(shows):
        return client_side(shows and getattr(made, shows), ca=made.ca, version=version)
    for shows in good:
        tls_wire(lab, ringside, context=context(shows)).in_step()
    for shows in bad:
        words = refused(lab, ringside, context=context(shows))
        assert "alert" in words.lower(), (shows, words)
    ringside.wait_clients(len(good))


@pytest.mark.parametrize("crl, good, bad", [
    ("crl", ["client"], ["client_revoked", "client_chained", "client_chained_revoked"]),
    ("crl_below", ["client_chained"], ["client", "client_chained_revoked"]),
    ("crl_both", ["client", "client_chained"], ["client_revoked", "client_chained_revoked"]),
    ("crl_above", ["client"], ["client_revoked", "client_chained", "client_chained_revoked"]),
])
def test_crls_and_intermediates_of_clients(lab, crl, good, bad):
    made = certificates()
    config = {"listen": [listening(client_ca=made.ca, asks="require", crl=str(getattr(made, crl)))],
              "access": [{"user": "app", "commands": ["all"]}]}
    ringside = lab.ringside(config, servers=lab.memcacheds(1))
    for shows in good:
        tls_wire(lab, ringside, context=client_side(getattr(made, shows), ca=made.ca)).in_step()
    for shows in bad:
        assert "alert" in refused(lab, ringside, context=client_side(getattr(made, shows), ca=made.ca)).lower(), shows


def test_who_a_client_is_follows_from_its_certificate(lab):
    made = certificates()
    config = {"listen": [listening(client_ca=made.ca, asks="request")],
              "access": [{"user": "app", "commands": ["all"]}, {"user": "*", "commands": ["read"]}]}
    ringside = lab.ringside(config, servers=lab.memcacheds(1))
    tls_wire(lab, ringside, context=client_side(made.client)).set("k", b"x")
    other = tls_wire(lab, ringside)
    assert other.get("k") == b"x"
    assert other.line(b"set k 0 0 1\r\ny").startswith(b"CLIENT_ERROR ")


def test_plain_text_to_a_tls_port(lab):
    """It is closed, and Ringside lives."""
    ringside = lab.ringside({"listen": [listening()]}, servers=lab.memcacheds(1))
    for data in (b"version\r\n", b"get k\r\n" * 1000, b"\x80" * 24, b"GET / HTTP/1.0\r\n\r\n"):
        wire = lab.wire(ringside, tls=False)
        with contextlib.suppress(ConnectionError):
            wire.send(data)
        assert b"VERSION" not in wire.read_to_close()
    tls_wire(lab, ringside).in_step()


def test_tls_to_a_plain_port(lab):
    """No handshake comes about; other clients notice nothing."""
    ringside = lab.ringside({"limits": {"stall": "1s"}}, servers=lab.memcacheds(1))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls_wire(lab, ringside)
    lab.wire(ringside).in_step()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
def test_old_versions_are_refused(lab):
    ringside = lab.ringside({"listen": [listening(), {**listening(min_version="1.3"), "address": "127.0.0.2:0"}]}, servers=lab.memcacheds(1))
    context = client_side()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="(?i)alert protocol version"):
        tls_wire(lab, ringside, context=context)
    context = client_side(version=ssl.TLSVersion.TLSv1_2)
    tls_wire(lab, ringside.addresses[0], context=context).in_step()
    with pytest.raises(ssl.SSLError, match="(?i)alert protocol version"):
        tls_wire(lab, ringside.addresses[1], context=context)
    tls_wire(lab, ringside.addresses[1]).in_step()


def test_renegotiation_is_refused(lab):
    ringside = lab.ringside({"listen": [listening()]}, servers=lab.memcacheds(1))
    client = subprocess.Popen(["openssl", "s_client", "-tls1_2", "-connect", ringside.address], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        client.stdin.write(b"version\n")
        client.stdin.flush()
        said = b""
        while b"VERSION " not in said:
            assert select.select([client.stdout], [], [], DEADLINE_S)[0], said
            said += os.read(client.stdout.fileno(), 65536)
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said = client.communicate(timeout=DEADLINE_S)[0]
        assert b"no renegotiation" in said, said
    finally:
        client.kill()
        client.wait()
    tls_wire(lab, ringside).in_step()
    ringside.wait_clients(1)


@pytest.mark.parametrize("size", [1000, 60_000, 1_000_000])
def test_an_upload_that_is_cut(lab, size):
    """Without close_notify, or with it: nothing of it is stored, and what was there stays."""
    server = lab.memcached()
    ringside = lab.ringside({"listen": [listening()]}, servers=[server])
    other = tls_wire(lab, ringside)
    other.set("k", b"as it was")
    for end in ("cut", "close", "reset"):
        wire = tls_wire(lab, ringside)
        wire.send(b"set k 0 0 %d\r\n%s" % (size, b"x" * (size - 100)))
        if end == "reset":
            wire.reset()
        else:
            getattr(wire.sock, end)()
        ringside.wait_clients(1)
        assert other.get("k") == b"as it was"
    other.in_step()


def test_what_was_asked_before_a_cut_is_carried_out(lab):
    """Whole requests stand, also when their sender leaves without close_notify."""
    server = lab.memcached()
    ringside = lab.ringside({"listen": [listening()]}, servers=[server])
    wire = tls_wire(lab, ringside)
    wire.send(b"set k 0 0 3 noreply\r\nnew\r\nset l 0 0 9 noreply\r\ncut o")
    wire.sock.cut()
    ringside.wait_clients(0)
    wait_until(lambda: server.value("k") == b"new", "the set before the cut")
    assert server.value("l") is None


def test_half_close_still_draws_the_answers(lab):
    ringside = lab.ringside({"listen": [listening()]}, servers=lab.memcacheds(1))
    wire = tls_wire(lab, ringside)
    wire.send(b"set k 0 0 1\r\nx\r\nget k\r\n")
    wire.shutdown_write()
    wire.expect_closed(b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
    assert wire.sock.ended == "close_notify"


@BOTH_VERSIONS
def test_every_byte_alone(lab, version):
    """Handshake and requests, each byte in a packet of its own."""
    ringside = lab.ringside({"listen": [listening()]}, servers=lab.memcacheds(1))
    wire = tls_wire(lab, ringside, context=client_side(ca=certificates().ca, version=version), one_by_one=True)
    for i in range(10):
        wire.set("k%d" % i, b"value %d" % i)
    wire.send(b"".join(b"get k%d\r\n" % i for i in range(10)))
    wire.expect(b"".join(b"VALUE k%d 0 7\r\nvalue %d\r\nEND\r\n" % (i, i) for i in range(10)))
    wire.in_step()


def test_small_replies_share_records(lab):
    """A thousand replies of one pipeline leave in few records, and those are filled."""
    ringside = lab.ringside({"workers": 1, "listen": [listening()]}, servers=lab.memcacheds(1))
    wire = tls_wire(lab, ringside)
    wire.set("k", b"v" * 20)
    one = b"VALUE k 0 20\r\n" + b"v" * 20 + b"\r\nEND\r\n"
    wire.sock.received = bytearray()
    wire.send(b"get k\r\n" * 1000)
    wire.expect(one * 1000)
    lengths = [length for kind, length in records(wire.sock.received) if kind == 23]
    assert sum(lengths) >= len(one) * 1000
    assert len(lengths) <= 50, "%d records: %s" % (len(lengths), lengths)


def test_requests_to_servers_share_records(lab):
    """Those of a pipeline leave together too: the fake counts how often bytes came."""
    fake = fake_of(lab)
    ringside = lab.ringside({"workers": 1}, servers=[fake], tls=paths(ca=certificates().ca))
    wire = lab.wire(ringside)
    wire.set("k", b"x")
    wire.send(b"get k\r\n" * 1000)
    wire.expect(b"VALUE k 0 1\r\nx\r\nEND\r\n" * 1000)
    assert fake.count("get") == 1000


# --- Tickets


@BOTH_VERSIONS
def test_tickets_are_good_at_every_worker(lab, version):
    ringside = lab.ringside({"workers": 4, "listen": [listening()]}, servers=lab.memcacheds(1))
    context = client_side(ca=certificates().ca, version=version)
    wire = tls_wire(lab, ringside, context=context)
    wire.in_step()
    session = wire.sock.tls.session
    for _ in range(30):
        wire = tls_wire(lab, ringside, context=context, session=session)
        assert wire.sock.tls.session_reused
        wire.in_step()


@BOTH_VERSIONS
@pytest.mark.parametrize("how", ["other-file", "same-file", "none"])
def test_tickets_and_a_change_of_client_ca(lab, how, version):
    """A ticket stands for a certificate that was verified: it is good no longer when that changes. A mere reload keeps it."""
    made = certificates()
    ca = lab.directory / "clients.pem"
    ca.write_bytes(made.ca.read_bytes())
    config = {"workers": 2, "listen": [listening(client_ca=ca, asks="request")]}
    ringside = lab.ringside(config, servers=lab.memcacheds(1))
    config = {**config, "pools": {"main": {"servers": [lab.servers[0].address]}}}
    context = client_side(made.client, ca=made.ca, version=version)
    wire = tls_wire(lab, ringside, context=context)
    wire.in_step()
    session = wire.sock.tls.session
    again = tls_wire(lab, ringside, context=context, session=session)
    assert again.sock.tls.session_reused
    if how == "same-file":
        ca.write_bytes(made.foreign_ca.read_bytes())
    if how == "other-file":
        config["listen"][0]["tls"]["client_ca"] = str(made.foreign_ca)
    ringside.reload(config)
    if how != "none":
        words = refused(lab, ringside, context=context, session=session)
        assert "alert" in words.lower(), words
    else:
        tls_wire(lab, ringside, context=context, session=session).in_step()
    again.in_step()


# --- Changes


def peer_of(lab, ringside):
    """The certificate that a new client sees."""
    with tls_wire(lab, ringside) as wire:
        wire.in_step()
        return wire.sock.tls.getpeercert(True)


@pytest.mark.parametrize("how", ["signal", "by-itself"])
def test_certificates_that_change(lab, how):
    """Connections go on as they are; new ones see the new certificate."""
    made = certificates()
    own = made.server.copy_to(lab.directory)
    ringside = lab.ringside({"workers": 2, "listen": [listening(own)]}, servers=lab.memcacheds(1))
    old = [tls_wire(lab, ringside) for _ in range(5)]
    assert peer_of(lab, ringside) == made.server.der()
    mark = ringside.log_mark()
    own.take(made.server_rsa)
    if how == "signal":
        ringside.reload()
    else:
        ringside.wait_for_log("certificate_changed", after=mark)
    for _ in range(8):
        assert peer_of(lab, ringside) == made.server_rsa.der()
    for wire in old:
        wire.in_step()
        assert wire.sock.tls.getpeercert(True) == made.server.der()


def test_a_bad_certificate_is_refused_once(lab):
    """What was read before stays in force; the log says so once, and a good one is taken again."""
    made = certificates()
    own, beside = made.server.copy_to(lab.directory), made.other.copy_to(lab.directory)
    ringside = lab.ringside({"listen": [listening(own), {**listening(beside), "address": "127.0.0.2:0"}]},
                            servers=lab.memcacheds(1))
    mark = ringside.log_mark()
    own.certificate.write_text("rubbish\n")
    line = ringside.wait_for_log("certificate_refused", after=mark)
    assert str(own.certificate) in line.message, line
    assert peer_of(lab, ringside) == made.server.der()
    beside.take(made.server_rsa)
    ringside.wait_for_log("certificate_changed", after=mark, containing=str(beside.certificate))
    ringside.reload(expect="reload_failed")
    assert peer_of(lab, ringside) == made.server.der()
    own.take(made.server_rsa)
    ringside.wait_for_log("certificate_changed", after=mark, containing=str(own.certificate))
    assert peer_of(lab, ringside) == made.server_rsa.der()
    assert len(ringside.log("certificate_refused", after=mark)) == 1


def test_an_authority_that_changes(lab):
    """The pool's `ca` is followed too: a server that was foreign is taken."""
    made = certificates()
    ca = lab.directory / "ca.pem"
    ca.write_bytes(made.ca.read_bytes())
    fakes = [fake_of(lab, made.foreign), fake_of(lab)]
    ringside = lab.ringside({"workers": 1}, servers=fakes, tls=paths(ca=ca), health=QUICK, on_down="hold")
    wire = lab.wire(ringside)
    answers = {wire.line(b"set k%d 0 0 1\r\nx" % i)[:12] for i in range(40)}
    assert answers == {b"STORED", b"SERVER_ERROR"}
    new = ca.with_suffix(".new")
    new.write_bytes(made.ca.read_bytes() + made.foreign_ca.read_bytes())
    new.replace(ca)
    ringside.wait_for_log("certificate_changed")
    ringside.wait_for_log("server_up", containing=fakes[0].address)
    for i in range(40):
        wire.set("k%d" % i, b"y")


def test_a_certificate_near_its_end_is_told(lab):
    ringside = lab.ringside({"listen": [listening(certificates().expired)]}, servers=lab.memcacheds(1))
    ringside.wait_for_log("certificate_expired")


# --- Pressure, and the end


def test_half_open_handshakes(lab):
    """A thousand clients that do not shake hands to the end: little memory, the others are served, and they are closed."""
    config = {"workers": 1, "listen": [listening()], "limits": {"stall": "3s"}}
    ringside = lab.ringside(config, servers=lab.memcacheds(1))
    other = tls_wire(lab, ringside)
    other.in_step()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = client_side().wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    hello = outgoing.read()
    before = ringside.rss()
    with contextlib.ExitStack() as crowd:
        for i in range(1000):
            sock = crowd.enter_context(contextlib.closing(connect(ringside.address, tls=False)))
            sock.sendall((b"", hello[:5], hello[:-1], hello)[i % 4])
            if i % 50 == 0:
                other.in_step()
        other.in_step()
        expect_growth_below(ringside, before, 120)
        ringside.wait_clients(1)
    other.in_step()


def test_the_end_says_close_notify(lab):
    """SIGTERM: what is under way is answered, then every client is told that this is all."""
    fake = lab.adopt(FakeServer(tls=False))
    ringside = lab.ringside({"workers": 2, "listen": [listening()]}, servers=[fake])
    idle = [tls_wire(lab, ringside) for _ in range(4)]
    for wire in idle:
        wire.set("k", b"x")
    go = threading.Event()
    fake.misbehave(held(go), verbs="get")
    idle[0].send(b"get k\r\n")
    fake.wait_for("get")
    ringside.exit_expected = 0
    ringside.signal(signal.SIGTERM)
    for wire in idle[1:]:
        wire.expect_closed()
        assert wire.sock.ended == "close_notify"
    go.set()
    idle[0].expect_closed(b"VALUE k 0 1\r\nx\r\nEND\r\n")
    assert idle[0].sock.ended == "close_notify"
    assert ringside.wait_exit() == 0


def test_quit_says_close_notify(lab):
    wire = tls_wire(lab, lab.ringside({"listen": [listening()]}, servers=lab.memcacheds(1)))
    wire.send(b"mn\r\nquit\r\n")
    wire.expect_closed(b"MN\r\n")
    assert wire.sock.ended == "close_notify"
