"""
What a client may do: every command against rules for users, commands, keys and listeners; that a refused request leaves no trace,
tells nothing of what is stored, and keeps the connection in step.
"""

import base64

import pytest

from guarded import DENIED, login, write_users
from harness import run_ringside

pytestmark = pytest.mark.sanitize

LOGIN_KEY = b"ringside:login"

# One of each, on a key.
COMMANDS = {
    "get": b"get %s\r\n", "gets": b"gets %s\r\n", "gat": b"gat 0 %s\r\n", "gats": b"gats 0 %s\r\n",
    "set": b"set %s 0 0 1\r\nx\r\n", "add": b"add %s 0 0 1\r\nx\r\n", "replace": b"replace %s 0 0 1\r\nx\r\n",
    "append": b"append %s 0 0 1\r\nx\r\n", "prepend": b"prepend %s 0 0 1\r\nx\r\n", "cas": b"cas %s 0 0 1 9\r\nx\r\n",
    "delete": b"delete %s\r\n", "incr": b"incr %s 1\r\n", "decr": b"decr %s 1\r\n", "touch": b"touch %s 0\r\n",
    "mg": b"mg %s v\r\n", "ms": b"ms %s 1\r\nx\r\n", "md": b"md %s\r\n", "ma": b"ma %s\r\n", "me": b"me %s\r\n",
    "mn": b"mn\r\n", "version": b"version\r\n", "stats": b"stats ringside\r\n", "flush_all": b"flush_all\r\n",
    "verbosity": b"verbosity 1\r\n",
}
KEYLESS = {"mn", "version", "stats", "flush_all", "verbosity"}
EVERYWHERE = {"mn", "version"}
GROUPS = {
    "read": {"get", "gets", "mg", "me"},
    "write": {"set", "add", "replace", "append", "prepend", "cas", "delete", "ms", "md"},
    "arithmetic": {"incr", "decr", "ma"},
    "touch": {"touch", "gat", "gats"},
    "admin": {"stats", "flush_all", "verbosity"},
    "all": set(COMMANDS),
}

# user: (rules, [(command, key, allowed)])
RULES = {
    "exact": ([{"keys": ["k"], "commands": ["all"]}],
              [("get", "k", True), ("get", "k2", False), ("get", "K", False), ("set", "k", True), ("set", "kk", False),
               ("flush_all", "", True), ("mg", "k", True), ("mg", "j", False)]),
    "prefix": ([{"keys": ["app:*", "x"], "commands": ["all"]}],
               [("get", "app:", True), ("get", "app:1", True), ("get", "app", False), ("get", "App:1", False),
                ("set", "app:" + "k" * 246, True), ("set", "x", True), ("set", "xx", False), ("incr", "zapp:1", False)]),
    "star": ([{"keys": ["*"], "commands": ["read"]}], [("get", "anything", True), ("set", "anything", False)]),
    "none-first": ([{"keys": ["app:secret:*"], "commands": ["none"]}, {"keys": ["app:*"], "commands": ["all"]}],
                   [("get", "app:1", True), ("get", "app:secret:1", False), ("delete", "app:secret:", False),
                    ("get", "app:secret", True), ("flush_all", "", False), ("stats", "", True), ("get", "b", False)]),
    "none-last": ([{"keys": ["app:*"], "commands": ["all"]}, {"keys": ["app:secret:*"], "commands": ["none"]}],
                  [("get", "app:secret:1", True), ("flush_all", "", True)]),
    "none-all": ([{"commands": ["none"]}], [(name, "motd", False) for name in COMMANDS]),
    "shared": ([], [("get", "motd", True), ("set", "motd", False), ("get", "other", False), ("version", "", False)]),
    "several": ([{"keys": ["r:*"], "commands": ["read"]}, {"keys": ["w:*"], "commands": ["write"]},
                 {"keys": ["r:1"], "commands": ["delete"]}],
                [("get", "r:1", True), ("set", "r:1", False), ("delete", "r:1", True), ("delete", "r:2", False),
                 ("set", "w:1", True), ("get", "w:1", False), ("mn", "", True), ("stats", "", False)]),
    "here": ([{"listeners": ["127.0.0.1:0"], "commands": ["all"]}, {"commands": ["get"]}],
             [("set", "k", True), ("get", "k", True)]),
    "there": ([{"listeners": ["127.0.0.2:0"], "commands": ["all"]}, {"commands": ["get"]}],
              [("set", "k", False), ("get", "k", True)]),
}
for _group, _commands in GROUPS.items():
    RULES["group-" + _group] = ([{"commands": [_group]}],
                                [(c, "k", c in _commands | EVERYWHERE) for c in COMMANDS])
