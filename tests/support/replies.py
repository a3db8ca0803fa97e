"""
A stream of replies taken apart, without knowledge of the requests: lines, and the data blocks that VALUE and VA
announce. Numbers that two servers are free to give differently (CAS, times) can be masked, and nothing else.
"""

import re

_TIMES = re.compile(rb"(exp|la|cas)=-?\d+")


def take_reply(data, at):
    """
    The unit at data[at:]: (line without CRLF, data block or None, index after it), or None while it is not whole. A
    block is what the line announces, and the two bytes after it, whatever they are.
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    line = bytes(data[at:end])
    after = end + 2
    words = line.split(b" ")
    length = None
    if words[0] == b"VALUE" and len(words) >= 4 and words[3].isdigit():
        length = int(words[3])
    elif words[0] == b"VA" and len(words) >= 2 and words[1].isdigit():
        length = int(words[1])
    if length is None:
        return line, None, after
    if len(data) < after + length + 2:
        return None
    return line, bytes(data[after:after + length + 2]), after + length + 2


class ReplyStream:
    """Collects units as bytes come in: units is a list of (line, block or None)."""

    def __init__(self):
        self.units = []
        self._at = 0

    def feed(self, received):
        """received: all bytes so far (a bytearray that only grows). Returns self."""
        while True:
            unit = take_reply(received, self._at)
            if unit is None:
                return self
            self.units.append(unit[:2])
            self._at = unit[2]

    def count(self, line):
        """How many units have exactly this line."""
        return sum(1 for unit in self.units if unit[0] == line)


def masked(line):
    """The line without what may differ between servers: CAS numbers, seconds left, seconds since."""
    words = line.split(b" ")
    if words[0] == b"VALUE" and len(words) == 5:
        words[4] = b"#"
    elif words[0] in (b"HD", b"VA", b"EX", b"NF", b"NS", b"EN"):
        first = 2 if words[0] == b"VA" else 1
        words = words[:first] + [word[:1] + b"#" if word[:1] in (b"c", b"t", b"l") and word[1:].isdigit() else word
                                 for word in words[first:]]
    elif words[0] == b"ME":
        return _TIMES.sub(rb"\1=#", line)
    return b" ".join(words)


def cas_of(line):
    """The CAS number of a VALUE line of gets, or of a meta line with the flag c; None where there is none."""
    words = line.split(b" ")
    if words[0] == b"VALUE":
        return int(words[4]) if len(words) == 5 else None
    if words[0] in (b"HD", b"VA"):
        for word in words[1:]:
            if word[:1] == b"c" and word[1:].isdigit():
                return int(word[1:])
    return None
