"""Health: when a server is down, where its keys go meanwhile, who asks it, and what brings it back."""

import threading

import pytest

from fakeserver import answer, close_instead, held, late, mute
from faults import (HASTY, ONE_WORKER, QUICK, calm, expect_server_error, fakes_of, homes, load_of, read_retrieval,
                    wait_down, wait_until, wait_up, where)
from harness import pool_of


@pytest.mark.sanitize
def test_exactly_the_keys_of_the_dead_server_move(lab):
    """on_down: next. The others stay where they are; the moved ones come home with the server."""
    fakes = fakes_of(lab, 4)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="next", health=QUICK)
    wire = lab.wire(ringside)
    keys = homes(wire, fakes, 400)
    dead, alive = fakes[0], fakes[1:]
    dead.refuse()
    wire.send(b"get %s\r\n" % keys[dead][0])  # may still find the broken connection
    read_retrieval(wire, [keys[dead][0]])
    wait_down(ringside, dead)
    for server, there in keys.items():
        for key in there:
            wire.set(key, b"while it is down")
    for fake in alive:
        moved_here = [key for key in fake.store.items if key in keys[dead]]
        stayed = [key for key in fake.store.items if key not in moved_here]
        assert sorted(stayed) == sorted(keys[fake]), "a living server's key moved"
        assert moved_here, "nothing moved to one of the living"
        for key in keys[fake]:
            assert fake.store.value(key) == b"while it is down"
    assert sorted(key for fake in alive for key in fake.store.items if key in keys[dead]) == sorted(keys[dead])
    dead.listen()
    wait_up(ringside, dead)
    for server, there in keys.items():
        for key in there:
            wire.set(key, b"home again")
    for key in keys[dead]:
        assert dead.store.value(key) == b"home again"
    for fake in alive:
        assert all(fake.store.value(key) == b"home again" for key in keys[fake])
        assert all(fake.store.value(key) != b"home again" for key in fake.store.items if key in keys[dead])
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("on_down", ["next", "hold"])
def test_no_client_request_is_the_probe(lab, on_down):
    """A server that is down sees `version` and nothing else, whatever clients ask; a good answer brings it back."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down=on_down, health=QUICK, timeout="1s")
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    fake = fakes[0]
    fake.refuse()
    wire.send(b"get %s\r\n" % keys[fake][0])
    read_retrieval(wire, [keys[fake][0]])
    wait_down(ringside, fake)
    seen = len(fake.commands)
    lie = fake.misbehave(answer(b"SERVER_ERROR not yet\r\n"), verbs="version mn")
    fake.listen()
    while lie.played < 5:
        for key in keys[fake]:
            wire.send(b"get %s\r\nset %s 0 0 2\r\nno\r\n" % (key, key))
            read_retrieval(wire, [key])
            assert wire.read_line().startswith(b"SERVER_ERROR " if on_down == "hold" else b"STORED")
    assert set(fake.verbs(seen)) <= {"version", "mn"}, fake.verbs(seen)
    assert not ringside.log("server_up")
    fake.behave()
    wait_up(ringside, fake)
    assert wire.get(keys[fake][0]) == b"at " + keys[fake][0]
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("lie", ["garbage", "wrong-type", "close", "mute"])
def test_only_a_good_probe_brings_it_back(lab, lie):
    """A server that accepts and answers the probe with rubbish, or not at all, stays down."""
    plays = {"garbage": answer(b"\x00\x01\r\n"), "wrong-type": answer(b"STORED\r\n"), "close": close_instead(),
             "mute": mute()}
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="next", health=QUICK, connect_timeout="1s", timeout="1s")
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    fake = fakes[0]
    fake.refuse()
    wire.send(b"get %s\r\n" % keys[fake][0])
    read_retrieval(wire, [keys[fake][0]])
    wait_down(ringside, fake)
    rule = fake.misbehave(plays[lie])
    fake.listen()
    wait_until(lambda: rule.played >= 3, "three probes")
    assert not ringside.log("server_up")
    fake.behave()
    wait_up(ringside, fake)
    wire.in_step()


@pytest.mark.sanitize
def test_down_after_so_many_failures_in_a_row(lab):
    """health.failures consecutive ones; a success in between begins the count again."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold",
                            health={"failures": 4, "probe": "50ms", "probe_max": "200ms", "panic": "100%"})
    wire = lab.wire(ringside)
    fake = fakes[0]
    wire.set(b"key", b"value")
    for _ in range(3):
        fake.misbehave(close_instead(), verbs="set", times=3)
        for i in range(3):
            wire.send(b"set other 0 0 1\r\nx\r\n")
            expect_server_error(wire, fake.address)
        assert wire.get(b"key") == b"value"
    assert not ringside.log("server_down")
    fake.misbehave(close_instead(), verbs="set", times=4)
    for i in range(4):
        wire.send(b"set other 0 0 1\r\nx\r\n")
        expect_server_error(wire, fake.address)
    wait_down(ringside, fake)
    wait_up(ringside, fake)
    wire.in_step()


