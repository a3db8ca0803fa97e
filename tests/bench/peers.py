"""The proxies that are measured, and the servers behind them: started, pinned to a core, ended by pid."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

from basis import HarnessError, connect, free_port, wait_until
from rivals import Nutcracker
from servers import end_process, ringside_path, spawn

SERVER_CORE = 1
PROXY_CORE = 0
CLIENTS = 20000  # that every proxy is told to take
# memcached refuses to run as root unless it is told to.
AS_USER = ["-u", "root"] if os.geteuid() == 0 else []
CLOCK_TICK = os.sysconf("SC_CLK_TCK")


def pinned(core, argv):
    """argv, to run on that core alone."""
    return ["taskset", "-c", str(core)] + [str(a) for a in argv]


def answers(port):
    """Whether somebody answers `version` on the port."""
    try:
        with connect("127.0.0.1:%d" % port, deadline_s=2) as sock:
            sock.sendall(b"version\r\n")
            return sock.recv(64).startswith(b"VERSION")
    except OSError:
        return False


def accepts(port, host="127.0.0.1"):
    """Whether somebody accepts connections on the port."""
    try:
        connect("%s:%d" % (host, port), deadline_s=2).close()
        return True
    except OSError:
        return False


def start(argv, port, ready=answers, log=None, core=PROXY_CORE, env=None):
    """Starts a process that is to listen on the port, and waits until it does."""
    output = open(log, "wb") if log else subprocess.DEVNULL
    process = spawn(pinned(core, argv), stdout=output, stderr=subprocess.STDOUT if log else subprocess.DEVNULL, env=env)
    if log:
        output.close()
    try:
        wait_until(lambda: process.poll() is not None or ready(port), "%s to answer" % argv[0], 20)
        if process.poll() is not None:
            raise HarnessError("%s ended at once%s" % (argv[0], ": " + Path(log).read_text() if log else ""))
    except BaseException:
        end_process(process)
        raise
    return process


def files_max():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def end_children():
    """Ends every child that this process still has, by its pid: one that a signal kept from being noted, too."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                pid = int(stat.parent.name)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


class Usage:
    """A process's own processor time, in seconds, of all threads that it has and had."""

    def __init__(self, pid):
        fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
        self.user, self.system = int(fields[11]) / CLOCK_TICK, int(fields[12]) / CLOCK_TICK
        # Exact, where the tick is coarse: the process's clock, as clock_getcpuclockid(3) names it.
        self.total = time.clock_gettime_ns(~pid << 3 | 2) / 1e9

    def since(self, before):
        """(all, user) seconds since then. The user part has the share that the ticks say."""
        total = self.total - before.total
        ticks = (self.user - before.user) + (self.system - before.system)
        return total, total * (self.user - before.user) / ticks if ticks > 0 else 0.0


class Backends:
    """Real memcached servers, one thread each. certificate, key: they speak TLS as well, on tls_ports."""

    def __init__(self, count, certificate=None, key=None):
        self.ports, self.tls_ports = [], []
        self.certificate, self.key = certificate, key
        self.processes = []
        try:
            for _ in range(count):
                self._start_one()
        except BaseException:
            self.end()
            raise

    def _start_one(self):
        port, listen = free_port(), ["-l", "127.0.0.1"]
        if self.certificate is not None:
            tls_port = free_port()
            listen = ["-l", "notls:127.0.0.1:%d,127.0.0.1:%d" % (port, tls_port), "-Z", "-o",
                      "ssl_chain_cert=%s,ssl_key=%s,ssl_session_cache" % (self.certificate, self.key)]
            self.tls_ports.append(tls_port)
        self.processes.append(start(
            ["memcached", *AS_USER, *listen, "-p", port, "-U", "0", "-t", "1", "-m", "512", "-I", "8m",
             "-c", "20000", "-R", "100"], port, core=SERVER_CORE))
        self.ports.append(port)

    def end(self):
        for process in self.processes:
            end_process(process)


