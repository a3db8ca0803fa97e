"""The command line: --version, --help, check, route, serving without a file, exit statuses."""

import json
import re
import signal

import pytest

from harness import Memcached, pool_of, run_ringside

pytestmark = pytest.mark.sanitize

GOOD = """
listen: [127.0.0.1:0]
pools:
  main:
    servers: [127.0.0.1:11311, {address: 127.0.0.1:11312, name: b, weight: 2}]
    timeout: 300ms
route: main
"""

# A file that is wrong, the place of the error, and what must be named in it.
BAD = [
    (GOOD.replace("timeout: 300ms", "timeout: 300"), (6, 14), "300"),
    (GOOD.replace("timeout: 300ms", "timeuot: 300ms"), (6, 5), "timeout"),
    (GOOD.replace("route: main", "route: mian"), (7, 8), "mian"),
    (GOOD.replace("weight: 2", "weight: 0"), (5, 76), "0"),
    (GOOD.replace("127.0.0.1:11311", "127.0.0.1:99999"), (5, 15), "99999"),
    (GOOD.replace("timeout: 300ms", "hash: md55"), (6, 11), "md5"),
    (GOOD.replace("timeout: 300ms", "distribution: ketma"), (6, 19), "ketama"),
    (GOOD.replace("timeout: 300ms", "timeout: 1s\n    timeout: 2s"), (7, 5), "timeout"),
    (GOOD.replace("listen: [127.0.0.1:0]", "listen: {a: b}"), (2, 9), None),
    (GOOD.replace("route: main", "route: [main"), None, None),
    (GOOD.replace("    timeout: 300ms", "\ttimeout: 300ms"), None, None),
    (GOOD + "workers: -1\n", (8, 10), None),
    (GOOD + "surprise: 1\n", (8, 1), "surprise"),
    ("", None, None),
    ("just text\n", (1, 1), None),
]


def write(directory, text):
    path = directory / "config.yaml"
    path.write_text(text)
    return path


def test_version():
    done = run_ringside("--version")
    assert done.returncode == 0 and done.stderr == b""
    assert re.match(rb"ringside \d+\.\d+\.\d+", done.stdout)


def test_help():
    done = run_ringside("--help")
    assert done.returncode == 0 and done.stderr == b""
    for word in (b"check", b"route", b"--server", b"--listen", b"-c", b"--version"):
        assert word in done.stdout


@pytest.mark.parametrize("args", [
    [], ["--nonsense"], ["frobnicate"], ["-c"], ["check"], ["route"], ["--listen", "127.0.0.1:0"], ["--server"],
    ["check", "-c", "x", "--server", "127.0.0.1:1"], ["--server", "127.0.0.1:notaport"], ["--server", ""],
])
def test_wrong_command_lines(args):
    done = run_ringside(*args)
    assert done.returncode == 2
    assert done.stderr.startswith(b"ringside: ") and done.stdout == b""


def test_check_of_a_good_file(tmp_path):
    done = run_ringside("check", "-c", write(tmp_path, GOOD))
    assert done.returncode == 0 and done.stderr == b""
    for word in (b"main", b"127.0.0.1:11311", b"127.0.0.1:11312", b"300ms"):
        assert word in done.stdout


@pytest.mark.parametrize("entry", BAD, ids=range(len(BAD)))
def test_check_of_a_bad_file(tmp_path, entry):
    text, place, named = entry
    path = write(tmp_path, text)
    done = run_ringside("check", "-c", path)
    said = done.stderr.decode()
    assert done.returncode == 1 and done.stdout == b""
    assert said.startswith(str(path) + ":"), said
    if place:
        assert said.startswith("%s:%d:%d: " % (path, *place)), said
    if named:
        assert named in said.split(": ", 1)[1], said


def test_check_tells_every_error(tmp_path):
    text = GOOD.replace("weight: 2", "weight: x").replace("300ms", "3 parsecs").replace("route: main", "route: nowhere")
    done = run_ringside("check", "-c", write(tmp_path, text))
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert [int(line.split(":")[1]) for line in lines] == [5, 6, 7], lines


def test_files_that_are_named_are_read_by_check_alone(tmp_path):
    path = write(tmp_path, GOOD + "users: {file: users}\n")
    done = run_ringside("check", "-c", path)
    assert done.returncode == 1
    assert done.stderr.decode() == "%s:8:15: `file`: %s: cannot be read: No such file or directory\n" % (
        path, tmp_path / "users")
    assert run_ringside("route", "-c", path, "key").returncode == 0
    assert run_ringside("plan", path, path).returncode == 0
    (tmp_path / "users").write_text("# nobody yet\n")
    done = run_ringside("check", "-c", path)
    assert done.returncode == 0 and b"users: file " in done.stdout


def test_check_of_a_file_that_is_not_there(tmp_path):
    done = run_ringside("check", "-c", tmp_path / "absent.yaml")
    assert done.returncode == 3 and b"absent.yaml" in done.stderr


