/*
 * Owns the probes under way: a timer and a short connection for each server that is down. What a good probe changes is
 * health.c's affair.
 */
#include "pool/probe.h"

#include "base/log.h"
#include "event/transport.h"
#include "pool/health.h"
#include "pool/homecoming.h"
#include "pool/upstream.h"
#include "wire/reply.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct probe {
    struct list node;
    struct prober *prober;
    struct server *server;
    struct wheel_timer timer; /* the pause's end, or the attempt's deadline */
    struct transport transport;
    struct tls_session *session;
    struct resolve_job *resolving;
    bool attempting;
    bool connected;
    bool binary, logs_in; /* as the attempt was opened */
    uint64_t pause_ms;
    unsigned random; /* state of the jitter */
    struct homecoming homecoming;
    char answer[4096]; /* the units that have not been taken yet */
    size_t answer_len;
};

struct down_mail {
    struct mail mail;
    struct prober *prober;
    struct server *server;
};

static void probe_end_attempt(struct probe *probe)
{
    if (probe->resolving != NULL) {
        probe->resolving->owner = NULL;
        probe->resolving = NULL;
    }
    transport_close(&probe->transport);
    OPENSSL_cleanse(probe->homecoming.question, sizeof probe->homecoming.question); /* it may be a login */
    loop_disarm(probe->prober->loop, &probe->timer);
    probe->attempting = false;
    probe->connected = false;
    probe->answer_len = 0;
}

static void probe_destroy(struct probe **probe)
{
    struct probe *p = *probe;
    *probe = NULL;
    probe_end_attempt(p);
    tls_session_forget(&p->session);
    list_unlink(&p->node);
    free(p);
}

/* The pause, give or take a quarter, so that many sidecars do not probe in step. */
static uint64_t jittered(struct probe *probe)
{
    uint64_t spread = probe->pause_ms / 2;
    return probe->pause_ms - spread / 2 + (spread > 0 ? (uint64_t)rand_r(&probe->random) % (spread + 1) : 0);
}

static void probe_failed(struct probe *probe, const char *reason)
{
    struct server *server = probe->server;
    atomic_fetch_add_explicit(&server->probe_failures, 1, memory_order_relaxed);
    struct health_settings settings = health_settings(server->health);
    probe->pause_ms = probe->pause_ms * 2 < settings.probe_max_ms ? probe->pause_ms * 2 : settings.probe_max_ms;
    log_debug("probe_failed", "pool %s: server %s: %s; the next probe is in about %llu ms", server->identity.pool,
              server->identity.label, reason, (unsigned long long)probe->pause_ms);
    probe_end_attempt(probe); /* the reason may be the transport's */
    loop_arm(probe->prober->loop, &probe->timer, jittered(probe));
}

/* Of what the transport knows more than the reason says, that is told. */
static void probe_lost(struct probe *probe, const char *reason)
{
    const char *problem = transport_problem(&probe->transport);
    probe_failed(probe, problem != NULL ? problem : reason);
}

static void tell_of_flush(const struct server *server, const struct homecoming *homecoming)
{
    const struct server_identity *identity = &server->identity;
    if (homecoming->flushed)
        log_info("server_flushed",
                 "pool %s: server %s came back with its memory intact and was flushed (on_return: flush)",
                 identity->pool, identity->label);
    else if (homecoming->refused)
        log_warning(
            "flush_refused",
            "pool %s: server %s came back with its memory intact and does not allow flush_all: values from before "
            "it was away may be read; start it without -F, or set on_return: keep",
            identity->pool, identity->label);
}

static void probe_succeeded(struct probe *probe)
{
    struct server *server = probe->server;
    const struct homecoming *homecoming = &probe->homecoming;
    atomic_store_explicit(&server->version, homecoming->version, memory_order_relaxed);
    if (homecoming->flushed)
        atomic_fetch_add_explicit(&server->flushes, 1, memory_order_relaxed);
    tell_of_flush(server, homecoming);
    probe_destroy(&probe);
    health_report_up(server);
}

