"""
A memcached that can be told to misbehave, at run time, in ways that a real one cannot be brought to.

    fake = FakeServer()                                  listens on a free port, answers truthfully from a dict
    fake.misbehave(garbage(b"\\0\\1\\2"), verbs="get", times=1)   the next get is answered with rubbish
    fake.behave()                                        truthful again, from now on
    fake.refuse(); fake.listen()                         its port is refused, and stays its own; and back
    fake.count("set"), fake.writes, fake.connections     what it saw

One event loop in a thread of its own serves all connections. Commands are carried out when they arrive, and answered in
order: each connection has a queue of answers, played one after another. A misbehaviour is an async function
`play(connection, command, reply)` that takes the place of sending `reply`, the truthful one:

    bytes --> Parser --> Command --> Store.execute --> reply -+-- no rule --> connection.send(reply)
                                                              +-- rule -----> play(connection, command, reply)

It speaks the ASCII and meta commands that a test's clients use. It knows no expiry times and no limits.
"""

import asyncio
import collections
import socket
import struct
import threading
import time

from basis import ALL_TLS, DEADLINE_S, HarnessError, plain_address, wait_until
from certificates import certificates, server_side

STORAGE = (b"set", b"add", b"replace", b"append", b"prepend", b"cas")
RETRIEVAL = (b"get", b"gets", b"gat", b"gats")
WRITES = STORAGE + (b"delete", b"incr", b"decr", b"touch", b"ms", b"md", b"ma", b"gat", b"gats", b"flush_all")


class Command:
    """A command as it came: number (counts from 1, over all connections), verb, words, value, time of arrival."""

    __slots__ = ("number", "connection", "line", "words", "value", "arrived")

    def __init__(self, number, connection, line, value):
        self.number = number
        self.connection = connection
        self.line = line
        self.words = line.split()
        self.value = value
        self.arrived = time.monotonic()

    @property
    def verb(self):
        return self.words[0] if self.words else b""

    @property
    def keys(self):
        """The keys that it names."""
        if self.verb in (b"gat", b"gats"):
            return self.words[2:]
        if self.verb in (b"get", b"gets"):
            return self.words[1:]
        return self.words[1:2] if self.verb in WRITES or self.verb in (b"mg", b"me") else []

    def __repr__(self):
        return "<%d on %d: %r%s>" % (self.number, self.connection, self.line,
                                     "" if self.value is None else " + %d bytes" % len(self.value))


