"""The processes that a test starts: memcached and Ringside. Each is ended by its own pid, whatever happens."""

import atexit
import contextlib
import functools
import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import yaml

from basis import ALL_TLS, DEADLINE_S, HarnessError, free_port, plain_address, split_address, wait_until
from certificates import certificates, client_side
from rawwire import Wire

ROOT = Path(__file__).resolve().parents[2]

# What the sanitizers exit with, to be told apart from Ringside's own exit statuses.
SANITIZER_EXIT = 99

SANITIZER_MARKS = (
    "AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "MemorySanitizer", "UndefinedBehaviorSanitizer",
    "runtime error:",
)

ADDRESS_IN_LOG = re.compile(r"unix:[^\s,;'\"]+|\[[0-9a-fA-F:.]+\]:\d+|\d+\.\d+\.\d+\.\d+:\d+")


def ringside_path():
    """The binary under test: $RINGSIDE, else the one in the tree's root or in build/. HarnessError if there is none."""
    given = os.environ.get("RINGSIDE")
    candidates = [Path(given)] if given else [ROOT / "ringside", ROOT / "build" / "ringside"]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise HarnessError("no ringside binary: build it, or set RINGSIDE to its path (looked at %s)" %
                       ", ".join(str(c) for c in candidates))


@functools.lru_cache(maxsize=None)
def is_sanitized():
    """Whether the binary has an allocator of a sanitizer in it: its memory then tells nothing about Ringside's."""
    libraries = subprocess.run(["ldd", str(ringside_path())], stdout=subprocess.PIPE).stdout
    symbols = subprocess.run(["nm", "-D", str(ringside_path())], stdout=subprocess.PIPE).stdout
    return any(mark in libraries + symbols for mark in (b"asan", b"tsan", b"msan"))


def expect_growth_below(ringside, before_bytes, limit_mib):
    """Resident memory must not have grown by more, since before_bytes were measured."""
    grown = ringside.rss() - before_bytes
    if grown >= limit_mib << 20 and not is_sanitized():
        raise HarnessError("memory has grown by %.1f MiB; %d were allowed" % (grown / (1 << 20), limit_mib))


_running = {}


def _end_all():
    for process in list(_running.values()):
        end_process(process)


atexit.register(_end_all)


def spawn(argv, **kwargs):
    process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, **kwargs)
    _running[process.pid] = process
    return process


def end_process(process):
    """SIGKILL, by pid, and reap. Also a stopped process dies of it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    process.wait()
    _running.pop(process.pid, None)


def _proc_status(pid, field):
    for line in Path("/proc/%d/status" % pid).read_text().splitlines():
        if line.startswith(field + ":"):
            return line.split()[1]
    raise HarnessError("no %s in /proc/%d/status" % (field, pid))


def process_rss_bytes(pid):
    """Resident memory of a process."""
    return int(_proc_status(pid, "VmRSS")) * 1024


def process_fds(pid):
    """The descriptors of a process: {number: what it links to}."""
    fds = {}
    for entry in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):
            fds[int(entry)] = os.readlink("/proc/%d/fd/%s" % (pid, entry))
    return fds


class Process:
    """What all servers that a test starts have in common. `process` is the Popen, or None before the first start."""

    process = None

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def freeze(self):
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: _proc_status(self.pid, "State") in ("T", "t"), "a stopped process")

    def thaw(self):
        """SIGCONT after freeze()."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self):
        """SIGKILL, and gone when this returns. Nothing happens if it is dead already."""
        if self.process is not None:
            end_process(self.process)

    def rss(self):
        """Resident memory in bytes."""
        return process_rss_bytes(self.pid)

    def fd_count(self):
        """Number of open descriptors."""
        return len(process_fds(self.pid))


