"""A raw connection to a memcached or to Ringside: bytes out, bytes in, each read with a deadline."""

import random
import select
import socket

from basis import DEADLINE_S, HarnessError, connect
from tlssocket import TlsSocket


def shorten(data, limit=300):
    """Bytes for a message: the start, and the end if there is much."""
    if len(data) <= limit:
        return repr(data)
    return "%r … %r (%d bytes)" % (data[:limit // 2], data[-limit // 2:], len(data))


def difference(got, expected):
    """Where two byte strings part, in words."""
    at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
    return "%d bytes instead of %d; they part at %d:\n  got      %s\n  expected %s" % (
        len(got), len(expected), at, shorten(got[max(0, at - 60):at + 140]),
        shorten(expected[max(0, at - 60):at + 140]))


class Wire:
    """
    A raw connection: sends bytes, reads to an expectation. `to` is an address text or anything with .address.
    Every read has a deadline; what came so far is in the error. Nothing is read before it is asked for. tls: as in
    basis.connect(); more about TLS: give a TlsSocket as `sock`.
    """

    def __init__(self, to, deadline_s=None, tls=None, sock=None):
        self.address = to if isinstance(to, str) else to.address
        self.deadline_s = DEADLINE_S if deadline_s is None else deadline_s
        self.sock = sock if sock is not None else connect(self.address, self.deadline_s, tls)
        self.pending = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes; twice does no harm."""
        self.sock.close()

    def reset(self):
        """Closes with a RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def shutdown_write(self):
        """No more to send: a FIN, and the other direction stays open."""
        self.sock.shutdown(socket.SHUT_WR)

    # Sending

    def send(self, data):
        """Sends all of it, and reads nothing meanwhile: for much data, whose replies could fill up, see exchange()."""
        self.sock.sendall(data)

    def send_pieces(self, pieces):
        """Sends each piece with a write of its own."""
        for piece in pieces:
            self.sock.sendall(piece)

    # Reading

    def _fill(self, what):
        try:
            chunk = self.sock.recv(1 << 18)
        except socket.timeout:
            raise HarnessError("no answer within %g s, waiting for %s; so far: %s" %
                               (self.deadline_s, what, shorten(bytes(self.pending)))) from None
        if not chunk:
            raise HarnessError("connection closed, waiting for %s; so far: %s" % (what, shorten(bytes(self.pending))))
        self.pending += chunk

    def read_exactly(self, count):
        """The next count bytes."""
        while len(self.pending) < count:
            self._fill("%d bytes" % count)
        data = bytes(self.pending[:count])
        del self.pending[:count]
        return data

    def read_until(self, end):
        """All up to and including the next `end`."""
        start = 0
        while True:
            at = self.pending.find(end, start)
            if at >= 0:
                return self.read_exactly(at + len(end))
            start = max(0, len(self.pending) - len(end) + 1)
            self._fill(shorten(end))

    def read_line(self):
        """The next line, without its CRLF."""
        return self.read_until(b"\r\n")[:-2]

    def read_to_close(self):
        """All that comes until the other side closes. A RST after that counts as a close."""
        while True:
            try:
                self._fill("the connection's close")
            except HarnessError as error:
                if "connection closed" not in str(error):
                    raise
                break
            except ConnectionResetError:
                break
        data = bytes(self.pending)
        self.pending.clear()
        return data

    def expect(self, expected):
        """The next bytes must be these. Compares as they come, so that a difference shows before the deadline."""
        while len(self.pending) < len(expected) and expected.startswith(bytes(self.pending)):
            self._fill(shorten(expected))
        got = bytes(self.pending[:len(expected)])
        if got != expected:
            raise HarnessError(difference(bytes(self.pending), expected))
        del self.pending[:len(expected)]

    def expect_closed(self, before=b""):
        """Exactly `before` comes, then the close."""
        got = self.read_to_close()
        if got != before:
            raise HarnessError(difference(got, before))

    def exchange(self, pieces, to_close=False, count=None, until=None):
        """
        Sends pieces, each with a write of its own as far as the socket takes it, and reads at the same time, so that
        neither side has to hold everything. Ends when all is sent and count bytes have come, or until(bytearray of
        all that came) is true, or, with to_close, when the other side has closed. Returns what came.
        """
        queue = [pieces] if isinstance(pieces, (bytes, bytearray, memoryview)) else list(pieces)
        received = bytearray(self.pending)
        self.pending.clear()
        index, offset, closed = 0, 0, False
        self.sock.setblocking(False)
        try:
            while True:
                all_sent = index == len(queue)
                owes = not all_sent or (isinstance(self.sock, TlsSocket) and self.sock.wants_write())
                if closed:
                    break
                if not owes and not to_close and len(received) >= (count or 0) and (not until or until(received)):
                    break
                readable, writable, _ = select.select([self.sock], [self.sock] if owes else [], [], self.deadline_s)
                if not readable and not writable:
                    raise HarnessError("nothing moves for %g s; %d of %d pieces sent; so far: %s" %
                                       (self.deadline_s, index, len(queue), shorten(bytes(received))))
                if readable:
                    try:
                        chunk = self.sock.recv(1 << 20)
                        closed = not chunk
                        received += chunk
                    except BlockingIOError:  # less than a record
                        pass
                    except ConnectionResetError:
                        closed = True
                if writable and not closed:
                    try:
                        if all_sent:
                            self.sock.flush()
                            continue
                        offset += self.sock.send(memoryview(queue[index])[offset:offset + (1 << 20)])
                    except BlockingIOError:
                        continue
                    except (BrokenPipeError, ConnectionResetError):
                        index, offset = len(queue), 0
                        continue
                    if offset >= len(queue[index]):
                        index, offset = index + 1, 0
        finally:
            self.sock.setblocking(True)
            self.sock.settimeout(self.deadline_s)
        if closed and not to_close:
            raise HarnessError("connection closed too early, after %d bytes: %s" %
                               (len(received), shorten(bytes(received))))
        if not to_close and count is not None:
            self.pending += received[count:]
            del received[count:]
        return bytes(received)

    # Commands

    def command(self, data, expected):
        """Sends, and expects exactly these bytes in answer."""
        self.send(data)
        try:
            self.expect(expected)
        except HarnessError as error:
            raise HarnessError("after %s: %s" % (shorten(data), error)) from None

    def line(self, data):
        """Sends one line (CRLF added) and gives the one line of its answer."""
        self.send(data + b"\r\n")
        return self.read_line()

    def set(self, key, value, flags=0, exptime=0):
        """set, and STORED is expected."""
        key = key if isinstance(key, bytes) else key.encode()
        self.command(b"set %s %d %d %d\r\n%s\r\n" % (key, flags, exptime, len(value), value), b"STORED\r\n")

    def get(self, key):
        """The value, or None for a miss. Anything else than a right answer is an error."""
        key = key if isinstance(key, bytes) else key.encode()
        return self.get_many([key]).get(key)

    def get_many(self, keys):
        """One get of all keys: {key: value}. A value of a key that was not asked for is an error."""
        keys = [key if isinstance(key, bytes) else key.encode() for key in keys]
        self.send(b"get " + b" ".join(keys) + b"\r\n")
        return dict(self.read_values(set(keys)))

    def read_values(self, keys=None):
        """VALUE blocks up to END, in their order: [(key, value)]."""
        values = []
        while True:
            line = self.read_line()
            if line == b"END":
                return values
            words = line.split(b" ")
            if words[0] != b"VALUE" or len(words) not in (4, 5):
                raise HarnessError("VALUE or END instead of " + shorten(line))
            if keys is not None and words[1] not in keys:
                raise HarnessError("a value for a key nobody asked for: " + shorten(line))
            data = self.read_exactly(int(words[3]) + 2)
            if not data.endswith(b"\r\n"):
                raise HarnessError("a data block without its CRLF: " + shorten(data))
            values.append((words[1], data[:-2]))

    def read_stats(self):
        """STAT lines up to END: {name: value}, text."""
        lines = []
        while not lines or lines[-1] != b"END":
            lines.append(self.read_line())
            if lines[-1] != b"END" and not lines[-1].startswith(b"STAT "):
                raise HarnessError("STAT or END instead of " + shorten(lines[-1]))
        return {name: value for _, name, value in
                ((line.decode().split(" ", 2) + [""])[:3] for line in lines[:-1])}

    def in_step(self):
        """
        Proves that the connection is in step and owes nothing: a value that nobody else can have is stored, read
        back and deleted, and these answers come next and alone.
        """
        token = b"step-%016x" % random.SystemRandom().getrandbits(64)
        self.command(b"set %s 7 0 16\r\n%s\r\n" % (token, token[5:]), b"STORED\r\n")
        self.command(b"get %s\r\n" % token, b"VALUE %s 7 16\r\n%s\r\nEND\r\n" % (token, token[5:]))
        self.command(b"delete %s\r\n" % token, b"DELETED\r\n")
