"""The tables, in Markdown, and the document that they stand in."""

import os
import time
from pathlib import Path

import watch
from peers import PEERS
from workloads import LATENCY_TARGET, MEMORY_TARGET_BYTES, MEMORY_TARGET_SHARE

DOCS = Path(__file__).resolve().parents[2] / "docs"
MEASURED, TLS = "measured", "tls"  # the parts of the document that are written


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"] + ["| " + " | ".join(row) + " |" for row in rows]


def thousands(number):
    return "{:,.0f}".format(number)


def best_rival(figures):
    """The least figure of the peers that do our work; None: there is none. figures: {peer: number}."""
    rivals = [figure for name, figure in figures.items() if name != "ringside" and PEERS[name].parses]
    return min(rivals) if rivals else None


def share(figures, of):
    """Ringside's figure as a share of another; None: there are not both, or there is nothing to share in."""
    return figures["ringside"] / of if of is not None and of > 0 and "ringside" in figures else None


def heading(peers, rounds, seconds):
    return [
        "Machine: %s. Date: %s. Load average when it began: %s." %
        (watch.shape(), time.strftime("%Y-%m-%d"), watch.load_average()), "",
        "Versions: " + "; ".join("%s (%s)" % (peer.name, peer.version()) for peer in peers if peer.version()) + ".", "",
        "Method: %d rounds of %g s in turns, medians; proxy on core 0, generator and servers on core 1, everything on "
        "loopback." % (rounds, seconds)]


def cost_row(workload, costs, names, targets):
    figures = {name: row["cost"] for name, row in costs.items()}
    cells = ["%.2f (%.2f)" % (costs[n]["cost"], costs[n]["user"]) if n in costs else "-" for n in names]
    marks = [targets.mark("%s of the best peer" % workload.name, share(figures, best_rival(figures)), workload.best),
             targets.mark("%s of the relay" % workload.name, share(figures, figures.get("relay")), workload.relay)]
    return ["%s %s" % (workload.name, workload.text)] + cells + marks


def cost_head(names):
    return ["workload"] + list(names) + ["of the best peer", "of the relay"]


def cost_table(results, names, targets):
    return table(cost_head(names), [cost_row(workload, costs, names, targets) for workload, costs in results])


def throughput_table(results, names):
    return table(["workload"] + list(names), [
        [workload.name] + [thousands(costs[n]["per_second"]) if n in costs else "-" for n in names]
        for workload, costs in results])


def beside_section(results, targets):
    """What the binary protocol costs beside the text commands that do the same, measured in turns."""
    results = [(workload, costs) for workload, costs in results if workload.beside and "ringside" in costs]
    if not results:
        return []
    rows = []
    for workload, costs in results:
        ratios = {name: [row["cost"] / row[kind] for kind in workload.beside] for name, row in costs.items()}
        first, *others = ratios["ringside"]
        cells = [targets.mark("%s of get" % workload.name, first, workload.of_beside)] + ["%.2f" % ratio for ratio in others]
        rows.append([workload.name] + cells + [", ".join("%.2f" % ratio for ratio in ratios.get("memcached", [])) or "-"])
    return ["", "Binary gets, as a share of what the text commands cost in the same rounds:", ""] + \
        table(["", "Ringside, of get", "of mg", "memcached itself, of both"], rows)


def latency_section(rate, rows, targets):
    direct = rows.get("memcached")
    keys = ("p50_us", "p99_us", "p999_us")
    lines = ["", "Latency in microseconds at %s requests a second (half of the slowest peer's throughput), open loop, W1; in "
             "brackets what the proxy adds to memcached alone:" % thousands(rate), ""]
    lines += table(["", "p50", "p99", "p99.9"], [
        [name] + ["%d" % row[key] + (" (%+d)" % (row[key] - direct[key]) if direct and row is not direct else "") for key in keys]
        for name, row in rows.items()])
    marks = []
    for key, words, limit in (("p50_us", "p50", LATENCY_TARGET), ("p99_us", "p99", None), ("p999_us", "p99.9", LATENCY_TARGET)):
        figures = {name: row[key] for name, row in rows.items()}
        marks.append("%s %s" % (words, targets.mark("latency %s" % words, share(figures, best_rival(figures)), limit)))
    return lines + ["", "Ringside's as a share of the best peer's: " + ", ".join(marks) + "."]


def calls_section(workload, found):
    lines = ["", "System calls a request, %s (under strace):" % workload.name, ""]
    for name, calls in found.items():
        top = sorted(calls.items(), key=lambda item: -item[1])[:5]
        lines.append("- %s: %.2f (%s)" % (name, sum(calls.values()), ", ".join("%s %.2f" % item for item in top)))
    return lines


