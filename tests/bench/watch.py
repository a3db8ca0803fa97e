"""The machine: its shape, and how much of it others used while we measured."""

import contextlib
import os
import re
import resource
import time
from pathlib import Path

# Others may have this share of the processors' time before a warning is due: what a quiet system and the kernel's coarse
# accounting come to.
OTHERS_MAX = 0.05
STOLEN_MAX = 0.02
# In so short a section the ticks of /proc/stat say little.
SHORT_S = 2
CLOCK_TICK = os.sysconf("SC_CLK_TCK")


def shape():
    text = Path("/proc/cpuinfo").read_text()
    cpu = re.search(r"model name\s*:\s*(.*)", text)
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return "%s, %d cores%s, %.0f GiB, Linux %s" % (
        cpu.group(1) if cpu else os.uname().machine, os.cpu_count(), ", virtual" if "hypervisor" in text else "",
        int(memory.group(1)) / (1 << 20), os.uname().release)


def load_average():
    return Path("/proc/loadavg").read_text().split()[0]


class _Sample:
    """Seconds so far: of the clock, of all processors busy, stolen by the host, and of our own (children that were waited for)."""

    def __init__(self):
        fields = [int(field) / CLOCK_TICK for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        user, nice, system, _idle, _iowait, irq, softirq, self.stolen = fields
        self.busy = user + nice + system + irq + softirq
        self.clock = time.monotonic()
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        self.own = sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Watch:
    """
    Who used the processors, section by section. All that a section starts must have ended with it, since a child's time is
    told when it has been waited for.
    """

    def __init__(self):
        self.begin, self.begin_load = _Sample(), load_average()
        self.disturbed = []  # (section, share of others, share stolen)

    @staticmethod
    def _shares(before, after):
        whole = max((after.clock - before.clock) * os.cpu_count(), 1e-9)
        others = (after.busy - before.busy) - (after.own - before.own)
        return max(0.0, others / whole), (after.stolen - before.stolen) / whole

    @contextlib.contextmanager
    def section(self, name):
        before = _Sample()
        yield
        after = _Sample()
        others, stolen = self._shares(before, after)
        slack = 3 if after.clock - before.clock < SHORT_S else 1
        if others > slack * OTHERS_MAX or stolen > slack * STOLEN_MAX:
            self.disturbed.append((name, others, stolen))

    def summary(self):
        """Lines for the end: what the machine did beside us, and a warning if it was too much."""
        now = _Sample()
        others, stolen = self._shares(self.begin, now)
        lines = ["", "Load average %s before and %s after; during the run others took %.1f %% of the processors' time, and the "
                 "host stole %.1f %%. The run took %.0f minutes." % (self.begin_load, load_average(), others * 100, stolen * 100,
                                                                     (now.clock - self.begin.clock) / 60)]
        if self.disturbed:
            lines += ["", "**Warning: the machine was busy with other things.** Measure again what was disturbed: " + "; ".join(
                "%s (others %.0f %%, stolen %.0f %%)" % (name, a * 100, b * 100) for name, a, b in self.disturbed) + "."]
        return lines