/* Sends the question. false: the attempt has failed. */
static bool probe_send(struct probe *probe)
{
    struct homecoming *homecoming = &probe->homecoming;
    const struct iovec question = {homecoming->question, homecoming->question_len};
    ssize_t sent = probe->transport.methods->write(&probe->transport, &question, 1);
    if (homecoming->question_len > 0 && sent == (ssize_t)homecoming->question_len)
        return true;
    probe_lost(probe, "the question could not be sent");
    return false;
}

/* Takes one unit off the answer. false: no more can be done now, or the probe is over. */
static bool probe_take_unit(struct probe *probe)
{
    struct homecoming *homecoming = &probe->homecoming;
    struct reply_unit unit;
    enum reply_status status = reply_parse(homecoming->verb, probe->answer, probe->answer_len, &unit);
    uint64_t len = status == REPLY_UNIT ? unit.head_bytes + unit.body_bytes : 0;
    if (status == REPLY_PARTIAL || (status == REPLY_UNIT && len > probe->answer_len)) {
        if (probe->answer_len == sizeof probe->answer)
            probe_failed(probe, "the answer is too long");
        return false;
    }
    if (status == REPLY_GARBAGE) {
        probe_failed(probe, "the answer is not lawful");
        return false;
    }
    enum homecoming_next next = homecoming_take(homecoming, &unit, probe->answer);
    if (next == HOMECOMING_UP) {
        probe_succeeded(probe);
        return false;
    }
    if (next == HOMECOMING_AGAIN) {
        probe_failed(probe, homecoming->reason);
        return false;
    }
    probe->answer_len -= (size_t)len;
    memmove(probe->answer, probe->answer + len, probe->answer_len);
    return (next != HOMECOMING_ASK || probe_send(probe)) && probe->answer_len > 0;
}

static void probe_read(struct probe *probe)
{
    size_t room = sizeof probe->answer - probe->answer_len;
    ssize_t n = transport_read(&probe->transport, probe->answer + probe->answer_len, room);
    if (n == TRANSPORT_AGAIN)
        return;
    if (n < 0) {
        probe_lost(probe, "the connection was closed");
        return;
    }
    probe->answer_len += (size_t)n;
    while (probe_take_unit(probe))
        continue;
}

static void probe_ask(struct probe *probe)
{
    int error = transport_connect_result(&probe->transport);
    if (error != 0) {
        probe_lost(probe, strerrordesc_np(error));
        return;
    }
    probe->connected = true;
    struct server *server = probe->server;
    int64_t since_us = atomic_load_explicit(&server->down_since_us, memory_order_relaxed);
    struct health_settings settings = health_settings(server->health);
    if (settings.binary != probe->binary || (settings.auth != NULL) != probe->logs_in) {
        probe_failed(probe, "it is to be spoken to in another way now");
        return;
    }
    homecoming_begin(&probe->homecoming, server->identity.pool, settings.auth, settings.flush_on_return,
                     loop_clock_us() - (uint64_t)since_us);
    if (probe_send(probe) && transport_want(&probe->transport, TRANSPORT_READABLE) != 0)
        probe_failed(probe, "out of memory");
}

static void on_ready(struct transport *transport, unsigned ready)
{
    (void)ready;
    struct probe *probe = list_entry(transport, struct probe, transport);
    if (probe->connected)
        probe_read(probe);
    else
        probe_ask(probe);
}

static void probe_connect(struct probe *probe)
{
    struct server_address address;
    if (!server_take_address(probe->server, &address)) {
        probe_failed(probe, "its address is not known");
        return;
    }
    int fd = transport_connect_socket((const struct sockaddr *)&address.address, address.len);
    if (fd < 0) {
        probe_failed(probe, strerrordesc_np(errno));
        return;
    }
    struct health_settings settings = health_settings(probe->server->health);
    const struct upstream_manner manner = {
        .tls = settings.tls,
        .session = &probe->session,
        .binary = settings.binary,
        .logs_in = settings.auth != NULL,
    };
    probe->binary = manner.binary;
    probe->logs_in = manner.logs_in;
    if (upstream_open_transport(&probe->transport, probe->prober->loop, fd, probe->server, &manner) != 0 ||
        transport_want(&probe->transport, TRANSPORT_WRITABLE) != 0)
        probe_failed(probe, "out of memory");
}

