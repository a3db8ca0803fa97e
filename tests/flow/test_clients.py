"""
Real clients, each in its own language, against Ringside over three servers. Each program in clients/ asks for all of
CHECKS that its library can do, compares what it gets, and prints "NAME: ok" for each check that held; when one does
not, it says why and ends. It is run against a memcached too, so that a failure can be told from the library's own.

    PROGRAM HOST PORT PROTOCOL        PROTOCOL is ascii or binary

The libraries are Debian's packages, and for node those of clients/node/package-lock.json, which tests/run installs.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import DEADLINE_S, ROOT, run_ringside, split_address

pytestmark = pytest.mark.plain("these clients are asked what they say in plain text")

CLIENTS = Path(__file__).resolve().parent / "clients"
NODE_MODULES = os.environ.get("NODE_PATH") or str(ROOT / "build" / "test" / "node" / "node_modules")
SPYMEMCACHED = "/usr/share/java/spymemcached.jar"
GOCODE = "/usr/share/gocode"

# What every program asks, of a server that was empty.
CHECKS = {
    "set": "200 keys (500 in some) are set and read back one by one; a key that was not set is a miss",
    "multi": "one get of these, and of as many that are absent: each value under its own key, and none too many",
    "add": "stored, and refused the second time",
    "replace": "of a key; refused for one that is not there",
    "append": "to a value; refused for a key that is not there",
    "prepend": "to a value, read back whole",
    "cas": "gets, cas; refused the second time, with the same unique number",
    "count": "incr, decr, decr stops at 0; what is not there is not counted, or takes its first value",
    "delete": "once; the second time not found",
    "touch": "of a key; not found for one that is not there",
    "gat": "the value, with a new expiry time; a miss for one that is not there",
    "bytes": "an empty value, CR LF, lines that look like replies, and every byte there is",
    "large": "900 000 bytes on the wire, of every value",
    "flags": "numbers and structures, or the flags themselves, come back as they were",
    "noreply": "200 sets and a delete that no reply is awaited for, then read back",
    "expiry": "a key of one second becomes a miss within 10 s; one of 1000 s stays",
    "version": "a version of memcached",
    "stats": "more items are counted than were set",
    "flush": "then all keys are misses",
}


def compile_client(directory, name, *flags):
    """A C client to a program in directory."""
    target = directory / name
    return build(["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", str(CLIENTS / (name + ".c")), "-o",
                  str(target), *flags], [str(target)])


def build(command, program, **environment):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout.decode()
    return program


def apr_flags():
    words = []
    for command in (["apr-1-config", "--includes", "--cppflags"], ["apu-1-config", "--includes", "--link-ld"],
                    ["apr-1-config", "--link-ld"]):
        words += subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().split()
    return words


def gomemcache(directory):
    need("go", "golang-go")
    need(GOCODE + "/src/github.com/bradfitz/gomemcache", "golang-github-bradfitz-gomemcache-dev")
    target = str(directory / "gomemcache_client")
    return build(["go", "build", "-o", target, str(CLIENTS / "gomemcache_client.go")], [target], GOPATH=GOCODE,
                 GO111MODULE="off", GOFLAGS="", GOTOOLCHAIN="local", GOCACHE=str(directory / "go-cache"))


def spymemcached(directory, source="SpyClient.java"):
    need("javac", "default-jdk-headless")
    need(SPYMEMCACHED, "libspymemcached-java")
    return build(["javac", "-cp", SPYMEMCACHED, "-d", str(directory), str(CLIENTS / source)],
                 ["java", "-cp", "%s:%s" % (SPYMEMCACHED, directory), Path(source).stem])


def node(name, program=None):
    need("node", "nodejs")
    environment = {**os.environ, "NODE_PATH": NODE_MODULES}
    found = subprocess.run(["node", "-e", "require('%s')" % name], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env=environment)
    if found.returncode != 0:
        pytest.skip("the npm package %s is not in %s: tests/run installs it, where there is an npm and a registry" %
                    (name, NODE_MODULES))
    return ["env", "NODE_PATH=" + NODE_MODULES, "node", str(CLIENTS / "node" / (program or name + "_client.js"))]


def script(interpreter, package, name):
    need(interpreter, package)
    return [interpreter, str(CLIENTS / name)]


def need(what, package):
    """A program or a path that a Debian package brings. In CI its want is a failure."""
    if not shutil.which(what) and not Path(what).exists():
        reason = "%s is missing: install %s" % (what, package)
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


# name: (how to get the command, the checks that the library has no call for, or none that can be relied on)
ASCII = {
    "libmemcached": (lambda directory: compile_client(directory, "libmemcached_client", "-lmemcached"), {"gat"}),
    "apr_memcache": (lambda directory: compile_client(directory, "apr_client", *apr_flags()),
                     {"append", "prepend", "cas", "touch", "gat", "noreply", "flush"}),
    "php-memcached": (lambda _: script("php", "php-cli", "memcached_client.php"), {"gat"}),
    "cache-memcached-fast": (lambda _: script("perl", "perl", "fast_client.pl"), {"stats"}),
    "cache-memcached": (lambda _: script("perl", "perl", "memcached_client.pl"),
                        {"cas", "touch", "gat", "noreply", "version"}),
    "pymemcache": (lambda _: script(sys.executable, "python3", "pymemcache_client.py"), {"gat"}),
    "pylibmc": (lambda _: script(sys.executable, "python3", "pylibmc_client.py"), {"gat", "version"}),
    "python-memcached": (lambda _: script(sys.executable, "python3", "memcache_client.py"), {"gat", "version"}),
    "gomemcache": (gomemcache, {"append", "prepend", "gat", "noreply", "version", "stats"}),
    "spymemcached": (spymemcached, {"gat", "noreply"}),
    "node-memcached": (lambda _: node("memcached"), {"gat", "noreply"}),
}
BINARY = {
    "libmemcached": (ASCII["libmemcached"][0], {"gat"}),
    "php-memcached": (ASCII["php-memcached"][0], {"gat"}),
    "pylibmc": (ASCII["pylibmc"][0], {"gat", "version"}),
    "spymemcached": (spymemcached, {"noreply"}),
    "dalli": (lambda _: script("ruby", "ruby", "dalli_client.rb"), set()),
    "memjs": (lambda _: node("memjs"), {"multi", "prepend", "cas", "gat", "noreply", "version"}),
}

# SASL PLAIN. PROGRAM HOST PORT USER PASSWORD sets a key and reads it back; it says "in" or "refused".
# name: (how to get the command, whether it gives up when its password is refused)
PASSWORD = "a s3cret"
SASL = {
    "php-memcached": (lambda _: script("php", "php-cli", "sasl/memcached_login.php"), True),
    "pylibmc": (lambda _: script(sys.executable, "python3", "sasl/pylibmc_login.py"), True),
    "spymemcached": (lambda directory: spymemcached(directory, "sasl/SpyLogin.java"), False),
    "dalli": (lambda _: script("ruby", "ruby", "sasl/dalli_login.rb"), True),
    "memjs": (lambda _: node("memjs", "memjs_login.js"), True),
}


@contextlib.contextmanager
def started(program, address, protocol):
    """The program under way, its output together on stdout. It is ended with the block."""
    host, port = split_address(address)[1]
    process = subprocess.Popen(program + [host, str(port), protocol], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_passed(where, process, lacks):
    """The program ends well, and has printed all of CHECKS but those that its library lacks, and nothing else."""
    lines = process.communicate(timeout=4 * DEADLINE_S)[0].decode("utf-8", "replace").splitlines()
    held = {line[:-len(": ok")] for line in lines if line.endswith(": ok")}
    assert process.returncode == 0, "%s it ended with %d, after %s:\n%s" % (
        where, process.returncode, ", ".join(sorted(held)) or "nothing", "\n".join(lines))
    assert lacks <= set(CHECKS) and held == set(CHECKS) - lacks and len(lines) == len(held), \
        "%s: without %s; printed:\n%s" % (where, sorted(set(CHECKS) - lacks - held), "\n".join(lines))


def run_both(lab, program, lacks, protocol):
    """The program against a memcached and against Ringside over three, at the same time."""
    servers = lab.memcacheds(3)
    ringside = lab.ringside(servers=servers)
    with started(program, lab.memcached().address, protocol) as direct, \
            started(program, ringside.address, protocol) as through:
        assert_passed("against memcached", direct, lacks)
        assert_passed("through Ringside", through, lacks)
    assert all(server.stat("cmd_set") > 0 for server in servers), "not every server was asked"
    lab.wire(ringside).in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("name", ASCII)
def test_client(lab, tmp_path, name):
    make, lacks = ASCII[name]
    run_both(lab, make(tmp_path), lacks, "ascii")


@pytest.mark.binary
@pytest.mark.parametrize("name", BINARY)
def test_binary_client(lab, tmp_path, name):
    make, lacks = BINARY[name]
    run_both(lab, make(tmp_path), lacks, "binary")


@pytest.fixture(scope="module")
def with_login(shared_lab, tmp_path_factory):
    """A Ringside that lets nobody in but app, and its server."""
    users = tmp_path_factory.mktemp("users") / "users"
    assert run_ringside("passwd", users, "app", input=PASSWORD.encode()).returncode == 0
    server = shared_lab.memcached()
    return server, shared_lab.ringside({"listen": [{"address": "127.0.0.1:0", "auth": "required"}],
                                        "users": {"file": str(users)}}, servers=[server])


def log_in(program, ringside, password):
    """The program under way; see SASL."""
    host, port = split_address(ringside.address)[1]
    return subprocess.Popen(program + [host, str(port), "app", password], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def output_of(process):
    try:
        said, errors = process.communicate(timeout=4 * DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    return said.decode(), errors.decode("utf-8", "replace")


@pytest.mark.binary
@pytest.mark.parametrize("name", SASL)
def test_login(with_login, tmp_path, name):
    make, _ = SASL[name]
    said, errors = output_of(log_in(make(tmp_path), with_login[1], PASSWORD))
    assert said == "in\n", said + errors


@pytest.mark.binary
@pytest.mark.parametrize("name", SASL)
def test_login_with_a_wrong_password(with_login, tmp_path, name):
    """It is refused, and the library says so, or tries again; no request of its gets through."""
    make, gives_up = SASL[name]
    server, ringside = with_login
    mark, stored = ringside.log_mark(), server.stat("cmd_set")
    process = log_in(make(tmp_path), ringside, "not the password")
    try:
        ringside.wait_for_log("login_failed", after=mark)
        if gives_up:
            said, errors = output_of(process)
            assert said == "refused\n", said + errors
    finally:
        process.kill()
        process.communicate()
    assert server.stat("cmd_set") == stored


def test_memccapable_finds_the_text_protocol_whole(lab):
    """
    libmemcached's own check of a server's text protocol: what memcached passes, Ringside passes. It takes no error line
    of 80 bytes and more.
    """
    def passed(address):
        host, port = split_address(address)[1]
        done = subprocess.run(["memccapable", "-h", host, "-p", str(port), "-a", "-t", "60"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=4 * DEADLINE_S)
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        return {line.split("[")[0].strip() for line in lines if line.rstrip().endswith("[pass]")}, "\n".join(lines)
    direct, _ = passed(lab.memcached().address)
    through, said = passed(lab.ringside(servers=lab.memcacheds(3)).address)
    assert direct and through >= direct, said
