"""The documents against the program: options, keys with defaults and ranges, log events, counters, examples."""

import re
import subprocess

import pytest

from harness import ROOT, run_ringside

DOCS = ROOT / "docs"
CONFIGURATION = (DOCS / "CONFIGURATION.md").read_text()
OPERATIONS = (DOCS / "OPERATIONS.md").read_text()
README = (ROOT / "README.md").read_text()
FOLDERS = ("base", "event", "tls", "wire", "pool", "routing", "config", "proxy", "admin", "discovery", "bus")

# Where the keys of each table of config/bind*.c stand in the file.
PREFIXES = {
    "config_options": "", "limits_options": "limits.", "log_options": "log.", "listen_options": "listen[].",
    "pool_options": "pools.NAME.", "health_options": "pools.NAME.health.", "server_options": "pools.NAME.servers[].",
    "listen_tls_options": "listen[].tls.", "identity_options": "listen[].tls.certificates[].",
    "pool_tls_options": "pools.NAME.tls.", "pool_auth_options": "pools.NAME.auth.", "users_options": "users.",
    "access_options": "access[].", "failover_options": "route.failover.", "replicate_options": "route.replicate.", "warm_options": "route.warm.",
    "migrate_options": "route.migrate.", "shadow_options": "route.shadow.", "limit_options": "route.limit.",
    "rewrite_options": "route.rewrite.", "ttl_options": "route.ttl.",
}

# The least that each kind of route node must have.
NODES = {
    "failover": {"to": "[main, main]"}, "replicate": {"to": "[main, main]"}, "warm": {"cold": "main", "warm": "main"},
    "migrate": {"from": "main", "to": "main", "start": "2026-11-21", "over": "1h"},
    "shadow": {"to": "main", "copy": "main"}, "limit": {"to": "main", "rate": "1000/s"},
    "rewrite": {"to": "main", "add": "a", "strip": "b"}, "ttl": {"to": "main", "max": "0s", "jitter": "0%"},
}

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
         "%": 1, "/s": 1, "": 1}
SMALLEST = {"duration": "ms", "size": "B", "share": "%", "number": "", "rate": "/s"}

# What else has to be written so that a value at its limit makes sense.
BESIDE = {
    "pools.NAME.health.probe": {"pools.NAME.health.probe_max": "24h"},
    "pools.NAME.health.probe_max": {"pools.NAME.health.probe": "10ms"},
    "listen[].auth": {"users.file": "users"},
    "listen[].tls.client_certificate": {"listen[].tls.certificate": "server.pem", "listen[].tls.key": "server.key",
                                        "listen[].tls.client_ca": "ca.pem"},
    "listen[].tls.min_version": {"listen[].tls.certificate": "server.pem", "listen[].tls.key": "server.key"},
    "pools.NAME.tls.insecure": {"pools.NAME.tls.server_name": "x"},
    "pools.NAME.tls.min_version": {"pools.NAME.tls.server_name": "x"},
    "pools.NAME.auth.mechanism": {"pools.NAME.auth.user": "app", "pools.NAME.auth.password_file": "secret"},
}

# The same, for one choice.
BESIDE_CHOICE = {
    ("pools.NAME.auth.mechanism", "sasl"): {"pools.NAME.protocol": "binary"},
}

# Mappings that are there or not as a whole: to write a default within them is to write them.
OPTIONAL = ("listen[].tls.", "pools.NAME.tls.", "pools.NAME.auth.")


def tables(text, first_column):
    """The rows of all tables of a document whose first column has that title, as {title: cell}, quotes kept."""
    rows, titles = [], None
    for line in text.splitlines() + [""]:
        if not line.startswith("|"):
            titles = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if titles is None:
            titles = cells
        elif titles[0] == first_column and not set(cells[0]) <= set("-: "):
            assert len(cells) == len(titles), line
            rows.append(dict(zip(titles, cells)))
    return rows


