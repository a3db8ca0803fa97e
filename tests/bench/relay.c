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
 * Requests go round robin over the servers, which must all hold all keys. A client's replies keep the order of its requests:
 * what comes too early waits in its slot. For measurements only: what goes wrong ends it.
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
#include <unistd.h>

#define EVENTS 512
#define READ_BYTES ((size_t)256 << 10)
#define SERVERS_MAX 16
#define KINDS_MAX 8
#define HIGH_WATER ((size_t)4 << 20)

struct buffer {
    char *data;
    size_t start, end, room;
};

/* A reply that is due to a client. */
struct slot {
    size_t left;         /* bytes still to come from the server */
    struct buffer early; /* came before its turn */
};

struct peer {
    int fd;
    bool is_server, dirty, wants_write;
    struct buffer out;
    struct peer *next_dirty;
    size_t request_left; /* client: of a request that is passing through */
    struct peer *request_server;
    struct slot *slots; /* client: ring of replies that are due */
    size_t slot_first, slot_next, slot_room;
    struct due *dues; /* server: ring: whose reply comes next */
    size_t due_first, due_next, due_room;
};

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

static void flush(struct peer *peer)
{
    struct buffer *out = &peer->out;
    if (out->start < out->end) {
        ssize_t n = send(peer->fd, out->data + out->start, out->end - out->start, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            out->start = out->end; /* gone: its read will tell */
        if (n > 0)
            out->start += (size_t)n;
    }
    bool wants = out->start < out->end;
    if (wants == peer->wants_write)
        return;
    peer->wants_write = wants;
    struct epoll_event event = {.events = EPOLLIN | (wants ? EPOLLOUT : 0), .data.ptr = peer};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
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

static void begin_request(struct peer *client, char first)
{
    size_t k = 0;
    while (k < kind_count && kinds[k].first != first)
        k++;
    if (k == kind_count) {
        fprintf(stderr, "relay: a request begins with '%c'\n", first);
        exit(1);
    }
    struct peer *server = &servers[next_server];
    next_server = next_server + 1 < server_count ? next_server + 1 : 0;
    client->request_left = kinds[k].request_bytes;
    client->request_server = server;
    add_slot(client, kinds[k].reply_bytes);
    add_due(server, client, client->slot_next - 1);
}

static void take_requests(struct peer *client, const char *data, size_t len)
{
    while (len > 0) {
        if (client->request_left == 0)
            begin_request(client, *data);
        size_t part = len < client->request_left ? len : client->request_left;
        put(&client->request_server->out, data, part);
        mark_dirty(client->request_server);
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
        if (slot->early.start < slot->early.end) {
            put(&client->out, slot->early.data + slot->early.start, slot->early.end - slot->early.start);
            slot->early.start = slot->early.end = 0;
        }
        if (slot->left > 0)
            return;
        client->slot_first++;
    }
}

static void take_replies(struct peer *server, const char *data, size_t len)
{
    while (len > 0) {
        struct due *due = &server->dues[server->due_first & (server->due_room - 1)];
        struct peer *client = due->client;
        struct slot *slot = &client->slots[due->slot & (client->slot_room - 1)];
        size_t part = len < slot->left ? len : slot->left;
        bool its_turn = due->slot == client->slot_first;
        put(its_turn ? &client->out : &slot->early, data, part);
        slot->left -= part;
        if (slot->left == 0)
            server->due_first++;
        if (its_turn) {
            mark_dirty(client);
            if (slot->left == 0)
                advance(client);
        }
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

static void on_ready(struct peer *peer, uint32_t events)
{
    static char buffer[READ_BYTES];
    if (events & EPOLLOUT)
        mark_dirty(peer);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || peer->out.end - peer->out.start > HIGH_WATER)
        return;
    ssize_t n = recv(peer->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 && peer->is_server)
        die("a server has gone");
    if (n <= 0) {
        /* Its memory stays: replies may be due to it still. */
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, peer->fd, NULL);
        close(peer->fd);
        peer->fd = -1;
        return;
    }
    if (peer->is_server)
        take_replies(peer, buffer, (size_t)n);
    else
        take_requests(peer, buffer, (size_t)n);
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
        while (dirty != NULL) {
            struct peer *peer = dirty;
            dirty = peer->next_dirty;
            peer->dirty = false;
            if (peer->fd >= 0)
                flush(peer);
        }
    }
}