def test_serving_a_bad_file_ends_with_one(tmp_path):
    done = run_ringside("-c", write(tmp_path, BAD[0][0]))
    assert done.returncode == 1 and b"config.yaml:6:14: " in done.stderr


def keys_of_route(lines):
    """{key: server} from the output of `ringside route`."""
    return dict(re.match(r"(\S+): route .* server (\S+) \(hash \d+", line).groups() for line in lines)


@pytest.mark.parametrize("pool", [
    {}, {"distribution": "modulo", "hash": "crc32a"}, {"distribution": "jump", "hash": "xxh3"},
    {"distribution": "rendezvous", "hash": "murmur"}, {"distribution": "maglev", "hash": "xxh3"},
    {"distribution": "ketama", "hash": "fnv1a_64", "hash_tag": "{}"}, {"distribution": "ketama-libmemcached"},
    {"distribution": "ketama-spy", "hash": "md5"},
], ids=lambda pool: "-".join(pool.values()) or "default")
def test_route_tells_where_the_key_really_is(lab, pool):
    servers = lab.memcacheds(4)
    entries = [servers[0].address, {"address": servers[1].address, "name": "second"},
               {"address": servers[2].address, "weight": 3}, servers[3].address]
    names = {servers[0].address: servers[0], "second": servers[1], servers[2].address: servers[2],
             servers[3].address: servers[3]}
    if pool.get("distribution") in ("jump", "ketama-libmemcached"):
        entries[2] = servers[2].address
    ringside = lab.ringside(servers=entries, **pool)
    keys = ["key:%d" % i for i in range(200)] + ["a{tag}%d" % i for i in range(20)] + ["{}", "\xff\xe9"]
    wire = lab.wire(ringside)
    for key in keys:
        wire.set(key.encode("latin-1"), b"here")
    done = run_ringside("route", "-c", ringside.config_path, *[key.encode("latin-1").decode("utf-8", "surrogateescape")
                                                               for key in keys])
    assert done.returncode == 0 and done.stderr == b""
    told = keys_of_route(done.stdout.decode("latin-1").splitlines())
    assert list(told) == keys
    for server in servers:
        with server.wire() as direct:
            held = set(direct.get_many([key.encode("latin-1") for key in keys]))
        assert held == {key.encode("latin-1") for key, name in told.items() if names[name] is server}


def test_route_refuses_what_is_no_key(tmp_path):
    path = write(tmp_path, GOOD)
    for key in ("", "a b", "x" * 251, "a\tb"):
        done = run_ringside("route", "-c", path, key)
        assert done.returncode == 1 and done.stderr


def test_route_takes_keys_that_look_like_options(tmp_path):
    done = run_ringside("route", "-c", write(tmp_path, GOOD), "--", "-c", "--help")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2


@pytest.mark.plain("the command line has no words for TLS")
def test_serving_without_a_file(lab):
    servers = lab.memcacheds(3)
    args = [word for server in servers for word in ("--server", server.address)]
    ringside = lab.ringside(args=args + ["--listen", "127.0.0.1:0", "--listen=[::1]:0"])
    assert len(ringside.addresses) == 2
    wire = lab.wire(ringside)
    for i in range(300):
        wire.set("k%d" % i, b"%d" % i)
    assert all(server.stat("curr_items") > 50 for server in servers)
    lab.wire(ringside.addresses[1]).in_step()


@pytest.mark.plain("the command line has no words for TLS")
def test_serving_without_a_file_places_as_with_one(lab):
    servers = lab.memcacheds(3)
    args = [word for server in servers for word in ("--server", server.address)]
    bare = lab.ringside(args=args + ["--listen", "127.0.0.1:0"])
    filed = lab.ringside({"pools": {"main": {"servers": [s.address for s in servers]}}, "route": "main"})
    writer, reader = lab.wire(bare), lab.wire(filed)
    for i in range(500):
        writer.set("k%d" % i, b"%d" % i)
    assert len(reader.get_many([b"k%d" % i for i in range(500)])) == 500


@pytest.mark.plain("the command line has no words for TLS")
def test_hup_without_a_file_changes_nothing(lab):
    server = lab.memcached()
    ringside = lab.ringside(args=["--server", server.address, "--listen", "127.0.0.1:0"])
    wire = lab.wire(ringside)
    wire.in_step()
    ringside.signal(signal.SIGHUP)
    ringside.wait_for_log("reload_ignored")
    wire.in_step()


def test_a_file_in_json_is_a_file_in_yaml(lab, tmp_path):
    server = Memcached(tmp_path, port=11399)
    path = write(tmp_path, json.dumps({"listen": ["127.0.0.1:0"], "pools": {"p": pool_of([server])}, "route": "p"}))
    assert run_ringside("check", "-c", path).returncode == 0
