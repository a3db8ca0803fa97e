/* Tests of sessions that are taken up again: by clients, by servers, across refreshes, rotations of keys, and threads. */
#include "tests/support/suite.h"
#include "tests/tls/bench.h"
#include "tls/tickets.h"

#include <pthread.h>
#include <stdatomic.h>

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* The time as OpenSSL sees it: certificates expire when a test says so. */
static atomic_long seconds_ahead;

time_t time(time_t *time_out)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    now.tv_sec += atomic_load(&seconds_ahead);
    if (time_out != NULL)
        *time_out = now.tv_sec;
    return now.tv_sec;
}

static char *path(const char *name)
{
    return (char *)(uintptr_t)tls_path(name);
}

static void refresh(struct tls_context *context)
{
    char error[TLS_ERROR_MAX];
    ck_assert_msg(tls_context_refresh(context, error), "%s", error);
}

/* ---- As a client ---- */

/* Connects, talks and goes; whether the session was taken up. */
static bool connect_once(struct bench *bench, struct tls_context *context)
{
    bench_open_client(bench, context, "server.test");
    ck_assert_int_eq(bench_shake(bench), 0);
    bench_chat(bench);
    bool resumed = tls_transport_is_resumed(&bench->transport);
    ck_assert_int_eq(resumed, SSL_session_reused(bench->peer));
    bench_hang_up(bench);
    ck_assert(!tls_transport_is_resumed(&bench->transport));
    return resumed;
}