class Store:
    """The truth: key to (flags, value, cas). execute() gives a command's whole reply."""

    def __init__(self, version=b"1.6.18"):
        self.items = {}
        self.version = version
        self.cas = 0

    def put(self, key, value, flags=0):
        """Sets, from a test."""
        self.cas += 1
        self.items[key] = (flags, value, self.cas)

    def value(self, key):
        """The value under a key, or None."""
        item = self.items.get(key if isinstance(key, bytes) else key.encode())
        return item[1] if item else None

    def execute(self, command):
        handler = getattr(self, "_" + command.verb.decode("latin-1"), None) if command.words else None
        if command.verb in STORAGE:
            handler = self._storage
        elif command.verb in RETRIEVAL:
            handler = self._retrieval
        if handler is None:
            return b"ERROR\r\n"
        reply = handler(command)
        return b"" if command.words[-1] == b"noreply" else reply

    def _storage(self, command):
        verb, key, flags = command.words[:3]
        old = self.items.get(key)
        value = command.value
        if verb == b"cas":
            if old is None:
                return b"NOT_FOUND\r\n"
            if old[2] != int(command.words[5]):
                return b"EXISTS\r\n"
        elif (verb == b"add" and old) or (verb in (b"replace", b"append", b"prepend") and not old):
            return b"NOT_STORED\r\n"
        elif verb in (b"append", b"prepend"):
            value = old[1] + value if verb == b"append" else value + old[1]
            flags = old[0]
        self.put(key, value, int(flags))
        return b"STORED\r\n"

    def _retrieval(self, command):
        blocks = []
        for key in command.keys:
            item = self.items.get(key)
            if item:
                cas = b" %d" % item[2] if command.verb in (b"gets", b"gats") else b""
                blocks.append(b"VALUE %s %d %d%s\r\n%s\r\n" % (key, item[0], len(item[1]), cas, item[1]))
        return b"".join(blocks) + b"END\r\n"

    def _delete(self, command):
        return b"DELETED\r\n" if self.items.pop(command.words[1], None) else b"NOT_FOUND\r\n"

    def _touch(self, command):
        return b"TOUCHED\r\n" if command.words[1] in self.items else b"NOT_FOUND\r\n"

    def _incr(self, command):
        item = self.items.get(command.words[1])
        if not item:
            return b"NOT_FOUND\r\n"
        step = int(command.words[2])
        number = (int(item[1]) + step) % 2**64 if command.verb == b"incr" else max(0, int(item[1]) - step)
        self.put(command.words[1], b"%d" % number, item[0])
        return b"%d\r\n" % number

    _decr = _incr

    def _version(self, _):
        return b"VERSION " + self.version + b"\r\n"

    def _verbosity(self, _):
        return b"OK\r\n"

    def _flush_all(self, _):
        self.items.clear()
        return b"OK\r\n"

    def _stats(self, _):
        return b"STAT pid 1\r\nSTAT version %s\r\nSTAT curr_items %d\r\nEND\r\n" % (self.version, len(self.items))

    @staticmethod
    def _meta_flags(command, item, start=2):
        out = b""
        for flag in command.words[start:]:
            letter = flag[:1]
            if letter == b"O":
                out += b" " + flag
            elif letter == b"k":
                out += b" k" + command.words[1]
            elif item and letter == b"f":
                out += b" f%d" % item[0]
            elif item and letter == b"s":
                out += b" s%d" % len(item[1])
            elif item and letter == b"c":
                out += b" c%d" % item[2]
        return out

    def _mg(self, command):
        item = self.items.get(command.words[1])
        if not item:
            return b"EN\r\n"
        flags = self._meta_flags(command, item)
        if b"v" in command.words[2:]:
            return b"VA %d%s\r\n%s\r\n" % (len(item[1]), flags, item[1])
        return b"HD" + flags + b"\r\n"

    def _ms(self, command):
        flags = [flag[1:] for flag in command.words[3:] if flag[:1] == b"F"]
        self.put(command.words[1], command.value, int(flags[0]) if flags else 0)
        return b"HD" + self._meta_flags(command, None, 3) + b"\r\n"

    def _md(self, command):
        found = self.items.pop(command.words[1], None)
        return (b"HD" if found else b"NF") + self._meta_flags(command, None) + b"\r\n"

    def _me(self, _):
        return b"EN\r\n"

    def _mn(self, _):
        return b"MN\r\n"


class Rule:
    """When which misbehaviour is played."""

    def __init__(self, play, verbs, keys, times, skip, every):
        self.play = play
        self.verbs = verbs
        self.keys = keys
        self.left = times
        self.skip = skip
        self.every = every
        self.met = 0
        self.played = 0

    def takes(self, command):
        if self.verbs is not None and command.verb not in self.verbs:
            return False
        if self.keys is not None and not any(self.keys(key) for key in command.keys):
            return False
        self.met += 1
        if self.left == 0 or self.met <= self.skip or (self.met - self.skip) % self.every:
            return False
        if self.left is not None:
            self.left -= 1
        self.played += 1
        return True


