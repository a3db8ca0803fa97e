"""Logins: files of users for Ringside, a memcached that asks for one (-Y), and the bytes that a client says."""

import base64
import hashlib
import os

from rawwire import Wire
from servers import Memcached

DENIED = b"CLIENT_ERROR access denied\r\n"
NOBODY = b"CLIENT_ERROR unauthenticated\r\n"
WRONG = b"CLIENT_ERROR authentication failure\r\n"
BUSY = b"SERVER_ERROR too many logins wait; try again\r\n"


def user_line(name, password, ln=10, r=1):
    """A line of a file of users. By default a hash that is made at once: tests are not about its strength."""
    salt = hashlib.sha256(name.encode()).digest()[:16]
    key = hashlib.scrypt(password.encode(), salt=salt, n=1 << ln, r=r, p=1, maxmem=256 << 20, dklen=32)
    texts = [base64.b64encode(part).decode().rstrip("=") for part in (salt, key)]
    return "%s:$scrypt$ln=%d,r=%d,p=1$%s$%s\n" % (name, ln, r, *texts)


def write_users(path, users, **cost):
    """Puts {name: password} into a file, at once as a whole. Returns its path."""
    new = path.with_suffix(".new")
    new.write_text("".join(user_line(name, password, **cost) for name, password in users.items()))
    os.replace(new, path)
    return path


def login(name, password, key=b"k"):
    """What a client says to log in."""
    body = ("%s %s" % (name, password)).encode()
    return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(body), body)


class GuardedMemcached(Memcached):
    """A memcached -Y with users {name: password}, of whom the first is the harness's own."""

    def __init__(self, directory, users, **options):
        super().__init__(directory, **options)
        self.users_path = self.directory / ("memcached-users-%d" % id(self))
        self.set_users(users)
        self.args += ["-Y", self.users_path]

    def set_users(self, users):
        """Takes effect with the next start."""
        self.users = dict(users)
        self.users_path.write_text("".join("%s:%s\n" % user for user in users.items()))

    def wire(self):
        wire = Wire(self.address)
        name, password = next(iter(self.users.items()))
        wire.command(login(name, password), b"STORED\r\n")
        return wire

    def stats(self, argument=""):
        if self._control is None:
            self._control = self.wire()
        return super().stats(argument)

    def value(self, key):
        with self.wire() as wire:
            return wire.get(key)


def guarded_memcached(lab, users, **options):
    """A started one, of a Lab."""
    server = GuardedMemcached(lab.directory, users, **options)
    lab.servers.append(server)
    return server.start()