static void on_resolved(struct resolve_job *job)
{
    struct probe *probe = job->owner;
    if (probe != NULL) {
        probe->resolving = NULL;
        if (job->address_count > 0)
            server_set_addresses(probe->server, job->addresses, job->address_count);
        probe_connect(probe);
    }
    resolve_job_destroy(&job);
}

static void probe_start(struct probe *probe)
{
    struct server *server = probe->server;
    probe->attempting = true;
    atomic_fetch_add_explicit(&server->probes, 1, memory_order_relaxed);
    loop_arm(probe->prober->loop, &probe->timer, health_settings(server->health).timeout_ms);
    if (!server->is_name) {
        probe_connect(probe);
        return;
    }
    probe->resolving =
        resolve_job_create(server->identity.host, server->identity.port, probe->prober->mailbox, on_resolved, probe);
    if (probe->resolving != NULL)
        resolver_submit(probe->prober->resolver, probe->resolving);
    else
        probe_failed(probe, "out of memory");
}

static void on_due(struct wheel_timer *timer)
{
    struct probe *probe = list_entry(timer, struct probe, timer);
    if (probe->attempting)
        probe_lost(probe, "no answer in time");
    else
        probe_start(probe);
}

static struct probe *find(struct prober *prober, const struct server *server)
{
    struct list *node, *following;
    list_for_each_safe (node, following, &prober->probes) {
        struct probe *probe = list_entry(node, struct probe, node);
        if (probe->server == server)
            return probe;
    }
    return NULL;
}

void prober_init(struct prober *prober, struct loop *loop, struct mailbox *mailbox, struct resolver *resolver)
{
    prober->loop = loop;
    prober->mailbox = mailbox;
    prober->resolver = resolver;
    list_init(&prober->probes);
}

void prober_fini(struct prober *prober)
{
    while (!list_is_empty(&prober->probes)) {
        struct probe *probe = list_first(&prober->probes, struct probe, node);
        probe_destroy(&probe);
    }
}

void prober_watch(struct prober *prober, struct server *server)
{
    if (!server_is_down(server) || find(prober, server) != NULL)
        return;
    struct probe *probe = calloc(1, sizeof *probe);
    if (probe == NULL) {
        /* Without a probe it would stay down for ever. */
        health_report_up(server);
        return;
    }
    probe->prober = prober;
    probe->server = server;
    probe->pause_ms = health_settings(server->health).probe_ms;
    probe->random = (unsigned)loop_clock_us() ^ server->slot * 2654435761u;
    list_init(&probe->node);
    wheel_timer_init(&probe->timer, on_due);
    transport_init(&probe->transport, on_ready);
    list_push_back(&prober->probes, &probe->node);
    loop_arm(prober->loop, &probe->timer, jittered(probe));
}

void prober_forget(struct prober *prober, struct server *server)
{
    struct probe *probe = find(prober, server);
    if (probe != NULL)
        probe_destroy(&probe);
}

static void deliver_down(struct mail *mail)
{
    struct down_mail *down = list_entry(mail, struct down_mail, mail);
    prober_watch(down->prober, down->server);
    free(down);
}

void prober_on_down(void *prober, struct server *server)
{
    struct prober *p = prober;
    struct down_mail *down = malloc(sizeof *down);
    if (down == NULL) {
        health_report_up(server);
        return;
    }
    down->mail.deliver = deliver_down;
    down->prober = p;
    down->server = server;
    mailbox_post(p->mailbox, &down->mail);
}
