"""
The harness of the flow and fault tests: real processes on loopback, raw sockets, and checks that follow every test.

    lab = Lab(directory)                          one test's processes and sockets; the fixture `lab` makes one
    servers = lab.memcacheds(3)                   three memcached, each on a port of its own
    ringside = lab.ringside({"pools": ...})       a Ringside over them, waited for until it listens
    wire = lab.wire(ringside)                     a raw connection to it
    wire.command(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")

Every wait has a deadline, so that a hang is a failure; no verdict depends on how long something took. Every process is
ended by its own pid. What Ringside did wrong on the side (died, printed a sanitizer's report, kept descriptors of
clients that had left, did not exit 0 on SIGTERM) fails the test through Lab.verify().

With RINGSIDE_TLS=1 in the environment every connection of these speaks TLS that does not say otherwise: see basis.py. A
test that makes no sense then is marked plain("the reason").
"""

import contextlib
from pathlib import Path

from basis import ALL_TLS, DEADLINE_S, HarnessError, connect, free_port, split_address, wait_until
from rawwire import Wire, difference, shorten
from servers import (ROOT, SANITIZER_EXIT, LogLine, Memcached, Process, Ringside, expect_growth_below, is_sanitized,
                     process_fds, process_rss_bytes, ringside_path, run_ringside, sanitizer_environment)

__all__ = [
    "ALL_TLS", "DEADLINE_S", "HarnessError", "Lab", "LogLine", "Memcached", "Process", "ROOT", "Ringside",
    "SANITIZER_EXIT", "Wire", "connect", "difference", "expect_growth_below", "free_port", "is_sanitized", "pool_of",
    "process_fds", "process_rss_bytes", "ringside_path", "run_ringside", "sanitizer_environment", "shorten",
    "split_address", "wait_until",
]


class Lab:
    """
    All that a test starts. It is ended in close(), always; verify() tells what went wrong on the side. Things that a
    module makes on its own can be given to adopt(), whose close() is then called in time.
    """

    def __init__(self, directory):
        self.directory = Path(directory)
        self.servers = []
        self.ringsides = []
        self.wires = []
        self.adopted = []
        self.verified = False

    # Making

    def memcached(self, **options):
        """A started Memcached; options as in its constructor."""
        server = Memcached(self.directory, **options)
        self.servers.append(server)
        return server.start()

    def memcacheds(self, count, **options):
        """Several of them."""
        return [self.memcached(**options) for _ in range(count)]

    def ringside(self, config=None, servers=None, start=True, args=None, wrapper=(), env=None, **pool):
        """
        A started Ringside. Either config (dict or text), or args (command line), or servers: then it has one pool
        `main` of these (Memcached, address text, or a mapping), with further keywords as keys of the pool
        (timeout="2s"). Timeouts of that pool are generous unless given, so that a slow build is not a failure.
        """
        if servers is not None:
            config = dict(config or {})
            config.setdefault("pools", {})["main"] = pool_of(servers, **pool)
            config.setdefault("route", "main")
        ringside = Ringside(self.directory, config=config, args=args, wrapper=wrapper, env=env)
        self.ringsides.append(ringside)
        return ringside.start() if start else ringside

    def wire(self, to, deadline_s=None, tls=None, sock=None):
        """A Wire to something with an address, or to an address; closed at the test's end."""
        wire = Wire(to, deadline_s, tls, sock)
        self.wires.append(wire)
        return wire

    def adopt(self, thing):
        """Something with a close() to be called before the checks at the end. Returns it."""
        self.adopted.append(thing)
        return thing

    # Ending

    def close_clients(self):
        """Closes all connections and adopted things."""
        while self.wires:
            self.wires.pop().close()
        while self.adopted:
            self.adopted.pop().close()

    def verify(self):
        """
        The checks after a test: clients leave, then each Ringside must still run, must let go of their descriptors,
        must have no more upstream connections than its configuration allows, must exit 0 on SIGTERM, and must not
        have printed a sanitizer's report.
        """
        self.verified = True
        self.close_clients()
        for server in self.servers:
            if server.alive:
                with contextlib.suppress(ProcessLookupError):
                    server.thaw()
        for ringside in self.ringsides:
            if ringside.alive:
                self._verify_descriptors(ringside)
                ringside.terminate()
            problem = ringside.problem()
            if problem:
                raise HarnessError(problem)

    @staticmethod
    def _verify_descriptors(ringside):
        wait_until(lambda: not ringside.alive or ringside.client_count() == 0,
                   lambda: "ringside to close the connections of clients that left: %s\n%s" %
                   (ringside.sockets(), ringside.log_text()[-5000:]))
        if ringside.alive:
            sockets, total = ringside.sockets(), ringside.fd_count()
            others = total - sum(sockets.values())
            if sockets["listen"] == 0 or others > ringside.fds_at_start + 8:
                raise HarnessError("descriptors leaked: %s, %d others; %d at the start: %s" %
                                   (sockets, others, ringside.fds_at_start, process_fds(ringside.pid)))

    def close(self):
        """Ends everything, whatever state it is in."""
        self.close_clients()
        for process in self.ringsides + self.servers:
            if process.process is not None:
                process.kill()

    def logs(self):
        """The logs of all Ringsides, for a failure's report."""
        parts = []
        for ringside in self.ringsides:
            if ringside.log_path.exists():
                text = ringside.log_path.read_bytes().decode("utf-8", "replace")
                parts.append("--- %s\n%s" % (ringside.log_path.name, text[-8000:]))
        return "\n".join(parts)


def pool_of(servers, **keys):
    """
    The mapping of a pool over servers (Memcached, address text, or mapping {address, name, weight}). Unless given,
    its timeouts are long.
    """
    entries = []
    for server in servers:
        entries.append(server if isinstance(server, (str, dict)) else server.address)
    pool = {"servers": entries, "connect_timeout": "30s", "timeout": "60s"}
    pool.update(keys)
    return pool
