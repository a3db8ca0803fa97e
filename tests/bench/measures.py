"""The measurements of proxies side by side: servers and proxies started, the generator run against each in turns, medians."""

import contextlib
import json
import os
import re
import select
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from basis import HarnessError
from peers import Backends, Ringside, SERVER_CORE, Usage, pinned
from servers import end_process, process_rss_bytes, ringside_path, spawn

BUILD = Path(os.environ.get("BENCH_BUILD", Path(__file__).resolve().parent))
QUANTILES = ("p50_us", "p99_us", "p999_us")
IDLE_DEADLINE_S = 60
BULK, NO_BULK = ["--bulk", "on"], ["--bulk", "off"]


def load(port, options, core=SERVER_CORE):
    """One run of the generator; its report."""
    done = subprocess.run(pinned(core, [BUILD / "load", *options, port]), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode != 0:
        raise HarnessError("the load generator says: " + done.stderr.strip())
    return json.loads(done.stdout) if done.stdout.strip() else None


def load_beside(port, options):
    """The generator, running while the caller does other things."""
    return spawn(pinned(SERVER_CORE, [BUILD / "load", *options, port]), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def report_of(process):
    """Waits for such a generator; its report."""
    said, complaint = process.communicate()
    end_process(process)
    if process.returncode != 0:
        raise HarnessError("the load generator says: " + complaint.decode().strip())
    return json.loads(said)


class Setting:
    """A workload's servers and proxies, all started, all keys stored. What was started is ended, also if a later start fails."""

    def __init__(self, workload, peers):
        self.workload = workload
        self.peers = []
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringside-bench-")))
            # Proxies that route have servers of their own, each: keys lie where the proxy puts them.
            for peer in peers:
                self.peers.append(self._start(stack, peer))
            for peer in self.peers:
                self._preload(peer)
            self.stack = stack.pop_all()

    def _start(self, stack, peer_class):
        backends = peer_class.make_backends(self.workload.servers)
        stack.callback(backends.end)
        folder = self.folder / peer_class.name
        folder.mkdir()
        peer = peer_class(folder, backends, self.workload)
        stack.callback(peer.end)
        peer.start()
        return peer

    def _preload(self, peer):
        for port in peer.preload_ports:
            load(port, ["--preload", "--keys", self.workload.keys, "--value", self.workload.value])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()


def medians(names, samples):
    """{peer: [row, ...]} to {peer: {name: median}}."""
    return {peer: dict(zip(names, map(statistics.median, zip(*rows)))) for peer, rows in samples.items() if rows}


def cost_of(peer, options):
    """One run: (microseconds of the peer's a request, of them user, requests a second)."""
    before = Usage(peer.pid)
    report = load(peer.port, options)
    total, user = Usage(peer.pid).since(before)
    return total * 1e6 / report["requests"], user * 1e6 / report["requests"], report["per_second"]


def measure_cost(workload, peers, rounds, seconds, bulk=True):
    """{peer: {"cost", "user", "per_second", and the cost of each of workload.beside}}: medians of the rounds, microseconds."""
    peers = [peer for peer in peers if workload.served_by(peer)]
    samples = {peer.name: [] for peer in peers}
    with Setting(workload, peers) as setting:
        for number in range(-1, rounds):
            for peer in setting.peers:
                more = (BULK if bulk else NO_BULK) + ["--seconds", seconds if number >= 0 else min(0.3, seconds)]
                row = cost_of(peer, workload.load_options(peer) + more)
                for kind in workload.beside:
                    row += cost_of(peer, workload.load_options(peer, kind + "=1") + more)[:1]
                if number >= 0:
                    samples[peer.name].append(row)
    return medians(("cost", "user", "per_second", *workload.beside), samples)


def measure_latency(workload, peers, rate, rounds, seconds):
    """{peer: {"p50_us", "p99_us", "p999_us"}} at that open-loop rate."""
    samples = {peer.name: [] for peer in peers}
    with Setting(workload, peers) as setting:
        for _ in range(rounds):
            for peer in setting.peers:
                report = load(peer.port, workload.load_options(peer) + ["--seconds", seconds, "--rate", rate])
                samples[peer.name].append([report[name] for name in QUANTILES])
    return medians(QUANTILES, samples)


def measure_curve(workload, peers, rates, rounds, seconds):
    """{peer: [(rate, p50, p99.9)]}: rising rates, as far as each keeps up."""
    curves = {peer.name: [] for peer in peers}
    with Setting(workload, peers) as setting:
        going = list(setting.peers)
        for rate in rates:
            samples = {peer.name: [] for peer in going}
            for _ in range(rounds):
                for peer in list(going):
                    report = load(peer.port, workload.load_options(peer) + ["--seconds", seconds, "--rate", rate])
                    if report["per_second"] < 0.95 * rate:
                        going.remove(peer)
                        samples.pop(peer.name)
                    else:
                        samples[peer.name].append((report["p50_us"], report["p999_us"]))
            for name, row in medians(("p50", "p999"), samples).items():
                curves[name].append((rate, row["p50"], row["p999"]))
    return curves


def count_calls(workload, peers, seconds):
    """{peer: {call: a request}} by strace, whose slowness changes batches: a hint, not a measure."""
    found = {}
    with Setting(workload, peers) as setting:
        for peer in setting.peers:
            load(peer.port, workload.load_options(peer) + BULK + ["--seconds", min(0.3, seconds)])  # its memory grows first
            output = setting.folder / "strace"
            tracer = spawn(["strace", "-f", "-c", "-o", output, "-p", peer.pid], stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            report = load(peer.port, workload.load_options(peer) + BULK + ["--seconds", seconds])
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
            end_process(tracer)
            calls = {}
            for line in output.read_text().splitlines():
                fields = line.split()
                if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
                    calls[fields[-1]] = int(fields[3]) / report["requests"]
            found[peer.name] = calls
    return found


def _run_counted(workload, seconds):
    """One run under callgrind: (instructions, requests)."""
    with tempfile.TemporaryDirectory(prefix="ringside-bench-") as folder, contextlib.ExitStack() as stack:
        backends = Backends(workload.servers)
        stack.callback(backends.end)
        proxy = Ringside(folder, backends, workload)
        stack.callback(proxy.end)
        real, output = proxy.binary or ringside_path(), Path(folder) / "callgrind"
        wrapper = Path(folder) / "wrapped"
        wrapper.write_text("#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file=%s %s \"$@\"\n" % (output, real))
        wrapper.chmod(0o755)
        proxy.binary = wrapper
        proxy.start()
        load(proxy.port, ["--preload", "--keys", workload.keys, "--value", workload.value])
        report = load(proxy.port, workload.load_options(proxy) + BULK + ["--seconds", seconds])
        proxy.process.send_signal(signal.SIGTERM)
        proxy.process.wait(30)
        text = "".join(path.read_text() for path in Path(folder).glob("callgrind*"))
        return sum(map(int, re.findall(r"^(?:summary|totals): (\d+)", text, re.M)[:1])), report["requests"]


def count_instructions(workload, seconds):
    """Ringside's own instructions a request, by callgrind: the difference between a long and a short run."""
    (few, few_requests), (many, many_requests) = [_run_counted(workload, length) for length in (seconds / 4, seconds)]
    return (many - few) / (many_requests - few_requests)


def resident_idle(workload, peer_class, counts):
    """[resident bytes with no client, bytes a client with each count of idle ones]."""
    with Setting(workload, [peer_class]) as setting, contextlib.ExitStack() as held:
        peer, so_far = setting.peers[0], 0
        row = [process_rss_bytes(peer.pid)]
        for count in (min(count, peer.clients_max()) for count in counts):
            process = load_beside(peer.port, [*workload.load_options(peer), "--idle", count - so_far])
            held.callback(end_process, process)
            if not select.select([process.stdout], [], [], IDLE_DEADLINE_S)[0] or process.stdout.readline() != b"idle\n":
                raise HarnessError("the load generator could not hold %d idle clients" % count)
            so_far = count
            time.sleep(0.5)
            row.append((process_rss_bytes(peer.pid) - row[0]) / count)
        return row


def _busy_memory(workload, peer_class, count, seconds):
    """Bytes a client, at most, while each of so many sends a request or two every second."""
    with Setting(workload, [peer_class]) as setting:
        peer = setting.peers[0]
        count = min(count, peer.clients_max())
        empty = most = process_rss_bytes(peer.pid)
        options = workload.load_options(peer) + ["--connections", count, "--rate", count * 1.25, "--seconds", seconds]
        process = load_beside(peer.port, options)
        while process.poll() is None:
            most = max(most, process_rss_bytes(peer.pid))
            time.sleep(0.05)
        report_of(process)
        return (most - empty) / count


def measure_memory(workload, peers, counts=(1000, 10000), seconds=2):
    """{peer: [resident bytes with no client, then bytes a client: idle with each count, busy with each count]}."""
    return {peer.name: resident_idle(workload, peer, counts) + [_busy_memory(workload, peer, count, seconds) for count in counts]
            for peer in peers}


def measure_workers(workload, seconds):
    """Requests a second with one worker and with two, on both cores, beside generator and server."""
    found = []
    for workers in (1, 2):
        peer = type("Ringside%d" % workers, (Ringside,), {"workers": workers})
        with Setting(workload, [peer]) as setting:
            found.append(load(setting.peers[0].port,
                              workload.load_options(peer) + BULK + ["--seconds", seconds])["per_second"])
    return found