def quoted(cell):
    """The words in backquotes of a cell."""
    return re.findall(r"`([^`]*)`", cell)


def the_quoted(cell):
    words = quoted(cell)
    assert len(words) == 1, cell
    return words[0]


REFERENCE = [row for row in tables(CONFIGURATION, "key") if "reload" in row]
REFUSED = [row for row in tables(CONFIGURATION, "key") if "reload" not in row]
ROUTES = tables(CONFIGURATION, "route key")


def sources():
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.c"))]


# The command line

def manual():
    """The man page as plain text: without macros, fonts and escapes."""
    lines = []
    for line in (DOCS / "ringside.1").read_text().splitlines():
        line = re.sub(r"^\.[A-Z]+ ?", "", line)
        line = re.sub(r"\\f.|\\c|\\\||\\&", "", line.replace("\\-", "-").replace("\\~", " ").replace('"', ""))
        lines.append(line)
    return re.sub(r"\s+", " ", " ".join(lines))


def test_the_manual_has_every_command_and_option():
    told = run_ringside("--help").stdout.decode()
    commands = re.findall(r"^  ringside (\S+)", told, re.M)
    options = re.findall(r"^  (-\S), (--\S+) (\S+)$", told, re.M)
    assert len(commands) >= 5 and len(options) >= 3, told
    text = manual()
    body = text[text.index(" COMMANDS "):text.index(" SIGNALS ")]
    for command in commands:
        assert "ringside " + command in body, command
    for short, name, argument in options:
        assert re.search(r"%s *, *%s *%s" % (short, name, argument), body), name
    known = set(commands) | {word for option in options for word in option[:2]} | {"--", "-h", "-V"}
    assert set(re.findall(r"(?<!\S)--?[a-zA-Z]*(?=[ ,.=]|$)", body)) <= known, "an option that is not there"


@pytest.mark.parametrize("short, name", [("-h", "--help"), ("-V", "--version")])
def test_short_names_of_commands(short, name):
    assert run_ringside(short).stdout == run_ringside(name).stdout


# The configuration

def put(tree, path, value):
    """Sets what stands at a path of the reference."""
    *way, last = path.replace("NAME", "main").split(".")
    for step in way:
        if step.endswith("[]"):
            tree = tree.setdefault(step[:-2], [{}])[0]
        else:
            tree = tree.setdefault(step, {})
    tree[last] = value


def check(directory, settings):
    """Runs `ringside check` over a file with one pool and these settings, {path of the reference: value}."""
    tree = {}
    for path, value in {"pools.NAME.servers[].address": "127.0.0.1:11311", **settings}.items():
        put(tree, path, value)
    for listener in tree.get("listen", []):
        listener.setdefault("address", "127.0.0.1:11211")
    path = directory / "documented.yaml"
    path.write_text(flow(tree) + "\n")
    return run_ringside("check", "-c", path)


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    """A certificate and its key, as text."""
    folder = tmp_path_factory.mktemp("identity")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=documented", "-keyout", folder / "key", "-out", folder / "certificate"], check=True,
                   stderr=subprocess.DEVNULL)
    return (folder / "certificate").read_text(), (folder / "key").read_text()


@pytest.fixture
def with_files(tmp_path, identity):
    """A directory with every file that the documents name."""
    certificate, key = identity
    for name in ("server", "clients", "ca", "me"):
        (tmp_path / (name + ".pem")).write_text(certificate)
        (tmp_path / (name + ".key")).write_text(key)
    (tmp_path / "users").write_text("# nobody yet\n")
    (tmp_path / "secret").write_text("open sesame\n")
    return tmp_path


def flow(value):
    """YAML in flow style; text stands as it is."""
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (key, flow(item)) for key, item in value.items())
    if isinstance(value, list):
        return "[%s]" % ", ".join(flow(item) for item in value)
    return str(value)


