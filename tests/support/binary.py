"""The binary protocol: packets to bytes, bytes to packets, and long random streams, the same for the same seed."""

import random
import struct

from rawwire import Wire

HEADER = struct.Struct(">BBHBBHI4sQ")

OPCODES = {
    "get": 0x00, "set": 0x01, "add": 0x02, "replace": 0x03, "delete": 0x04, "incr": 0x05, "decr": 0x06, "quit": 0x07,
    "flush": 0x08, "getq": 0x09, "noop": 0x0a, "version": 0x0b, "getk": 0x0c, "getkq": 0x0d, "append": 0x0e,
    "prepend": 0x0f, "stat": 0x10, "setq": 0x11, "addq": 0x12, "replaceq": 0x13, "deleteq": 0x14, "incrq": 0x15,
    "decrq": 0x16, "quitq": 0x17, "flushq": 0x18, "appendq": 0x19, "prependq": 0x1a, "verbosity": 0x1b, "touch": 0x1c,
    "gat": 0x1d, "gatq": 0x1e, "sasl_list": 0x20, "sasl_auth": 0x21, "sasl_step": 0x22, "gatk": 0x23, "gatkq": 0x24,
}

END_OPAQUE = b"\xffEND"


def packet(op, key=b"", extras=b"", value=b"", cas=0, opaque=b"\0\0\0\0", magic=0x80, body=None):
    """A request. op: a name or a number; body: a body length that lies."""
    opcode = OPCODES[op] if isinstance(op, str) else op
    length = len(extras) + len(key) + len(value) if body is None else body
    return HEADER.pack(magic, opcode, len(key), len(extras), 0, 0, length, opaque, cas) + extras + key + value


def store(op, key, value, flags=0, expiry=0, **more):
    return packet(op, key, struct.pack(">II", flags, expiry), value, **more)


def count(op, key, delta=1, initial=0, expiry=0, **more):
    return packet(op, key, struct.pack(">QQI", delta, initial, expiry), **more)


def timed(op, key, expiry=0, **more):
    return packet(op, key, struct.pack(">I", expiry), **more)


class Reply:
    """One reply, taken apart."""

    def __init__(self, header, body):
        (self.magic, self.opcode, key, extras, self.type, self.status, _, self.opaque, self.cas) = header
        self.extras, self.key, self.value = body[:extras], body[extras:extras + key], body[extras + key:]

    def masked(self):
        """All of it; of the CAS number only whether there is one."""
        return (self.magic, self.opcode, self.type, self.status, self.opaque, bool(self.cas), self.extras, self.key,
                self.value)

    def __repr__(self):
        value = self.value if len(self.value) < 80 else self.value[:40] + b"... %d bytes" % len(self.value)
        return "<%02x status %02x %r key %r value %r cas %d extras %r>" % (
            self.opcode, self.status, self.opaque, self.key, value, self.cas, self.extras)


class Replies:
    """Collects replies as bytes come in."""

    def __init__(self):
        self.all = []
        self._at = 0

    def feed(self, received):
        """received: all bytes so far. Returns self."""
        while len(received) - self._at >= HEADER.size:
            header = HEADER.unpack_from(received, self._at)
            end = self._at + HEADER.size + header[6]
            if len(received) < end:
                break
            self.all.append(Reply(header, bytes(received[self._at + HEADER.size:end])))
            self._at = end
        return self

    def ended(self):
        return bool(self.all) and self.all[-1].opaque == END_OPAQUE


class BinaryWire(Wire):
    """A connection that speaks binary."""

    def run(self, *packets):
        """Sends packets and a noop; the replies before the noop's."""
        return self.run_pieces([b"".join(packets) + packet("noop", opaque=END_OPAQUE)])

    def run_pieces(self, pieces):
        replies = Replies()
        self.exchange(pieces, until=lambda received: replies.feed(received).ended())
        return replies.all[:-1]

    def one(self, data):
        """The only reply to it."""
        reply, = self.run(data)
        return reply

    def in_step(self):
        token = b"step-%016x" % random.SystemRandom().getrandbits(64)
        replies = self.run(store("set", token, token[5:]), packet("getk", token), packet("delete", token))
        assert [r.status for r in replies] == [0, 0, 0] and replies[1].key == token and replies[1].value == token[5:]


