"""
`ringside plan`: what a change of the configuration moves. The numbers against what `ringside route` says of the same
keys, and against what each distribution promises.
"""

import re

import pytest

from harness import run_ringside

pytestmark = pytest.mark.sanitize

KEYS = ["user:%d:name" % i for i in range(3000)]


def servers(count, first=1):
    return ["10.0.0.%d" % i for i in range(first, first + count)]


def config(pools, route):
    """The text of a file: pools as {name: (servers, settings)}."""
    lines = ["pools:"]
    for name, (addresses, settings) in pools.items():
        lines.append("  %s: {servers: [%s]%s}" % (name, ", ".join(addresses), "".join(", " + s for s in settings)))
    return "\n".join(lines + ["route: " + route, ""])


def one_pool(addresses, *settings):
    return config({"main": (addresses, settings)}, "main")


def run_plan(directory, old, new, keys=KEYS, expect=0):
    (directory / "old.yaml").write_text(old)
    (directory / "new.yaml").write_text(new)
    args = ["plan", "old.yaml", "new.yaml"]
    if keys is not None:
        (directory / "keys").write_text("".join(key + "\n" for key in keys))
        args += ["--keys", "keys"]
    done = run_ringside(*args, cwd=directory)
    assert done.returncode == expect, done.stderr
    return done.stdout.decode() if expect == 0 else done.stderr.decode()


def in_all(text):
    """(moved, of) of the last line; the share must say the same."""
    share, moved, of = re.fullmatch(r"in all (\S+)% of the keys move \((\d+) of (\d+)\)", text.splitlines()[-1]).groups()
    assert share == "%.2f" % (100 * int(moved) / int(of))
    return int(moved), int(of)


def first_places(directory, name, keys=KEYS):
    """{key: (pool, server)} by `ringside route`: the first line of each key."""
    done = run_ringside("route", "-c", name, *keys, cwd=directory)
    assert done.returncode == 0, done.stderr
    places = {}
    for line in done.stdout.decode().splitlines():
        key, pool, server = re.match(r"(\S+): .*-> pool (\S+) .*?server (\S+) \(hash", line).groups()
        places.setdefault(key, (pool, server))
    return places


def test_nothing_changes(tmp_path):
    text = run_plan(tmp_path, one_pool(servers(5)), one_pool(servers(5), "timeout: 1s"), keys=None)
    assert text == ("pool main: 5 servers\n  0.00% of its keys move (0 of 1000000)\n"
                    "in all 0.00% of the keys move (0 of 1000000)\n")


DISTRIBUTIONS = ["ketama", "ketama-libmemcached", "ketama-spy", "modulo", "jump", "rendezvous", "maglev"]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_as_many_as_route_tells(tmp_path, distribution):
    """Exactly the keys that `ringside route` puts elsewhere."""
    setting = "distribution: " + distribution
    text = run_plan(tmp_path, one_pool(servers(4), setting), one_pool(servers(5), setting))
    old, new = first_places(tmp_path, "old.yaml"), first_places(tmp_path, "new.yaml")
    moved = sum(old[key] != new[key] for key in KEYS)
    assert in_all(text) == (moved, len(KEYS)) and 0 < moved < len(KEYS)
    assert "\n  added 10.0.0.5:11211\n" in text and "removed" not in text
    assert text.startswith("pool main: 4 -> 5 servers\n")


@pytest.mark.parametrize("distribution, count", [("ketama", 10), ("rendezvous", 10), ("maglev", 10), ("jump", 10),
                                                 ("ketama", 100), ("maglev", 100)])
def test_the_last_of_n_leaves(tmp_path, distribution, count):
    """About one of N keys moves; to the unevenness of the ring."""
    settings = ("distribution: " + distribution, "hash: %s" % ("md5" if distribution == "ketama" else "xxh3"))
    addresses = ["10.0.%d.%d" % divmod(i, 200) for i in range(count)]
    text = run_plan(tmp_path, one_pool(addresses, *settings), one_pool(addresses[:-1], *settings), keys=None)
    moved, of = in_all(text)
    # 100 ketama servers have 156 points each and 99 have 160: see docs/PLACEMENT.md.
    most = 4.5 if (distribution, count) == ("ketama", 100) else 2
    assert of == 1000000 and 0.5 * of / count < moved < most * of / count
    assert "\n  removed %s:11211\n" % addresses[-1] in text