class Connection(asyncio.Protocol):
    """One connection to the fake, in its event loop."""

    def __init__(self, server):
        self.server = server
        server.connections += 1
        self.number = server.connections
        self.transport = None
        self.input = bytearray()
        self.pending = None      # a storage command's line whose data block is not whole
        self.swallow = 0
        self.answers = collections.deque()
        self.player = None
        self.gone = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.received = 0

    # What misbehaviours use

    def send(self, data):
        """Bytes to the peer. Nothing happens when it has gone."""
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def close(self):
        """What was sent goes out, then a FIN. What follows is not answered."""
        self.answers.clear()
        self.transport.close()

    def reset(self):
        """A RST, at once."""
        self.answers.clear()
        if self.transport.is_closing():
            return
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def drain(self):
        """Waits until what was sent has room, or the peer is gone."""
        if not self.transport.is_closing():
            await self.room.wait()

    @property
    def is_gone(self):
        return self.gone.is_set() or self.transport.is_closing()

    # asyncio's side

    def connection_made(self, transport):
        self.transport = transport
        self.server.note_tls(transport.get_extra_info("ssl_object"))
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.open[self.number] = self
        if self.server.on_accept == "close":
            transport.close()
        elif self.server.on_accept == "reset":
            self.reset()
        elif self.server.on_accept == "ignore":
            transport.pause_reading()
        elif self.server.on_accept:
            self.send(self.server.on_accept)

    def connection_lost(self, _):
        self.gone.set()
        self.room.set()
        self.server.open.pop(self.number, None)
        if self.player is not None:
            self.player.cancel()

    def pause_writing(self):
        self.room.clear()

    def resume_writing(self):
        self.room.set()

    def data_received(self, data):
        self.input += data
        self.received += len(data)
        start = 0
        while not self.is_gone:
            step = self._take(start)
            if step is None:
                break
            start += step
        del self.input[:start]

    def _take(self, start):
        """Takes a command off the input at start; None when it is not whole. Returns how many bytes it was."""
        end = self.input.find(b"\n", start)
        if end < 0:
            return None
        line = bytes(self.input[start:end]).rstrip(b"\r")
        length = self._data_length(line.split())
        if length is None:
            self._handle(line, None)
            return end + 1 - start
        if len(self.input) < end + 1 + length + 2:
            return None
        self._handle(line, bytes(self.input[end + 1:end + 1 + length]))
        return end + 1 + length + 2 - start

    @staticmethod
    def _data_length(words):
        if words and words[0] in STORAGE:
            return int(words[4])
        return int(words[2]) if words and words[0] == b"ms" else None

    def _handle(self, line, value):
        command = Command(len(self.server.commands) + 1, self.number, line, value)
        self.server.note(command)
        reply = self.server.store.execute(command)
        if command.verb == b"quit":
            self.close()
            return
        rule = self.server.rule_for(command)
        if rule is None and self.player is None:
            self.send(reply)
            return
        self.answers.append((rule, command, reply))
        if self.player is None:
            self.player = asyncio.ensure_future(self._play())

    async def _play(self):
        while self.answers and not self.is_gone:
            rule, command, reply = self.answers.popleft()
            if rule is None:
                self.send(reply)
            else:
                await rule.play(self, command, reply)
        self.player = None


