"""
Certificates of all kinds, made with the openssl program once for a run, in a folder that goes when the run ends.

    root -+- intermediate --- chained, chained_revoked, client_chained, client_chained_revoked
          +- server, server_rsa, other, wrong_name, expired, revoked
          +- client, client_expired, client_revoked
    foreign root --- foreign, client_foreign            self_signed is its own root

    made = certificates()             the same at every call
    made.server.certificate, .key     paths of PEM files; behind the certificate stands its chain, if it has one
    made.ca, made.crl                 what verifies it, and what the root has revoked; made.foreign_ca verifies none of them
    made.crl_below, made.crl_both     what the intermediate has revoked; the lists of both
    made.crl_above                    the same, but the root has revoked the intermediate
"""

import atexit
import functools
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

from basis import HarnessError

# Every address on which tests have servers.
NAMES = "DNS:localhost," + ",".join("IP:127.0.0.%d" % i for i in range(1, 10)) + ",IP:::1"

# A time long past, and the two ends of the time in which all others are good.
LONG_AGO = "19900101000000Z"
PAST, FUTURE = "20000101000000Z", "20991231000000Z"

SETTINGS = """
[ca]
default_ca = this
[this]
dir = %(folder)s
database = $dir/index.txt
unique_subject = no
serial = $dir/serial
crlnumber = $dir/crlnumber
new_certs_dir = $dir
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
policy = any
default_crl_days = 20000
[any]
commonName = supplied
[req]
distinguished_name = empty
[empty]
"""


def openssl(*words):
    """Runs the program. HarnessError with its words when it fails."""
    done = subprocess.run(["openssl", *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode:
        raise HarnessError("openssl %s:\n%s" % (" ".join(map(str, words)), done.stdout.decode("utf-8", "replace")))
    return done.stdout


class Identity:
    """A certificate (with its chain) and its key: paths. name: the common name."""

    def __init__(self, folder, label, name):
        self.certificate = folder / (label + ".pem")
        self.key = folder / (label + ".key")
        self.name = name

    def make_key(self, kind):
        if kind == "rsa":
            openssl("genrsa", "-out", self.key, 2048)
        else:
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)

    def copy_to(self, folder):
        """The same certificate and key in files of their own, to be replaced by a test: take(). Returns that Identity."""
        own = Identity(Path(folder), self.certificate.stem, self.name)
        own.take(self)
        return own

    def take(self, other):
        """Puts another's certificate and key into its own files: the key first, each at once as a whole."""
        for mine, theirs in ((self.key, other.key), (self.certificate, other.certificate)):
            new = mine.with_suffix(mine.suffix + ".new")
            shutil.copyfile(theirs, new)
            new.replace(mine)

    def der(self):
        """The certificate itself, as a peer sees it."""
        text = self.certificate.read_text()
        return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERT"):text.index("-----END CERT")] +
                                        "-----END CERTIFICATE-----\n")


class Authority:
    """One that signs. folder: its own; issuer: None for a root."""

    def __init__(self, folder, name, issuer=None):
        folder.mkdir()
        self.folder = folder
        self.issuer = issuer
        self.own = Identity(folder, "ca", name)
        self.own.make_key("ec")
        self.settings = folder / "settings"
        self.settings.write_text(SETTINGS % {"folder": folder})
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1000\n")
        (folder / "crlnumber").write_text("01\n")
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        if issuer is None:
            self._sign(self.own, extensions, ["-selfsign"])
        else:
            issuer._sign(self.own, extensions)

    @property
    def certificate(self):
        return self.own.certificate

    def _sign(self, identity, extensions, more=(), start=PAST, end=FUTURE):
        request, wanted = identity.key.with_suffix(".req"), identity.key.with_suffix(".ext")
        wanted.write_text(extensions)
        openssl("req", "-new", "-config", self.settings, "-key", identity.key, "-subj", "/CN=" + identity.name,
                "-out", request)
        openssl("ca", "-batch", "-notext", "-config", self.settings, "-keyfile", self.own.key, "-startdate", start,
                "-enddate", end, "-extfile", wanted, "-in", request, "-out", identity.certificate, *more)

    def issue(self, folder, label, name, names=NAMES, kind="ec", usage="serverAuth", end=FUTURE):
        """A new Identity in the folder. Behind its certificate stand those of the authorities below the root."""
        identity = Identity(folder, label, name)
        identity.make_key(kind)
        extensions = "basicConstraints=CA:FALSE\nextendedKeyUsage=%s\n" % usage
        if names:
            extensions += "subjectAltName=" + names + "\n"
        self._sign(identity, extensions, start=LONG_AGO if end == PAST else PAST, end=end)
        authority = self
        while authority.issuer is not None:
            with open(identity.certificate, "ab") as chain:
                chain.write(authority.certificate.read_bytes())
            authority = authority.issuer
        return identity

    def revoke(self, identity):
        openssl("ca", "-config", self.settings, "-revoke", identity.certificate)

    def write_crl(self, path):
        openssl("ca", "-gencrl", "-config", self.settings, "-out", path)
        return path