def keys_of_tables():
    """{path: the row's text} for all rows of the option tables, and the set of those that are for later versions."""
    rows, later = {}, set()
    for path in sorted((ROOT / "config").glob("bind*.c")):
        text = path.read_text()
        for table, body in re.findall(r"static const struct option (\w+)\[\] = \{\n(.*?)\n\};", text, re.S):
            prefix = PREFIXES[table]
            for row in re.split(r"\n(?=    \{)", body):
                name = re.search(r'\{(?:\.name = )?"(\w+)"', row)
                if name is None:
                    assert "NULL" in row, row
                    continue
                rows[prefix + name.group(1)] = row
                if "OPTION_LATER" in row:
                    later.add(prefix + name.group(1))
    return rows, later


def test_every_key_is_documented():
    rows, later = keys_of_tables()
    assert len(rows) > 60
    told = {the_quoted(row["key"]) for row in REFERENCE}
    of_routes = {"route." + the_quoted(row["route key"]) for row in ROUTES}
    assert of_routes == {path for path in rows if path.startswith("route.")}
    assert told == set(rows) - later - of_routes
    assert {path for path in map(the_quoted, (row["key"] for row in REFUSED)) if ":" not in path} == later


def test_what_waits_for_a_restart():
    rows, _ = keys_of_tables()
    told = {the_quoted(row["key"]): row["reload"] for row in REFERENCE}
    assert set(told.values()) == {"yes", "restart"}
    for path, row in rows.items():
        if ".restart = true" in row:
            assert told[path] == "restart", path


def defaults():
    found = {}
    for row in REFERENCE:
        path, words = the_quoted(row["key"]), quoted(row["default"])
        value = words[0] if words else row["default"]
        if path.startswith(OPTIONAL):
            continue
        if re.fullmatch(r"\d+(ms|s|m|h|B|KiB|MiB|GiB|%)?|[a-z]+", value) and value != "none" and "below" not in value:
            found[path] = value
    return found


def test_defaults(tmp_path):
    """A file that writes all documented defaults down is the same as one that writes none."""
    written = defaults()
    assert len(written) >= 20
    plain, explicit = check(tmp_path, {}), check(tmp_path, written)
    assert explicit.returncode == 0, explicit.stderr
    assert plain.stdout == explicit.stdout


@pytest.mark.parametrize("row", [row for row in REFERENCE if the_quoted(row["key"]).startswith(OPTIONAL) and
                                 row["type"] == "choice"], ids=lambda row: the_quoted(row["key"]))
def test_defaults_within_optional_mappings(with_files, row):
    path = the_quoted(row["key"])
    # `client_ca` is only for those who say what they ask for.
    beside = {key: value for key, value in BESIDE[path].items() if not key.endswith("client_ca")}
    plain, explicit = check(with_files, beside), check(with_files, {**beside, path: the_quoted(row["default"])})
    assert explicit.returncode == 0, explicit.stderr
    assert plain.stdout == explicit.stdout


def ends_of_ranges(rows, first_column):
    for row in rows:
        kind = row["type"].split()[0]
        found = re.fullmatch(r"(\d+)(\D*) to (\d+)(\D*)", row["range"].replace("`", "").replace('"', ""))
        if kind in SMALLEST:
            assert found, row
            low, low_unit, high, high_unit = found.groups()
            yield the_quoted(row[first_column]), kind, (int(low), low_unit), (int(high), high_unit)


def ranges():
    yield from ends_of_ranges(REFERENCE, "key")
    for path, *rest in ends_of_ranges(ROUTES, "route key"):
        yield "route." + path, *rest


def node_beside(path):
    """What a route node must have beside the key at that path, {path: value}."""
    _, kind, name = path.split(".")
    return {"route.%s.%s" % (kind, key): value for key, value in NODES[kind].items() if key != name}


