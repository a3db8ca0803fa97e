"""
Long random command streams, valid and invalid, the same for the same seed.

A stream is made of segments; a segment is a list of commands that are sent in one pipeline. The CAS numbers that a
stream uses are those that the server itself gave out in an earlier segment, so they stand in a command as references
(CasOf), and each side's own numbers are filled in when it is sent.

By construction the streams leave out what Ringside does differently on purpose (control characters in keys, admin
commands, stats, lines too long), and what is not certain with memcached alone: items that expire while the stream
runs; a counter that gets shorter while a reply with it is on its way (it is then padded with spaces, or not); counters
of 2^63 and more, and empty ones (memcached then looks at the memory behind the value); and two places where memcached
1.6.18 does not behave (see _too_long_get and _bad_chunk).
"""

import base64
import random


class CasOf:
    """The CAS number that this side last gave for a key; `wrong` where it has given none."""

    def __init__(self, key, wrong):
        self.key, self.wrong = key, wrong


class Command:
    """
    parts: bytes and CasOf, in order. ringside_only: bytes that only Ringside is sent after them: the data block of a
    command that both refuse, but only Ringside knows to swallow. marks: number of MN lines among its replies.
    alone: it must be the first in its segment.
    """

    def __init__(self, *parts, ringside_only=b"", marks=0, alone=False):
        self.parts, self.ringside_only, self.marks, self.alone = parts, ringside_only, marks, alone

    def bytes_for(self, cas, ringside):
        """The bytes to send to one side, with that side's CAS numbers ({key: number})."""
        out = bytearray()
        for part in self.parts:
            if isinstance(part, CasOf):
                out += b"%d" % cas.get(part.key, part.wrong)
            else:
                out += part
        return bytes(out + self.ringside_only) if ringside else bytes(out)


LARGE_EXPTIMES = [b"0", b"0", b"0", b"0", b"100000", b"2000000000", b"-1"]
BAD_NUMBERS = [b"abc", b"1x", b"99999999999999999999999", b"-", b"0x10", b"1.5"]
UNKNOWN = [b"", b"x", b"gett k", b"GET k", b"sett k 0 0 1", b"foo bar baz", b"getk", b"mgx k v", b"m k", b"mz k", b"in",
           b"  ", b"quitt", b"0", b"versio", b"\xff\xfe", b"g", b"decrr k 1"]