def test_weights_and_names(tmp_path):
    old = one_pool(["10.0.0.1", "{address: 10.0.0.2, name: b}", "{address: 10.0.0.3, name: c}"])
    new = one_pool(["{address: 10.0.0.1, weight: 3}", "{address: 10.0.0.9, name: b}", "{address: 10.0.0.3, name: c}"])
    text = run_plan(tmp_path, old, new)
    assert "\n  added b at 10.0.0.9:11211\n" in text
    assert "\n  removed b at 10.0.0.2:11211\n" in text
    assert "\n  weight of 10.0.0.1:11211: 1 -> 3\n" in text


def test_another_address_is_another_server(tmp_path):
    """The ring stays, but what the server held is not there."""
    text = run_plan(tmp_path, one_pool(["{address: 10.0.0.1, name: a}"]), one_pool(["{address: 10.0.0.2, name: a}"]))
    assert in_all(text) == (len(KEYS), len(KEYS))


def test_by_pool_and_by_route(tmp_path):
    pools = {"a": (servers(4), ()), "b": (servers(3, 20), ()), "gutter": (servers(2, 30), ())}
    route = '{prefix: {"user:1": {failover: {to: [a, gutter], expiry: %s}}, "*": b}}'
    old = config(pools, route % "10s")
    pools["a"] = (servers(5), ())
    pools["gutter"] = (servers(3, 30), ())
    text = run_plan(tmp_path, old, config(pools, route % "20s"))
    before, after = first_places(tmp_path, "old.yaml"), first_places(tmp_path, "new.yaml")
    of_a = [key for key in KEYS if key.startswith("user:1")]
    moved = sum(before[key] != after[key] for key in of_a)
    rest = len(KEYS) - len(of_a)
    assert moved > 0 and all(before[key] == after[key] for key in KEYS if key not in of_a)
    assert "\n  %.2f%% of its keys move (%d of %d)\n" % (100 * moved / len(of_a), moved, len(of_a)) in text
    assert "pool b: 3 servers\n  0.00%% of its keys move (0 of %d)\n" % rest in text
    assert re.search(r"\n  no key goes here first; \d+\.\d\d% would move \(\d+ of 3000\)\n", text)
    assert "\nroute prefix[user:1] failover.expiry 10s -> 20s\n" in text
    assert in_all(text) == (moved, len(KEYS))


def test_from_pool_to_pool(tmp_path):
    pools = {"a": (servers(2), ()), "b": (servers(3, 20), ())}
    old, new = config(pools, "a"), config({"b": pools["b"], "c": (servers(1, 40), ())}, "b")
    text = run_plan(tmp_path, old, new)
    assert text == ("pool a: removed, 2 servers\n  removed 10.0.0.1:11211\n  removed 10.0.0.2:11211\n"
                    "  100.00% of its keys move (3000 of 3000)\n"
                    "pool b: 3 servers\n  no key goes here first; none would move\n"
                    "  100.00% of all keys come here (3000 of 3000)\n"
                    "pool c: added, 1 server\n  added 10.0.0.40:11211\n  no key comes here first\n"
                    "route a -> b\n"
                    "in all 100.00% of the keys move (3000 of 3000)\n")


def test_keys_without_a_server(tmp_path):
    """What the route answers by itself has no server; it comes and goes too."""
    pools = {"a": (servers(2), ())}
    text = run_plan(tmp_path, config(pools, '{prefix: {"user:1": miss, "*": a}}'), config(pools, "a"))
    mine = sum(key.startswith("user:1") for key in KEYS)
    assert in_all(text) == (mine, len(KEYS))
    assert "\n  %.2f%% of all keys come here (%d of 3000)\n" % (100 * mine / len(KEYS), mine) in text


def test_migrations_are_as_they_stand(tmp_path):
    """Half of the keys are on their way; `hold` says which half."""
    pools = {"a": (servers(2), ()), "b": (servers(2, 20), ())}
    route = "{migrate: {from: a, to: b, start: 2020-01-01, over: 1h, hold: %s}}"
    text = run_plan(tmp_path, config(pools, "a"), config(pools, route % "50%"))
    moved, of = in_all(text)
    assert 0.4 * of < moved < 0.6 * of
    assert re.search(r"\nnote: migrations as they stand at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\n", text)
    further, _ = in_all(run_plan(tmp_path, config(pools, route % "50%"), config(pools, route % "60%")))
    assert 0.05 * of < further < 0.15 * of