for _command in COMMANDS:
    # `touch` is the group too.
    RULES["only-" + _command] = ([{"commands": [_command]}],
                                 [(c, "k", c in (GROUPS["touch"] | EVERYWHERE if _command == "touch" else {_command}))
                                  for c in COMMANDS])

FREE = {"user": "root", "commands": ["all"]}


def config_of(lab, rules, users, **more):
    path = write_users(lab.directory / "users", {name: "secret" for name in users})
    return dict({"listen": [{"address": "127.0.0.1:0", "auth": "optional"}, {"address": "127.0.0.2:0", "auth": "optional"}],
                 "users": {"file": str(path)}, "access": rules,
                 "pools": {"main": {"servers": [s.address for s in lab.servers], "timeout": "60s"}}}, **more)


@pytest.fixture(scope="module")
def ruled(shared_lab):
    """A Ringside with all of RULES, over one server."""
    rules = [dict(rule, user=user) for user, (own, _) in RULES.items() for rule in own]
    rules += [FREE, {"user": "*", "keys": ["motd"], "commands": ["get"]}]
    shared_lab.memcached()
    return shared_lab.ringside(config_of(shared_lab, rules, [*RULES, "root"]))


@pytest.fixture
def one(lab):
    """(server, ringside, a wire that may do all with app:*, one that may do all): nobody may read anything else."""
    server = lab.memcached()
    ringside = lab.ringside(config_of(lab, [FREE, {"user": "app", "keys": ["app:*"], "commands": ["all"]}],
                                      ["root", "app"]))
    return server, ringside, user_wire(lab, ringside, "app"), user_wire(lab, ringside, "root")


def user_wire(lab, to, name):
    wire = lab.wire(to)
    wire.command(login(name, "secret", LOGIN_KEY), b"STORED\r\n")
    return wire


def ask(wire, request):
    """All that is answered to it. An empty line, which every client may say, marks the end: ERROR."""
    wire.send(request + b"\r\n")
    answer = wire.read_until(b"\r\nERROR\r\n" if not request.endswith(b"noreply\r\n") else b"ERROR\r\n")
    return answer[:-len(b"ERROR\r\n")]


def app_step(wire):
    """In step, on a key that `app` may use."""
    wire.command(b"set app:step 0 0 1\r\ny\r\nget app:step\r\nmn\r\n", b"STORED\r\nVALUE app:step 0 1\r\ny\r\nEND\r\nMN\r\n")


def request_of(command, key):
    request = COMMANDS[command]
    return request if command in KEYLESS else request % key.encode()


@pytest.mark.parametrize("user", RULES)
def test_rules(shared_lab, ruled, user):
    wire = user_wire(shared_lab, ruled.addresses[0], user)
    for command, key, allowed in RULES[user][1]:
        answer = ask(wire, request_of(command, key))
        assert (answer != DENIED) == allowed, (command, key, answer)
        assert b"ERROR" not in answer or answer == DENIED, (command, key, answer)
    wire.send(b"quit\r\n")
    wire.expect_closed()


