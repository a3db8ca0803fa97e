"""
TLS on a socket that still is one: recv, send, timeouts, select and RST work as on the plain socket below, and a FIN can
come without close_notify if a test wants that.

    bytes -> SSLObject -> outgoing -> [one byte at a time] -> socket
    bytes <- plain <- SSLObject <- incoming <- [noted in records] <- socket
"""

import socket
import ssl

CHUNK = 16384


class TlsSocket:
    """
    Shakes hands over a connected socket at once, and takes it over. `ended` is None until the peer has ended its side;
    then "close_notify", or "fin" when it left that out.
    """

    def __init__(self, sock, context, name=None, session=None, one_by_one=False, shake=True):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name, session=session)
        self.one_by_one = one_by_one
        self.unsent = b""
        self.plain = bytearray()
        self.ended = None
        self.received = None    # bytearray: all that comes in from now on, as it came
        if shake:
            try:
                self.shake()
            except BaseException:
                sock.close()
                raise

    def shake(self):
        """The handshake. ssl.SSLError when it fails, ConnectionError when the peer leaves."""
        while True:
            try:
                self.tls.do_handshake()
                self.flush()
                return
            except ssl.SSLWantReadError:
                self.flush()
                if not self._feed():
                    raise ConnectionResetError("the peer left in the handshake") from None
            except ssl.SSLError:
                self._flush_some()
                raise

    # What goes out

    def flush(self):
        """Sends what is encrypted. BlockingIOError when the socket does not take it all."""
        self.unsent += self.outgoing.read()
        while self.unsent:
            step = 1 if self.one_by_one else len(self.unsent)
            sent = self.sock.send(self.unsent[:step])
            self.unsent = self.unsent[sent:]

    def _flush_some(self):
        """As much of it as the socket takes now."""
        timeout = self.sock.gettimeout()
        self.sock.setblocking(False)
        try:
            self.flush()
        except OSError:
            pass
        finally:
            self.sock.settimeout(timeout)

    def wants_write(self):
        """It keeps bytes that send() has taken."""
        return bool(self.unsent)

    def send(self, data):
        """Takes at most some KiB. What the socket does not take of it goes with the next call of anything."""
        self.flush()
        count = self.tls.write(bytes(memoryview(data)[:CHUNK]))
        try:
            self.flush()
        except BlockingIOError:
            pass
        return count

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self.send(view):]
        self.flush()

    # What comes in

    def _feed(self):
        """Ciphertext from the socket. False at its end."""
        try:
            data = self.sock.recv(1 << 17)  # what recv() then gives at once
        except ConnectionResetError:
            self.ended = self.ended or "reset"
            raise
        if not data:
            self.incoming.write_eof()
            return False
        if self.received is not None:
            self.received += data
        self.incoming.write(data)
        return True

    def _decrypt(self):
        """All that is whole."""
        while self.ended is None:
            try:
                data = self.tls.read(1 << 18)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLZeroReturnError:
                self.ended = "close_notify"
                return
            except ssl.SSLError as error:
                if "UNEXPECTED_EOF" not in str(error.reason) and not isinstance(error, ssl.SSLEOFError):
                    raise
                self.ended = "fin"
                return
            if not data:
                self.ended = "close_notify"
                return
            self.plain += data

    def pending(self):
        """Decrypted bytes that recv() gives without looking at the socket."""
        return len(self.plain)

    def recv(self, count):
        if self.unsent:
            self._flush_some()
        self._decrypt()
        while not self.plain and self.ended is None:
            self._feed()
            self._decrypt()
        data = bytes(self.plain[:count])
        del self.plain[:count]
        return data

    # The rest of a socket

    def shutdown(self, how):
        """SHUT_WR: close_notify and a FIN; the other direction stays open."""
        if how != socket.SHUT_RD:
            self._decrypt()
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass
            self._flush_some()
        self.sock.shutdown(how)

    def close(self):
        """As a client does that ends in order: close_notify, as far as the socket takes it, and a FIN."""
        if self.sock.fileno() >= 0 and not self.unsent and self.tls.version() is not None:
            try:
                self._decrypt()
                self.tls.unwrap()
            except (ssl.SSLError, ValueError):
                pass
            self._flush_some()
        self.sock.close()

    def cut(self):
        """A FIN without close_notify."""
        self.sock.close()

    def setsockopt(self, level, option, value):
        """SO_LINGER is set by those who want a RST: no close_notify then, which could not be sent anyway."""
        self.sock.setsockopt(level, option, value)
        if option == socket.SO_LINGER:
            self.close = self.cut

    def __getattr__(self, name):
        return getattr(self.sock, name)


def records(received):
    """[(type, length)] of whole TLS records: 22 handshake, 23 data, 21 alert."""
    found, at = [], 0
    while at + 5 <= len(received):
        length = int.from_bytes(received[at + 3:at + 5], "big")
        found.append((received[at], length))
        at += 5 + length
    return found