@pytest.mark.parametrize("path, kind, low, high", [pytest.param(*row, id=row[0]) for row in ranges()])
def test_ranges(tmp_path, path, kind, low, high):
    """Both ends are accepted, and what lies beyond is not."""
    unit, beside = SMALLEST[kind], node_beside(path) if path.startswith("route.") else BESIDE.get(path, {})
    for number, its in (low, high):
        done = check(tmp_path, {**beside, path: "%d%s" % (number, its)})
        assert done.returncode == 0, done.stderr
    beyond = [high[0] * UNITS[high[1]] + 1] + [low[0] * UNITS[low[1]] - 1] * (low[0] > 0)
    for number in beyond:
        done = check(tmp_path, {**beside, path: "%d%s" % (number, unit)})
        assert done.returncode == 1 and path.rsplit(".")[-1].encode() in done.stderr, number


@pytest.mark.parametrize("row", [row for row in REFERENCE if row["type"] == "choice"],
                         ids=lambda row: the_quoted(row["key"]))
def test_choices(with_files, row):
    path, choices = the_quoted(row["key"]), quoted(row["range"])
    beside = BESIDE.get(path, {})
    name = path.rsplit(".")[-1]
    if name in ("distribution", "hash"):
        line = re.search(r"- `%s`: (.*?)\.\s" % name, CONFIGURATION, re.S).group(1)
        choices = quoted(line)
        done = check(with_files, {path: "q" * 20})
        assert set(choices) == set(quoted(done.stderr.decode().split("known are")[1]))
    for choice in choices:
        done = check(with_files, {**beside, **BESIDE_CHOICE.get((path, choice), {}), path: choice})
        assert done.returncode == 0, done.stderr
    done = check(with_files, {**beside, path: "q" * 20})
    assert done.returncode == 1
    choices = {choice.strip('"') for choice in choices}
    assert set(quoted(done.stderr.decode())) - {name, "q" * 20} == choices, "all choices are told"


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: the_quoted(row["route key"]))
def test_route_keys(tmp_path, row):
    """What has no default must be there; a default written down changes nothing; all choices are told."""
    path = "route." + the_quoted(row["route key"])
    name, beside = path.rpartition(".")[2], node_beside(path)
    plain = check(tmp_path, beside or {path.rpartition(".")[0]: "{}"})
    if row["default"].startswith("none: must be there"):
        assert plain.returncode == 1 and ("has no `%s`" % name).encode() in plain.stderr
    elif quoted(row["default"]):
        explicit = check(tmp_path, {**beside, path: the_quoted(row["default"])})
        assert explicit.returncode == 0 and plain.stdout == explicit.stdout, explicit.stderr
    if row["type"].endswith("choice") or row["type"].endswith("choices"):
        several, choices = row["type"].startswith("list"), quoted(row["range"])
        for choice in choices:
            done = check(tmp_path, {**beside, path: "[%s]" % choice if several else choice})
            assert done.returncode == 0, done.stderr
        done = check(tmp_path, {**beside, path: "[qqq]" if several else "qqq"})
        assert set(quoted(done.stderr.decode())) - {name, "qqq"} == set(choices), "all choices are told"


def test_every_node_is_documented(tmp_path):
    known = re.findall(r'X\([A-Z]+, "(\w+)"\)', (ROOT / "routing" / "spec.h").read_text())
    told = [the_quoted(row["node"]).split(":")[0] for row in tables(CONFIGURATION, "node")]
    assert ["pool"] + [re.sub(r"\W", "", node) for node in told] == known
    example = (ROOT / "etc" / "routes.yaml").read_text()
    for node in known[1:]:
        assert re.search(r"\b%s\b *(:|#|$)" % node, example, re.M), node


def test_denied_commands():
    told = re.search(r"`deny` takes names of commands: `(.*?)`", CONFIGURATION, re.S).group(1).split()
    known = re.findall(r'X\(\w+, "(\w+)"', (ROOT / "wire" / "verb.h").read_text())
    assert sorted(told) == sorted(known)
    in_readme = re.search(r"Commands: `(.*?)`", README, re.S).group(1).split()
    assert sorted(in_readme) == sorted(known)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: the_quoted(row["key"]))