def test_listeners_tell_users_apart(shared_lab, ruled):
    here, there = (user_wire(shared_lab, ruled.addresses[1], name) for name in ("here", "there"))
    assert ask(here, request_of("set", "k")) == DENIED and ask(here, request_of("get", "k")) != DENIED
    assert ask(there, request_of("set", "k")) == b"STORED\r\n"


def test_who_is_nobody_has_the_rules_for_everybody(shared_lab, ruled):
    wire = shared_lab.wire(ruled)
    for command in COMMANDS:
        for key in ("motd", "k"):
            allowed = command == "get" and key == "motd"
            assert (ask(wire, request_of(command, key)) != DENIED) == allowed, (command, key)


def test_what_is_refused_reaches_no_server_and_is_counted(one):
    server, _, app, root = one
    root.set("other", b"1")
    before = server.stats()
    for command in COMMANDS:
        if command not in KEYLESS:
            assert ask(app, request_of(command, "other")) == DENIED
    after = server.stats()
    changed = {name for name in before if name.startswith(("cmd_", "get_", "incr_", "decr_", "delete_", "cas_", "touch_"))
               and before[name] != after[name]}
    assert not changed
    assert server.value("other") == b"1"
    root.send(b"stats ringside\r\n")
    assert root.read_stats()["ringside_requests_forbidden"] == str(len(COMMANDS) - len(KEYLESS))


def test_a_refusal_does_not_tell_whether_the_key_exists(one):
    _, _, app, root = one
    root.set("there", b"1")
    for command in COMMANDS:
        if command not in KEYLESS:
            assert ask(app, request_of(command, "there")) == ask(app, request_of(command, "nowhere")) == DENIED
    app.set("app:1", b"one")
    for key in (b"there", b"nowhere"):
        for line in (b"get %s\r\n", b"get app:1 %s\r\n", b"get %s app:1\r\n", b"gets app:1 %s app:1\r\n",
                     b"gat 0 app:1 %s\r\n", b"gats 0 app:1 app:2 app:3 %s\r\n", b"  get  app:1  %s \r\n"):
            assert ask(app, line % key) == DENIED
    app.command(b"get app:1 app:2\r\n", b"VALUE app:1 0 3\r\none\r\nEND\r\n")


def test_noreply_and_quiet(one):
    server, _, app, root = one
    root.set("other", b"5")
    for line in (b"set other 0 0 1 noreply\r\nx\r\n", b"delete other noreply\r\n", b"incr other 1 noreply\r\n",
                 b"touch other 1 noreply\r\n", b"append other 0 0 1 noreply\r\nx\r\n"):
        app.send(line)
    app.send(b"set app:1 0 0 1 noreply\r\nx\r\n")
    app.command(b"get app:1\r\n", b"VALUE app:1 0 1\r\nx\r\nEND\r\n")
    for line in (b"mg other v q\r\n", b"ms other 1 q\r\nx\r\n", b"md other q\r\n", b"ma other q\r\n",
                 b"ms other 1 MA q O123\r\nx\r\n"):
        assert ask(app, line) == DENIED
    app_step(app)
    assert server.value("other") == b"5"
    # flush_all is one of the commands without a key.
    app.command(b"flush_all noreply\r\nget app:1\r\n", b"END\r\n")


