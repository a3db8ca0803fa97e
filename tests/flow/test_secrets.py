"""
Secrets in memory: while they are in force Ringside holds them; when they are replaced nothing of them is left, neither of what was
held nor of what was read on the way. Root looks through the whole memory that can be written to.
"""

import base64
import os
import re

import pytest

from certificates import certificates, openssl
from guarded import WRONG, guarded_memcached, login, write_users
from harness import is_sanitized, wait_until

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="only root sees into a process that lets nobody see into it"),
              pytest.mark.plain("OpenSSL's buffers keep what was read last: what is looked for is Ringside's own")]


@pytest.fixture(autouse=True)
def plain_build_only():
    if is_sanitized():
        pytest.skip("a sanitizer keeps what was freed")


def places(ringside, *words):
    """Where in memory any of the words stands: [(mapping, word)]."""
    found = []
    with open("/proc/%d/maps" % ringside.pid, encoding="utf-8") as maps, open("/proc/%d/mem" % ringside.pid, "rb") as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match is None:
                continue
            start, end = (int(text, 16) for text in match.groups())
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:
                continue
            found += [(line.split()[-1], word) for word in words if word in data]
    return found


def long_password(mark):
    """Its mark stands in the middle: the ends of freed memory are soon written to."""
    return "x" * 80 + mark + "y" * 80


def gone(ringside, *words):
    """The last request of the old configuration may still hold it for a moment."""
    wait_until(lambda: not places(ringside, *words), lambda: "a secret to leave: %s" % places(ringside, *words))


def test_the_password_of_a_pool(lab):
    old, new = b"hush-old-password-1", b"hush-new-password-2"
    (lab.directory / "secret").write_text(long_password(old.decode()) + "\n")
    server = guarded_memcached(lab, {"pool": long_password(old.decode())})
    ringside = lab.ringside({"workers": 1}, servers=[server], auth={"user": "pool", "password_file": "secret"})
    wire = lab.wire(ringside)
    wire.in_step()
    assert places(ringside, old), "nothing is found of what must be there"
    (lab.directory / "secret").write_text(long_password(new.decode()) + "\n")
    ringside.reload()
    wire.in_step()
    gone(ringside, old)
    assert places(ringside, new)


def test_the_hash_of_a_user(lab):
    users = write_users(lab.directory / "users", {"app": "secret"})
    config = {"workers": 1, "listen": [{"address": "127.0.0.1:0", "auth": "optional"}], "users": {"file": str(users)}}
    ringside = lab.ringside(config, servers=lab.memcacheds(1))
    text = users.read_bytes().split(b"$")[-1].strip()
    key = base64.b64decode(text + b"=" * (-len(text) % 4))
    assert places(ringside, key), "nothing is found of what must be there"
    write_users(users, {"app": "changed"})
    ringside.reload()
    lab.wire(ringside).in_step()
    gone(ringside, text, key)


def test_what_clients_say(lab):
    """A password is wiped when it has been checked, good or wrong, and however it was said."""
    good, wrong = "hush-client-password-3", "hush-client-password-4"
    users = write_users(lab.directory / "users", {"app": long_password(good)})
    config = {"workers": 1, "listen": [{"address": "127.0.0.1:0", "auth": auth} for auth in ("optional", "required")],
              "users": {"file": str(users)}}
    ringside = lab.ringside(config, servers=lab.memcacheds(1))
    for address, key in zip(ringside.addresses, (b"ringside:login", b"k")):
        wire = lab.wire(address)
        wire.command(login("app", long_password(wrong), key), WRONG)
        whole = login("app", long_password(good), key)
        for byte in range(0, len(whole), 7):
            wire.send(whole[byte:byte + 7])
            ringside.wait_read()
        wire.expect(b"STORED\r\n")
        wire.in_step()
    gone(ringside, good.encode(), wrong.encode())


def key_words(identity):
    """A piece of the key's file, and the number itself as its bytes may lie."""
    text = openssl("pkey", "-in", identity.key, "-noout", "-text").decode()
    number = bytes.fromhex("".join(re.search(r"priv:\s*([0-9a-f:\s]+)pub", text)[1].replace(":", "").split()))[-32:]
    lines = identity.key.read_bytes().splitlines()
    return [lines[1][8:40], number, number[::-1]]


def test_private_keys(lab):
    made = certificates()
    own = made.server.copy_to(lab.directory)
    old, new = key_words(made.server), key_words(made.chained)
    listen = {"address": "127.0.0.1:0", "tls": {"certificate": str(own.certificate), "key": str(own.key)}}
    ringside = lab.ringside({"workers": 1, "listen": [listen]}, servers=lab.memcacheds(1))
    with lab.wire(ringside, tls=True) as wire:
        wire.in_step()
    assert places(ringside, *old), "nothing is found of what must be there"
    own.take(made.chained)
    ringside.reload()
    with lab.wire(ringside, tls=True) as wire:
        wire.in_step()
    gone(ringside, *old)
    assert places(ringside, *new)
