"""
The same random streams of commands to a real memcached and through Ringside: the replies must be the same bytes.

DIFF_STREAMS: how many streams a test runs; DIFF_SEED: the first seed. A failure names the seed, the segment and the
commands in it.
"""

import os
import random
import threading

import pytest

import streams
from harness import HarnessError, Wire, shorten
from replies import ReplyStream, cas_of, masked

STREAMS = int(os.environ.get("DIFF_STREAMS", "100"))
SEED = int(os.environ.get("DIFF_SEED", "1"))
SEGMENTS = 12

# What a run of some streams must have drawn from the servers, for the comparison to mean something.
KINDS = [b"VALUE", b"END", b"STORED", b"NOT_STORED", b"EXISTS", b"NOT_FOUND", b"DELETED", b"TOUCHED", b"OK", b"VERSION",
         b"HD", b"VA", b"EN", b"NS", b"EX", b"NF", b"ME", b"MN", b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR"]

# Room for all that is stored, and none of the threads that hold items for a moment: memcached answers differently then.
SERVER_OPTIONS = {"memory_mib": 1024, "args": ["-o", "no_lru_maintainer,no_lru_crawler"]}


class Side:
    """One of the two that are compared: a connection, and the CAS numbers that it gave out."""

    def __init__(self, to, ringside):
        self.wire, self.ringside, self.cas = Wire(to), ringside, {}

    def run(self, commands, split):
        """Sends a segment, cut by split(bytes), and returns the units of its replies."""
        data = b"".join(command.bytes_for(self.cas, self.ringside) for command in commands) + b"mn\r\n"
        marks = 1 + sum(command.marks for command in commands)
        replies = ReplyStream()
        self.wire.exchange(split(data), until=lambda received: replies.feed(received).count(b"MN") >= marks)
        for line, _ in replies.units:
            number = cas_of(line)
            if number is not None:
                self._learn(line, number)
        return [(masked(line), block) for line, block in replies.units]

    def _learn(self, line, number):
        words = line.split(b" ")
        if words[0] == b"VALUE":
            self.cas[words[1]] = number
            return
        keys = [word[1:] for word in words if word[:1] == b"k"]
        if keys and b"b" not in words[2:]:
            self.cas[keys[0]] = number


def explain(commands, side, expected, got):
    """Where two lists of units part, and the commands around."""
    at = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
    lines = ["%d units from memcached, %d through Ringside; they part at unit %d:" % (len(expected), len(got), at)]
    for name, units in (("memcached", expected), ("ringside", got)):
        lines.append("  %s:" % name)
        for line, block in units[max(0, at - 2):at + 4]:
            lines.append("    %s%s" % (shorten(line), "" if block is None else " + " + shorten(block, 80)))
    lines.append("commands of the segment:")
    lines += ["    " + shorten(command.bytes_for(side.cas, True), 160) for command in commands]
    return "\n".join(lines)


def whole(data):
    return [data]


def random_split(rng):
    def split(data):
        return streams.cut(data, rng, rng.choice([1, 2, 3, 10, 40]))
    return split


def run_stream(seed, reference, ringside, split, **options):
    """One stream on both sides, compared segment by segment. Returns the first words of the replies, as a set."""
    kinds = set()
    generator = streams.Generator(seed, **options)
    left, right = Side(reference, False), Side(ringside, True)
    with left.wire, right.wire:
        for index in range(SEGMENTS):
            commands = generator.segment()
            where = "seed %d, segment %d" % (seed, index)
            try:
                expected = left.run(commands, whole)
                got = right.run(commands, split)
            except HarnessError as error:
                raise HarnessError("%s: %s\ncommands:\n%s" % (where, error, "\n".join(
                    "    " + shorten(command.bytes_for(right.cas, True), 160) for command in commands))) from None
            if expected != got:
                raise HarnessError("%s: %s" % (where, explain(commands, right, expected, got)))
            kinds.update(line.split(b" ")[0] for line, _ in got)
    return kinds


@pytest.fixture(scope="module")
def sides(shared_lab):
    """(a memcached for reference, a Ringside over one server, a Ringside over three)"""
    reference = shared_lab.memcached(tls=False, **SERVER_OPTIONS)
    one = shared_lab.ringside(servers=shared_lab.memcacheds(1, **SERVER_OPTIONS))
    three = shared_lab.ringside(servers=shared_lab.memcacheds(3, **SERVER_OPTIONS))
    return reference, one, three


@pytest.mark.sanitize
@pytest.mark.parametrize("servers", [1, 3])
def test_streams_sent_whole(shared_lab, sides, servers):
    kinds = set()
    for seed in range(SEED, SEED + STREAMS):
        kinds |= run_stream(seed, sides[0], sides[1 if servers == 1 else 2], whole, tag="whole%d-" % servers)
    assert STREAMS < 20 or set(KINDS) <= kinds, "never seen: %s" % (set(KINDS) - kinds)


@pytest.mark.sanitize
@pytest.mark.parametrize("servers", [1, 3])
def test_streams_cut_at_random(shared_lab, sides, servers):
    for seed in range(SEED + 1000, SEED + 1000 + STREAMS):
        run_stream(seed, sides[0], sides[1 if servers == 1 else 2], random_split(random.Random(seed)),
                   tag="cut%d-" % servers)


@pytest.mark.sanitize
def test_streams_byte_by_byte(shared_lab, sides):
    def split(data):
        return [data[i:i + 1] for i in range(len(data))] if len(data) < 4000 else [data]
    for seed in range(SEED + 2000, SEED + 2000 + STREAMS):
        run_stream(seed, sides[0], sides[2], split, tag="bytes-", big=False, length=4)


@pytest.mark.sanitize
def test_streams_of_several_clients_at_once(shared_lab, sides):
    """Eight clients share the connections to the servers, each with keys of its own."""
    failures = []

    def client(first):
        try:
            for seed in range(first, first + max(1, STREAMS // 6)):
                run_stream(seed, sides[0], sides[2], random_split(random.Random(seed)), tag="many-",
                           flush=False, big=False)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(SEED + 3000 + 100 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