@pytest.mark.parametrize("size", [0, 1, 1000, 60_000, 70_000, 300_000, 3_000_000])
def test_the_value_of_a_refused_command_is_swallowed(one, size):
    server, _, app, root = one
    root.set("other", b"old")
    value = (b"\r\nget app:1\r\nset app:1 0 0 1\r\nx\r\n" * (size // 20 + 1))[:size]
    error = DENIED if size <= 1 << 20 else b"SERVER_ERROR object too large for cache\r\n"
    for line in (b"set other 0 0 %d\r\n", b"add other 0 0 %d\r\n", b"append other 0 0 %d\r\n", b"cas other 0 0 %d 1\r\n",
                 b"ms other %d\r\n", b"ms b3RoZXI= %d b\r\n"):
        assert ask(app, line % size + value + b"\r\n") == error
        app.send(line.replace(b"\r\n", b" q\r\n" if line.startswith(b"ms") else b" noreply\r\n") % size + value + b"\r\n")
        if line.startswith(b"ms"):
            app.expect(error)
    app_step(app)
    assert server.value("other") == b"old", "a set that is too large removes an old value, but not one of others"
    assert app.get("app:1") is None
    if size > 1 << 20:
        app.set("app:1", b"old")
        assert ask(app, b"set app:1 0 0 %d\r\n" % size + value + b"\r\n") == error
        assert app.get("app:1") is None


def test_large_values_pass_where_they_may(one):
    _, _, app, _ = one
    app.set("app:large", b"x" * 500_000)
    assert app.get("app:large") == b"x" * 500_000
    assert ask(app, b"ms %s 200000 b\r\n" % b64(b"app:ms") + b"y" * 200_000 + b"\r\n") == b"HD\r\n"
    assert app.get("app:ms") == b"y" * 200_000


def b64(key):
    return base64.b64encode(key)


def test_base64_keys_are_judged_decoded(one):
    server, _, app, root = one
    root.set("other", b"5")
    app.set("app:1", b"7")
    good, bad = b64(b"app:1"), b64(b"other")
    dirty = bad[:3] + b"!" + bad[3:]
    for key in (bad, dirty):
        for line in (b"mg %s b v\r\n", b"mg %s v b\r\n", b"mg %s v bogus\r\n", b"mg %s q k b O1 v\r\n", b"ms %s 1 b\r\nx\r\n",
                     b"ms %s 1 T30 b\r\nx\r\n", b"md %s b\r\n", b"md %s q b\r\n", b"ma %s b\r\n", b"me %s b\r\n", b"me %s b x\r\n"):
            assert ask(app, line % key) == DENIED, line % key
    assert server.value("other") == b"5"
    app.command(b"mg %s b v\r\n" % good, b"VA 1\r\n7\r\n")
    app.command(b"ma %s b\r\nmd %s b\r\n" % (good, good), b"HD\r\nHD\r\n")
    assert ask(app, b"mg %s b v\r\n" % b64(b"")) != b"VA"
    app_step(app)


def test_a_base64_key_is_not_judged_as_it_is_written(lab):
    lab.memcached()
    text = b64(b"other").decode()
    rules = [FREE, {"user": "app", "keys": [text], "commands": ["all"]}]
    ringside = lab.ringside(config_of(lab, rules, ["root", "app"]))
    root, app = (user_wire(lab, ringside, name) for name in ("root", "app"))
    root.set("other", b"5")
    for line in (b"mg %s b v\r\n", b"me %s b\r\n", b"md %s b\r\n", b"ms %s 1 b\r\nx\r\n"):
        assert ask(app, line % text.encode()) == DENIED
    app.command(b"mg %s v\r\n" % text.encode(), b"EN\r\n")
    # Whatever stands behind it, it is one key for Ringside and for the server.
    for line in (b"me %s x b\r\n", b"me %s bx\r\n", b"me %s q b\r\n"):
        assert ask(app, line % text.encode()) == b"EN\r\n"


# What a reader, and who may do more, gets to `mg` with flags that change something.
META = [
    (["read"], {"v": True, "v T30": False, "v N30": False, "v R30": False, "t N0": False, "v T0 N30": False}),
    (["read", "touch"], {"v": True, "v T30": True, "v N30": False, "v R30": False, "T30 N30": False}),
    (["read", "gat"], {"v T30": True, "v N30": False}),
    (["read", "write"], {"v": True, "v T30": False, "v N30": True, "v R30": True, "k T30 N30": False}),
    (["mg", "ms", "gat"], {"v": True, "v T30": True, "v N30 R30": True, "T30 N30 R30 v q k O1": True}),
    (["write", "touch"], {"v": False, "v T30": False, "v N30": False}),
]


@pytest.mark.parametrize("commands,flags", META)
@pytest.mark.parametrize("encoded", [False, True])
def test_meta_gets_that_change_an_item(lab, commands, flags, encoded):
    lab.memcached()
    ringside = lab.ringside(config_of(lab, [FREE, {"user": "app", "commands": commands}], ["root", "app"]))
    root, app = (user_wire(lab, ringside, name) for name in ("root", "app"))
    for i, (text, allowed) in enumerate(flags.items()):
        key = b"k%d" % i
        line = b"mg %s b %s\r\n" % (b64(key), text.encode()) if encoded else b"mg %s %s\r\n" % (key, text.encode())
        assert (ask(app, line) != DENIED) == allowed, line
        made = ask(root, b"mg %s t\r\n" % key) != b"EN\r\n"
        assert made == (allowed and "N" in text), line


def test_keys_of_gets_in_sight(one):
    server, _, app, root = one
    root.set("other", b"hidden")
    app.set("app:1", b"one")
    for count in (2, 127, 128, 129, 300, 5000):
        for at in (0, 1, count // 2, count - 1):
            keys = [b"app:1"] * count
            keys[at] = b"other"
            before = server.stats()["cmd_get"]
            assert ask(app, b"get " + b" ".join(keys) + b"\r\n") == DENIED
            assert server.stats()["cmd_get"] == before
    assert ask(app, b"get" + b" app:1" * 300 + b"\r\n") == b"VALUE app:1 0 3\r\none\r\n" * 300 + b"END\r\n"
    app_step(app)


@pytest.mark.parametrize("size", [2_000, 2_100, 16_000, 65_000])
def test_keys_of_gets_that_come_in_pieces(one, size):
    """A line that fits what is kept at once is refused as a whole, however the network cuts it."""
    server, _, app, root = one
    root.set("other", b"hidden")
    app.set("app:1", b"one")
    keys = [b"app:1"] * (size // 6 - 2)
    line = b"get " + b" ".join([*keys, b"other"]) + b"\r\n"
    for step in (len(line) // 2, 1500, 100):
        before = server.stats()["cmd_get"]
        pieces = [line[i:i + step] for i in range(0, len(line), step)]
        assert app.exchange(pieces, until=lambda got: got.endswith((b"denied\r\n", b"END\r\n"))) == DENIED
        assert server.stats()["cmd_get"] == before
    line = b"get " + b" ".join(keys) + b"\r\n"
    expected = b"VALUE app:1 0 3\r\none\r\n" * len(keys) + b"END\r\n"
    assert app.exchange([line[:1900], line[1900:]], until=lambda got: got.endswith(b"END\r\n")) == expected
    app_step(app)


@pytest.mark.parametrize("key", [b"other", b"nowhere"])
@pytest.mark.parametrize("at", [1, 200, 300, 600, 1000, 1499])
def test_keys_of_gets_longer_than_any_buffer(one, key, at):
    """1500 keys of 200 bytes: 300 KB in one line."""
    server, ringside, app, root = one
    root.set("other", b"hidden")
    app.set("app:last", b"one")
    names = [b"app:%0196d" % i for i in range(1500)] + [b"app:last"]
    names[at] = key
    line = b"get " + b" ".join(names) + b"\r\n"
    before = server.stat("get_hits")
    for pieces in ([line], [line[i:i + 1900] for i in range(0, len(line), 1900)]):
        answer = app.exchange(pieces, until=lambda got: got.endswith((DENIED, b"END\r\n")))
        assert answer.endswith(DENIED) and b"hidden" not in answer and b"VALUE other" not in answer
        assert answer.replace(b"VALUE app:last 0 3\r\none\r\n", b"") == DENIED
        app_step(app)
    # Two values of app:last, at most, and those of app_step.
    assert server.stat("get_hits") - before <= 4
    del names[at]
    line = b"get " + b" ".join(names) + b"\r\n"
    assert app.exchange([line], until=lambda got: got.endswith(b"END\r\n")) == b"VALUE app:last 0 3\r\none\r\nEND\r\n"


def test_what_follows_a_forbidden_key_is_not_asked_for(one):
    server, ringside, app, root = one
    root.set("other", b"hidden")
    app.set("app:1", b"one")
    before = server.stats()["cmd_get"]
    app.send(b"get other" + b" app:1" * 500)
    ringside.wait_read()
    app.send(b" app:1" * 50_000 + b"\r\n")
    app.expect(DENIED)
    assert server.stats()["cmd_get"] == before
    app_step(app)


def test_denied_commands_go_before(lab):
    lab.memcached()
    listen = [{"address": "127.0.0.1:0", "auth": "optional", "deny": ["delete"]}]
    ringside = lab.ringside(config_of(lab, [{"user": "*", "keys": ["a"], "commands": ["all"]}], ["app"], listen=listen))
    wire = lab.wire(ringside)
    denied = b"CLIENT_ERROR delete is denied on this listener\r\n"
    assert ask(wire, b"delete a\r\n") == ask(wire, b"delete b\r\n") == denied
    assert ask(wire, b"get b\r\n") == DENIED


def test_rules_change_under_a_client(one, lab):
    server, ringside, app, root = one
    app.set("app:1", b"one")
    rules = [FREE, {"user": "app", "keys": ["app:*"], "commands": ["read"]}]
    ringside.reload(config_of(lab, rules, ["root", "app"]))
    assert ask(app, b"delete app:1\r\n") == DENIED and app.get("app:1") == b"one"
    ringside.reload(config_of(lab, [FREE], ["root", "app"]))
    assert ask(app, b"get app:1\r\n") == DENIED and ask(app, b"version\r\n") == DENIED
    config = config_of(lab, [FREE], ["root", "app"])
    del config["access"]
    ringside.reload(config)
    for wire in (app, root, lab.wire(ringside)):
        wire.in_step()
    ringside.reload(config_of(lab, rules, ["root", "app"]))
    assert ask(app, b"delete app:1\r\n") == DENIED and app.get("app:1") == b"one"
    root.in_step()
    assert server.value("app:1") == b"one"


def test_rights_are_not_kept_for_the_next_client(one, lab):
    _, ringside, _, root = one
    root.set("other", b"hidden")
    for i in range(40):
        wire = lab.wire(ringside)
        assert ask(wire, b"get other\r\n") == DENIED
        wire.command(login("root" if i % 2 else "app", "secret", LOGIN_KEY), b"STORED\r\n")
        assert (ask(wire, b"get other\r\n") == DENIED) == (i % 2 == 0)
        wire.close()


def test_a_rewritten_key_is_judged_as_the_client_writes_it(lab):
    lab.memcached()
    config = config_of(lab, [FREE, {"user": "app", "keys": ["app:*"], "commands": ["all"]}], ["root", "app"],
                       route={"rewrite": {"to": "main", "strip": "app:", "add": "v2:"}})
    ringside = lab.ringside(config)
    app = user_wire(lab, ringside, "app")
    app.set("app:1", b"one")
    assert ask(app, b"get v2:1\r\n") == ask(app, b"get 1\r\n") == DENIED
    assert app.get("app:1") == b"one" and lab.servers[0].value("v2:1") == b"one"


def test_the_check_tells_the_rules(lab):
    lab.memcached()
    ringside = lab.ringside(config_of(lab, [FREE, {"user": "app", "keys": ["app:*"], "commands": ["read"]}], ["app"]))
    told = run_ringside("check", "-c", ringside.config_path).stdout.decode()
    assert "app: commands read, keys app:*" in told
