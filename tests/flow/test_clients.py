"""
Real clients, from Debian's packages, against Ringside over three servers. Each program in clients/ checks all that it
gets, and ends with "ok". It is run against a memcached first, so that a failure is Ringside's.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from harness import DEADLINE_S, split_address

CLIENTS = Path(__file__).resolve().parent / "clients"


def compile_client(directory, name, *flags):
    """A C client to a program in directory."""
    target = directory / name
    command = ["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", str(CLIENTS / (name + ".c")), "-o",
               str(target), *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
    return [str(target)]


def apr_flags():
    words = []
    for command in (["apr-1-config", "--includes", "--cppflags"], ["apu-1-config", "--includes", "--link-ld"],
                    ["apr-1-config", "--link-ld"]):
        words += subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().split()
    return words


PROGRAMS = {
    "libmemcached": lambda directory: compile_client(directory, "libmemcached_client", "-lmemcached"),
    "apr_memcache": lambda directory: compile_client(directory, "apr_client", *apr_flags()),
    "php-memcached": lambda directory: ["php", str(CLIENTS / "memcached_client.php")],
    "cache-memcached-fast": lambda directory: ["perl", str(CLIENTS / "fast_client.pl")],
    "pymemcache": lambda directory: [sys.executable, str(CLIENTS / "pymemcache_client.py")],
    "pylibmc": lambda directory: [sys.executable, str(CLIENTS / "pylibmc_client.py")],
}


def run(program, address):
    host, port = split_address(address)[1]
    done = subprocess.run(program + [host, str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=4 * DEADLINE_S)
    return done.returncode, done.stdout.decode("utf-8", "replace")


@pytest.mark.sanitize
@pytest.mark.parametrize("name", PROGRAMS)
def test_client(lab, tmp_path, name):
    program = PROGRAMS[name](tmp_path)
    assert run(program, lab.memcached().address) == (0, "ok\n"), "against memcached itself"
    ringside = lab.ringside(servers=lab.memcacheds(3))
    assert run(program, ringside.address) == (0, "ok\n")
    lab.wire(ringside).in_step()


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
