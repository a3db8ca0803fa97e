/*
 * A server of the test's own making, the upstream under test, and calls that remember what became of them.
 *
 *      upstream -> loopback -> bench->listener -> the test, with peer_expect and peer_say
 */
#ifndef RINGSIDE_TESTS_POOL_BENCH_H
#define RINGSIDE_TESTS_POOL_BENCH_H

#include "base/log.h"
#include "pool/connection.h"
#include "pool/health.h"
#include "pool/upstream.h"
#include "tests/support/peer.h"
#include "tests/support/turns.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BENCH_GREETING "version\r\n"
#define BENCH_WELCOME "VERSION 1.6.18\r\n"
#define BENCH_TIMEOUT_MS 500
#define BENCH_CONNECT_TIMEOUT_MS 2000
#define BENCH_FAILURES 3

struct bench {
    struct loop loop;
    struct mailbox mailbox;
    struct memory memory;
    struct input_shared input;
    struct resolver *resolver;
    struct upstream_context context;
    struct health *health;
    struct server *server;
    struct upstream *upstream;
    int listener;
    int peer; /* the connection that is spoken on; -1: none */
    unsigned downs;
    int order; /* counts calls that have ended */
};

/* What has become of a call. */
struct outcome {
    struct bench *bench;
    char *reply;
    size_t reply_len;
    int pieces, firsts, lasts;
    bool whole;
    bool refuse; /* on_reply is to say that the reply is not its own */
    bool done;
    bool failed;
    int ended_as; /* the first call that ends: 1 */
    struct call_failure failure;
};

static bool bench_on_reply(struct call *call, const struct call_reply *reply)
{
    struct outcome *outcome = call->owner;
    ck_assert(!outcome->done && !outcome->failed);
    if (outcome->refuse)
        return false;
    ck_assert(reply->data >= reply->block->data);
    ck_assert(reply->data + reply->len <= reply->block->data + reply->block->used);
    outcome->reply = realloc(outcome->reply, outcome->reply_len + reply->len + 1);
    ck_assert_ptr_nonnull(outcome->reply);
    memcpy(outcome->reply + outcome->reply_len, reply->data, reply->len);
    outcome->reply_len += reply->len;
    outcome->reply[outcome->reply_len] = '\0';
    outcome->pieces++;
    outcome->firsts += reply->first;
    outcome->lasts += reply->last;
    outcome->whole |= reply->whole;
    outcome->done = reply->final;
    if (reply->final)
        outcome->ended_as = ++outcome->bench->order;
    return true;
}

static void bench_on_failed(struct call *call, const struct call_failure *failure)
{
    struct outcome *outcome = call->owner;
    ck_assert(!outcome->done && !outcome->failed);
    outcome->failed = true;
    outcome->failure = *failure;
    outcome->ended_as = ++outcome->bench->order;
}

static const struct call_methods bench_methods = {bench_on_reply, bench_on_failed};

static inline void outcome_init(struct outcome *outcome, struct bench *bench)
{
    memset(outcome, 0, sizeof *outcome);
    outcome->bench = bench;
}

static inline void outcome_fini(struct outcome *outcome)
{
    free(outcome->reply);
}

static void bench_on_down(void *context, struct server *server)
{
    struct bench *bench = context;
    ck_assert_ptr_eq(server, bench->server);
    bench->downs++;
}

static const struct upstream_settings bench_settings = {
    .connections = 1,
    .connect_timeout_ms = BENCH_CONNECT_TIMEOUT_MS,
    .timeout_ms = BENCH_TIMEOUT_MS,
    .failures = BENCH_FAILURES,
};

/* host: NULL for the loopback address; a name is looked up. */
static inline void bench_init_named(struct bench *bench, const char *host, const struct upstream_settings *settings)
{
    memset(bench, 0, sizeof *bench);
    log_configure(LOG_LEVEL_ERROR, false);
    uint16_t port;
    bench->listener = peer_listen(&port);
    bench->peer = -1;
    ck_assert_int_eq(loop_init(&bench->loop), 0);
    ck_assert_int_eq(mailbox_init(&bench->mailbox, &bench->loop), 0);
    memory_init(&bench->memory, SIZE_MAX);
    input_shared_init(&bench->input, &bench->memory, BLOCK_HUGE);
    bench->resolver = host != NULL ? resolver_create() : NULL;
    upstream_context_init(&bench->context, &bench->loop, &bench->mailbox, &bench->memory, &bench->input,
                          bench->resolver, 0);
    bench->health = health_create("main", bench_on_down, bench);
    const struct health_settings health = {
        .failures = settings->failures, .probe_ms = 50, .probe_max_ms = 100, .panic_percent = 100, .timeout_ms = 100};
    health_configure(bench->health, &health, 1);
    const struct server_identity identity = {
        .pool = "main", .label = "fake", .host = host != NULL ? host : "127.0.0.1", .port = port};
    bench->server = server_create(&identity, 0, 1, bench->health);
    ck_assert_ptr_nonnull(bench->server);
    bench->upstream = upstream_create(&bench->context, bench->server, settings);
    ck_assert_ptr_nonnull(bench->upstream);
}

