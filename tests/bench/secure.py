"""
TLS: what it costs Ringside, and what it costs those who can stand in front of a memcached for it, or memcached itself.

    ringside-tls            generator --TLS--> Ringside -------> memcached
    ringside-tls-servers    generator -------> Ringside --TLS--> memcached
    haproxy-tls, stunnel    generator --TLS--> proxy ----------> memcached
    memcached-tls           generator --TLS--> memcached -Z

All have one certificate (P-256) and speak TLS 1.3 with the cipher and the group that the generator insists on. Keys are stored
without TLS: by another listener, or by the servers' own.
"""

import contextlib
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from basis import HarnessError, free_port
from measures import BULK, Setting, load, resident_idle
from peers import Backends, Direct, HAProxy, Peer, Ringside, Usage, accepts, answers, first_line, start
from workloads import TLS_WORKLOADS

IDLE = 1000
RESUMED_LEAST = 0.9  # of the connections that could be: not the first of each client


class Certificates:
    """An authority of a day, and a server's certificate from it, made by the openssl program."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.ca, self.certificate, self.key = (self.folder / name for name in ("ca.pem", "server.pem", "server.key"))
        self.both = self.folder / "both.pem"  # certificate and key, as haproxy wants them
        ca_key, request, extensions = (self.folder / name for name in ("ca.key", "server.csr", "extensions"))
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl("req", "-x509", *key, "-keyout", ca_key, "-out", self.ca, "-subj", "/CN=bench authority", "-days", "2")
        self._openssl("req", *key, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
                      "-extfile", extensions, "-out", self.certificate)
        self.both.write_text(self.certificate.read_text() + self.key.read_text())

    @staticmethod
    def _openssl(*argv):
        if shutil.which("openssl") is None:
            raise HarnessError("the openssl program is not installed")
        done = subprocess.run(["openssl", *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              text=True)
        if done.returncode != 0:
            raise HarnessError("openssl %s: %s" % (argv[0], done.stdout))


class Secure:
    """A peer that speaks TLS with its clients. files: the Certificates, set before any is started."""

    files = None

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.plain_port = free_port()
        self.load_options = ["--tls", self.files.ca]


class RingsideTls(Secure, Ringside):
    name = "ringside-tls"

    def listeners(self):
        return "'127.0.0.1:%d', {address: '127.0.0.1:%d', tls: {certificate: '%s', key: '%s'}}" % (
            self.plain_port, self.port, self.files.certificate, self.files.key)

    @property
    def preload_ports(self):
        return [self.plain_port]

    def answers(self, _=None):
        return answers(self.plain_port) and accepts(self.port)


class RingsideTlsServers(Ringside):
    name = "ringside-tls-servers"

    def pool(self):
        return "servers: [%s], tls: {ca: '%s'}" % (
            ", ".join("127.0.0.1:%d" % port for port in self.backends.tls_ports), Secure.files.ca)

    @classmethod
    def make_backends(cls, count):
        return Backends(count, Secure.files.certificate, Secure.files.key)


class HAProxyTls(Secure, HAProxy):
    name = "haproxy-tls"

    def bind(self):
        return "127.0.0.1:%d ssl crt %s" % (self.port, self.files.both)

    def answers(self, _=None):
        return accepts(self.port)


class Stunnel(Secure, Peer):
    """Debian's stunnel4: a thread for each connection."""

    name = "stunnel"
    parses = False
    all_keys_everywhere = True

    def start(self):
        config = self.directory / "stunnel.conf"
        config.write_text("foreground = yes\npid =\ndebug = 4\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n[memcached]\n"
                          "accept = 127.0.0.1:%d\nconnect = 127.0.0.1:%d\ncert = %s\nkey = %s\nTIMEOUTidle = 86400\n" %
                          (self.port, self.backends.ports[0], self.files.certificate, self.files.key))
        self.process = start([self.program(), config], self.port, ready=accepts, log=self.directory / "stunnel.log")
        return self

    @staticmethod
    def program():
        return shutil.which("stunnel4") or shutil.which("stunnel")

    @classmethod
    def version(cls):
        lines = subprocess.run([cls.program(), "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                               text=True).stdout.splitlines()
        return next((line for line in lines if line.startswith("stunnel")), "")

    @classmethod
    def missing(cls):
        return None if cls.program() else "stunnel4 is not installed"


class MemcachedTls(Secure, Direct):
    name = "memcached-tls"

    @classmethod
    def make_backends(cls, count):
        return Backends(count, cls.files.certificate, cls.files.key)

    def start(self):
        super().start()
        self.port = self.backends.tls_ports[0]
        return self

    @classmethod
    def version(cls):
        return ""

    @classmethod
    def missing(cls):
        said = subprocess.run(["memcached", "-h"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
        return None if "--enable-ssl" in said.stdout else "memcached is built without TLS"


PEERS = (Ringside, RingsideTls, RingsideTlsServers, HAProxy, HAProxyTls, Stunnel, Direct, MemcachedTls)


@contextlib.contextmanager
def prepared():
    """The peers that can be had here, and why others cannot ({name: why}); their certificates live as long as this does."""
    with tempfile.TemporaryDirectory(prefix="ringside-bench-") as folder:
        Secure.files = Certificates(folder)
        missing = {peer.name: peer.missing() for peer in PEERS if peer.missing()}
        if MemcachedTls.name in missing:
            missing[RingsideTlsServers.name] = missing[MemcachedTls.name]
        yield [peer for peer in PEERS if peer.name not in missing], missing


def remarks(missing):
    lines = ["", "TLS 1.3, TLS_AES_256_GCM_SHA384, X25519, a P-256 certificate; %s. Workloads: %s." % (
        first_line(["openssl", "version"]).split("  ")[0].partition(" (")[0],
        "; ".join("%s %s" % (workload.name, workload.text) for workload in TLS_WORKLOADS))]
    return lines + (["", "Left out: " + "; ".join("%s: %s" % item for item in missing.items()) + "."] if missing else [])


def _handshakes(peer, workload, kind, seconds):
    """Microseconds a connection; None: fewer were resumed than is meant."""
    options = workload.load_options(peer) + BULK + ["--handshakes", kind, "--seconds", seconds]
    before = Usage(peer.pid)
    report = load(peer.port, options)
    total, _ = Usage(peer.pid).since(before)
    if kind == "resumed" and report["resumed"] < RESUMED_LEAST * (report["handshakes"] - workload.connections):
        return None
    return total * 1e6 / report["requests"]


def measure_handshakes(peers, rounds, seconds):
    """{peer: {"full", "resumed"}}: microseconds a connection, medians; None: it does not resume."""
    workload, found = TLS_WORKLOADS[0], {}
    peers = [peer for peer in peers if issubclass(peer, Secure)]
    samples = {(peer.name, kind): [] for peer in peers for kind in ("full", "resumed")}
    with Setting(workload, peers) as setting:
        for number in range(-1, rounds):
            for peer in setting.peers:
                for kind in ("full", "resumed"):
                    cost = _handshakes(peer, workload, kind, seconds if number >= 0 else min(0.3, seconds))
                    if number >= 0:
                        samples[peer.name, kind].append(cost)
    for (name, kind), costs in samples.items():
        found.setdefault(name, {})[kind] = None if None in costs else statistics.median(costs)
    return found


def measure_idle(peers):
    """{peer: bytes of resident memory a connection}, of 1 000 idle ones."""
    return {peer.name: resident_idle(TLS_WORKLOADS[0], peer, (IDLE,))[1] for peer in peers if issubclass(peer, Secure)}
