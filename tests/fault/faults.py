"""What the fault tests share: pools with short tempers, where keys live, and answers as they must be."""

import json

from fakeserver import FakeServer
from harness import HarnessError, expect_growth_below, is_sanitized, wait_until  # noqa: F401
from load import Load

# Reacts soon. A healthy server on a busy machine may seem slow to it: see calm().
HASTY = {"connect_timeout": "1s", "timeout": "300ms",
         "health": {"failures": 3, "probe": "50ms", "probe_max": "200ms", "panic": "100%"}}
# Nothing is ever ejected: each fault shows in the answer.
NEVER_DOWN = {"failures": 1000000, "probe": "50ms", "probe_max": "200ms", "panic": "100%"}
# One failure is enough.
QUICK = {"failures": 1, "probe": "50ms", "probe_max": "200ms", "panic": "100%"}

ONE_WORKER = {"workers": 1}


def fakes_of(lab, count):
    """That many fake servers, ended with the lab."""
    return [lab.adopt(FakeServer()) for _ in range(count)]


def load_of(lab, ringside, **options):
    """A load of pump on a Ringside, ended with the lab."""
    return lab.adopt(Load(ringside if isinstance(ringside, str) else ringside.address, **options))


def homes(wire, servers, count=200, prefix=b"home"):
    """Stores `count` keys through wire and looks which server has them: {server: [key]}. Each must have some."""
    keys = [b"%s:%d" % (prefix, i) for i in range(count)]
    for key in keys:
        wire.set(key, b"at " + key)
    found = where(servers, keys)
    for key in keys:
        if sum(key in there for there in found.values()) != 1:
            raise HarnessError("%r stands on %d servers" % (key, sum(key in there for there in found.values())))
    for server in servers:
        if not found[server]:
            raise HarnessError("no key out of %d lives on %s" % (count, server.address))
    return found


def where(servers, keys):
    """Which of the keys stand on which server: {server: [key]}."""
    found = {}
    for server in servers:
        if isinstance(server, FakeServer):
            found[server] = [key for key in keys if server.store.value(key) is not None]
        else:
            with server.wire() as wire:
                there = wire.get_many(keys)
                found[server] = [key for key in keys if key in there]
    return found


def expect_server_error(wire, *names):
    """The next line must be a SERVER_ERROR that has each of the names in it. Returns it."""
    line = wire.read_line()
    if not line.startswith(b"SERVER_ERROR "):
        raise HarnessError("SERVER_ERROR instead of %r" % line[:300])
    for name in names:
        name = name if isinstance(name, bytes) else name.encode()
        if name not in line:
            raise HarnessError("%r is not named in %r" % (name, line))
    return line


def read_retrieval(wire, keys):
    """
    The whole answer to a get of keys: (values as [(key, value)], last line). Values must be in the order of the keys;
    the last line must be END or a SERVER_ERROR.
    """
    values, rest = [], list(keys)
    while True:
        line = wire.read_line()
        if line == b"END" or line.startswith(b"SERVER_ERROR "):
            return values, line
        words = line.split(b" ")
        if words[0] != b"VALUE" or len(words) < 4 or words[1] not in rest:
            raise HarnessError("a value, END or SERVER_ERROR instead of %r" % line[:300])
        del rest[:rest.index(words[1]) + 1]
        data = wire.read_exactly(int(words[3]) + 2)
        if data[-2:] != b"\r\n":
            raise HarnessError("no line end after %r" % line)
        values.append((words[1], data[:-2]))


def calm(ringside):
    """Long timeouts from now on, by a reload, so that what follows can be demanded to the letter."""
    config = json.loads(ringside.config)
    for pool in config["pools"].values():
        pool.update({"connect_timeout": "30s", "timeout": "60s"})
    ringside.reload(config)
    wait_until(lambda: len(ringside.log("server_down")) == len(ringside.log("server_up")), "all servers to be up")


def wait_down(ringside, server, after=None, count=1):
    """Waits until the log says that a server went down."""
    return ringside.wait_for_log("server_down", after=after, containing=server.address, count=count)


def wait_up(ringside, server, after=None, count=1):
    """Waits until the log says that a server came back."""
    return ringside.wait_for_log("server_up", after=after, containing=server.address, count=count)


def upstream_count(ringside):
    """Connections that Ringside holds to servers."""
    return ringside.sockets()["upstream"]


def wait_upstreams(ringside, count):
    """Waits until it holds exactly that many."""
    wait_until(lambda: upstream_count(ringside) == count,
               lambda: "%d upstream connections; there are %s" % (count, ringside.sockets()))


def cpu_seconds(pid):
    """User and system time that a process has used."""
    with open("/proc/%d/stat" % pid, "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0
