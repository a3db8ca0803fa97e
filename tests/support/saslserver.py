"""A memcached that asks for SASL (-S), with a file of users of its own. It speaks binary alone."""

import os
import subprocess
import sys

import pytest

from basis import HarnessError
from binary import BinaryWire, packet
from certificates import certificates, client_side
from sasl import ask, login, plain
from servers import Memcached, end_process

CANNOT_START = (subprocess.CalledProcessError, HarnessError)

SET_PASSWORD = """
import ctypes, sys
sasl = ctypes.CDLL("libsasl2.so.2")
context = ctypes.c_void_p()
assert sasl.sasl_server_init(None, b"memcached") == 0
assert sasl.sasl_server_new(b"memcached", None, None, None, None, None, 0, ctypes.byref(context)) == 0
password = bytes.fromhex(sys.argv[2])
assert sasl.sasl_setpass(context, sys.argv[1].encode(), password, len(password), None, 0, 1) == 0
"""


def cannot_start(error):
    """Skips the test, in CI fails it."""
    reason = "no memcached -S with a file of users: install libsasl2-modules and libsasl2-modules-db (%s)" % error
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class SaslMemcached(Memcached):
    """passwords: {name: bytes}; the first is the harness's own. mechanisms: a list in one word. Options as of a Memcached."""

    def __init__(self, directory, passwords, mechanisms="plain", **options):
        super().__init__(directory, **options)
        self.mechanisms = mechanisms
        self.args += ["-S"]
        self.environment = "SASL_CONF_PATH=%s" % directory
        self.database = directory / ("db-%d" % id(self))
        self.directory = directory
        self.set_users(passwords)

    def set_users(self, passwords):
        """Takes effect at the next login."""
        self.login = list(passwords.items())[0]
        (self.directory / "memcached.conf").write_text(
            "mech_list: %s\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s\n" % (
                self.mechanisms, self.database))
        for name, password in passwords.items():
            subprocess.run([sys.executable, "-c", SET_PASSWORD, name, password.hex()], check=True, stderr=subprocess.PIPE,
                           env={**os.environ, "SASL_CONF_PATH": str(self.directory)})

    def _argv(self):
        return ["env", self.environment] + super()._argv()

    def binary_wire(self):
        """A connection that has not logged in, for the caller to close."""
        return BinaryWire(self.address, tls=bool(self.tls) and client_side(certificates().client))

    def _wait_ready(self):
        while self.process.poll() is None:
            try:
                with self.binary_wire() as wire:
                    return b"PLAIN" in ask(wire, packet("sasl_list")).value
            except (OSError, HarnessError):
                continue
        end_process(self.process)
        return False

    def stats(self, argument=""):
        name, password = self.login
        with self.binary_wire() as wire:
            replies = wire.run(login(plain(name.encode(), password)),
                               packet("stat", argument.encode()))
        return {reply.key.decode(): reply.value.decode() for reply in replies[1:] if reply.key}

    def value(self, key):
        name, password = self.login
        with self.binary_wire() as wire:
            _, reply = wire.run(login(plain(name.encode(), password)),
                                packet("get", key.encode() if isinstance(key, str) else key))
        return reply.value if reply.status == 0 else None

    def close(self):
        self.kill()


def sasl_memcached(lab, directory, passwords, mechanisms="plain"):
    """A started one, of a Lab."""
    try:
        return lab.adopt(SaslMemcached(directory, passwords, mechanisms, tls=False)).start()
    except CANNOT_START as error:
        cannot_start(error)
