"""
Load that checks itself: the C program pump (see pump/pump.h) as an object, and small programs and preloads built on
the way.

    with Load(ringside.address, connections=20, errors=True, loose=True) as load:
        load.wait_requests(5000)        # the load is on
        server.kill()
        load.wait_requests(5000)        # and goes on
        totals = load.finish()          # ends in order; a wrong, missing or broken answer fails here
"""

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from basis import DEADLINE_S, HarnessError, wait_until
from servers import door_of

SUPPORT = Path(__file__).resolve().parent
WARNINGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror"]

_built = {}
_directory = None


def build(name, sources, flags=()):
    """Compiles sources (paths below tests/support) into a program or shared object, once. Returns its path."""
    global _directory
    if name not in _built:
        if _directory is None:
            _directory = tempfile.mkdtemp(prefix="ringside-tests-")
            atexit.register(shutil.rmtree, _directory, ignore_errors=True)
        target = Path(_directory) / name
        sources = [str(SUPPORT / source) for source in sources]
        command = [os.environ.get("CC", "cc"), *WARNINGS, *flags, *sources, "-o", str(target)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise HarnessError("%s does not compile:\n%s" % (name, done.stdout.decode("utf-8", "replace")))
        _built[name] = target
    return _built[name]


def pump_path():
    """The load client."""
    return build("pump", sorted(str(p.relative_to(SUPPORT)) for p in (SUPPORT / "pump").glob("*.c")))


class Load:
    """
    A running pump against an address. Keywords are its options (see `pump` without arguments): connections=20, depth=8,
    value="64:4000", mix="get=90,set=10", loose=True, errors=True ... Each has keys of its own, by prefix.
    It speaks no TLS: with RINGSIDE_TLS it goes to the plain listener of the same Ringside.
    """

    _count = 0

    def __init__(self, address, **options):
        Load._count += 1
        options.setdefault("report", 20)
        options.setdefault("prefix", "p%x-%d" % (os.getpid(), Load._count))
        options.setdefault("stall", int(DEADLINE_S))
        self.totals = {"requests": 0, "replies": 0, "errors": 0, "connects": 0, "final": False, "error_kinds": {}}
        argv = [str(pump_path())]
        for name, value in options.items():
            if value is True:
                argv.append("--" + name)
            elif value is not False and value is not None:
                argv += ["--" + name, str(value)]
        self.argv = argv + [door_of(address)]
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self._said = []
        self._readers = [threading.Thread(target=self._read_totals, daemon=True),
                         threading.Thread(target=self._read_said, daemon=True)]
        for reader in self._readers:
            reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read_totals(self):
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                self.totals = json.loads(line)

    def _read_said(self):
        for line in self.process.stderr:
            if len(self._said) < 200:
                self._said.append(line.decode("utf-8", "replace"))

    @property
    def said(self):
        """What it complained of, as text."""
        return "".join(self._said)

    def wait_for(self, condition, what):
        """Waits until condition(totals) is true."""
        def done():
            if self.process.poll() is not None and not condition(self.totals):
                self._join()
                if not condition(self.totals):
                    raise HarnessError("the load ended with %s while waiting for %s: %s\n%s" %
                                       (self.process.returncode, what, self.totals, self.said))
            return condition(self.totals)
        wait_until(done, lambda: "%s: %s\n%s" % (what, self.totals, self.said))

    def wait_requests(self, more):
        """Waits until so many more requests have been answered."""
        goal = self.totals["replies"] + more
        self.wait_for(lambda t: t["replies"] >= goal, "%d replies" % goal)

    def wait_errors(self, more=1):
        """Waits until so many more SERVER_ERROR answers have come."""
        goal = self.totals["errors"] + more
        self.wait_for(lambda t: t["errors"] >= goal, "%d errors" % goal)

    def _join(self):
        self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)

    def finish(self, deadline_s=None):
        """
        Ends the load in order (no new requests; every reply due is waited for; each connection proves with a token
        that it is in step) and returns the totals. HarnessError when anything was wrong.
        """
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait(deadline_s)

    def wait(self, deadline_s=None):
        """The same for a load with an end of its own (requests=, seconds=)."""
        try:
            self.process.wait((deadline_s or 2 * DEADLINE_S) + 10)
        except subprocess.TimeoutExpired:
            raise HarnessError("the load does not end: %s\n%s" % (self.totals, self.said)) from None
        self._join()
        if self.process.returncode or not self.totals["final"]:
            raise HarnessError("the load found faults (status %s): %s\n%s" %
                               (self.process.returncode, self.totals, self.said))
        return self.totals

    def close(self):
        """Ends it at once, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self._join()
        self.process.stdout.close()
        self.process.stderr.close()
