/*
 * Owns a server's identity, addresses and counters. Whether it is up is decided in health.c; connections to it live in
 * each worker (upstream.c, connection.c).
 */
#include "pool/server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static bool set_unix_address(struct server *server)
{
    struct server_address *to = &server->addresses[0];
    struct sockaddr_un *un = (struct sockaddr_un *)&to->address;
    size_t len = strlen(server->identity.host);
    if (len >= sizeof un->sun_path)
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, server->identity.host, len + 1);
    to->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    server->address_count = 1;
    return true;
}

/* Whether the host is a numeric address; then it is the server's address. */
static bool set_numeric_address(struct server *server)
{
    struct server_address *to = &server->addresses[0];
    struct sockaddr_in *v4 = (struct sockaddr_in *)&to->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&to->address;
    if (inet_pton(AF_INET, server->identity.host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(server->identity.port);
        to->len = sizeof *v4;
    } else if (inet_pton(AF_INET6, server->identity.host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(server->identity.port);
        to->len = sizeof *v6;
    } else {
        return false;
    }
    server->address_count = 1;
    return true;
}

struct server *server_create(const struct server_identity *identity, uint32_t slot, unsigned worker_count,
                             struct health *health)
{
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    pthread_mutex_init(&server->address_lock, NULL);
    server->identity = *identity;
    server->identity.pool = strdup(identity->pool);
    server->identity.label = strdup(identity->label);
    server->identity.host = strdup(identity->host);
    server->slot = slot;
    server->refs = 1;
    server->health = health;
    server->worker_count = worker_count;
    server->stats = aligned_alloc(64, worker_count * sizeof *server->stats);
    if (server->identity.pool == NULL || server->identity.label == NULL || server->identity.host == NULL ||
        server->stats == NULL) {
        server_destroy(&server);
        return NULL;
    }
    memset((void *)server->stats, 0, worker_count * sizeof *server->stats);
    if (identity->is_unix)
        set_unix_address(server);
    else
        server->is_name = !set_numeric_address(server);
    return server;
}

void server_destroy(struct server **server)
{
    struct server *s = *server;
    *server = NULL;
    if (s == NULL)
        return;
    for (unsigned i = 0; s->stats != NULL && i < s->worker_count; i++)
        free(atomic_load(&s->stats[i].latency));
    free(s->stats);
    free((char *)(uintptr_t)s->identity.pool);
    free((char *)(uintptr_t)s->identity.label);
    free((char *)(uintptr_t)s->identity.host);
    pthread_mutex_destroy(&s->address_lock);
    free(s);
}

bool server_is(const struct server *server, const struct server_identity *identity)
{
    const struct server_identity *own = &server->identity;
    return own->port == identity->port && own->is_unix == identity->is_unix && strcmp(own->pool, identity->pool) == 0 &&
           strcmp(own->label, identity->label) == 0 && strcmp(own->host, identity->host) == 0;
}

bool server_take_address(struct server *server, struct server_address *address_out)
{
    pthread_mutex_lock(&server->address_lock);
    bool known = server->address_count > 0;
    if (known)
        *address_out = server->addresses[server->address_next++ % server->address_count];
    pthread_mutex_unlock(&server->address_lock);
    return known;
}

uint32_t server_address_count(struct server *server)
{
    pthread_mutex_lock(&server->address_lock);
    uint32_t count = server->address_count;
    pthread_mutex_unlock(&server->address_lock);
    return count;
}

void server_set_addresses(struct server *server, const struct server_address *addresses, uint32_t count)
{
    if (count > SERVER_ADDRESSES_MAX)
        count = SERVER_ADDRESSES_MAX;
    pthread_mutex_lock(&server->address_lock);
    memcpy(server->addresses, addresses, count * sizeof *addresses);
    server->address_count = count;
    pthread_mutex_unlock(&server->address_lock);
}

unsigned server_version_pack(const char *text, size_t len)
{
    unsigned parts[3] = {0, 0, 0};
    size_t i = 0;
    for (int part = 0; part < 3; part++) {
        if (i >= len || !isdigit((unsigned char)text[i]))
            return part == 0 ? 0 : parts[0] << 20 | parts[1] << 10 | parts[2];
        for (; i < len && isdigit((unsigned char)text[i]); i++) {
            parts[part] = parts[part] * 10 + (unsigned)(text[i] - '0');
            if (parts[part] > 1023)
                return 0;
        }
        if (i < len && text[i] == '.')
            i++;
    }
    return parts[0] << 20 | parts[1] << 10 | parts[2];
}

void server_stats_add(struct server_stats *sum, const struct server_stats *from)
{
#define X(name, help) counter_add(&sum->name, counter_read(&from->name));
    SERVER_COUNTERS(X)
#undef X
}

void server_latency_add(struct histogram *sum, const struct server *server)
{
    for (unsigned i = 0; i < server->worker_count; i++) {
        const struct histogram *latency = atomic_load_explicit(&server->stats[i].latency, memory_order_acquire);
        if (latency != NULL)
            histogram_add(sum, latency);
    }
}

void server_record_latency(struct server_stats *stats, uint64_t latency_us)
{
    struct histogram *latency = atomic_load_explicit(&stats->latency, memory_order_relaxed);
    if (latency == NULL) {
        latency = calloc(1, sizeof *latency);
        if (latency == NULL)
            return;
        atomic_store_explicit(&stats->latency, latency, memory_order_release);
    }
    histogram_record(latency, latency_us);
}
