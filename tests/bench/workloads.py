"""What is asked of the proxies, and how much of its peers' cost Ringside may have: the targets of docs/BENCHMARKS.md."""

KEY_BYTES = 12


class Workload:
    """
    One row of the table. best, relay: the most that Ringside may cost, as a share of the best peer and of the relay. beside:
    kinds that are run in turns with the workload's own, to compare with; of_beside: what the own may cost as a share of the
    first of them.
    """

    def __init__(self, name, text, best, relay, servers=1, connections=50, depth=1, mix="get=1", value=32, multi=1,
                 keys=10000, beside=(), of_beside=None):
        self.name, self.text, self.best, self.relay = name, text, best, relay
        self.servers, self.connections, self.depth = servers, connections, depth
        self.mix, self.value, self.multi, self.keys = mix, value, multi, keys
        self.beside, self.of_beside = beside, of_beside

    def load_options(self, peer, mix=None):
        """mix: another than its own."""
        split = self.servers if peer.name == "relay" and self.multi > 1 else 1
        return ["--connections", self.connections, "--depth", self.depth, "--keys", self.keys, "--value", self.value,
                "--mix", mix or self.mix, "--multi", self.multi, "--split", split] + peer.load_options

    def served_by(self, peer):
        """Whether the peer knows these requests."""
        return (peer.meta or "mg=" not in self.mix) and (peer.binary_protocol or "bget=" not in self.mix)

    def relay_kinds(self):
        """(first byte, request, reply) lengths."""
        unit = len("VALUE  0 %d\r\n" % self.value) + KEY_BYTES + self.value + 2
        per_line = self.multi // (self.servers if self.multi > 1 else 1)
        kinds = {"g": (3 + (1 + KEY_BYTES) * per_line + 2, unit * per_line + 5)}
        if "set=" in self.mix:
            kinds["s"] = (len("set  0 0 %d\r\n" % self.value) + KEY_BYTES + self.value + 2, 8)
        if "mg=" in self.mix:
            kinds["m"] = (len("mg  k v\r\n") + KEY_BYTES, len("VA %d k\r\n" % self.value) + KEY_BYTES + self.value + 2)
        return [(first, *sizes) for first, sizes in kinds.items()]


WORKLOADS = [
    Workload("W1", "get 32 B, 50 clients, depth 1", 0.90, 1.08),
    Workload("W2", "get 32 B, depth 16", 0.62, 1.55, depth=16),
    Workload("W2d50", "get 32 B, depth 50", 0.62, 1.55, depth=50),
    Workload("W2x4", "get 32 B, depth 16, 4 servers", 0.65, 1.40, depth=16, servers=4),
    Workload("W3", "get 90 %, set 10 %, 100 B, depth 16", 0.62, 1.55, depth=16, mix="get=90,set=10", value=100),
    Workload("W3x4", "the same, 4 servers", 0.65, 1.40, depth=16, mix="get=90,set=10", value=100, servers=4),
    Workload("W4", "get of 100 keys, 4 servers", 0.45, 2.3, mix="multi=1", multi=100, servers=4),
    Workload("W5", "get 16 KiB, depth 1", 0.85, 1.10, value=16384, keys=2000),
    Workload("W5M", "get 1 MB", 0.85, 1.10, value=1000000, keys=50, connections=10),
    Workload("W6", "set 1 KB, depth 1", 0.90, 1.08, mix="set=1", value=1000),
    Workload("M16", "mg 32 B, depth 16", None, None, depth=16, mix="mg=1"),
    Workload("B1", "binary get 32 B, depth 1", None, None, mix="bget=1", beside=("get", "mg"), of_beside=1.15),
    Workload("B16", "binary get 32 B, depth 16", None, None, depth=16, mix="bget=1", beside=("get", "mg"), of_beside=1.15),
]
BY_NAME = {workload.name: workload for workload in WORKLOADS}

# Of --tls.
TLS_WORKLOADS = [
    Workload("T1", "get 100 B, depth 1", None, None, value=100),
    Workload("T16", "get 100 B, depth 16", None, None, value=100, depth=16),
    Workload("T5", "get 16 KiB, depth 1", None, None, value=16384, keys=2000),
]

# Of the best peer's, at the rate of the latency table.
LATENCY_TARGET = 0.90
# Of an idle client, of 10 000: bytes, and of the best peer's.
MEMORY_TARGET_BYTES = 1.2 * 1024
MEMORY_TARGET_SHARE = 0.16


class Targets:
    """What was held against its target: the marks in the tables, and the sum of them."""

    def __init__(self):
        self.rows = []

    def mark(self, what, measured, limit):
        """A cell of a table: the measured figure, its limit, met or missed."""
        if measured is None:
            return "-"
        if limit is None:
            return "%.2f" % measured
        met = measured <= limit
        self.rows.append((what, measured, limit, met))
        return "%.2f of %.2f: %s" % (measured, limit, "met" if met else "**missed**")

    def summary(self):
        if not self.rows:
            return []
        missed = ["%s %.2f of %.2f" % row[:3] for row in self.rows if not row[3]]
        return ["", "Targets met: %d of %d.%s" % (len(self.rows) - len(missed), len(self.rows),
                                                 " Missed: " + "; ".join(missed) + "." if missed else "")]