def test_replicas_by_turns_are_said(tmp_path):
    pools = {"a": (servers(2), ()), "b": (servers(2, 20), ())}
    route = "{replicate: {to: [a, b], read: %s}}"
    for read in ("round_robin", "least_connections", "fastest"):
        text = run_plan(tmp_path, config(pools, route % read), config(pools, route % read))
        assert "\nnote: a replicate node reads by turns, load or latency" in text
        assert in_all(text) == (0, len(KEYS))
    assert "note" not in run_plan(tmp_path, config(pools, route % "first"), config(pools, route % "first"))


def test_every_error_of_both_files(tmp_path):
    said = run_plan(tmp_path, one_pool([]), one_pool(servers(1), "timeout: 5"), expect=1)
    assert [line.split(":")[0] for line in said.splitlines()] == ["old.yaml", "new.yaml"]
    said = run_plan(tmp_path, one_pool(servers(1)), one_pool(servers(1)).replace("route: main", "route: mian"), expect=1)
    assert said.startswith("new.yaml:3:8: ")


def test_what_cannot_be_built(tmp_path):
    """A ring that no reading refuses: both commands tell it, at its pool."""
    heavy = ["{address: 10.1.%d.%d, weight: 1000000}" % divmod(i, 250) for i in range(4400)]
    text = config({"a": (servers(1), ()), "b": (heavy, ("distribution: modulo",))}, "a")
    said = run_plan(tmp_path, one_pool(servers(1)), text, expect=1)
    assert said == ("new.yaml:3:3: pool `b`: the weights of a modulo distribution add up to more than 4294967295\n")
    done = run_ringside("check", "-c", "new.yaml", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.decode() == said and done.stdout == b""
    wide = ["10.%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255) for i in range(65536)]
    (tmp_path / "wide.yaml").write_text(one_pool(wide, "distribution: maglev"))
    done = run_ringside("check", "-c", "wide.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == b"wide.yaml:2:3: pool `main`: a maglev distribution holds at most 65535 servers\n"


@pytest.mark.parametrize("keys, said", [
    ("a\nb c\n", "keys:2: this is no key: 1 to 250 bytes, without spaces and control characters\n"),
    ("a\n\n\n" + "x" * 251, "keys:4: this is no key: 1 to 250 bytes, without spaces and control characters\n"),
    ("a\0b\n", "keys:1: this is no key: 1 to 250 bytes, without spaces and control characters\n"),
    ("\n\n", "keys: there is no key in it\n"),
    ("", "keys: there is no key in it\n"),
])
def test_files_of_keys_that_are_wrong(tmp_path, keys, said):
    (tmp_path / "c.yaml").write_text(one_pool(servers(2)))
    (tmp_path / "keys").write_text(keys)
    done = run_ringside("plan", "c.yaml", "c.yaml", "--keys", "keys", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.decode() == said and done.stdout == b""


def test_files_of_keys_as_they_come(tmp_path):
    """Lines that end as on Windows, empty lines, no end of the last line, bytes that are no UTF-8."""
    (tmp_path / "c.yaml").write_text(one_pool(servers(2)))
    (tmp_path / "keys").write_bytes(b"a\r\n\n\r\nb\n\xff\xfe\n" + b"x" * 250)
    done = run_ringside("plan", "c.yaml", "c.yaml", "-k", "keys", cwd=tmp_path)
    assert done.returncode == 0 and in_all(done.stdout.decode()) == (0, 4)


def test_files_that_are_not_there(tmp_path):
    (tmp_path / "c.yaml").write_text(one_pool(servers(2)))
    for args in (("absent", "c.yaml"), ("c.yaml", "absent"), ("c.yaml", "c.yaml", "--keys", "absent"),
                 ("c.yaml", "c.yaml", "--keys", ".")):
        done = run_ringside("plan", *args, cwd=tmp_path)
        assert done.returncode == 3 and done.stdout == b"" and done.stderr


@pytest.mark.parametrize("args", [
    ["plan"], ["plan", "a"], ["plan", "a", "b", "c"], ["plan", "-c", "a", "b", "c"], ["plan", "a", "b", "--keys"],
    ["plan", "a", "b", "--server", "127.0.0.1"], ["plan", "a", "b", "-k", "x", "-k", "y"],
    ["check", "-c", "a", "--keys", "b"],
])
def test_wrong_command_lines(args):
    done = run_ringside(*args)
    assert done.returncode == 2 and done.stderr.startswith(b"ringside: ") and done.stdout == b""