class Certificates:
    """All that tests use; see the picture above."""

    def __init__(self, folder):
        root = Authority(folder / "root", "Root")
        intermediate = Authority(folder / "intermediate", "Intermediate", root)
        foreign = Authority(folder / "foreign", "Foreign root")
        self.folder = folder
        self.ca = root.certificate
        self.foreign_ca = foreign.certificate
        self.server = root.issue(folder, "server", "server")
        self.server_rsa = root.issue(folder, "server_rsa", "server-rsa", kind="rsa")
        self.chained = intermediate.issue(folder, "chained", "chained")
        self.chained_revoked = intermediate.issue(folder, "chained_revoked", "chained-revoked")
        self.other = root.issue(folder, "other", "other", names="DNS:other.test")
        self.wildcard = root.issue(folder, "wildcard", "wildcard", names="DNS:*.wild.test", kind="rsa")
        self.wrong_name = self.other
        self.expired = root.issue(folder, "expired", "expired", end=PAST)
        self.revoked = root.issue(folder, "revoked", "revoked")
        self.foreign = foreign.issue(folder, "foreign_server", "foreign")
        self.self_signed = Identity(folder, "self_signed", "self-signed")
        self.self_signed.make_key("ec")
        openssl("req", "-x509", "-new", "-key", self.self_signed.key, "-subj", "/CN=self-signed", "-days", 10000,
                "-addext", "subjectAltName=" + NAMES, "-out", self.self_signed.certificate)
        client = {"names": None, "usage": "clientAuth"}
        self.client = root.issue(folder, "client", "app", **client)
        self.client_expired = root.issue(folder, "client_expired", "late", end=PAST, **client)
        self.client_revoked = root.issue(folder, "client_revoked", "thief", **client)
        self.client_foreign = foreign.issue(folder, "client_foreign", "stranger", **client)
        self.client_chained = intermediate.issue(folder, "client_chained", "app", **client)
        self.client_chained_revoked = intermediate.issue(folder, "client_chained_revoked", "thief", **client)
        root.revoke(self.revoked)
        root.revoke(self.client_revoked)
        self.crl = root.write_crl(folder / "crl.pem")
        intermediate.revoke(self.chained_revoked)
        intermediate.revoke(self.client_chained_revoked)
        self.crl_below = intermediate.write_crl(folder / "crl_below.pem")
        self.crl_both = folder / "crl_both.pem"
        self.crl_both.write_bytes(self.crl.read_bytes() + self.crl_below.read_bytes())
        root.revoke(intermediate.own)
        self.crl_above = root.write_crl(folder / "crl_above.pem")
        with open(self.crl_above, "ab") as lists:
            lists.write(self.crl_below.read_bytes())
        for path in [folder, *folder.rglob("*")]:  # tests run as other users, too
            path.chmod(0o755 if path.is_dir() else 0o644)


@functools.lru_cache(maxsize=None)
def certificates():
    """The Certificates of this run; made at the first call."""
    folder = Path(tempfile.mkdtemp(prefix="ringside-certificates-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Certificates(folder)


def server_side(identity, client_ca=None):
    """An ssl.SSLContext for a server of the tests. client_ca: clients must have a certificate of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


def client_side(identity=None, ca=None, version=None):
    """
    An ssl.SSLContext for a client of the tests, that shows identity. ca: what verifies the server; None: nothing does.
    version: the only one it speaks.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # python's default would hide the want of close_notify
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context