def test_what_is_refused(tmp_path, row):
    path, _, value = the_quoted(row["key"]).partition(": ")
    done = check(tmp_path, {path: value or "{}"})
    assert done.returncode == 1
    assert b"is not supported by this version" in done.stderr, done.stderr


def examples():
    for name, text in (("README.md", README), ("CONFIGURATION.md", CONFIGURATION), ("OPERATIONS.md", OPERATIONS)):
        for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", text, re.S | re.M)):
            yield pytest.param(block, id="%s-%d" % (name, number))


@pytest.mark.parametrize("text", examples())
def test_examples_are_good(with_files, text):
    path = with_files / "example.yaml"
    path.write_text(text)
    done = run_ringside("check", "-c", path)
    assert done.returncode == 0, done.stderr


def test_the_answers_in_the_readme(tmp_path):
    """What README shows of `route` and of a file with errors is what comes out."""
    path = tmp_path / "ringside.yaml"
    path.write_text(re.search(r"^```yaml\n(.*?)^```", README, re.S | re.M).group(1))
    assert "    " + run_ringside("route", "-c", path, "user:1").stdout.decode() in README
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("pools:\n  main:\n    timeout: 250\n    on_eror: miss\n    servers: [10.0.0.1]\n")
    lines = run_ringside("check", "-c", "wrong.yaml", cwd=tmp_path).stderr.decode().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "    %s\n" % line in README


# The log

def events_of_sources():
    """{event: set of levels} from the log_*() calls."""
    found = {}
    for path in sources():
        if path.name == "log.c":
            continue
        for level, rest in re.findall(r"\blog_(error|warning|info|debug)\(((?:[^\"]|\"[^\"]*\")*?),", path.read_text()):
            names = re.findall(r'"(\w+)"', rest)
            assert names, "%s: %s" % (path, rest)
            for name in names:
                found.setdefault(name, set()).add(level)
    return found


def test_every_log_event_is_documented():
    known = events_of_sources()
    assert len(known) > 15
    told = {the_quoted(row["event"]): set(row["level"].split(", ")) for row in tables(OPERATIONS, "event")}
    assert told == known
    assert all(row["meaning"] and row["what to do"] for row in tables(OPERATIONS, "event"))


# Counters

def test_every_counter_is_documented(lab):
    ringside = lab.ringside(servers=lab.memcacheds(1))
    wire = lab.wire(ringside)

    def names(form):
        wire.send(b"stats " + form + b"\r\n")
        return {name.rpartition(":")[2] for name in wire.read_stats()}

    told = {the_quoted(row["name, after `ringside_`"]) for row in tables(OPERATIONS, "name, after `ringside_`")}
    assert {"ringside_" + name for name in told} == names(b"ringside")
    rows = tables(OPERATIONS, "name, after the prefix")
    for form, others in ((b"servers", "pools"), (b"pools", "servers")):
        assert {the_quoted(row["name, after the prefix"]) for row in rows if row["of"] != others} == names(form)


# Whatever is named

def test_files_that_are_named_are_there():
    for text in (README, CONFIGURATION, OPERATIONS):
        for name in re.findall(r"\b((?:docs|etc|tests|build-aux)/[\w./-]*\w)(?![*\w])", text):
            assert (ROOT / name).exists() or name == "etc", name


def test_what_tests_stand_on_is_distributed():
    """Beside the folders that go as a whole: `make distcheck` misses only what is compiled."""
    listed = "".join(path.read_text() for path in sorted(ROOT.glob("*/include.am")))
    for path in sorted((ROOT / "tests").glob("*/*.[hp]*")):
        name = str(path.relative_to(ROOT))
        if path.suffix in (".h", ".py") and path.parent.name not in ("flow", "fault"):
            assert name in listed, name
