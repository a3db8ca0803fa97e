"""
The process itself: which user it is, which rights it has, and how the binary was built.

What changes the user is run as root, over a folder that everybody may read; as another user it is skipped.
"""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from certificates import certificates
from guarded import login, write_users
from harness import ROOT, SANITIZER_EXIT, Lab, pool_of, ringside_path, run_ringside, wait_until

pytestmark = pytest.mark.sanitize

USER = "nobody"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
# Who has changed its user cannot be looked at by the leak checker, which works as a debugger does.
NO_LEAK_CHECK = {"ASAN_OPTIONS": "exitcode=%d:detect_leaks=0" % SANITIZER_EXIT}


def sanitized():
    return re.search(rb"__[atu][bs]?san_init|__ubsan_handle", ringside_path().read_bytes()) is not None


@pytest.fixture
def lab(monkeypatch):
    """A Lab in a folder that all users may read, with a binary that all may run."""
    folder = Path(tempfile.mkdtemp(prefix="ringside-tests-"))
    folder.chmod(0o755)
    monkeypatch.setenv("RINGSIDE", str(shutil.copy(ringside_path(), folder / "ringside")))
    made = Lab(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def config_of(servers, **more):
    return dict({"workers": 2, "pools": {"main": pool_of(servers)}}, **more)


def statuses(ringside):
    """What /proc says of each thread, when all are there: {field: words}."""
    ringside.wait_for_log("ready")
    tasks = sorted(Path("/proc/%d/task" % ringside.pid).iterdir())
    assert len(tasks) >= 3, tasks
    for task in tasks:
        yield {name: rest.split() for name, _, rest in (line.partition(":")
                                                        for line in (task / "status").read_text().splitlines())}


def expect_user(ringside, name):
    """Every thread is that user, with its groups, and without capabilities."""
    entry = pwd.getpwnam(name)
    groups = {str(group) for group in os.getgrouplist(name, entry.pw_gid)}
    for status in statuses(ringside):
        assert status["Uid"] == [str(entry.pw_uid)] * 4, status
        assert status["Gid"] == [str(entry.pw_gid)] * 4, status
        assert set(status["Groups"]) == groups
        for kind in ("CapPrm", "CapEff", "CapAmb"):
            assert int(status[kind][0], 16) == 0, status
        assert status["NoNewPrivs"] == ["1"]


def as_user(name):
    return ["setpriv", "--reuid=" + name, "--regid=%d" % pwd.getpwnam(name).pw_gid, "--init-groups", "--"]


def expect_no_start(ringside, containing):
    ringside.launch()
    assert ringside.wait_exit() == 3
    ringside.exit_expected = 3
    assert containing in ringside.log("start_failed")[0].message


# As root

@as_root
def test_root_becomes_the_user(lab):
    ringside = lab.ringside(config_of(lab.memcacheds(2), user=USER), env=NO_LEAK_CHECK)
    expect_user(ringside, USER)
    wire = lab.wire(ringside)
    for i in range(50):
        wire.set("k%d" % i, b"x")
    assert ringside.log("user_changed") and not ringside.log("running_as_root")


@as_root
def test_a_port_that_only_root_may_have(lab):
    """The sockets are opened before the change."""
    low = "127.0.0.77:211"
    ringside = lab.ringside(config_of(lab.memcacheds(1), user=USER, listen=[low]), env=NO_LEAK_CHECK)
    expect_user(ringside, USER)
    lab.wire(low).in_step()


@as_root
@pytest.mark.parametrize("option", [["--user", USER], ["-u", USER], ["--user=" + USER]], ids=lambda words: words[0])
@pytest.mark.plain("the command line has no words for TLS")
def test_the_command_line_names_the_user(lab, option):
    server = lab.memcached()
    ringside = lab.ringside(args=["--server", server.address, "--listen", "127.0.0.1:0", *option], env=NO_LEAK_CHECK)
    expect_user(ringside, USER)
    lab.wire(ringside).in_step()


@as_root
@pytest.mark.plain("the command line has no words for TLS")
def test_the_command_line_goes_before_the_file(lab):
    path = lab.directory / "file.yaml"
    path.write_text("listen: [127.0.0.1:0]\nuser: no-such-user\npools: {main: {servers: [127.0.0.1:1]}}\n")
    ringside = lab.ringside(args=["-c", path, "--user", USER], env=NO_LEAK_CHECK)
    expect_user(ringside, USER)
    line = ringside.reload()
    assert "user" not in line.message


@as_root
def test_root_without_a_user_is_warned(lab):
    ringside = lab.ringside(config_of(lab.memcacheds(1)))
    expect = ringside.wait_for_log("running_as_root")
    assert expect.level == "warning" and "--user" in expect.message
    for status in statuses(ringside):
        assert status["NoNewPrivs"] == ["1"]
    lab.wire(ringside).in_step()


@as_root
def test_root_that_is_meant_is_not_warned(lab):
    ringside = lab.ringside(config_of(lab.memcacheds(1), user="root"))
    ringside.wait_for_log("ready")
    lab.wire(ringside).in_step()
    assert not ringside.log("running_as_root") and not ringside.log("user_changed")


@as_root
def test_reload_as_the_user(lab):
    """A file that the user can read is taken; one that it cannot read changes nothing; ports of root's are refused."""
    servers = lab.memcacheds(2)
    config = config_of(servers[:1], user=USER)
    ringside = lab.ringside(config, env=NO_LEAK_CHECK)
    wire = lab.wire(ringside)
    line = ringside.reload(config_of(servers, user=USER))
    assert servers[1].address in line.message
    ringside.config_path.chmod(0o600)
    ringside.reload(expect="reload_failed")
    assert "Permission denied" in ringside.log("config_error")[0].message
    wire.in_step()
    low = "127.0.0.78:211"
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 211:
        ringside.reload(config_of(servers, user=USER, listen=["127.0.0.1:0", low]), expect="reload_failed")
        assert low in ringside.log("reload_failed")[-1].message
    ringside.reload(config)
    wire.in_step()
    expect_user(ringside, USER)


@as_root
def test_a_changed_user_waits_for_a_restart(lab):
    config = config_of(lab.memcacheds(1), user=USER)
    ringside = lab.ringside(config, env=NO_LEAK_CHECK)
    line = ringside.reload(dict(config, user="daemon"))
    assert "user %s -> daemon (takes effect at a restart)" % USER in line.message
    expect_user(ringside, USER)
    ringside.terminate()
    ringside.start()
    expect_user(ringside, "daemon")


@as_root
def test_a_unix_socket_belongs_to_the_user(lab):
    """It has its mode, and goes at the end where the user may write to the folder."""
    folder = lab.directory / "run"
    folder.mkdir()
    entry = pwd.getpwnam(USER)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    path = folder / "s"
    ringside = lab.ringside(config_of(lab.memcacheds(1), user=USER, listen=[{"address": "unix:%s" % path,
                                                                            "mode": "0660"}]), env=NO_LEAK_CHECK)
    there = path.stat()
    assert (there.st_uid, there.st_gid, there.st_mode & 0o7777) == (entry.pw_uid, entry.pw_gid, 0o660)
    lab.wire("unix:%s" % path).in_step()
    lab.close_clients()
    ringside.terminate()
    assert not path.exists()


@as_root
def test_a_user_that_is_not_there(lab):
    config = config_of(["127.0.0.1:1"], user="no-such-user")
    ringside = lab.ringside(config, start=False)
    expect_no_start(ringside, "user `no-such-user`: this machine has no such user")
    assert not ringside.log("listening"), "nothing is opened before"
    assert run_ringside("check", "-c", ringside.config_path).returncode == 0, "another machine may know that user"


# As somebody else

@as_root
def test_who_is_not_root_becomes_nobody_else(lab):
    ringside = lab.ringside(config_of(["127.0.0.1:1"], user="daemon"), start=False, wrapper=as_user(USER))
    expect_no_start(ringside, "user `daemon`: only root can become another user")


@as_root
@pytest.mark.skipif(sanitized(), reason="left out of builds with sanitizers: see proxy/process.c")
@pytest.mark.plain("with a key it is protected from the start")
def test_no_core_dump_of_secrets(lab):
    """The folder in /proc of a process that may not be dumped is root's."""
    config = config_of(lab.memcacheds(1))
    ringside = lab.ringside(config, wrapper=as_user(USER))
    ringside.wait_for_log("ready")
    assert not ringside.log("running_as_root")
    proc = Path("/proc/%d/status" % ringside.pid)
    uid = pwd.getpwnam(USER).pw_uid
    assert proc.stat().st_uid == uid
    ringside.reload(dict(config, user=USER))
    wait_until(lambda: proc.stat().st_uid == 0, "the process to be protected")
    again = lab.ringside(dict(config, user=USER), wrapper=as_user(USER))
    expect_user(again, USER)
    assert Path("/proc/%d/status" % again.pid).stat().st_uid == 0


# The binary

@pytest.mark.skipif(sanitized(), reason="a sanitizer has its own ways")
@pytest.mark.skipif(shutil.which("readelf") is None, reason="there is no readelf")
def test_the_binary_is_hardened():
    def readelf(*options):
        return subprocess.run(["readelf", *options, str(ringside_path())], stdout=subprocess.PIPE, text=True, check=True,
                              env=dict(os.environ, LC_ALL="C")).stdout
    told = readelf("-hlWd")
    assert re.search(r"^ *Type: +DYN \(", told, re.M), "no PIE"
    assert re.search(r"FLAGS_1\).*\bPIE\b", told), "no PIE"
    assert re.search(r"FLAGS_1\).*\bNOW\b", told), "bound lazily"
    segments = dict(re.findall(r"^ +([A-Z_]+) +(?:0x\w+ +){5}(R?[ W]*E?) +0x", told, re.M))
    assert "GNU_RELRO" in segments, "no RELRO"
    assert "E" not in segments["GNU_STACK"], "an executable stack"
    assert not re.search(r"^ +LOAD +(?:0x\w+ +){5}R?WE", told, re.M), "memory that is written and executed"
    assert "TEXTREL" not in told
    symbols = readelf("-W", "--dyn-syms")
    assert "__stack_chk_fail" in symbols, "no stack protector"
    assert re.search(r"\b__\w+_chk\b", symbols), "no _FORTIFY_SOURCE"


# The sandbox

def calls_of(group):
    """The names in a group of system calls, as systemd knows it."""
    told = subprocess.run(["systemd-analyze", "syscall-filter", group], stdout=subprocess.PIPE, text=True, check=True).stdout
    names = set()
    for word in (line.strip() for line in told.splitlines()[1:]):
        if word.startswith("@"):
            names |= calls_of(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


def calls_that_the_unit_lets_through():
    text = (ROOT / "etc" / "ringside.service").read_text()
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", text, re.M):
        names = set().union(*(calls_of(word) if word.startswith("@") else {word} for word in line.lstrip("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed | calls_of("@default")


@pytest.mark.skipif(sanitized(), reason="a sanitizer has its own ways")
@pytest.mark.skipif(not (shutil.which("systemd-analyze") and shutil.which("strace")), reason="there is no systemd, or no strace")
@pytest.mark.plain("it has listeners of both kinds")
def test_the_units_filter_lets_all_through_that_it_does(lab):
    """Everything that calls the kernel in its own way: names, TLS, logins, uploads, reloads, probes, the end."""
    made, calls = certificates(), lab.directory / "calls"
    server, other = lab.memcached(tls=made.server), lab.memcached()
    listen = [{"address": "127.0.0.1:0", "auth": "optional"},
              {"address": "unix:%s" % (lab.directory / "socket"), "mode": "0600", "peers": {os.geteuid(): "app"}},
              {"address": "127.0.0.2:0", "tls": {"certificate": str(made.server.certificate), "key": str(made.server.key)}}]
    pools = {"main": dict(pool_of(["localhost:%d" % server.port], tls={"ca": str(made.ca)})),
             "other": dict(pool_of([other], on_down="hold", health={"failures": 1, "probe": "50ms", "panic": "100%"}))}
    config = {"workers": 2, "listen": listen, "pools": pools, "route": {"prefix": {"o:": "other", "*": "main"}},
              "users": {"file": str(write_users(lab.directory / "users", {"app": "secret"}))}}
    ringside = lab.ringside(config, wrapper=["strace", "-D", "-f", "-qq", "-o", str(calls)])
    for address, tls in ((ringside.addresses[0], False), (listen[1]["address"], False), (ringside.addresses[2], True)):
        wire = lab.wire(address, tls=tls)
        wire.set("k", b"x" * 300_000)
        assert wire.get("k") == b"x" * 300_000
        wire.send(b"stats\r\n")
        wire.read_stats()
        wire.in_step()
    lab.wire(ringside).command(login("app", "secret", b"ringside:login"), b"STORED\r\n")
    wire.set("o:k", b"x")
    other.kill()
    assert wire.line(b"get o:k").startswith(b"SERVER_ERROR ")
    other.restart()
    ringside.wait_for_log("server_up")
    config["listen"] = listen[:2]
    ringside.reload(config)
    ringside.terminate()
    begun = calls.read_text().split("execve(", 1)[1]
    used = set(re.findall(r"^\d+ +(\w+)\(", begun, re.M))
    assert {"accept4", "epoll_wait", "clone3"} <= used, used
    assert used <= calls_that_the_unit_lets_through(), used - calls_that_the_unit_lets_through()