static inline void bench_init(struct bench *bench)
{
    bench_init_named(bench, NULL, &bench_settings);
}

/* Also sees that nothing is held any more. */
static inline void bench_fini(struct bench *bench)
{
    upstream_destroy(&bench->upstream);
    ck_assert_ptr_null(bench->upstream);
    ck_assert_uint_eq(slab_in_use(&bench->context.calls), 0);
    ck_assert_uint_eq(counter_read(&bench->server->stats[0].queue), 0);
    loop_settle(&bench->loop);
    resolver_destroy(&bench->resolver);
    mailbox_fini(&bench->mailbox);
    server_destroy(&bench->server);
    health_destroy(&bench->health);
    upstream_context_fini(&bench->context);
    input_shared_fini(&bench->input);
    ck_assert_uint_eq(bench->memory.blocks.held_bytes, 0);
    memory_fini(&bench->memory);
    loop_fini(&bench->loop);
    close(bench->listener);
    if (bench->peer >= 0)
        close(bench->peer);
}

/* A call on a lane, with its request. */
static inline struct call *bench_ask_on(struct bench *bench, uint32_t lane, struct outcome *outcome, enum verb verb,
                                        const char *request)
{
    outcome_init(outcome, bench);
    struct call *call = upstream_call(bench->upstream, lane, verb, &bench_methods, outcome);
    ck_assert_ptr_nonnull(call);
    call->whole = verb == VERB_GET;
    ck_assert(chain_append_copy(call_out(call), &bench->memory, request, strlen(request)));
    upstream_send(call);
    return call;
}

static inline struct call *bench_ask(struct bench *bench, struct outcome *outcome, enum verb verb, const char *request)
{
    return bench_ask_on(bench, 0, outcome, verb, request);
}

/* The next connection that the server gets, its greeting answered, for tests that speak on several. */
static inline int bench_welcome_one(struct bench *bench)
{
    int fd = peer_accept(&bench->loop, bench->listener);
    peer_expect(&bench->loop, fd, BENCH_GREETING);
    peer_say(&bench->loop, fd, BENCH_WELCOME);
    return fd;
}

/* An upload whose first part is sent. */
static inline struct call *bench_upload(struct bench *bench, struct outcome *outcome, const char *part)
{
    outcome_init(outcome, bench);
    struct call *call = upstream_upload(bench->upstream, VERB_SET, &bench_methods, outcome);
    ck_assert_ptr_nonnull(call);
    ck_assert(chain_append_copy(call_out(call), &bench->memory, part, strlen(part)));
    upstream_send(call);
    return call;
}

/* Accepts the next connection, and answers its greeting. */
static inline void bench_welcome(struct bench *bench)
{
    if (bench->peer >= 0)
        close(bench->peer);
    bench->peer = peer_accept(&bench->loop, bench->listener);
    peer_expect(&bench->loop, bench->peer, BENCH_GREETING);
    peer_say(&bench->loop, bench->peer, BENCH_WELCOME);
}

static inline void bench_expect(struct bench *bench, const char *request)
{
    peer_expect(&bench->loop, bench->peer, request);
}

static inline void bench_say(struct bench *bench, const char *reply)
{
    peer_say(&bench->loop, bench->peer, reply);
}

static inline void bench_hang_up(struct bench *bench)
{
    close(bench->peer);
    bench->peer = -1;
}

static inline void bench_await(struct bench *bench, const struct outcome *outcome)
{
    LOOP_UNTIL(&bench->loop, outcome->done || outcome->failed);
}

/* Waits for the reply, which is to be this. */
static inline void bench_expect_reply(struct bench *bench, struct outcome *outcome, const char *reply)
{
    bench_await(bench, outcome);
    ck_assert_msg(!outcome->failed, "failed: %s", outcome->failed ? outcome->failure.text : "");
    ck_assert_str_eq(outcome->reply, reply);
    outcome_fini(outcome);
}

/* Waits for the failure, which is to be for this reason. */
static inline void bench_expect_failure(struct bench *bench, struct outcome *outcome, enum call_failure_reason reason,
                                        bool unsent)
{
    bench_await(bench, outcome);
    ck_assert_msg(outcome->failed, "no failure, but %s", outcome->failed ? "" : outcome->reply);
    ck_assert_msg(outcome->failure.reason == reason, "reason %d: %s", (int)outcome->failure.reason,
                  outcome->failure.text);
    ck_assert_int_eq(outcome->failure.unsent, unsent);
    outcome_fini(outcome);
}

/* The connection of a lane, or NULL before its first call. */
static inline struct connection *bench_connection(const struct bench *bench, uint32_t lane)
{
    return bench->upstream->lanes[lane];
}

#endif