class Memcached(Process):
    """
    A real memcached. host: where it listens; unix=PATH: a Unix socket instead. args: further options of memcached.
    `address` is what stands in Ringside's configuration. tls: the Identity (certificates.py) that it has; False: plain;
    None: as RINGSIDE_TLS says. client_ca: its clients must have a certificate of that authority.
    """

    def __init__(self, directory, host="127.0.0.1", port=None, unix=None, args=(), memory_mib=64, threads=1, tls=None,
                 client_ca=None):
        self.directory = Path(directory)
        self.host = host
        self.port = port
        self.unix = str(unix) if unix else None
        self.args = list(args)
        self.memory_mib = memory_mib
        self.threads = threads
        self.tls = certificates().server if tls is None and ALL_TLS and not unix else tls or None
        self.client_ca = client_ca
        self.binary = os.environ.get("MEMCACHED", "/usr/bin/memcached")
        self._control = None
        self._base_connections = 0

    @property
    def address(self):
        if self.unix:
            return "unix:" + self.unix
        return ("[%s]:%d" if ":" in self.host else "%s:%d") % (self.host, self.port)

    def _argv(self):
        argv = [self.binary, "-m", self.memory_mib, "-t", self.threads, "-c", 8192]
        if os.geteuid() == 0:
            argv += ["-u", "root"]
        if self.unix:
            argv += ["-s", self.unix, "-a", "0777"]
        else:
            argv += ["-l", self.host, "-p", self.port, "-U", 0]
        if self.tls:
            options = "ssl_chain_cert=%s,ssl_key=%s" % (self.tls.certificate, self.tls.key)
            if self.client_ca:
                options += ",ssl_verify_mode=2,ssl_ca_cert=%s" % self.client_ca
            argv += ["-Z", "-o", options]
        return argv + self.args

    def start(self):
        """Starts it and waits until it answers. Without a port given it takes a free one. Returns self."""
        chosen = self.port is not None or self.unix is not None
        for _ in range(200):
            if not chosen:
                self.port = free_port(self.host)
            plain_address(self.address, not self.tls)
            self.process = spawn(self._argv(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if self._wait_ready():
                return self
            if chosen:
                time.sleep(0.05)
        raise HarnessError("memcached does not start: " + shlex.join(str(a) for a in self._argv()))

    def _wait_ready(self):
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                end_process(self.process)
                return False
            with contextlib.suppress(OSError, HarnessError):
                if int(self.stats()["pid"]) == self.process.pid:
                    self._base_connections = int(self.stats()["total_connections"])
                    return True
            time.sleep(0.005)
        raise HarnessError("memcached does not answer on " + self.address)

    def kill(self):
        """SIGKILL; its port is refused from now on."""
        self._drop_control()
        super().kill()

    def restart(self):
        """Kills it if it runs, and starts it again, empty, on the same address."""
        self.kill()
        if self.unix:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.unix)
        return self.start()

    def _drop_control(self):
        if self._control is not None:
            self._control.close()
            self._control = None

    def stats(self, argument=""):
        """The server's own `stats [argument]`, as a dict of text."""
        try:
            if self._control is None:
                self._control = self.wire()
            self._control.send(("stats " + argument).strip().encode() + b"\r\n")
            lines = self._control.read_until(b"END\r\n").decode().splitlines()
        except (OSError, HarnessError):
            self._drop_control()
            raise
        return {name: value for _, name, value in (line.split(" ", 2) for line in lines[:-1])}

    def stat(self, name):
        """One counter of `stats`, as a number."""
        return int(self.stats()[name])

    def connections_open(self):
        """Connections open now, the harness's own not counted."""
        return self.stat("curr_connections") - 1

    def connections_total(self):
        """Connections accepted since the start, the harness's own not counted."""
        return self.stat("total_connections") - self._base_connections

    def value(self, key):
        """What stands under the key in this server, or None."""
        with self.wire() as wire:
            return wire.get(key)

    def wire(self):
        """A raw connection to it, for the caller to close. Lab.wire() closes by itself."""
        return Wire(self.address, tls=bool(self.tls) and client_side(certificates().client))


class LogLine:
    """One line of Ringside's log: time, level, event, message; raw is the whole line."""

    PATTERN = re.compile(r"^(\d{4}-\d\d-\d\dT\S+) (error|warning|info|debug) (\S+) ?(.*)$")

    def __init__(self, raw):
        self.raw = raw
        self.time = self.level = self.event = None
        self.message = raw
        match = self.PATTERN.match(raw)
        if match:
            self.time, self.level, self.event, self.message = match.groups()
        elif raw.startswith("{"):
            with contextlib.suppress(ValueError):
                fields = json.loads(raw)
                self.time, self.level = fields.get("time"), fields.get("level")
                self.event, self.message = fields.get("event"), fields.get("message", "")

    def __repr__(self):
        return self.raw


def sanitizer_environment(environment=None):
    """The environment with the sanitizers' options set so that a report is seen in the exit status."""
    environment = dict(os.environ if environment is None else environment)
    wanted = {
        "ASAN_OPTIONS": "exitcode=%d:detect_leaks=1:detect_stack_use_after_return=1" % SANITIZER_EXIT,
        "UBSAN_OPTIONS": "exitcode=%d:print_stacktrace=1:halt_on_error=1" % SANITIZER_EXIT,
        "TSAN_OPTIONS": "exitcode=%d:halt_on_error=0:second_deadlock_stack=1" % SANITIZER_EXIT,
        "LSAN_OPTIONS": "exitcode=%d" % SANITIZER_EXIT,
    }
    for name, value in wanted.items():
        environment[name] = value + (":" + environment[name] if environment.get(name) else "")
    return environment


def run_ringside(*args, input=None, cwd=None):
    """Runs a sub-command to its end. Gives the CompletedProcess, output as bytes. A sanitizer's report is an error."""
    done = subprocess.run([str(ringside_path())] + [str(a) for a in args], input=input if input is not None else b"",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE_S, cwd=cwd,
                          env=sanitizer_environment())
    text = done.stderr.decode("utf-8", "replace")
    if done.returncode == SANITIZER_EXIT or done.returncode < 0 or any(mark in text for mark in SANITIZER_MARKS):
        raise HarnessError("ringside %s ended with %d:\n%s" % (" ".join(map(str, args)), done.returncode, text))
    return done


_doors = {}


def door_of(address):
    """A plain listener of the Ringside that listens there with TLS because of RINGSIDE_TLS; else that address itself."""
    return _doors.get(address, address)


def over_tls(config, door):
    """The configuration with TLS at every listener and pool that do not speak of it, and a plain listener at `door`."""
    made = certificates()
    tls = {"certificate": str(made.server.certificate), "key": str(made.server.key)}
    listen = [item if isinstance(item, dict) else {"address": item} for item in config.get("listen", ["127.0.0.1:0"])]
    pools = {name: {"tls": {"ca": str(made.ca)}, **pool} for name, pool in config["pools"].items()}
    return {**config, "pools": pools, "listen": [{"tls": tls, **item} for item in listen] + [door]}


class Ringside(Process):
    """
    A Ringside serving in the foreground. `config` is a dict or the text of the file; with args instead, it is started
    with these command-line arguments. A dict without `listen` listens on 127.0.0.1 at a port of the kernel's choice.

    addresses: where it listens, in the order of the log's lines; address: the first of them.
    wrapper: arguments to stand before the binary (prlimit, strace); env: further environment.

    With RINGSIDE_TLS, what its configuration's file says is over_tls() of `config`; `door` is then the plain listener that
    it has besides, which is not among the addresses. Started by args it is plain.
    """

    _count = 0

    def __init__(self, directory, config=None, args=None, wrapper=(), env=None):
        Ringside._count += 1
        self.directory = Path(directory)
        self.config_path = self.directory / ("ringside-%d.yaml" % Ringside._count)
        self.log_path = self.directory / ("ringside-%d.log" % Ringside._count)
        self.door = "127.0.0.1:%d" % free_port() if ALL_TLS else None
        self.has_door = False
        self.args = args
        self.wrapper = list(wrapper)
        self.env = dict(env or {})
        self.config = config
        self.exit_expected = None
        self.killed = False
        self.fds_at_start = 0
        self._log_bytes_at_start = 0

    def write_config(self, config):
        """Puts a configuration (dict or text) into its file, at once as a whole. Takes effect with reload()."""
        if isinstance(config, dict):
            config = dict(config)
            config.setdefault("listen", ["127.0.0.1:0"])
            config = json.dumps(config, indent=2) + "\n"
        self.config = config
        new = self.config_path.with_suffix(".new")
        new.write_bytes(config if isinstance(config, bytes) else self._text_to_write(config).encode())
        os.replace(new, self.config_path)

    def _text_to_write(self, text):
        if not ALL_TLS:
            return text
        plain_address(self.door)
        try:
            text = json.dumps(over_tls(yaml.safe_load(text), self.door), indent=2) + "\n"
            self.has_door = True
            return text
        except (yaml.YAMLError, AttributeError, KeyError, TypeError):
            return text  # one that is wrong anyway

    def launch(self):
        """Starts the process and does not wait. For starts that are meant to fail."""
        if self.args is None:
            self.write_config(self.config)
            arguments = ["-c", self.config_path]
        else:
            arguments = self.args
        env = sanitizer_environment()
        env.update(self.env)
        self.killed = False
        self.exit_expected = None
        self._log_bytes_at_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = spawn(self.wrapper + [ringside_path()] + arguments, stdout=log, stderr=log, env=env)
        return self

    def start(self, listeners=None):
        """Starts it and waits until `listeners` addresses are being listened on (default: as many as configured)."""
        self.launch()
        if listeners is None:
            listeners = self._configured_listeners()
        wait_until(lambda: not self.alive or (len(self.addresses) >= listeners and self._is_door_open()),
                   lambda: "%d listeners of ringside; its log:\n%s" % (listeners, self.log_text()))
        if not self.alive:
            raise HarnessError("ringside ended with %s at start:\n%s" % (self.process.returncode, self.log_text()))
        self.fds_at_start = self.fd_count()
        return self

    def _is_door_open(self):
        return not self.has_door or self.door in self._all_addresses()

    def _configured_listeners(self):
        if self.args is not None:
            return max(1, sum(1 for a in self.args if str(a) == "--listen" or str(a).startswith("--listen=")))
        try:
            return len(json.loads(self.config)["listen"])
        except (ValueError, KeyError, TypeError):
            return 1

    # The log

    def log_mark(self):
        """A position in the log, for the `after` of the functions below."""
        return self.log_path.stat().st_size

    def log_text(self, after=None):
        """The log since this start, or since a mark, as text."""
        with open(self.log_path, "rb") as log:
            log.seek(self._log_bytes_at_start if after is None else after)
            return log.read().decode("utf-8", "replace")

    def log(self, event=None, after=None):
        """Whole lines of the log as LogLine, all or those of one event."""
        text = self.log_text(after)
        lines = [LogLine(raw) for raw in text[:text.rfind("\n") + 1].splitlines()]
        return [line for line in lines if event is None or line.event == event]

    def wait_for_log(self, event, after=None, count=1, containing=""):
        """Waits for the count-th line of an event whose text has `containing` in it. Returns that LogLine."""
        def found():
            lines = [line for line in self.log(event, after) if containing in line.raw]
            if len(lines) >= count:
                return lines[count - 1]
            if not self.alive:
                raise HarnessError("ringside ended with %s while waiting for the event %s:\n%s" %
                                   (self.process.returncode, event, self.log_text()))
            return None
        return wait_until(found, lambda: "event %s in the log:\n%s" % (event, self.log_text(after)))

    def _all_addresses(self):
        found = []
        for line in self.log("listening"):
            for address in ADDRESS_IN_LOG.findall(line.message)[:1]:
                if address not in found:
                    found.append(address)
        return found

    @property
    def addresses(self):
        found = [address for address in self._all_addresses() if address != self.door]
        for address in found:
            plain_address(address, self.args is not None)
            if ALL_TLS and self.args is None:
                _doors[address] = self.door
        return found

    @property
    def address(self):
        addresses = self.addresses
        if not addresses:
            raise HarnessError("ringside does not listen:\n" + self.log_text())
        return addresses[0]

    @property
    def host(self):
        return split_address(self.address)[1][0]

    @property
    def port(self):
        return split_address(self.address)[1][1]

    # Signals

    def signal(self, number):
        os.kill(self.pid, number)

    def reload(self, config=None, expect="reload_done"):
        """
        Writes the configuration if one is given, sends SIGHUP, waits for the event that is expected (reload_done or
        reload_failed) and returns its LogLine. The other one of the two is a failure.
        """
        if config is not None:
            self.write_config(config)
        mark = self.log_mark()
        self.signal(signal.SIGHUP)

        def ended():
            lines = [line for line in self.log(after=mark) if line.event in ("reload_done", "reload_failed")]
            if lines:
                return lines[0]
            if not self.alive:
                raise HarnessError("ringside ended with %s on SIGHUP:\n%s" %
                                   (self.process.returncode, self.log_text(mark)))
            return None
        line = wait_until(ended, lambda: "the reload's end in the log:\n" + self.log_text(mark))
        if line.event != expect:
            raise HarnessError("%s instead of %s:\n%s" % (line.event, expect, self.log_text(mark)))
        return line

    def wait_exit(self):
        """Waits until the process has ended by itself, and returns its exit status."""
        try:
            status = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise HarnessError("ringside does not end:\n" + self.log_text()) from None
        _running.pop(self.process.pid, None)
        return status

    def terminate(self, expect=0):
        """SIGTERM, wait for the end. HarnessError unless the exit status is the one expected. Returns it."""
        self.exit_expected = expect
        if self.alive:
            self.signal(signal.SIGTERM)
        status = self.wait_exit()
        if status != expect:
            raise HarnessError("exit status %s instead of %s:\n%s" % (status, expect, self.log_text()))
        return status

    def kill(self):
        """SIGKILL. Not counted as a death of its own."""
        self.killed = True
        super().kill()

    # Descriptors

    def sockets(self):
        """Its TCP and Unix stream sockets by what they are: {'listen': n, 'client': n, 'upstream': n, 'other': n}."""
        inodes = {link[len("socket:["):-1] for link in process_fds(self.pid).values() if link.startswith("socket:[")}
        ports = {split_address(a)[1][1] for a in self._all_addresses() if not a.startswith("unix:")}
        paths = {split_address(a)[1] for a in self._all_addresses() if a.startswith("unix:")}
        kinds = {"listen": 0, "client": 0, "upstream": 0, "other": 0}
        for table in ("tcp", "tcp6"):
            for fields in _proc_net(self.pid, table):
                if fields[9] in inodes:
                    inodes.discard(fields[9])
                    local_port = int(fields[1].rpartition(":")[2], 16)
                    listening = fields[3] == "0A"
                    kinds["listen" if listening else "client" if local_port in ports else "upstream"] += 1
        for fields in _proc_net(self.pid, "unix"):
            if fields[6] in inodes:
                inodes.discard(fields[6])
                listening = int(fields[3], 16) & 0x10000
                path = fields[7] if len(fields) > 7 else ""
                kinds["listen" if listening else "client" if path in paths else "upstream"] += 1
        kinds["other"] = len(inodes)
        return kinds

    def wait_read(self):
        """Waits until it has read all bytes that have arrived on its client connections (TCP)."""
        ports = {split_address(a)[1][1] for a in self.addresses if not a.startswith("unix:")}

        def none_waits():
            rows = [row for table in ("tcp", "tcp6") for row in _proc_net(self.pid, table) if row[3] != "0A"]
            own = [row for row in rows if int(row[1].rpartition(":")[2], 16) in ports]
            return not any(int(row[4].split(":")[1], 16) for row in own)
        wait_until(none_waits, "ringside to read what its clients sent")

    def client_count(self):
        """Client connections that it holds open."""
        return self.sockets()["client"]

    def wait_clients(self, count):
        """Waits until it holds exactly that many client connections."""
        wait_until(lambda: self.client_count() == count,
                   lambda: "%d client connections; there are %s" % (count, self.sockets()))

    def problem(self):
        """What is wrong with the process, as text, or None: died, or a sanitizer's report in its log."""
        text = self.log_path.read_bytes().decode("utf-8", "replace") if self.log_path.exists() else ""
        for mark in SANITIZER_MARKS:
            if mark in text:
                return "%s in ringside's log:\n%s" % (mark, text[max(0, text.find(mark) - 500):][:20000])
        if self.process is None or self.killed:
            return None
        status = self.process.poll()
        if status is not None and self.exit_expected is None:
            return "ringside ended by itself with %s:\n%s" % (status, text[-20000:])
        if status is not None and status != self.exit_expected:
            return "ringside ended with %s instead of %s:\n%s" % (status, self.exit_expected, text[-20000:])
        return None


def _proc_net(pid, table):
    try:
        lines = Path("/proc/%d/net/%s" % (pid, table)).read_text().splitlines()[1:]
    except FileNotFoundError:
        return []
    return [line.split() for line in lines]