@pytest.mark.sanitize
def test_a_server_that_is_always_too_slow_goes_down(lab):
    """Its late replies are dropped; they are no sign of health."""
    fakes = fakes_of(lab, 1)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", timeout="200ms",
                            health={"failures": 3, "probe": "50ms", "probe_max": "200ms", "panic": "100%"})
    wire = lab.wire(ringside)
    fakes[0].misbehave(late(350), verbs="get set")
    for _ in range(12):
        wire.send(b"get key\r\n")
        expect_server_error(wire, "main", fakes[0].address)
    assert ringside.log("server_down")
    fakes[0].behave()
    wait_up(ringside, fakes[0])


@pytest.mark.sanitize
def test_panic(lab):
    """Four of five die: more than half may not be down, so not all are ejected, and errors tell of the rest."""
    fakes = fakes_of(lab, 5)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="next",
                            health={"failures": 1, "probe": "50ms", "probe_max": "200ms", "panic": "50%"})
    wire = lab.wire(ringside)
    keys = homes(wire, fakes, 500)
    for fake in fakes[1:]:
        fake.refuse()
    for _ in range(3):  # all have failed once the first rounds are through
        for fake in fakes:
            for key in keys[fake][:3]:
                wire.send(b"set %s 0 0 4\r\nlost\r\n" % key)
                wire.read_line()
    ejected = set()
    for fake in fakes[1:]:
        lines = set()
        for key in keys[fake]:
            wire.send(b"set %s 0 0 6\r\nfailed\r\n" % key)
            lines.add(wire.read_line())
        if b"STORED" in lines:  # others of its keys may have moved to one that is dead and not ejected
            ejected.add(fake)
        assert all(line == b"STORED" or line.startswith(b"SERVER_ERROR ") for line in lines), lines
    assert 2 <= len(ejected) <= 3, "ejected: %d of 5, panic is at 50%%" % len(ejected)
    for key in keys[fakes[0]]:
        wire.set(key, b"here")
    assert all(fakes[0].store.value(key) == b"here" for key in keys[fakes[0]])
    for fake in fakes[1:]:
        fake.listen()
    wait_until(lambda: all_at_home(wire, keys), "all keys to be at home again")
    wire.in_step()


def all_at_home(wire, keys):
    """Whether each key, stored now, lands where it was before the trouble."""
    for fake, there in keys.items():
        for key in there[:10]:
            wire.send(b"set %s 0 0 4\r\nhome\r\n" % key)
            if wire.read_line() != b"STORED":
                return False
    ok = all(fake.store.value(key) == b"home" for fake, there in keys.items() for key in there[:10])
    for fake, there in keys.items():
        for key in there[:10]:
            fake.store.put(key, b"reset")
    return ok


@pytest.mark.sanitize
def test_servers_that_are_not_there_at_start(lab):
    """Ringside starts without any server, says so to clients, and finds them when they come."""
    fakes = fakes_of(lab, 2)
    for fake in fakes:
        fake.refuse()
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=QUICK)
    wire = lab.wire(ringside)
    for i in range(20):
        wire.send(b"get key:%d\r\n" % i)
        expect_server_error(wire, "main")
    for fake in fakes:
        fake.listen()
    homes_found = wait_until(lambda: try_homes(wire, fakes), "both servers to be found")
    assert homes_found
    wire.in_step()