def memory_section(rows, targets):
    lines = ["", "Resident memory; a client's is what came on top of that without clients, at most. Busy: each client sends a "
             "request or two every second. (haproxy, two descriptors a client: as many as their limit allows.)", ""]
    lines += table(["", "no client", "a client, of 1 000 idle", "of 10 000 idle", "of 1 000 busy", "of 10 000 busy"], [
        [name, "%.1f MiB" % (row[0] / (1 << 20))] + ["%s B" % thousands(cell) for cell in row[1:]]
        for name, row in rows.items()])
    idle = {name: row[2] for name, row in rows.items()}
    if "ringside" not in idle:
        return lines
    return lines + ["", "An idle client of 10 000, KiB: %s; as a share of the best peer's: %s." % (
        targets.mark("memory of an idle client, KiB", idle["ringside"] / 1024, MEMORY_TARGET_BYTES / 1024),
        targets.mark("memory of an idle client, of the best peer", share(idle, best_rival(idle)), MEMORY_TARGET_SHARE))]


def scale_section(rows):
    lines = ["", "Rings of many servers (one worker, ketama): the ring alone, as `placement-report` measures it; then a Ringside "
             "at 5 000 requests a second, left alone, and with a reload every quarter of a second, on the same core. A reload "
             "counts from the signal to `reload_done`.", ""]
    lines += table(["servers", "points", "ring", "build, ms", "lookup, ns", "resident", "peak", "a reload, ms", "p50, p99, p99.9, µs",
                    "reloading"], [
        [thousands(count), thousands(row["ring"]["points"]), "%.2f MiB" % (row["ring"]["bytes"] / (1 << 20)),
         "%.2f" % row["ring"]["build_ms"], "%.0f" % row["ring"]["lookup_ns"], "%.1f MiB" % (row["resident"] / (1 << 20)),
         "%.1f MiB" % (row["peak"] / (1 << 20)), "%.0f (of %d)" % (row["reload_ms"], row["reloads"]),
         ", ".join(map(thousands, row["still"])), ", ".join(map(thousands, row["moving"]))] for count, row in rows])
    return lines


def workers_section(workload, one, two):
    return ["", "%s, one worker and two, sharing %d cores with generator and server: %s and %s requests a second." %
            (workload.name, os.cpu_count(), thousands(one), thousands(two))]


def tls_section(rows, names):
    """rows: {peer: {workload or "full", "resumed", "memory": figure}}; names: of the workloads."""
    def cell(row, key):
        if row.get(key) is None:
            return "-"
        if key == "memory":
            return "%s B" % thousands(row[key])
        return "%.1f (%s)" % (row[key], thousands(1e6 / row[key])) if key in ("full", "resumed") else "%.2f" % row[key]

    lines = ["", "Microseconds of the proxy's own processor time a request, with TLS and without; for a connection with its "
             "handshake, one get and its end, full and resumed (in brackets: how many a second fill one core); resident memory "
             "that came on top for each of 1 000 idle connections with TLS:", ""]
    head = ["", *names, "full", "resumed", "memory"]
    return lines + table(head, [[name] + [cell(row, key) for key in (*names, "full", "resumed", "memory")]
                                for name, row in rows.items()])


def tls_ratios(rows, names):
    """Ringside's TLS from clients beside each peer's."""
    own, parts = rows.get("ringside-tls", {}), []
    for name, row in rows.items():
        if name in ("haproxy-tls", "stunnel", "memcached-tls"):
            shares = ["%s %.2f" % (key, own[key] / row[key]) for key in (*names, "full", "resumed", "memory")
                      if own.get(key) and row.get(key) and row[key] > 0]
            parts += ["%s: %s" % (name, ", ".join(shares))] if shares else []
    return ["", "ringside-tls as a share of " + "; of ".join(parts) + "."] if parts else []


def write_document(part, sections, plot=None):
    """Replaces what stands between a part's markers in docs/BENCHMARKS.md, and the plot, if there is a new one."""
    begin, end = ("<!-- %s: %s -->\n" % (part, edge) for edge in ("begin", "end"))
    path = DOCS / "BENCHMARKS.md"
    text = path.read_text()
    before, rest = text.split(begin)
    path.write_text(before + begin + "\n".join(sections) + "\n" + end + rest.split(end)[1])
    if plot is not None:
        (DOCS / "latency.svg").write_text(plot)
