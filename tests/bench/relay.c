/*
 * The floor: a relay that parses nothing. Many clients over one connection to each server, one epoll loop, at most one read
 * and one write a connection and turn. It knows from its arguments how long requests and replies are, and tells kinds apart by
 * the first byte of a request alone.
 *
 *      relay LISTEN_PORT SERVER_PORT[,SERVER_PORT...] KIND:REQUEST_BYTES:REPLY_BYTES...      (KIND: the first byte)
 *
 *      client A  [r1 r2 r3] --.            .-- server 0   order: A r1, B r1, A r3 ...
 *      client B  [r1] ---------+- r. robin +-- server 1   order: A r2 ...
 *
 * All that is read in a turn stands in one arena, and is sent from there at the end of the turn:
 *
 *      arena     [ A: r1 r2 r3 | B: r1 | server 0: reply reply | ...            | room for one more read ]
 *                   |     |       '------ slices of server 0: what touches is one slice
 *                   |     '-------------- slices of server 1
 *      copied    only what a socket did not take, replies before their turn, requests that come in pieces
 *
 * When a further read might not fit, everything is sent before it. Requests go round robin over the servers, which must all hold
 * all keys. A client's replies keep the order of its requests: what comes too early waits in its slot. For measurements only: what
 * goes wrong ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVENTS 512
#define READ_BYTES ((size_t)256 << 10)
#define ARENA_BYTES ((size_t)2 << 20)
#define SLICES_MAX ((size_t)1024) /* of one call: IOV_MAX */
#define SERVERS_MAX 16
#define KINDS_MAX 8
#define HIGH_WATER ((size_t)4 << 20)

struct buffer {
    char *data;
    size_t start, end, room;
};

/* A reply that is due to a client. */
struct slot {
    size_t left;        /* bytes still to come from the server */
    struct iovec early; /* came before its turn, in the arena: at most one piece a turn, since a server is read once */
    struct buffer kept; /* came before its turn, in a turn that is over */
};

struct peer {
    int fd;
    bool is_server, dirty;
    bool full;            /* the socket takes no more */
    bool watched;         /* the loop tells when it does again */
    struct buffer kept;   /* to be sent, before the slices */
    struct iovec *slices; /* to be sent, in the arena; [0] is for kept */
    size_t slice_count, slice_room;
    struct peer *next_dirty;
    size_t request_left; /* client: of the request that is being read */
    size_t kind;         /* client: of that request */
    struct buffer
        partial;        /* client: what is there of a request that came in pieces: others may not come between them */
    struct slot *slots; /* client: ring of replies that are due */
    size_t slot_first, slot_next, slot_room;
    struct due *dues; /* server: ring: whose reply comes next */
    size_t due_first, due_next, due_room;
};

/* A slot, by its number: slots move when their ring grows. */
struct due {
    struct peer *client;
    size_t slot;
};

static struct {
    char first;
    size_t request_bytes, reply_bytes;
} kinds[KINDS_MAX];
static size_t kind_count, server_count, next_server;
static struct peer servers[SERVERS_MAX];
static struct peer *dirty;
static struct due *early; /* slots that got an early piece in this turn */
static size_t early_count, early_room;
static char arena[ARENA_BYTES];
static size_t arena_used;
static int epoll_fd;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *grow(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes);
    if (memory == NULL)
        die("memory");
    return memory;
}

static void put(struct buffer *buffer, const char *data, size_t len)
{
    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
    if (buffer->room - buffer->end < len) {
        memmove(buffer->data, buffer->data + buffer->start, buffer->end - buffer->start);
        buffer->end -= buffer->start;
        buffer->start = 0;
        if (buffer->room - buffer->end < len) {
            buffer->room = (buffer->end + len) * 2;
            buffer->data = grow(buffer->data, buffer->room);
        }
    }
    memcpy(buffer->data + buffer->end, data, len);
    buffer->end += len;
}

static void mark_dirty(struct peer *peer)
{
    if (peer->dirty)
        return;
    peer->dirty = true;
    peer->next_dirty = dirty;
    dirty = peer;
}

/* ---- Sending ---- */

/* These bytes of the arena are to be sent to the peer, behind what is there already. */
static void add_slice(struct peer *peer, char *data, size_t len)
{
    mark_dirty(peer);
    struct iovec *last = peer->slice_count > 0 ? &peer->slices[peer->slice_count] : NULL;
    if (last != NULL && (char *)last->iov_base + last->iov_len == data) {
        last->iov_len += len;
        return;
    }
    if (peer->slice_count + 2 > peer->slice_room) {
        peer->slice_room = peer->slice_room * 2 + 8;
        peer->slices = grow(peer->slices, peer->slice_room * sizeof *peer->slices);
    }
    peer->slices[++peer->slice_count] = (struct iovec){data, len};
}