class Generator:
    """
    segment() gives the next list of commands. tag: stands in all keys, so that streams on the same server do not meet.
    flush=False: no flush_all (others use the server too). big=False: no values near 1 MiB. length: the mean number of
    commands in a segment. binary=True: only what can be said to a server in binary, and is answered the same then.
    """

    def __init__(self, seed, tag="", flush=True, big=True, length=30, binary=False):
        self.rng = random.Random(seed)
        self.binary = binary
        self.flush, self.big, self.length = flush, big, length
        prefix = b"%s%d:" % (tag.encode(), seed)
        self.keys = [prefix + b"k%d" % i for i in range(6)]
        self.keys.append(prefix + b"\xc3\xa9\xff\x80;,'\"{}$%")
        self.keys.append((prefix + b"l" * 250)[:250])
        self.numbers = [prefix + b"n%d" % i for i in range(3)]
        self.text = prefix + b"text"
        self.absent = [prefix + b"absent%d" % i for i in range(2)]
        self.prefix = prefix
        self.large_made = 0
        self.counting = False
        self.makers = [
            (self._storage, 24), (self._get, 16), (self._gets, 8), (self._cas, 8), (self._gat, 4), (self._delete, 5),
            (self._arithmetic, 8), (self._touch, 3), (self._mg, 10), (self._ms, 12), (self._md, 4), (self._ma, 7),
            (self._me, 2), (self._mn, 2), (self._version, 1), (self._verbosity, 1), (self._unknown, 4),
            (self._wrong_count, 4), (self._refused_storage, 5), (self._bad_numbers, 4), (self._bad_meta, 5),
            (self._bad_chunk, 2), (self._too_large, 1), (self._too_long_key, 2), (self._flush_all, 1),
        ]
        if binary:
            self.makers.remove((self._me, 2))

    def segment(self):
        """The next commands. Every one of them has been answered when MN has come marks times."""
        makers, weights = zip(*self.makers)
        self.counting = self.rng.random() < 0.5
        commands = []
        for _ in range(self.rng.randrange(1, 2 * self.length)):
            command = self.rng.choices(makers, weights)[0]()
            if command is not None and not (command.alone and commands):
                commands.append(command)
        if not commands and self.rng.random() < 0.2:
            return [self._too_long_get()]
        return commands or [self._too_long_get()]

    # Pieces

    def _key(self, numbers=True):
        """Any key. numbers: also those of the counters."""
        pools = [self.keys] * 8 + [self.absent] + ([self.numbers] * 3 if numbers else [])
        return self.rng.choice(self.rng.choice(pools))

    def _key_to_read(self):
        """A key for a command whose reply holds on to the item: no counter while there is counting."""
        return self._key(numbers=not self.counting)

    def _key_to_count(self):
        return self.text if self.rng.random() < 0.15 else self.rng.choice(self.numbers)

    def _end(self):
        return b"\r\n" if self.rng.random() < 0.95 else b"\n"

    def _line(self, *words):
        """Words to a line: most often with single spaces, sometimes with more of them."""
        if self.rng.random() < 0.93:
            return b" ".join(words) + self._end()
        line = b" " * self.rng.randrange(0, 3)
        for word in words:
            line += word + b" " * self.rng.randrange(1, 4)
        return line + b"\r\n"

    def _size(self):
        draw = self.rng.random()
        if draw < 0.60:
            return self.rng.randrange(0, 65)
        if draw < 0.85:
            return self.rng.randrange(0, 2049)
        if draw < 0.95:
            return self.rng.randrange(2000, 20000)
        if draw < 0.99 or not self.big or self.large_made >= 6:
            return self.rng.randrange(15000, 102400)
        self.large_made += 1
        return self.rng.randrange(1 << 20) if self.rng.random() < 0.4 else (1 << 20) - self.rng.randrange(1, 700)

    def _value(self):
        size = self._size()
        draw = self.rng.random()
        if draw < 0.35:
            return self.rng.randbytes(size)
        if draw < 0.65:
            bait = [b"\r\n", b"END\r\n", b"VALUE x 0 5\r\nhello\r\n", b"get a\r\n", b"\n", b"\r", b"STORED\r\n",
                    b"MN\r\n", b"\0", b"set x 0 0 100\r\n", b"HD\r\n", b"ERROR\r\n"]
            out = bytearray()
            while len(out) < size:
                out += self.rng.choice(bait)
            return bytes(out[:size])
        return bytes([self.rng.randrange(32, 127)]) * size

    def _value_for(self, key, joined=False):
        """A value. For a counter: a number of its own, or what makes it none, also when it is joined to another."""
        if key in self.numbers:
            return self._digits() if not joined and self.rng.random() < 0.7 else b"n" + self._value()[:400] + b"n"
        return self._value()[:500] if joined else self._value()

    def _digits(self):
        return self.rng.choice([b"0", b"1", b"9", b"10", b"99", b"100", b"999999999999", b"9000000000000000000",
                                b"%d" % self.rng.randrange(1 << 62), b"007", b"5 "])

    def _keys(self):
        count = self.rng.choice([1, 1, 1, 1, 2, 2, 3, 5, 8, 23, 24, 25, 60])
        keys = [self._key_to_read() for _ in range(count)]
        while len(b" ".join(keys)) > 1800:
            keys.pop()
        return keys

    # Classic commands

    def _storage(self):
        verb = self.rng.choice([b"set"] * 6 + [b"add", b"replace", b"append", b"prepend"])
        draw = self.rng.random()
        if verb == b"set" and draw < 0.25:
            key, value = self.rng.choice(self.numbers), self._digits()
        elif draw < 0.30:
            key, value = self.text, b"text" * self.rng.randrange(1, 10)
        else:
            key = self._key()
            value = self._value_for(key, joined=verb in (b"append", b"prepend"))
        return Command(self._storage_line(verb, key, len(value)), value + b"\r\n")

    def _storage_line(self, verb, key, size, *more):
        flags = b"%d" % self.rng.choice([0, 0, 1, 32, 65535, 65536, 4294967295])
        words = [verb, key, flags, self.rng.choice(LARGE_EXPTIMES), b"%d" % size, *more]
        draw = self.rng.random()
        if draw < 0.15:
            words.append(b"noreply")
        elif draw < 0.17:
            words.append(b"norepl")
        return self._line(*words)

    def _get(self):
        return Command(self._line(b"get", *self._keys()))

    def _gets(self):
        return Command(self._line(b"gets", *self._keys()))

    def _cas(self):
        key = self._key()
        value = self._value_for(key)
        head = b" ".join([b"cas", key, b"3", b"0", b"%d" % len(value)]) + b" "
        tail = self.rng.choice([b"\r\n", b"\r\n", b" noreply\r\n"])
        wrong = self.rng.randrange(1 << 62, 1 << 63)
        return Command(head, CasOf(key, wrong), tail, value + b"\r\n")

    def _gat(self):
        exptime = self.rng.choice([b"0", b"100000", b"2000000000"])
        return Command(self._line(self.rng.choice([b"gat", b"gats"]), exptime, *self._keys()[:12]))

    def _delete(self):
        tail = self.rng.choice([[], [], [], [b"0"], [b"noreply"], [b"0", b"noreply"], [b"5"], [b"norepl"]])
        return Command(self._line(b"delete", self._key(), *tail))

    def _arithmetic(self):
        if not self.counting:
            return None
        delta = self.rng.choice([b"1", b"10", b"0", b"1000000000000", b"%d" % self.rng.randrange(1000)])
        tail = self.rng.choice([[], [], [], [b"noreply"], [b"extra"]])
        return Command(self._line(self.rng.choice([b"incr", b"incr", b"decr"]), self._key_to_count(), delta, *tail))

    def _touch(self):
        tail = self.rng.choice([[], [], [b"noreply"]])
        return Command(self._line(b"touch", self._key(), self.rng.choice(LARGE_EXPTIMES), *tail))

    def _flush_all(self):
        if not self.flush or self.rng.random() < 0.6:
            return None
        tail = self.rng.choice([[], [], [b"0"], [b"noreply"], [b"0", b"noreply"], [b"abc"], [b"1", b"2", b"3"]])
        return Command(self._line(b"flush_all", *tail))

    def _version(self):
        return Command(self._line(b"version"))

    def _verbosity(self):
        return Command(self._line(b"verbosity", *self.rng.choice([[b"0"], [b"1"], [b"0", b"noreply"], [], [b"x"],
                                                                  [b"1", b"2", b"3"]])))

    def _unknown(self):
        return Command(self.rng.choice(UNKNOWN) + b"\r\n")

    # Meta commands

    def _opaque(self):
        return b"O%x" % self.rng.randrange(1 << 32)

    def _meta_key(self, key=None):
        """(word to stand for the key, flags that go with it, the key itself). Every fourth is in base64."""
        key = key or self._key()
        if self.rng.random() < 0.25 and len(key) < 180:
            return base64.b64encode(key), [b"b"], key
        return key, [], key

    def _flags(self, choices, most=5, textual=b""):
        """textual: letters that have no binary form."""
        flags = {}
        if self.binary:
            choices = [flag for flag in choices if flag[:1] not in textual]
        for _ in range(self.rng.randrange(0, most + 1)):
            flag = self.rng.choice(choices)
            flags[flag[:1]] = flag
        return list(flags.values())

    def _meta_line(self, verb, key_word, flags, *values):
        self.rng.shuffle(flags)
        return self._line(verb, key_word, *values, *flags)

    def _mg(self):
        word, flags, _ = self._meta_key(self._key_to_read())
        flags += self._flags([b"v", b"v", b"v", b"t", b"c", b"s", b"f", b"k", b"q", b"h", b"l", b"u", self._opaque(),
                              b"N100000", b"N0", b"T100000", b"T0", b"R30", b"R200000"], 7, b"thluNRk")
        return Command(self._meta_line(b"mg", word, flags))

    def _ms(self):
        word, flags, key = self._meta_key()
        flags += self._flags([b"c", b"k", b"q", b"I", self._opaque(), b"F7", b"F4294967295", b"T0", b"T100000", b"ME",
                              b"MA", b"MP", b"MR", b"MS", b"Me"], textual=b"I")
        if self.binary:
            flags = [flag for flag in flags if flag != b"Me"]
        value = self._value_for(key, joined=b"MA" in flags or b"MP" in flags)
        if self.rng.random() < 0.2:
            head = b" ".join([b"ms", word, b"%d" % len(value), *flags]) + b" C"
            return Command(head, CasOf(key, self.rng.randrange(1 << 62, 1 << 63)), b"\r\n", value + b"\r\n")
        return Command(self._meta_line_of_ms(word, flags, value), value + b"\r\n")

    def _meta_line_of_ms(self, word, flags, value):
        return self._meta_line(b"ms", word, flags, b"%d" % len(value))

    def _md(self):
        word, flags, key = self._meta_key()
        flags += self._flags([b"q", b"k", self._opaque(), b"I", b"T100000", b"T0"], textual=b"I")
        if self.rng.random() < 0.2:
            head = b" ".join([b"md", word, *flags]) + b" C"
            return Command(head, CasOf(key, self.rng.randrange(1 << 62, 1 << 63)), b"\r\n")
        return Command(self._meta_line(b"md", word, flags))

    def _ma(self):
        if not self.counting:
            return None
        word, flags, _ = self._meta_key(self._key_to_count())
        flags += self._flags([b"q", b"k", self._opaque(), b"v", b"v", b"c", b"t", b"N0", b"N100000", b"J7", b"J13",
                              b"D3", b"D1000000000000", b"T0", b"T100000", b"MI", b"MD", b"M+", b"M-", b"Mx"],
                             textual=b"tT")
        if b"q" in flags:  # memcached shows the HD of a counter that N made; Ringside sends no q and cannot tell
            flags = [flag for flag in flags if flag[:1] != b"N"]
        return Command(self._meta_line(b"ma", word, flags))

    def _me(self):
        word, flags, _ = self._meta_key()
        return Command(self._line(b"me", word, *flags))

    def _mn(self):
        return Command(self._line(b"mn"), marks=1)

    # Bad input

    def _wrong_count(self):
        """Too few or too many words, where no data block is due."""
        key = self._key()
        words = self.rng.choice([
            [b"get"], [b"gets"], [b"gat"], [b"gats"], [b"set"], [b"set", key], [b"set", key, b"0"],
            [b"set", key, b"0", b"0"], [b"add", key], [b"cas", key, b"0", b"0"], [b"incr", key], [b"decr"],
            [b"incr", key, b"1", b"2", b"3"], [b"touch", key], [b"touch"], [b"touch", key, b"0", b"1", b"2"],
            [b"delete"], [b"delete", key, b"0", b"0", b"0"], [b"mg"], [b"ms"], [b"ms", key], [b"md"], [b"ma"],
            [b"me"], [b"gat", b"0"],
            [b"append", key, b"0"], [b"prepend"], [b"replace", key, b"1", b"2"],
        ])
        return Command(self._line(*words))

    def _refused_storage(self):
        """A storage line that both refuse; memcached takes the data block for commands, Ringside swallows it."""
        key, value = self._key(), self._value()[:2000]
        size = b"%d" % len(value)
        bad = self.rng.choice([b"abc", b"1x", b"99999999999999999999999"])
        verb = self.rng.choice([b"set", b"add", b"replace", b"append", b"prepend"])
        tail = self.rng.choice([[], [], [b"noreply"]])
        long_key = self.prefix + b"L" * 250
        words = self.rng.choice([
            [verb, key, bad, b"0", size], [verb, key, b"0", bad, size], [verb, long_key, b"0", b"0", size],
            [b"cas", key, b"0", b"0", size, b"nan"], [b"cas", long_key, b"0", b"0", size, b"5"],
            [b"cas", key, b"0", b"0", size], [verb, key, b"0", b"0", size, b"more", b"words"],
        ])
        if self.rng.random() < 0.15:
            words, tail = [b"ms", long_key, size], self.rng.choice([[], [b"c"]])
        return Command(self._line(*words, *tail), ringside_only=value + b"\r\n")

    def _bad_numbers(self):
        """Numbers that are none; no data block is due, because its length is not known."""
        key, bad = self._key(numbers=False), self.rng.choice(BAD_NUMBERS)
        words = self.rng.choice([
            [b"incr", key, bad], [b"decr", key, bad], [b"incr", key, b"-1"], [b"touch", key, bad], [b"gat", bad, key],
            [b"gats", b"abc", key], [b"set", key, b"0", b"0", b"abc"], [b"set", key, b"0", b"0", b"-1"],
            [b"add", key, b"0", b"0", b"1x"], [b"cas", key, b"0", b"0", b"-5", b"1"], [b"ms", key, b"abc"],
            [b"ms", key, b"-1"], [b"ms", key, b"S5"], [b"set", key, b"0", b"0", b"-2147483648"],
        ])
        return Command(self._line(*words))

    def _bad_meta(self):
        key = self._key(numbers=False)
        flags = self.rng.choice([
            [b"v", b"v"], [b"z"], [b"O" + b"o" * 40], [b"Tabc"], [b"N"], [b"Rx"], [b"Cx"], [b"M"], [b"MEE"], [b"\xff"],
            [b"b"], [b"k", b"k"], [b"b", b"k"], [b"Dx"], [b"Jx"], [b"Fx"], [b"!"], [b"1"],
        ])
        verb = self.rng.choice([b"mg", b"ms", b"md", b"ma"])
        if flags[0] == b"b":
            key = self.rng.choice([b"!!!!", b"abc", b"a", b"====", b"YQ=", b"Y"])
        if verb == b"ma" and flags[0][:2] == b"Oo":
            return None  # memcached counts first, and finds the opaque too long when it answers
        if verb == b"ms":
            value = self._value()[:300]
            return Command(self._line(verb, key, b"%d" % len(value), *flags), value + b"\r\n")
        return Command(self._line(verb, key, *flags))

    def _bad_chunk(self):
        """
        A block that does not end where its length says. Small, because memcached built with assertions dies of such
        an item once it lies in several chunks.
        """
        key = self._key()
        value = bytes([self.rng.randrange(97, 123)]) * self.rng.randrange(4, 60)
        claimed = self.rng.choice([len(value) - 1, len(value) - 3, len(value) - 2])
        verb = self.rng.choice([b"set", b"add", b"append"])
        if self.rng.random() < 0.2:
            return Command(b"ms %s %d\r\n" % (key, claimed), value + b"\r\n")
        if self.rng.random() < 0.2:
            return Command(b"%s %s 0 0 %d\r\n" % (verb, key, len(value)), value + b"\nget %s\r\n" % self.absent[0])
        return Command(b"%s %s 0 0 %d\r\n" % (verb, key, claimed), value + b"\r\n")

    def _too_large(self):
        """More than an item may have. set and ms also drop what was stored there before."""
        if not self.big or self.large_made >= 6:
            return None
        self.large_made += 1
        value = b"z" * ((1 << 20) + self.rng.randrange(1, 5000))
        verb = self.rng.choice([b"set", b"add", b"ms"])
        key = self._key()
        tail = self.rng.choice([b"", b" noreply"]) if verb != b"ms" else b""
        line = b"%s %s %d%s\r\n" if verb == b"ms" else b"%s %s 0 0 %d%s\r\n"
        return Command(line % (verb, key, len(value), tail), value + b"\r\n")

    def _too_long_key(self):
        key = self.prefix + b"L" * self.rng.choice([245, 250, 300, 900])
        words = self.rng.choice([
            [b"delete", key], [b"incr", key, b"1"], [b"touch", key, b"0"], [b"mg", key, b"v"], [b"md", key],
            [b"ma", key], [b"me", key], [b"delete", key, b"noreply"], [b"incr", key, b"1", b"noreply"],
        ])
        return Command(self._line(*words)) if len(key) > 250 else None

    def _too_long_get(self):
        """
        Alone in its segment: memcached 1.6.18 throws away the replies of the requests before it. The keys before the
        bad one are absent ones, because memcached has looked them up already.
        """
        key = self.prefix + b"L" * 250
        verb = self.rng.choice([b"get", b"gets"])
        return Command(self._line(verb, *self.absent[:self.rng.randrange(3)], key), alone=True)


def cut(data, rng, pieces):
    """The data in that many pieces at most, cut at random places."""
    places = sorted(rng.randrange(1, len(data)) for _ in range(pieces - 1)) if len(data) > 1 else []
    bounds = [0] + places + [len(data)]
    return [data[a:b] for a, b in zip(bounds, bounds[1:]) if b > a]