class FakeServer:
    """
    The server. Attributes to look at: store (Store), commands (every Command seen, in order), connections (accepted so
    far), open (those open now), writes (Counter of (verb, key, value) of commands that change something), address.

    tls: an ssl.SSLContext of a server (certificates.py), which may be changed at run time; False: plain; None: as
    RINGSIDE_TLS says. A connection counts as one when its handshake is done. resumed: connections that took a session up
    again; asked_for: the names that clients asked for by SNI.
    """

    def __init__(self, host="127.0.0.1", version=b"1.6.18", tls=None):
        self.host = host
        self.store = Store(version)
        self.commands = []
        self.writes = collections.Counter()
        self.open = {}
        self.connections = 0
        self.rules = []
        self.on_accept = None
        self.tls = server_side(certificates().server) if tls is None and ALL_TLS else tls or None
        self.resumed = 0
        self.asked_for = []
        if self.tls is not None:
            self.tls.sni_callback = lambda _, name, __: self.asked_for.append(name)
        self._listener = None
        self._accepting = None
        self._stuffing = []
        # Bound and never listening: while the port is refused nobody else can have it.
        self._holder = self._bound(0)
        self.port = self._holder.getsockname()[1]
        plain_address(self.address, self.tls is None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-%d" % self.port, daemon=True)
        self._thread.start()
        self.listen()

    @property
    def address(self):
        return "%s:%d" % (self.host, self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends it: listener, connections, thread."""
        if self._loop.is_closed():
            return
        self.refuse(drop=True)
        wait_until(lambda: not self.open, "the fake server's connections to end")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()
        self._holder.close()

    # What it saw

    def note_tls(self, tls):
        self.resumed += tls is not None and tls.session_reused

    def note(self, command):
        self.commands.append(command)
        if command.verb in WRITES:
            self.writes[(command.verb, b" ".join(command.keys), command.value)] += 1

    def doubled(self):
        """Writes with a data block that came more than once: [((verb, key, value), times)]."""
        return [(write, times) for write, times in self.writes.items() if write[2] is not None and times > 1]

    def count(self, verb=None, key=None, since=0):
        """Commands seen with that verb (text) and key (bytes), from index `since` of commands on."""
        verb = verb.encode() if isinstance(verb, str) else verb
        return sum(1 for command in self.commands[since:]
                   if (verb is None or command.verb == verb) and (key is None or key in command.keys))

    def verbs(self, since=0):
        """Counter of the verbs seen."""
        return collections.Counter(command.verb.decode("latin-1") for command in self.commands[since:])

    def wait_for(self, verb, count=1, since=0, key=None):
        """Waits until it has seen so many of a command."""
        wait_until(lambda: self.count(verb, key, since) >= count,
                   lambda: "%d %s at the fake server; it saw %s" % (count, verb, self.verbs(since)))

    # What it does

    def misbehave(self, play, verbs=None, keys=None, times=None, skip=0, every=1):
        """
        From now on commands with these verbs (text, separated by spaces; None: all) and a key for which keys(key) is
        true (or in keys, a set of bytes) are answered by `play`: not the first `skip`, of the others each `every`-th,
        `times` in all (None: for ever). The rule made first that takes a command has it. Returns the Rule.
        """
        if keys is not None and not callable(keys):
            wanted = frozenset(keys)
            keys = wanted.__contains__
        rule = Rule(play, None if verbs is None else {v.encode() for v in verbs.split()}, keys, times, skip, every)
        self.rules.append(rule)
        return rule

    def behave(self):
        """Truthful from now on; answers already under way stay as they are."""
        self.rules.clear()
        self.on_accept = None

    def rule_for(self, command):
        for rule in list(self.rules):
            if rule.takes(command):
                return rule
        return None

    def accept_and(self, what):
        """What happens to new connections: "close", "reset", "ignore" (never read), bytes (sent at once), or None."""
        self.on_accept = what

    def refuse(self, drop=True):
        """Stops listening: connections to it are refused. With drop, those that are open are reset."""
        self._run(self._stop_listening(drop))

    def listen(self):
        """Listens (again), on the same port."""
        self._run(self._start_listening())

    def blackhole(self):
        """
        Listens, and the backlog is full: connections to it neither succeed nor fail. Those that are open stay.
        listen() or refuse() ends it.
        """
        self._run(self._stop_listening(False))
        self._listener = self._bound(self.port)
        self._listener.listen(0)
        for _ in range(16):
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.settimeout(0.2)
            self._stuffing.append(filler)
            try:
                filler.connect((self.host, self.port))
            except socket.timeout:
                return
        raise HarnessError("the backlog does not fill up")

    def push(self, data):
        """Sends bytes that nobody asked for on every open connection."""
        self._each(lambda connection: connection.send(data))

    def close_connections(self, reset=False):
        """Closes every open connection, as a server does that has an idle timeout or restarts."""
        self._each(Connection.reset if reset else Connection.close)

    # Inside

    def _bound(self, port):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((self.host, port))
        return sock

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE_S)

    def _each(self, action):
        async def run():
            for connection in list(self.open.values()):
                action(connection)
        self._run(run())

    async def _start_listening(self):
        await self._stop_listening(False)
        self._listener = self._bound(self.port)
        self._accepting = await self._loop.create_server(lambda: Connection(self), sock=self._listener, backlog=4096,
                                                           ssl=self.tls)

    async def _stop_listening(self, drop):
        for filler in self._stuffing:
            filler.close()
        self._stuffing.clear()
        if self._accepting is not None:
            self._accepting.close()
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if drop:
            for connection in list(self.open.values()):
                connection.reset()


# Misbehaviours. Each function here makes one, for FakeServer.misbehave().


def answer(data):
    """These bytes in the place of the truthful answer: an error line, another type of reply."""
    async def play(connection, command, reply):
        connection.send(data)
    return play


def garbage(data=b"\x00\xff\x16\x03\x01 \r\n\x80"):
    """Bytes that are no reply at all."""
    return answer(data)


def mute():
    """No answer to this, nor to anything after it; the connection stays open."""
    async def play(connection, command, reply):
        await connection.gone.wait()
    return play


def skip():
    """No answer to this one; what comes after is answered as if nothing were amiss."""
    return answer(b"")


def late(delay_ms):
    """The truthful answer, so long after the command came. The order stays."""
    async def play(connection, command, reply):
        await asyncio.sleep(max(0.0, command.arrived + delay_ms / 1000 - time.monotonic()))
        connection.send(reply)
    return play


def held(event):
    """The truthful answer once the threading.Event is set. What comes after waits as well: the order stays."""
    async def play(connection, command, reply):
        while not event.is_set() and not connection.is_gone:
            await asyncio.sleep(0.002)
        connection.send(reply)
    return play


def cut(count, reset=False):
    """The first `count` bytes of the answer, then a close or a RST. Negative: so many from the end are missing."""
    async def play(connection, command, reply):
        connection.send(reply[:count])
        if reset:
            await asyncio.sleep(0.02)  # a RST overtakes what was sent and not read yet
            connection.reset()
        else:
            connection.close()
    return play


def cut_after_values(count):
    """The first `count` VALUE blocks of a get, then a close."""
    async def play(connection, command, reply):
        connection.send(b"".join(split_values(reply)[:count]))
        connection.close()
    return play


def extra(data=b"STORED\r\n"):
    """The truthful answer and a reply that nobody asked for."""
    async def play(connection, command, reply):
        connection.send(reply + data)
    return play


def rewritten(change):
    """change(reply) in the place of the reply: for lies about keys and lengths."""
    async def play(connection, command, reply):
        connection.send(change(reply))
    return play


def close_instead(reset=False):
    """No answer: a close, or a RST."""
    async def play(connection, command, reply):
        if reset:
            connection.reset()
        else:
            connection.close()
    return play


def endless(data=b"x" * 1024, head=b""):
    """head, and data again and again until the peer has gone."""
    async def play(connection, command, reply):
        connection.send(head)
        while not connection.is_gone:
            connection.send(data)
            await connection.drain()
            await asyncio.sleep(0)
    return play


def drip(pause_ms=1, step=1):
    """The truthful answer, `step` bytes at a time."""
    async def play(connection, command, reply):
        for start in range(0, len(reply), step):
            connection.send(reply[start:start + step])
            await asyncio.sleep(pause_ms / 1000)
    return play


def split_values(reply):
    """The VALUE blocks of a reply to get, and what follows them (END), as a list of bytes."""
    blocks = []
    while reply.startswith(b"VALUE "):
        line_end = reply.index(b"\r\n") + 2
        end = line_end + int(reply[:line_end].split()[3]) + 2
        blocks.append(reply[:end])
        reply = reply[end:]
    return blocks + [reply]
