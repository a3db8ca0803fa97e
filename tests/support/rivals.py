"""Other proxies, to compare with: twemproxy."""

import contextlib
import os
import subprocess
from pathlib import Path

from basis import HarnessError, free_port, wait_until
from rawwire import Wire
from servers import Process, end_process, spawn


class Nutcracker(Process):
    """
    twemproxy with one pool. servers: the entries of its configuration ("127.0.0.1:11311:1 name"); options: further
    keys of the pool (hash="md5").
    """

    def __init__(self, directory, servers, **options):
        self.directory = Path(directory)
        self.servers = servers
        self.options = dict(distribution="ketama", hash="md5", timeout=60000, backlog=512, preconnect="false",
                            auto_eject_hosts="false", server_retry_timeout=60000, server_failure_limit=100)
        self.options.update(options)
        self.port = None

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def start(self):
        """Starts it on a free port and waits until it answers. Returns self."""
        config = self.directory / "nutcracker.yml"
        for _ in range(50):
            self.port, stats_port = free_port(), free_port()
            lines = ["pool:", "  listen: 127.0.0.1:%d" % self.port]
            lines += ["  %s: %s" % (name, "'%s'" % value if name == "hash_tag" else value)
                      for name, value in self.options.items()]
            lines += ["  servers:"] + ["    - %s" % server for server in self.servers]
            config.write_text("\n".join(lines) + "\n")
            self.process = spawn(["/usr/sbin/nutcracker", "-c", config, "-s", stats_port, "-a", "127.0.0.1"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.directory)
            if wait_until(lambda: not self.alive or self._owns_port(), "nutcracker to listen") and self.alive:
                return self
            end_process(self.process)
        raise HarnessError("nutcracker does not start:\n" + config.read_text())

    def _owns_port(self):
        """Whether it is this process that listens on the port."""
        inodes = set()
        for entry in os.listdir("/proc/%d/fd" % self.pid):
            with contextlib.suppress(OSError):
                link = os.readlink("/proc/%d/fd/%s" % (self.pid, entry))
                if link.startswith("socket:["):
                    inodes.add(link[8:-1])
        for line in Path("/proc/%d/net/tcp" % self.pid).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[3] == "0A" and int(fields[1].split(":")[1], 16) == self.port:
                return True
        return False

    def wire(self):
        """A raw connection to it, for the caller to close."""
        return Wire(self.address)