START_TEST(a_client_takes_its_session_up_again)
{
    struct bench bench;
    struct tls_context *context = plain_client();
    bench_init(&bench);
    for (size_t i = 0; i < 2; i++) {
        bench_peer_context(&bench, true, &server, versions[i]);
        ck_assert(!connect_once(&bench, context));
        ck_assert_ptr_nonnull(bench.session);
        for (int again = 0; again < 3; again++)
            ck_assert(connect_once(&bench, context));
        /* Another server, or its keys are gone: a whole handshake, and on with that session. */
        bench_peer_context(&bench, true, &server, versions[i]);
        ck_assert(!connect_once(&bench, context));
        ck_assert(connect_once(&bench, context));
        tls_session_forget(&bench.session);
        ck_assert_ptr_null(bench.session);
        ck_assert(!connect_once(&bench, context));
        tls_session_forget(&bench.session);
    }
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

/* What the server was verified by is no longer in force. */
START_TEST(a_refresh_ends_a_clients_session)
{
    struct bench bench;
    struct tls_context *context = plain_client();
    bench_init(&bench);
    bench_peer_context(&bench, true, &server, 0);
    ck_assert(!connect_once(&bench, context));
    ck_assert(connect_once(&bench, context));
    refresh(context);
    ck_assert(!connect_once(&bench, context));
    ck_assert(connect_once(&bench, context));
    /* Nor does another context take it, though it may lie where the old one lay. */
    tls_context_unref(&context);
    context = plain_client();
    ck_assert(!connect_once(&bench, context));
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

/* ---- As a server ---- */

static SSL_SESSION *kept;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

static void peer_client(struct bench *bench, const struct identity *identity, int version)
{
    bench_peer_context(bench, false, identity, version);
    SSL_CTX_set_session_cache_mode(bench->peer_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(bench->peer_context, keep_session);
    SSL_SESSION_free(kept);
    kept = NULL;
}

/* The peer comes with what it has kept. Whether that was taken up; -1: it was refused. */
static int serve_once(struct bench *bench, struct tls_context *context)
{
    bench_open_server(bench, context);
    if (kept != NULL)
        SSL_set_session(bench->peer, kept);
    if (bench_shake(bench) != 0) {
        bench_hang_up(bench);
        return -1;
    }
    bench_chat(bench);
    int resumed = SSL_session_reused(bench->peer);
    ck_assert_int_eq(resumed, tls_transport_is_resumed(&bench->transport));
    ck_assert_ptr_nonnull(kept);
    bench_hang_up(bench);
    return resumed;
}

START_TEST(a_server_keeps_its_ticket_keys_across_a_refresh)
{
    struct bench bench;
    struct tls_context *context = plain_server(), *other = plain_server();
    bench_init(&bench);
    for (size_t i = 0; i < 2; i++) {
        peer_client(&bench, NULL, versions[i]);
        ck_assert_int_eq(serve_once(&bench, context), 0);
        ck_assert_int_eq(serve_once(&bench, context), 1);
        ck_assert_int_eq(serve_once(&bench, context), 1);
        refresh(context);
        ck_assert_int_eq(serve_once(&bench, context), 1);
        ck_assert_int_eq(serve_once(&bench, other), 0);
    }
    SSL_SESSION_free(kept);
    bench_fini(&bench);
    tls_context_unref(&context);
    tls_context_unref(&other);
}
END_TEST

START_TEST(ticket_keys_are_renewed_and_forgotten)
{
    struct bench bench;
    struct tls_context *context = plain_server();
    bench_init(&bench);
    peer_client(&bench, NULL, TLS1_3_VERSION);
    ck_assert_int_eq(serve_once(&bench, context), 0);
    SSL_SESSION *first = SSL_SESSION_dup(kept);
    /* Never older than one life: each visit brings a new ticket, sealed with the newest key. */
    for (int i = 0; i < 8; i++) {
        loop_skip(&bench.loop, 1000 * (uint64_t)(TICKET_KEY_LIFE_S - 600));
        ck_assert_int_eq(serve_once(&bench, context), 1);
    }
    SSL_SESSION_free(kept);
    kept = first;
    ck_assert_int_eq(serve_once(&bench, context), 0);
    loop_skip(&bench.loop, 1000 * (uint64_t)TICKET_KEYS * TICKET_KEY_LIFE_S);
    ck_assert_int_eq(serve_once(&bench, context), 0);
    clock_rewind();
    SSL_SESSION_free(kept);
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

static struct tls_context *judging_server(void)
{
    struct tls_server_spec spec = server_spec_of("server.pem", "server.key");
    spec.client_certificate = TLS_CLIENT_CERTIFICATE_REQUIRE;
    spec.client_ca = path("root.pem");
    spec.crl = path("live.crl");
    return server_of(&spec);
}

/* A ticket stands for a certificate: it keeps its name, and no longer than that is good. */
START_TEST(a_ticket_does_not_outlive_the_judgement)
{
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < 2; i++) {
        write_crl(tls_path("live.crl"), &root, NULL);
        struct tls_context *context = judging_server();
        peer_client(&bench, &client, versions[i]);
        ck_assert_int_eq(serve_once(&bench, context), 0);
        ck_assert_int_eq(serve_once(&bench, context), 1);
        bench_open_server(&bench, context);
        SSL_set_session(bench.peer, kept);
        ck_assert_int_eq(bench_shake(&bench), 0);
        ck_assert(tls_transport_is_resumed(&bench.transport));
        struct slice name = tls_transport_peer_name(&bench.transport);
        ck_assert_uint_eq(name.len, strlen("web1.client.test"));
        bench_hang_up(&bench);
        /* It is revoked, while one of its handshakes is going on. */
        bench_open_server(&bench, context);
        bench_pump(&bench);
        loop_turns(&bench.loop, 3);
        write_crl(tls_path("live.crl"), &root, client.certificate);
        refresh(context);
        ck_assert_int_eq(bench_shake(&bench), 0);
        bench_chat(&bench);
        bench_hang_up(&bench);
        ck_assert_ptr_nonnull(kept);
        ck_assert_int_eq(serve_once(&bench, context), -1);
        tls_context_unref(&context);
    }
    SSL_SESSION_free(kept);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_ticket_does_not_outlive_the_certificate)
{
    struct bench bench;
    struct identity brief = identity_make(
        &(struct wish){.file = "brief", .name = "brief.test", .issuer = &root, .from_s = -3600, .to_s = 3600});
    bench_init(&bench);
    for (size_t i = 0; i < 2; i++) {
        struct tls_server_spec spec = server_spec_of("server.pem", "server.key");
        spec.client_certificate = TLS_CLIENT_CERTIFICATE_REQUIRE;
        spec.client_ca = path("root.pem");
        struct tls_context *context = server_of(&spec);
        peer_client(&bench, &brief, versions[i]);
        ck_assert_int_eq(serve_once(&bench, context), 0);
        ck_assert_int_eq(serve_once(&bench, context), 1);
        /* The ticket itself is good for longer. */
        atomic_store(&seconds_ahead, 7200);
        ck_assert_int_eq(serve_once(&bench, context), -1);
        atomic_store(&seconds_ahead, 0);
        tls_context_unref(&context);
    }
    SSL_SESSION_free(kept);
    bench_fini(&bench);
    identity_free(&brief);
}
END_TEST

/* ---- Threads ---- */

#define ROUNDS 12

struct crew {
    struct tls_context *context;
    atomic_int resumed;
};

/* A client of one thread's: it keeps what it is given in the SSL's own place. */
static int keep_own(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION **own = SSL_get_app_data(ssl);
    SSL_SESSION_free(*own);
    *own = session;
    return 1;
}

static void *serve_clients(void *context)
{
    struct crew *crew = context;
    static _Thread_local struct bench bench;
    SSL_SESSION *own = NULL;
    bench_init(&bench);
    bench_peer_context(&bench, false, NULL, 0);
    SSL_CTX_set_session_cache_mode(bench.peer_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(bench.peer_context, keep_own);
    for (int i = 0; i < ROUNDS; i++) {
        bench_open_server(&bench, crew->context);
        SSL_set_tlsext_host_name(bench.peer, (i % 2 ? "ec.test" : "server.test"));
        SSL_set_app_data(bench.peer, &own);
        if (own != NULL)
            SSL_set_session(bench.peer, own);
        ck_assert_int_eq(bench_shake(&bench), 0);
        bench_chat(&bench);
        atomic_fetch_add(&crew->resumed, SSL_session_reused(bench.peer));
        bench_hang_up(&bench);
    }
    SSL_SESSION_free(own);
    bench_fini(&bench);
    return NULL;
}

START_TEST(threads_share_a_context_while_it_is_refreshed)
{
    struct tls_server_spec spec = server_spec_of("server.pem", "server.key");
    struct tls_identity further = {path("server_ec.pem"), path("server_ec.key")};
    spec.further = &further;
    spec.further_count = 1;
    struct crew crew = {.context = server_of(&spec)};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, serve_clients, &crew), 0);
    for (int i = 0; i < 10; i++)
        refresh(crew.context);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    /* The name of the session's own handshake is the one it is taken up for (RFC 6066, 3): here, at times, another. */
    ck_assert_int_gt(atomic_load(&crew.resumed), 0);
    tls_context_unref(&crew.context);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("sessions");
    certificates_use(tcase);
    tcase_add_test(tcase, a_client_takes_its_session_up_again);
    tcase_add_test(tcase, a_refresh_ends_a_clients_session);
    tcase_add_test(tcase, a_server_keeps_its_ticket_keys_across_a_refresh);
    tcase_add_test(tcase, ticket_keys_are_renewed_and_forgotten);
    tcase_add_test(tcase, a_ticket_does_not_outlive_the_judgement);
    tcase_add_test(tcase, a_ticket_does_not_outlive_the_certificate);
    tcase_add_test(tcase, threads_share_a_context_while_it_is_refreshed);
    return suite_run("sessions", tcase);
}