def try_homes(wire, fakes):
    """Whether keys can be stored on both."""
    for i in range(50):
        wire.send(b"set key:%d 0 0 1\r\nx\r\n" % i)
        if wire.read_line() != b"STORED":
            return False
    return all(fake.store.items for fake in fakes)


@pytest.mark.sanitize
def test_other_pools_are_untouched(lab):
    """A reload that takes a dead server out of the pool ends its errors."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="hold", health=QUICK)
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    fakes[0].refuse()
    wire.send(b"get %s\r\n" % keys[fakes[0]][0])
    expect_server_error(wire, fakes[0].address)
    wait_down(ringside, fakes[0])
    ringside.reload({"workers": 1, "route": "main",
                     "pools": {"main": pool_of([fakes[1]], on_down="hold", health=QUICK)}})
    for key in keys[fakes[0]]:
        wire.set(key, b"here now")
    assert sorted(where([fakes[1]], keys[fakes[0]])[fakes[1]]) == sorted(keys[fakes[0]])
    seen = len(fakes[0].commands), fakes[0].connections
    fakes[0].listen()
    for _ in range(200):
        wire.get(keys[fakes[0]][0])
    wire.in_step()
    assert (len(fakes[0].commands), fakes[0].connections) == seen, "a server that has left is still asked"


@pytest.mark.sanitize
def test_health_survives_a_reload(lab):
    """A server that is down and stands in both configurations stays down: its keys stay where they moved."""
    fakes = fakes_of(lab, 3)
    config = {"workers": 1, "route": "main", "pools": {"main": pool_of(fakes, on_down="next", health=QUICK)}}
    ringside = lab.ringside(config)
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    fakes[0].refuse()
    wire.send(b"get %s\r\n" % keys[fakes[0]][0])
    read_retrieval(wire, [keys[fakes[0]][0]])
    wait_down(ringside, fakes[0])
    for key in keys[fakes[0]]:
        wire.set(key, b"moved")
    config["pools"]["main"]["timeout"] = "50s"
    ringside.reload(config)
    for key in keys[fakes[0]]:
        assert wire.get(key) == b"moved"
    fakes[0].listen()
    wait_up(ringside, fakes[0])
    assert wire.get(keys[fakes[0]][0]) == b"at " + keys[fakes[0]][0]
    wire.in_step()


@pytest.mark.sanitize
def test_all_down_and_back(lab):
    """Every server of the pool dies under load and comes back: errors meanwhile, and all is as before."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, on_down="next", **HASTY)
    load = load_of(lab, ringside, connections=4, depth=4, loose=True, errors=True, mix="get=50,multi=10,set=40")
    load.wait_requests(500)
    for fake in fakes:
        fake.refuse()
    load.wait_errors(200)
    for fake in fakes:
        fake.listen()
    wire = lab.wire(ringside)
    wait_until(lambda: try_homes(wire, fakes), "both servers to be found")
    load.wait_requests(500)
    calm(ringside)
    load.finish()
    assert not any(fake.doubled() for fake in fakes)
    wire.in_step()


@pytest.mark.sanitize
@pytest.mark.parametrize("request_text", [b"get %s\r\nget %s\r\n", b"get %s %s\r\n"], ids=["pipeline", "one get"])
def test_replies_do_not_wait_for_a_slow_server(lab, request_text):
    """What was asked for at once is answered in one write if it can be; what is there does not wait for what is slow."""
    fakes = fakes_of(lab, 2)
    ringside = lab.ringside(ONE_WORKER, servers=fakes, timeout="80s", health={"failures": 1000})
    wire = lab.wire(ringside)
    keys = homes(wire, fakes)
    quick, slow = keys[fakes[0]][0], keys[fakes[1]][0]
    thawed = threading.Event()
    fakes[1].misbehave(held(thawed), verbs="get")
    end = b"END\r\n" if request_text.count(b"get") == 2 else b""
    wire.send(request_text % (quick, slow))
    wire.expect(b"VALUE %s 0 %d\r\nat %s\r\n" % (quick, 3 + len(quick), quick) + end)
    thawed.set()
    wire.expect(b"VALUE %s 0 %d\r\nat %s\r\nEND\r\n" % (slow, 3 + len(slow), slow))
