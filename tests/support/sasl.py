"""SASL of the binary protocol: messages of PLAIN, both sides' proofs of SCRAM-SHA-256, and files of users for them."""

import base64
import hashlib
import hmac
import os

from binary import HEADER, BinaryWire, Replies, Reply, packet

DENIED, CONTINUE = 0x20, 0x21
SCRAM = b"SCRAM-SHA-256"


def plain(user, password, acts_for=b""):
    return b"%s\0%s\0%s" % (acts_for, user, password)


def login(message, mechanism=b"PLAIN", op="sasl_auth", **more):
    return packet(op, mechanism, b"", message, **more)


def _text(part):
    return base64.b64encode(part).decode().rstrip("=")


def _hmac(key, message):
    return hmac.new(key, message, "sha256").digest()


def scram_keys(password, salt=None, iterations=4096):
    """What stands behind the hash in a file of users."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    return "$scram-sha-256$i=%d$%s$%s$%s" % (iterations, _text(salt), _text(stored), _text(_hmac(salted, b"Server Key")))


def users_file(path, passwords, scram=None):
    """
    A file as `ringside passwd` writes it, with hashes that are quick to check, and keys for SCRAM of the passwords in
    `scram`, who may be others. For the configuration.
    """
    lines = []
    for name, password in passwords.items():
        salt = os.urandom(16)
        key = hashlib.scrypt(password, salt=salt, n=1 << 10, r=8, p=1, dklen=32)
        keys = " " + scram_keys(scram[name]) if scram and name in scram else ""
        lines.append("%s:$scrypt$ln=10,r=8,p=1$%s$%s%s\n" % (name, _text(salt), _text(key), keys))
    path.write_text("".join(lines))
    path.chmod(0o600)
    return {"file": str(path)}


class ScramClient:
    """The client's side of one exchange (RFC 5802)."""

    def __init__(self, user, password, gs2=b"n,,", nonce=None):
        self.password, self.gs2 = password, gs2
        self.nonce = base64.b64encode(os.urandom(18)) if nonce is None else nonce
        self.bare = b"n=%s,r=%s" % (user.replace(b"=", b"=3D").replace(b",", b"=2C"), self.nonce)
        self.first = gs2 + self.bare

    def final(self, challenge, more=b""):
        """The answer to server-first. more: extensions, with a comma before each."""
        parts = dict(part.split(b"=", 1) for part in challenge.split(b","))
        assert sorted(parts) == [b"i", b"r", b"s"] and challenge.startswith(b"r=") and parts[b"r"].startswith(self.nonce)
        assert len(parts[b"r"]) >= len(self.nonce) + 16
        self.salt, self.iterations = base64.b64decode(parts[b"s"], validate=True), int(parts[b"i"])
        salted = hashlib.pbkdf2_hmac("sha256", self.password, self.salt, self.iterations)
        without = b"c=%s,r=%s%s" % (base64.b64encode(self.gs2), parts[b"r"], more)
        signed = b",".join([self.bare, challenge, without])
        key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(key).digest(), signed)
        self.expected = b"v=" + base64.b64encode(_hmac(_hmac(salted, b"Server Key"), signed))
        return without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature)))

    # Over a BinaryWire.

    def begin(self, wire, **more):
        """Sends client-first; the packet that client-final is to be."""
        reply = ask(wire, login(self.first, SCRAM, **more))
        assert (reply.opcode, reply.status, reply.key, reply.extras) == (0x21, CONTINUE, b"", b""), reply
        return login(self.final(reply.value), SCRAM, "sasl_step")

    def enter(self, wire):
        """All of it, with the server's signature."""
        reply = ask(wire, self.begin(wire))
        assert (reply.opcode, reply.status, reply.value) == (0x22, 0, self.expected), reply


def ask(wire, data):
    """The one reply to it. Nothing is sent behind it: another command would end an exchange."""
    wire.send(data)
    return read_reply(wire)


def read_reply(wire):
    head = wire.read_exactly(HEADER.size)
    header = HEADER.unpack(head)
    return Reply(header, wire.read_exactly(header[6]))


def told(to, *packets):
    """What comes for it, taken apart, up to the close that a quit or a refusal brings."""
    with BinaryWire(to) as wire:
        wire.send(b"".join(packets) + packet("quit"))
        received = wire.read_to_close()
    replies = Replies().feed(bytearray(received)).all
    assert sum(24 + len(r.extras) + len(r.key) + len(r.value) for r in replies) == len(received), received
    return replies


def guarded(lab, directory, passwords, auth="required", scram=None, **config):
    """A Ringside over two servers, whose one listener asks for logins."""
    return lab.ringside({"listen": [{"address": "127.0.0.1:0", "auth": auth}],
                         "users": users_file(directory / "users", passwords, scram), **config},
                        servers=lab.memcacheds(2))