/* One call: returns what the socket took, 0 if nothing; *all_out: whether it took all that the call offered. */
static size_t send_some(struct peer *peer, struct iovec *from, size_t count, bool *all_out)
{
    struct msghdr message = {.msg_iov = from, .msg_iovlen = count < SLICES_MAX ? count : SLICES_MAX};
    size_t offered = 0;
    for (size_t i = 0; i < message.msg_iovlen; i++)
        offered += from[i].iov_len;
    ssize_t n = message.msg_iovlen == 1 ? send(peer->fd, from->iov_base, offered, MSG_NOSIGNAL)
                                        : sendmsg(peer->fd, &message, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        n = (ssize_t)offered; /* gone: its read will tell */
    *all_out = n == (ssize_t)offered;
    return n > 0 ? (size_t)n : 0;
}

/* Sends kept bytes and slices as far as the socket takes them, and keeps the rest. */
static void send_all(struct peer *peer)
{
    struct buffer *kept = &peer->kept;
    size_t kept_bytes = kept->end - kept->start, first = kept_bytes > 0 ? 0 : 1, end = peer->slice_count + 1;
    if (kept_bytes > 0)
        peer->slices[0] = (struct iovec){kept->data + kept->start, kept_bytes};
    bool more = peer->fd >= 0 && !peer->full;
    while (more && first < end) {
        size_t n = send_some(peer, &peer->slices[first], end - first, &more);
        while (first < end && n >= peer->slices[first].iov_len)
            n -= peer->slices[first++].iov_len;
        if (first < end) {
            peer->slices[first].iov_base = (char *)peer->slices[first].iov_base + n;
            peer->slices[first].iov_len -= n;
        }
    }
    if (kept_bytes > 0)
        kept->start = first > 0 ? kept->end : kept->end - peer->slices[0].iov_len;
    for (size_t i = first > 0 ? first : 1; i < end && peer->fd >= 0; i++)
        put(kept, peer->slices[i].iov_base, peer->slices[i].iov_len);
    peer->slice_count = 0;
}

static void watch_full(struct peer *peer, bool full)
{
    peer->full = full;
    if (full == peer->watched)
        return;
    peer->watched = full;
    struct epoll_event event = {.events = EPOLLIN | (full ? EPOLLOUT : 0), .data.ptr = peer};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
}

static void flush(struct peer *peer)
{
    if (peer->slice_room == 0)
        return; /* nothing was ever to be sent */
    send_all(peer);
    if (peer->fd >= 0)
        watch_full(peer, peer->kept.start < peer->kept.end);
}

/* The arena is to be used anew: early pieces that still wait are copied. */
static void keep_early(void)
{
    for (size_t i = 0; i < early_count; i++) {
        struct peer *client = early[i].client;
        struct slot *slot = &client->slots[early[i].slot & (client->slot_room - 1)];
        if (early[i].slot >= client->slot_first && slot->early.iov_len > 0)
            put(&slot->kept, slot->early.iov_base, slot->early.iov_len);
        slot->early.iov_len = 0;
    }
    early_count = 0;
}

/* Sends all that this turn has gathered, and empties the arena. */
static void flush_all(void)
{
    while (dirty != NULL) {
        struct peer *peer = dirty;
        dirty = peer->next_dirty;
        peer->dirty = false;
        flush(peer);
    }
    keep_early();
    arena_used = 0;
}

/* ---- Requests ---- */

static void add_slot(struct peer *client, size_t reply_bytes)
{
    if (client->slot_next - client->slot_first == client->slot_room) {
        size_t room = client->slot_room * 2;
        struct slot *slots = calloc(room, sizeof *slots);
        if (slots == NULL)
            die("memory");
        for (size_t i = client->slot_first; i < client->slot_next; i++)
            slots[i & (room - 1)] = client->slots[i & (client->slot_room - 1)];
        free(client->slots);
        client->slots = slots;
        client->slot_room = room;
    }
    client->slots[client->slot_next++ & (client->slot_room - 1)].left = reply_bytes;
}

static void add_due(struct peer *server, struct peer *client, size_t slot)
{
    if (server->due_next - server->due_first == server->due_room) {
        size_t room = server->due_room * 2;
        struct due *dues = calloc(room, sizeof *dues);
        if (dues == NULL)
            die("memory");
        for (size_t i = server->due_first; i < server->due_next; i++)
            dues[i & (room - 1)] = server->dues[i & (server->due_room - 1)];
        free(server->dues);
        server->dues = dues;
        server->due_room = room;
    }
    server->dues[server->due_next++ & (server->due_room - 1)] = (struct due){client, slot};
}

static size_t kind_of(char first)
{
    for (size_t k = 0; k < kind_count; k++)
        if (kinds[k].first == first)
            return k;
    fprintf(stderr, "relay: a request begins with '%c'\n", first);
    exit(1);
}

/* A whole request goes to the next server. Returns that. */
static struct peer *dispatch(struct peer *client, char *data, size_t len)
{
    struct peer *server = &servers[next_server];
    next_server = next_server + 1 < server_count ? next_server + 1 : 0;
    add_slot(client, kinds[client->kind].reply_bytes);
    add_due(server, client, client->slot_next - 1);
    add_slice(server, data, len);
    return server;
}

static void take_requests(struct peer *client, char *data, size_t len)
{
    while (len > 0) {
        if (client->request_left == 0) {
            client->kind = kind_of(*data);
            client->request_left = kinds[client->kind].request_bytes;
        }
        size_t part = len < client->request_left ? len : client->request_left;
        struct buffer *partial = &client->partial;
        if (part == client->request_left && partial->start == partial->end) {
            dispatch(client, data, part);
        } else {
            put(partial, data, part);
            if (part == client->request_left) {
                /* Sent at once: the buffer may be wanted for the next one. */
                flush(dispatch(client, partial->data + partial->start, partial->end - partial->start));
                partial->start = partial->end = 0;
            }
        }
        client->request_left -= part;
        data += part;
        len -= part;
    }
}

/* ---- Replies ---- */

/* Gives out what has come early, as far as it is its turn. */
static void advance(struct peer *client)
{
    while (client->slot_first < client->slot_next) {
        struct slot *slot = &client->slots[client->slot_first & (client->slot_room - 1)];
        if (slot->kept.start < slot->kept.end) {
            /* It is sent from where it is: nothing is put there before that. */
            add_slice(client, slot->kept.data + slot->kept.start, slot->kept.end - slot->kept.start);
            slot->kept.start = slot->kept.end = 0;
        }
        if (slot->early.iov_len > 0) {
            add_slice(client, slot->early.iov_base, slot->early.iov_len);
            slot->early.iov_len = 0;
        }
        if (slot->left > 0)
            return;
        client->slot_first++;
    }
}

static void wait_in_slot(const struct due *due, struct slot *slot, char *data, size_t len)
{
    if (early_count == early_room) {
        early_room = early_room * 2 + 64;
        early = grow(early, early_room * sizeof *early);
    }
    early[early_count++] = *due;
    slot->early = (struct iovec){data, len};
}

static void take_replies(struct peer *server, char *data, size_t len)
{
    while (len > 0) {
        if (server->due_first == server->due_next) {
            fputs("relay: a server said more than was asked for\n", stderr);
            exit(1);
        }
        struct due *due = &server->dues[server->due_first & (server->due_room - 1)];
        struct peer *client = due->client;
        struct slot *slot = &client->slots[due->slot & (client->slot_room - 1)];
        size_t part = len < slot->left ? len : slot->left;
        slot->left -= part;
        if (slot->left == 0)
            server->due_first++;
        if (due->slot != client->slot_first)
            wait_in_slot(due, slot, data, part);
        else
            add_slice(client, data, part);
        if (due->slot == client->slot_first && slot->left == 0)
            advance(client);
        data += part;
        len -= part;
    }
}

/* ---- Sockets ---- */

static struct peer *peer_init(struct peer *peer, int fd, bool is_server)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *peer = (struct peer){.fd = fd, .is_server = is_server, .slot_room = 16, .due_room = 1024};
    peer->slots = is_server ? NULL : calloc(peer->slot_room, sizeof *peer->slots);
    peer->dues = is_server ? calloc(peer->due_room, sizeof *peer->dues) : NULL;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
    return peer;
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        peer_init(grow(NULL, sizeof(struct peer)), fd, false);
}