class CasOf:
    """The CAS number that this side last gave for a key; `wrong` where it has given none."""

    def __init__(self, key, wrong):
        self.key, self.wrong = key, wrong


class Command:
    """A packet to be made when it is sent: then the side's CAS numbers are known. key: whose CAS number the reply tells."""

    def __init__(self, make, key=None, cas=0):
        self.make, self.key, self.cas = make, key, cas

    def bytes_for(self, numbers, opaque):
        cas = numbers.get(self.cas.key, self.cas.wrong) if isinstance(self.cas, CasOf) else self.cas
        return self.make(cas=cas, opaque=opaque)


class Generator:
    """
    segment() gives the next commands: valid and invalid ones, none that closes the connection. Left out is what is not
    certain with memcached alone (see streams.py), and what Ringside does differently on purpose: stat, verbosity, unknown
    opcodes with a key, keys that are neither text nor short, and values that only the servers find too large.
    """

    def __init__(self, seed, tag=b"", flush=True, big=True, length=30):
        self.rng = random.Random(seed)
        self.flush, self.big, self.length = flush, big, length
        prefix = b"%s%d:" % (tag, seed)
        self.keys = [prefix + b"k%d" % i for i in range(5)]
        self.keys += [prefix + b"a b\r\n\0\x7f\x80\xff", prefix + b"\r\nget x\r\n", b" " + prefix, b"\0" * 3 + prefix,
                      (prefix + b"l" * 250)[:250], (prefix + bytes(range(256)))[:186]]
        self.numbers = [prefix + b"n%d" % i for i in range(3)] + [prefix + b"n n"]
        self.absent = [prefix + b"absent", prefix + b"absent \n"]
        self.counting = False
        self.large_made = 0
        self.makers = [(self._store, 24), (self._get, 24), (self._touch, 8), (self._delete, 6), (self._count, 10),
                       (self._join, 8), (self._local, 4), (self._flush, 1), (self._refused, 3)]

    def segment(self):
        makers, weights = zip(*self.makers)
        self.counting = self.rng.random() < 0.5
        commands = [self.rng.choices(makers, weights)[0]() for _ in range(self.rng.randrange(1, 2 * self.length))]
        return [command for command in commands if command is not None]

    def _key(self, numbers=True):
        pools = [self.keys] * 8 + [self.absent] + ([self.numbers] * 3 if numbers else [])
        return self.rng.choice(self.rng.choice(pools))

    def _size(self):
        draw = self.rng.random()
        if draw < 0.6:
            return self.rng.randrange(0, 65)
        if draw < 0.85:
            return self.rng.randrange(900, 2049)
        if draw < 0.96:
            return self.rng.randrange(2000, 70000)
        if not self.big or self.large_made > 6:
            return self.rng.randrange(60000, 70000)
        self.large_made += 1
        return self.rng.randrange(65000, 1000000)

    def _value(self, key):
        if key in self.numbers and self.rng.random() < 0.8:
            return self.rng.choice([b"0", b"1", b"9", b"10", b"99", b"100", b"999999999999", b"007",
                                    b"%d" % self.rng.randrange(1 << 62)])
        if key in self.numbers:
            return b"text" + b"n" * self.rng.randrange(300)
        size = self._size()
        if self.rng.random() < 0.4:
            bait = [b"\r\n", b"VA 3\r\n", b"HD\r\n", b"\x80\0\0\0", b"\x81", b"mn\r\n", b"END\r\n", b"\0" * 24]
            return (b"".join(self.rng.choice(bait) for _ in range(size // 2 + 1)))[:size]
        return self.rng.randbytes(size)

    def _expiry(self):
        return self.rng.choice([0, 0, 0, 100000, 2000000000, 0x7fffffff, 0x80000000, 0xffffffff])

    def _cas(self, key):
        """Most often none, sometimes the right one, sometimes a wrong one."""
        draw = self.rng.random()
        if draw < 0.8:
            return 0
        wrong = self.rng.randrange(1 << 62, 1 << 63)
        return CasOf(key, wrong) if draw < 0.93 else wrong

    def _quietly(self, op):
        return op + "q" if self.rng.random() < 0.3 else op

    def _store(self):
        key = self._key()
        op = self._quietly(self.rng.choice(["set"] * 5 + ["add", "replace"]))
        value, flags, expiry = self._value(key), self.rng.choice([0, 0, 1, 65536, 4294967295]), self._expiry()
        return Command(lambda **more: store(op, key, value, flags, expiry, **more), key, self._cas(key))

    def _get(self):
        key = self._key(numbers=not self.counting)
        op = self.rng.choice(["get", "getq", "getk", "getkq"])
        return Command(lambda **more: packet(op, key, **more), key)

    def _touch(self):
        key, expiry = self._key(numbers=not self.counting), self._expiry()
        op = self.rng.choice(["touch", "gat", "gatq", "gatk", "gatkq"])
        return Command(lambda **more: timed(op, key, expiry, **more), key)

    def _delete(self):
        key, op = self._key(), self._quietly("delete")
        return Command(lambda **more: packet(op, key, **more), None, self._cas(key))

    def _count(self):
        if not self.counting:
            return None
        key, op = self.rng.choice(self.numbers), self._quietly(self.rng.choice(["incr", "incr", "decr"]))
        delta, initial = self.rng.choice([0, 1, 7, 1000000000000]), self.rng.choice([0, 5, 1 << 40, (1 << 62) + 1])
        expiry = self.rng.choice([0, 0xffffffff, 100000])
        return Command(lambda **more: count(op, key, delta, initial, expiry, **more), key, self._cas(key))

    def _join(self):
        key, op = self.rng.choice(self.keys + self.absent), self._quietly(self.rng.choice(["append", "prepend"]))
        value = self.rng.randbytes(self.rng.choice([0, 1, 30, 500, 1500]))
        return Command(lambda **more: packet(op, key, b"", value, **more), key, self._cas(key))

    def _local(self):
        op = self.rng.choice(["noop", "version"])
        return Command(lambda **more: packet(op, **more))

    def _flush(self):
        if not self.flush:
            return None
        op, extras = self.rng.choice(["flush", "flushq"]), self.rng.choice([b"", b"\0\0\0\0"])
        return Command(lambda **more: packet(op, b"", extras, **more))

    def _refused(self):
        """Refused, and the connection goes on."""
        draw = self.rng.random()
        if draw < 0.4:
            opcode, value = self.rng.choice([0x1f, 0x25, 0x30, 0x3c, 0x77, 0xff]), self.rng.randbytes(
                self.rng.choice([0, 1, 50, 3000]))
            return Command(lambda **more: packet(opcode, b"", b"", value, **more))
        if draw < 0.7:
            op, key = self.rng.choice([("sasl_list", b""), ("sasl_auth", b"PLAIN"), ("sasl_step", b"PLAIN")])
            value = b"" if op == "sasl_list" else b"\0user\0secret"
            return Command(lambda **more: packet(op, key, b"", value, **more))
        if draw > 0.75 or not self.big:
            return None
        key, value = self._key(), b"x" * ((1 << 20) + 1)
        op = self.rng.choice(["set", "setq", "add", "append"])
        if op == "append":
            return Command(lambda **more: packet(op, key, b"", value, **more))
        return Command(lambda **more: store(op, key, value, **more))


class Side:
    """One of two that are compared: a connection, and the CAS numbers that it gave out."""

    def __init__(self, to):
        self.wire, self.cas, self._count = BinaryWire(to), {}, 0

    def run(self, commands, split):
        """Sends a segment, cut by split(bytes), and returns its replies."""
        data, keys = bytearray(), {}
        for command in commands:
            self._count += 1
            opaque = struct.pack(">I", self._count)
            data += command.bytes_for(self.cas, opaque)
            keys[opaque] = command.key
        replies = self.wire.run_pieces(split(bytes(data) + packet("noop", opaque=END_OPAQUE)))
        for reply in replies:
            if reply.cas and keys.get(reply.opaque) is not None:
                self.cas[keys[reply.opaque]] = reply.cas
        return replies
