"""
`ringside passwd`: what it writes, against Python's own scrypt and PBKDF2; what it keeps; what it asks on a terminal; what it
refuses.
"""

import base64
import fcntl
import hashlib
import os
import pty
import re
import select
import signal
import stat
import subprocess
import termios
import time

import pytest

from harness import DEADLINE_S, ringside_path, run_ringside, sanitizer_environment
from sasl import scram_keys

pytestmark = pytest.mark.sanitize

OTHER = "$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$xmNhgvlNsLJFzANrdWsuAQ"


def opens(text, name, password):
    """Whether that is the password of the user in the text of a file."""
    (line,) = [line for line in text.splitlines() if line.startswith(name + ":")]
    found = re.fullmatch(r"[^:]+:\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([^$= ]+)\$([^$= ]+) (\S+)", line)
    ln, r, p = map(int, found.groups()[:3])
    salt, key = (base64.b64decode(part + "=" * (-len(part) % 4)) for part in found.groups()[3:5])
    assert (ln, r, p, len(salt), len(key)) == (15, 8, 1, 16, 32)
    opened = hashlib.scrypt(password, salt=salt, n=1 << ln, r=r, p=p, maxmem=64 << 20, dklen=len(key)) == key
    assert opens_scram(found[6], password, other_than=salt) == opened
    return opened


def opens_scram(text, password, other_than):
    """Whether SCRAM's keys are of that password, with a salt of their own."""
    iterations, salt = re.match(r"\$scram-sha-256\$i=(\d+)\$([^$=]+)\$", text).groups()
    salt = base64.b64decode(salt + "=" * (-len(salt) % 4))
    assert int(iterations) == 15000 and len(salt) == 16 and salt != other_than
    return scram_keys(password, salt, int(iterations)) == text


def passwd(path, name, password, expect=0):
    done = run_ringside("passwd", path, name, input=password)
    assert done.returncode == expect, done.stderr
    assert expect == 0 or done.stdout == b""
    return (done.stdout if expect == 0 else done.stderr).decode()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def only(directory, *names):
    """Nothing else has been left there."""
    return sorted(path.name for path in directory.iterdir()) == sorted(names)


def test_a_user_is_added_and_changed(tmp_path):
    path = tmp_path / "users"
    assert passwd(path, "app", b"secret\n") == "user app added\n"
    assert mode(path) == 0o600
    first = path.read_text()
    assert opens(first, "app", b"secret") and not opens(first, "app", b"secret\n")
    assert passwd(path, "bob", b"hunter2") == "user bob added\n"
    assert path.read_text().startswith(first) and opens(path.read_text(), "bob", b"hunter2")
    assert passwd(path, "app", b"new one\nmore lines\n") == "user app changed\n"
    assert opens(path.read_text(), "app", b"new one") and opens(path.read_text(), "bob", b"hunter2")
    assert [line.split(":")[0] for line in path.read_text().splitlines()] == ["app", "bob"]
    assert only(tmp_path, "users")


def test_the_salt_is_by_chance(tmp_path):
    texts = set()
    for name in ("a", "b"):
        passwd(tmp_path / name, "app", b"secret\n")
        texts.add((tmp_path / name).read_text())
    assert len(texts) == 2


def test_the_rest_is_kept(tmp_path):
    path = tmp_path / "users"
    path.write_bytes(b"# of the shop\r\n\n  zoe:%s\n#app:old\napp:%s" % ((OTHER.encode(),) * 2))
    path.chmod(0o640)
    assert passwd(path, "app", b"secret\n") == "user app changed\n"
    *rest, last = path.read_bytes().splitlines(keepends=True)
    assert b"".join(rest) == b"# of the shop\r\n\n  zoe:%s\n#app:old\n" % OTHER.encode()
    assert last.endswith(b"\n") and opens(last.decode(), "app", b"secret")
    assert mode(path) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_kept(tmp_path):
    path = tmp_path / "users"
    path.write_text("")
    os.chown(path, 12345, 23456)
    passwd(path, "app", b"secret\n")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_the_file_is_replaced_not_rewritten(tmp_path):
    """Who has the old one open reads the old one; and what a link points to is replaced, not the link."""
    path, link = tmp_path / "users", tmp_path / "link"
    path.write_text("zoe:%s\n" % OTHER)
    link.symlink_to("users")
    with open(path) as old:
        passwd(link, "app", b"secret\n")
        assert old.read() == "zoe:%s\n" % OTHER
    assert link.is_symlink() and not path.is_symlink() and opens(path.read_text(), "app", b"secret")
    assert only(tmp_path, "users", "link")


def test_a_path_without_a_folder(tmp_path):
    done = run_ringside("passwd", "users", "app", input=b"secret\n", cwd=tmp_path)
    assert done.returncode == 0 and opens((tmp_path / "users").read_text(), "app", b"secret")