static void on_gone(struct peer *peer)
{
    if (peer->is_server)
        die("a server has gone");
    /* Its memory stays: replies may be due to it still. */
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, peer->fd, NULL);
    close(peer->fd);
    peer->fd = -1;
}

static void on_ready(struct peer *peer, uint32_t events)
{
    if (events & EPOLLOUT) {
        peer->full = false;
        mark_dirty(peer);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || peer->kept.end - peer->kept.start > HIGH_WATER)
        return;
    if (sizeof arena - arena_used < READ_BYTES)
        flush_all();
    char *data = arena + arena_used;
    ssize_t n = recv(peer->fd, data, READ_BYTES, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        on_gone(peer);
        return;
    }
    arena_used += (size_t)n;
    if (peer->is_server)
        take_replies(peer, data, (size_t)n);
    else
        take_requests(peer, data, (size_t)n);
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0)
        die("listen");
    return fd;
}

static void connect_servers(char *ports)
{
    for (char *port = strtok(ports, ","); port != NULL && server_count < SERVERS_MAX; port = strtok(NULL, ",")) {
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
            die("connect");
        peer_init(&servers[server_count++], fd, true);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("relay LISTEN_PORT SERVER_PORT[,...] KIND:REQUEST_BYTES:REPLY_BYTES...\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (int i = 3; i < argc && kind_count < KINDS_MAX; i++) {
        kinds[kind_count].first = argv[i][0];
        if (sscanf(argv[i] + 1, ":%zu:%zu", &kinds[kind_count].request_bytes, &kinds[kind_count].reply_bytes) != 2)
            return 2;
        kind_count++;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    connect_servers(argv[2]);
    int listener = listen_on((uint16_t)atoi(argv[1]));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(listener);
            else
                on_ready(events[i].data.ptr, events[i].events);
        }
        flush_all();
    }
}