class Peer:
    """One proxy in front of the backends. Subclasses start it: self.process, self.port."""

    name = ""
    parses = True        # it does our work
    meta = True          # it passes the meta commands on
    binary_protocol = False  # it speaks it, with its clients
    all_keys_everywhere = False  # it does not route: every server must hold every key
    load_options = []    # the generator's, to speak with it

    def __init__(self, directory, backends, workload):
        self.directory, self.backends, self.workload = Path(directory), backends, workload
        self.port = free_port()
        self.process = None

    @classmethod
    def make_backends(cls, count):
        """Its servers."""
        return Backends(count)

    @property
    def preload_ports(self):
        """Where all keys are stored before a run; without TLS."""
        return self.backends.ports if self.all_keys_everywhere else [self.port]

    def end(self):
        if self.process is not None:
            end_process(self.process)

    @property
    def pid(self):
        return self.process.pid

    def answers(self, _=None):
        """Whether it serves yet."""
        return answers(self.port)

    @staticmethod
    def clients_max():
        """How many clients it can hold here."""
        return CLIENTS

    @classmethod
    def version(cls):
        return ""

    @classmethod
    def missing(cls):
        """Why it cannot be had here; None: it can."""
        return None


def first_line(argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""


class Ringside(Peer):
    name = "ringside"
    binary_protocol = True
    workers = 1
    binary = None
    route = None
    more = ""  # lines of the configuration

    def listeners(self):
        return "127.0.0.1:%d" % self.port

    def pool(self):
        """Its servers, and what else its pool has."""
        return "servers: [%s]" % ", ".join("127.0.0.1:%d" % port for port in self.backends.ports)

    def start(self):
        config = self.directory / "ringside.yaml"
        route = "route: %s\n" % self.route if self.route else ""
        config.write_text("workers: %d\nlisten: [%s]\nlimits: {clients: %d, item_size: 8MiB}\n"
                          "pools: {main: {%s, timeout: 5s}}\n%s%s" %
                          (self.workers, self.listeners(), CLIENTS, self.pool(), route, self.more))
        core = PROXY_CORE if self.workers == 1 else "%d,%d" % (PROXY_CORE, SERVER_CORE)
        self.process = start([self.binary or ringside_path(), "-c", config], self.port, core=core,
                             log=self.directory / "ringside.log", ready=self.answers)
        return self

    @classmethod
    def version(cls):
        return first_line([str(cls.binary or ringside_path()), "--version"])


class RingsideTree(Ringside):
    """Ringside again, with a route of three nodes above the same pool: what they cost."""

    name = "ringside-tree"
    parses = False
    route = "{prefix: {'key:': {failover: {to: [{command: {read: main, '*': main}}, main]}}, '*': main}}"


class RingsidePolling(Ringside):
    """Ringside again, looking for events before it waits: what that takes from the latency, and what it costs."""

    name = "ringside-polling"
    parses = False
    more = "busy_poll: 50\n"


class Twemproxy(Peer):
    name = "twemproxy"
    meta = False
    proxy = None

    def end(self):
        if self.proxy is not None:
            self.proxy.kill()

    def start(self):
        self.proxy = Nutcracker(self.directory, ["127.0.0.1:%d:1 s%d" % (port, i)
                                                 for i, port in enumerate(self.backends.ports)], mbuf=None)
        self.proxy.options.pop("mbuf", None)
        self.proxy.start()
        self.process, self.port = self.proxy.process, self.proxy.port
        subprocess.run(["taskset", "-a", "-cp", str(PROXY_CORE), str(self.process.pid)], check=True,
                       stdout=subprocess.DEVNULL)
        return self

    @classmethod
    def version(cls):
        return first_line(["/usr/sbin/nutcracker", "--version"])

    @classmethod
    def missing(cls):
        return None if os.path.exists("/usr/sbin/nutcracker") else "nutcracker is not installed"


class HAProxy(Peer):
    name = "haproxy"
    parses = False
    all_keys_everywhere = True

    def bind(self):
        return "127.0.0.1:%d" % self.port

    def start(self):
        config = self.directory / "haproxy.cfg"
        servers = "\n".join("  server s%d 127.0.0.1:%d" % (i, port) for i, port in enumerate(self.backends.ports))
        config.write_text("global\n  nbthread 1\n  maxconn %d\ndefaults\n  mode tcp\n  timeout connect 5s\n"
                          "  timeout client 1h\n  timeout server 1h\nlisten l\n  bind %s\n"
                          "  balance roundrobin\n%s\n" % (self.clients_max(), self.bind(), servers))
        self.process = start(["haproxy", "-db", "-f", config], self.port, log=self.directory / "haproxy.log",
                             ready=self.answers)
        return self

    @staticmethod
    def clients_max():
        """It has a connection to a server for each client."""
        return min(CLIENTS, files_max() // 2 - 200)

    @classmethod
    def version(cls):
        return first_line(["haproxy", "-v"])

    @classmethod
    def missing(cls):
        return None if shutil.which("haproxy") else "haproxy is not installed"


class MemcachedProxy(Peer):
    """memcached's built-in proxy; its binary is $PEER_MEMCACHED_PROXY."""

    name = "memcached-proxy"

    def start(self):
        config = self.directory / "proxy.lua"
        backends = ", ".join("mcp.backend('b%d', '127.0.0.1', %d)" % (i, port)
                             for i, port in enumerate(self.backends.ports))
        config.write_text(
            "function mcp_config_pools()\n  mcp.backend_read_timeout(5)\n  return mcp.pool({ %s })\nend\n"
            "function mcp_config_routes(pool)\n  local fg = mcp.funcgen_new()\n  local h = fg:new_handle(pool)\n"
            "  fg:ready({ f = function(rctx) return function(r) return rctx:enqueue_and_wait(r, h) end end })\n"
            "  mcp.attach(mcp.CMD_ANY_STORAGE, fg)\nend\n" % backends)
        self.process = start([os.environ["PEER_MEMCACHED_PROXY"], *AS_USER, "-l", "127.0.0.1", "-p", self.port,
                              "-U", "0", "-t", "1", "-c", "20000", "-o", "proxy_config=%s" % config], self.port,
                             ready=accepts, log=self.directory / "memcached-proxy.log")
        time.sleep(0.5)
        return self

    @classmethod
    def version(cls):
        return first_line([os.environ["PEER_MEMCACHED_PROXY"], "--version"])

    @classmethod
    def missing(cls):
        return None if os.environ.get("PEER_MEMCACHED_PROXY") else "PEER_MEMCACHED_PROXY is not set"


class Relay(Peer):
    name = "relay"
    parses = False
    all_keys_everywhere = True
    binary = None

    def start(self):
        kinds = ["%s:%d:%d" % kind for kind in self.workload.relay_kinds()]
        self.process = start([self.binary, self.port, ",".join(map(str, self.backends.ports))] + kinds, self.port,
                             ready=accepts)
        return self


class Direct(Peer):
    """No proxy: the load goes to the first server. What is measured is that server."""

    name = "memcached"
    binary_protocol = True
    parses = False
    all_keys_everywhere = True

    def start(self):
        self.process, self.port = self.backends.processes[0], self.backends.ports[0]
        subprocess.run(["taskset", "-a", "-cp", str(PROXY_CORE), str(self.process.pid)], check=True,
                       stdout=subprocess.DEVNULL)
        return self

    def end(self):
        subprocess.run(["taskset", "-a", "-cp", str(SERVER_CORE), str(self.process.pid)], check=True,
                       stdout=subprocess.DEVNULL)

    @classmethod
    def version(cls):
        return first_line(["memcached", "--version"])


PEERS = {peer.name: peer for peer in (Ringside, Twemproxy, MemcachedProxy, HAProxy, Relay, Direct, RingsideTree,
                                      RingsidePolling)}