def test_many_at_once_lose_nobody(tmp_path):
    path = tmp_path / "users"
    runs = [subprocess.Popen([str(ringside_path()), "passwd", str(path), "user%d" % i], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, env=sanitizer_environment()) for i in range(6)]
    for i, run in enumerate(runs):
        assert run.communicate(b"secret%d\n" % i, timeout=DEADLINE_S)[0] == b"user user%d added\n" % i
    for i in range(6):
        assert opens(path.read_text(), "user%d" % i, b"secret%d" % i)


@pytest.mark.parametrize("password, said", [
    (b"", "there is no password"), (b"\n", "is empty"), (b"a\tb\n", "control characters"),
    (b"a\r\n", "control characters"), (b"a\0b\n", "control characters"), (b"x" * 1025 + b"\n", "longer than 1024"),
])
def test_passwords_that_are_refused(tmp_path, password, said):
    path = tmp_path / "users"
    assert said in passwd(path, "app", password, expect=1)
    assert only(tmp_path)


def test_the_longest_password(tmp_path):
    passwd(tmp_path / "users", "n" * 64, b"\xff" * 1024 + b"\n")
    assert opens((tmp_path / "users").read_text(), "n" * 64, b"\xff" * 1024)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "\u00e4", "*", "#a", "n" * 65, "a\n"])
def test_names_that_are_refused(tmp_path, name):
    assert "is no name" in passwd(tmp_path / "users", name, b"secret\n", expect=1)
    assert only(tmp_path)


def test_a_file_with_errors_is_left_alone(tmp_path):
    path = tmp_path / "users"
    path.write_text("a:%s\nb\n\na:%s\n" % (OTHER, OTHER))
    said = passwd(path, "app", b"secret\n", expect=1)
    assert [line.split(": ")[0] for line in said.splitlines()] == ["%s:2" % path, "%s:4" % path]
    assert path.read_text() == "a:%s\nb\n\na:%s\n" % (OTHER, OTHER)


def test_what_the_system_refuses(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "absent" / "users", tmp_path / "file" / "users", "/dev/null"):
        assert str(path) in passwd(path, "app", b"secret\n", expect=3)
    assert only(tmp_path, "file")


@pytest.mark.parametrize("args", [
    ["passwd"], ["passwd", "users"], ["passwd", "users", "a", "b"], ["passwd", "-c", "x", "users", "a"],
    ["passwd", "users", "a", "--keys", "x"], ["passwd", "users", "a", "--server", "127.0.0.1"],
])
def test_wrong_command_lines(args):
    done = run_ringside(*args)
    assert done.returncode == 2 and done.stderr.startswith(b"ringside: ") and done.stdout == b""


class Terminal:
    """`ringside passwd` with a terminal as its standard input, output and error."""

    def __init__(self, path, name):
        try:
            self.master, self.slave = pty.openpty()
        except OSError as error:
            pytest.skip("this machine has no pseudo-terminals (/dev/pts): %s" % error)
        self.seen = b""
        self.process = subprocess.Popen(
            [str(ringside_path()), "passwd", str(path), name], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            env=sanitizer_environment(), start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def shows_input(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def read_until(self, text):
        end = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, self.seen
            self.seen += os.read(self.master, 4096)

    def answer(self, prompt, text):
        self.read_until(prompt)
        assert not self.shows_input()
        os.write(self.master, text)

    def end(self, text):
        self.read_until(text)
        status = self.process.wait(timeout=DEADLINE_S)
        assert self.shows_input()
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(tmp_path):
    started = Terminal(tmp_path / "users", "app")
    yield started
    started.close()


def test_a_terminal_is_asked_twice_and_shows_nothing(terminal, tmp_path):
    terminal.answer(b"Password: ", b"secret\n")
    terminal.answer(b"The same again: ", b"secret\n")
    assert terminal.end(b"user app added") == 0
    assert b"secret" not in terminal.seen
    assert opens((tmp_path / "users").read_text(), "app", b"secret")


def test_two_passwords_that_differ(terminal, tmp_path):
    terminal.answer(b"Password: ", b"secret\n")
    terminal.answer(b"The same again: ", b"secrets\n")
    assert terminal.end(b"the two passwords differ") == 1
    assert only(tmp_path)


def test_an_interrupt_leaves_the_terminal_as_it_was(terminal, tmp_path):
    terminal.answer(b"Password: ", b"sec\x03")
    assert terminal.process.wait(timeout=DEADLINE_S) == -signal.SIGINT
    assert terminal.shows_input()
    assert only(tmp_path)


def test_the_end_of_the_terminals_input(terminal, tmp_path):
    terminal.answer(b"Password: ", b"\x04")
    assert terminal.end(b"there is no password") == 1
    assert only(tmp_path)
