"""
Rings of many servers: what a Ringside with 10 to 10 000 of them takes, and what a client sees while it reloads.

Few memcacheds listen on as many loopback addresses (127.1.0.1, 127.1.0.2, ...) as there are servers; the ring does not know that
they are few. Each holds all keys, so that every key is found wherever it lands.
"""

import contextlib
import json
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from basis import HarnessError, free_port, wait_until
from measures import BUILD, QUANTILES, load, load_beside, report_of
from peers import AS_USER, CLIENTS, SERVER_CORE, accepts, files_max, start
from servers import end_process, process_rss_bytes, ringside_path

ADDRESSES_EACH = 2500  # descriptors, and the length of an argument, have their limits
PAUSE_S = 0.25


def addresses(count):
    return ["127.1.%d.%d" % (i // 250, i % 250 + 1) for i in range(count)]


def write_config(path, port, servers, turn):
    """Two configurations in turns: the first server has another weight. servers: "host:port"."""
    entries = ", ".join("{address: '%s', weight: %d}" % (address, 2 + turn % 2 if i == 0 else 2)
                        for i, address in enumerate(servers))
    path.write_text("workers: 1\nlisten: [127.0.0.1:%d]\npools: {main: {servers: [%s], timeout: 5s}}\n" % (port, entries))


def start_servers(stack, hosts):
    """Memcacheds on these addresses, with all keys stored; what stands in the configuration."""
    servers = []
    for i in range(0, len(hosts), ADDRESSES_EACH):
        port, part = free_port(), hosts[i:i + ADDRESSES_EACH]
        stack.callback(end_process, start(
            ["memcached", *AS_USER, "-l", "127.0.0.1," + ",".join(part), "-p", port, "-U", "0", "-t", "1", "-m", "256",
             "-c", min(CLIENTS, files_max() - 200)], port, ready=lambda p, last=part[-1]: accepts(p, last), core=SERVER_CORE))
        load(port, ["--preload"])
        servers += ["%s:%d" % (host, port) for host in part]
    return servers


def reloads_in(log):
    text = log.read_text()
    if "reload_failed" in text:
        raise HarnessError("a reload failed:\n" + text)
    return text.count(" reload_done ")


class Fleet:
    """A Ringside over so many servers."""

    def __init__(self, stack, count):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringside-bench-")))
        self.servers = start_servers(stack, addresses(count))
        self.port = free_port()
        self.config, self.log = folder / "ringside.yaml", folder / "ringside.log"
        write_config(self.config, self.port, self.servers, 0)
        self.proxy = start([ringside_path(), "-c", self.config], self.port, log=self.log)
        stack.callback(end_process, self.proxy)
        self.turn = 0

    def reload(self):
        """How long it took until the new configuration was in force, in ms."""
        self.turn += 1
        write_config(self.config, self.port, self.servers, self.turn)
        begin = time.monotonic()
        self.proxy.send_signal(signal.SIGHUP)
        wait_until(lambda: reloads_in(self.log) >= self.turn, "the configuration to be reloaded", 60)
        return (time.monotonic() - begin) * 1000

    def run(self, rate, seconds, reloading):
        """Quantiles of the latency, and the times that reloads took, one after another with a pause."""
        process = load_beside(self.port, ["--connections", 50, "--rate", rate, "--seconds", seconds])
        times = []
        while reloading and process.poll() is None:
            time.sleep(PAUSE_S)
            times.append(self.reload())
        report = report_of(process)
        return [report[name] for name in QUANTILES], times


def peak_bytes(pid):
    for line in Path("/proc/%d/status" % pid).read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise HarnessError("no VmHWM")


def measure_scale(count, seconds, rate=5000):
    """A row: ring (of placement-report), resident and peak bytes, quantiles without and with reloads, ms a reload."""
    ring = json.loads(subprocess.run([BUILD / "placement", "--ring", str(count)], stdout=subprocess.PIPE, check=True).stdout)
    with contextlib.ExitStack() as stack:
        fleet = Fleet(stack, count)
        still, _ = fleet.run(rate, seconds, False)
        resident = process_rss_bytes(fleet.proxy.pid)
        moving, times = fleet.run(rate, seconds, True)
        return {"ring": ring, "resident": resident, "peak": peak_bytes(fleet.proxy.pid), "still": still, "moving": moving,
                "reload_ms": statistics.median(times), "reloads": len(times)}
