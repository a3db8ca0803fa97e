/* Tests of tls/transport's handshakes: versions, certificates and names, who is let in, and what is said of who is not. */
#include "tls/transport.h"

#include "tests/support/suite.h"
#include "tests/tls/bench.h"

#include <netinet/in.h>

static struct bench bench;

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static char *path(const char *name)
{
    return (char *)(uintptr_t)tls_path(name);
}

static const char *problem(void)
{
    const char *text = transport_problem(&bench.transport);
    return text != NULL ? text : "";
}

static void expect_problem(const char *text)
{
    ck_assert_msg(strstr(problem(), text) != NULL, "\"%s\" rather than \"%s\"", problem(), text);
}

START_TEST(it_shakes_hands_as_a_server)
{
    struct tls_context *context = plain_server();
    bench_init(&bench);
    for (size_t i = 0; i < 4; i++) {
        bench_peer_context(&bench, false, NULL, versions[i % 2]);
        bench.step = i < 2 ? SIZE_MAX : 1; /* byte by byte */
        bench_open_server(&bench, context);
        ck_assert(tls_transport_is_opening(&bench.transport));
        ck_assert_int_eq(bench_shake(&bench), 0);
        ck_assert_int_eq(bench.calls, 0);
        ck_assert_int_eq(SSL_version(bench.peer), versions[i % 2]);
        ck_assert_uint_eq(tls_transport_peer_name(&bench.transport).len, 0);
        bench_chat(&bench);
        bench_hang_up(&bench);
    }
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

START_TEST(it_shakes_hands_as_a_client)
{
    struct tls_context *context = plain_client();
    bench_init(&bench);
    for (size_t i = 0; i < 4; i++) {
        bench_peer_context(&bench, true, &server, versions[i % 2]);
        bench.step = bench.take = i < 2 ? SIZE_MAX : 1;
        bench_open_client(&bench, context, "server.test");
        ck_assert_int_eq(bench_shake(&bench), 0);
        /* Told that it is writable, once. */
        ck_assert_int_eq(bench.calls, 1);
        ck_assert_uint_eq(bench.ready, TRANSPORT_WRITABLE);
        ck_assert_str_eq(SSL_get_servername(bench.peer, TLSEXT_NAMETYPE_host_name), "server.test");
        struct slice name = tls_transport_peer_name(&bench.transport);
        ck_assert_uint_eq(name.len, strlen("server.test"));
        ck_assert_int_eq(memcmp(name.data, "server.test", name.len), 0);
        bench_chat(&bench);
        bench_hang_up(&bench);
    }
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

/* Finished and the first request come in one segment, and the socket is not readable again after that. */
START_TEST(what_comes_with_the_end_of_the_handshake_is_not_lost)
{
    struct tls_context *context = plain_server();
    bench_init(&bench);
    bench_peer_context(&bench, false, NULL, TLS1_3_VERSION);
    bench_open_server(&bench, context);
    bench_pump(&bench);
    loop_turns(&bench.loop, 3);
    bench.step = 0;
    bench_pump(&bench);
    ck_assert(SSL_is_init_finished(bench.peer));
    ck_assert_int_eq(SSL_write(bench.peer, "get a\r\n", 7), 7);
    bench.step = SIZE_MAX;
    bench_push(&bench);
    LOOP_UNTIL(&bench.loop, bench.got_len == 7);
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

/* host, what the peer shows, what is said of it; NULL: it is taken. */
START_TEST(servers_are_verified)
{
    const struct {
        const char *host, *server_name;
        const struct identity *shown;
        const char *problem;
    } rows[] = {
        {"server.test", NULL, &server, NULL},
        {"a.wild.test", NULL, &server, NULL},
        {"127.0.0.1", NULL, &server, NULL},
        {"10.1.2.3", "server.test", &server, NULL},
        {"10.1.2.3", "127.0.0.1", &server, NULL},
        {"elsewhere.test", NULL, &server, "the certificate is not good: hostname mismatch"},
        {"a.b.wild.test", NULL, &server, "hostname mismatch"},
        {"server.test", "elsewhere.test", &server, "hostname mismatch"},
        {"127.0.0.2", NULL, &server, "IP address mismatch"},
        {"127.0.0.1", NULL, &elsewhere, "IP address mismatch"},
        {"server.test", NULL, &expired, "certificate has expired"},
        {"server.test", NULL, &self_signed, "self-signed certificate"},
        {"stranger", NULL, &stranger, "unable to get local issuer certificate"},
        {"chained.test", NULL, &chained, "unable to get local issuer certificate"},
    };
    bench_init(&bench);
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        const size_t row = i / 2;
        struct tls_client_spec spec = {.ca = path("root.pem"), .server_name = (char *)(uintptr_t)rows[row].server_name};
        struct tls_context *context = client_of(&spec);
        bench_peer_context(&bench, true, rows[row].shown, versions[i % 2]);
        bench_open_client(&bench, context, rows[row].host);
        int error = bench_shake(&bench);
        if (rows[row].problem == NULL) {
            ck_assert_msg(error == 0, "row %zu: %s", row, problem());
        } else {
            ck_assert_int_eq(error, EPROTO);
            expect_problem(rows[row].problem);
            ck_assert_int_eq(bench.calls, 1);
            ck_assert_int_eq(bench.end, TRANSPORT_AGAIN);
            char byte;
            ck_assert_int_eq(transport_read(&bench.transport, &byte, 1), TRANSPORT_ERROR);
            ck_assert_int_eq(errno, EPROTO);
        }
        bench_hang_up(&bench);
        tls_context_unref(&context);
    }
    bench_fini(&bench);
}
END_TEST

START_TEST(a_chain_is_sent_and_verified)
{
    struct tls_server_spec spec = server_spec_of("chained.pem", "chained.key");
    struct tls_context *context = server_of(&spec);
    bench_init(&bench);
    bench_peer_context(&bench, false, NULL, 0);
    ck_assert_int_eq(SSL_CTX_load_verify_file(bench.peer_context, tls_path("root.pem")), 1);
    SSL_CTX_set_verify(bench.peer_context, SSL_VERIFY_PEER, NULL);
    bench_open_server(&bench, context);
    ck_assert_int_eq(bench_shake(&bench), 0);
    ck_assert(!bench.peer_failed);
    ck_assert_int_eq(sk_X509_num(SSL_get_peer_cert_chain(bench.peer)), 2);
    bench_chat(&bench);
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

START_TEST(an_insecure_client_takes_anyone)
{
    struct tls_client_spec spec = {.insecure = true};
    struct tls_context *context = client_of(&spec);
    bench_init(&bench);
    bench_peer_context(&bench, true, &self_signed, 0);
    bench_open_client(&bench, context, "elsewhere.test");
    ck_assert_int_eq(bench_shake(&bench), 0);
    ck_assert_uint_eq(tls_transport_peer_name(&bench.transport).len, 0); /* nobody has verified it */
    bench_chat(&bench);
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

START_TEST(revoked_servers_are_refused)
{
    struct tls_client_spec spec = {.ca = path("root.pem"), .crl = path("revoked.crl"), .server_name = "revoked.test"};
    struct tls_context *context = client_of(&spec);
    bench_init(&bench);
    bench_peer_context(&bench, true, &client_revoked, 0);
    bench_open_client(&bench, context, "x");
    ck_assert_int_eq(bench_shake(&bench), EPROTO);
    expect_problem("certificate revoked");
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

/* What of the peer's certificate comes of each wish; a name: it is let in under it. */
START_TEST(client_certificates)
{
    const struct {
        enum tls_client_certificate wish;
        const struct identity *shown;
        const char *name, *problem;
    } rows[] = {
        {TLS_CLIENT_CERTIFICATE_NONE, &client, "", NULL},
        {TLS_CLIENT_CERTIFICATE_REQUEST, NULL, "", NULL},
        {TLS_CLIENT_CERTIFICATE_REQUEST, &client, "web1.client.test", NULL},
        {TLS_CLIENT_CERTIFICATE_REQUEST, &stranger, NULL, "unable to get local issuer certificate"},
        {TLS_CLIENT_CERTIFICATE_REQUEST, &expired, NULL, "certificate has expired"},
        {TLS_CLIENT_CERTIFICATE_REQUIRE, &client, "web1.client.test", NULL},
        {TLS_CLIENT_CERTIFICATE_REQUIRE, NULL, NULL, "peer did not return a certificate"},
        {TLS_CLIENT_CERTIFICATE_REQUIRE, &client_revoked, NULL, "certificate revoked"},
        {TLS_CLIENT_CERTIFICATE_REQUIRE, &self_signed, NULL, "self-signed certificate"},
        {TLS_CLIENT_CERTIFICATE_REQUIRE, &server_ec, "ec.test", NULL},
    };
    bench_init(&bench);
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        const size_t row = i / 2;
        struct tls_server_spec spec = server_spec_of("server.pem", "server.key");
        spec.client_certificate = rows[row].wish;
        spec.client_ca = path("root.pem");
        spec.crl = path("revoked.crl");
        struct tls_context *context = server_of(&spec);
        bench_peer_context(&bench, false, rows[row].shown, versions[i % 2]);
        bench_open_server(&bench, context);
        int error = bench_shake(&bench);
        if (rows[row].name == NULL) {
            ck_assert_int_eq(error, EPROTO);
            expect_problem(rows[row].problem);
        } else {
            ck_assert_msg(error == 0, "row %zu: %s", row, problem());
            struct slice name = tls_transport_peer_name(&bench.transport);
            ck_assert_uint_eq(name.len, strlen(rows[row].name));
            ck_assert(name.len == 0 || memcmp(name.data, rows[row].name, name.len) == 0);
            bench_chat(&bench);
        }
        bench_hang_up(&bench);
        tls_context_unref(&context);
    }
    bench_fini(&bench);
}
END_TEST

START_TEST(a_client_shows_its_certificate)
{
    struct tls_client_spec spec = {.ca = path("root.pem"), .identity = {path("client.pem"), path("client.key")}};
    struct tls_context *context = client_of(&spec);
    bench_init(&bench);
    bench_peer_context(&bench, true, &server, 0);
    ck_assert_int_eq(SSL_CTX_load_verify_file(bench.peer_context, tls_path("root.pem")), 1);
    SSL_CTX_set_verify(bench.peer_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    bench_open_client(&bench, context, "server.test");
    ck_assert_int_eq(bench_shake(&bench), 0);
    ck_assert_int_eq(X509_cmp(SSL_get0_peer_certificate(bench.peer), client.certificate), 0);
    bench_chat(&bench);
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

/* The peer asks for a name, and takes either kind of key: it is shown the certificate of that name, whatever its kind. */
START_TEST(certificates_are_chosen_by_name)
{
    static const char *const files[][2] = {
        {"server.pem", "server.key"}, {"server_ec.pem", "server_ec.key"}, {"chained.pem", "chained.key"}};
    const struct {
        const char *name;
        int file; /* -1: the first one */
    } rows[] = {{"server.test", 0}, {"b.wild.test", 0}, {"ec.test", 1},      {"x.ec.test", 1},
                {"EC.TEST", 1},     {"none.test", -1},  {"chained.test", 2}, {NULL, -1}};
    struct identity *const identities[] = {&server, &server_ec, &chained};
    bench_init(&bench);
    for (int first = 0; first < 3; first++) {
        struct tls_server_spec spec = server_spec_of(files[first][0], files[first][1]);
        struct tls_identity further[2];
        for (int i = 0; i < 2; i++)
            further[i] =
                (struct tls_identity){path(files[(first + 1 + i) % 3][0]), path(files[(first + 1 + i) % 3][1])};
        spec.further = further;
        spec.further_count = 2;
        struct tls_context *context = server_of(&spec);
        for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
            bench_peer_context(&bench, false, NULL, versions[i % 2]);
            bench_open_server(&bench, context);
            if (rows[i / 2].name != NULL)
                SSL_set_tlsext_host_name(bench.peer, rows[i / 2].name);
            ck_assert_int_eq(bench_shake(&bench), 0);
            const struct identity *expected = identities[rows[i / 2].file >= 0 ? rows[i / 2].file : first];
            ck_assert_msg(X509_cmp(SSL_get0_peer_certificate(bench.peer), expected->certificate) == 0,
                          "another certificate for %s, first %d", rows[i / 2].name, first);
            if (expected == &chained)
                ck_assert_int_eq(sk_X509_num(SSL_get_peer_cert_chain(bench.peer)), 2);
            bench_hang_up(&bench);
        }
        tls_context_unref(&context);
    }
    bench_fini(&bench);
}
END_TEST

START_TEST(old_versions_are_refused)
{
    struct tls_server_spec serves = server_spec_of("server.pem", "server.key");
    serves.min_version = TLS_VERSION_1_3;
    struct tls_context *context = server_of(&serves);
    bench_init(&bench);
    bench_peer_context(&bench, false, NULL, TLS1_2_VERSION);
    bench_open_server(&bench, context);
    ck_assert_int_eq(bench_shake(&bench), EPROTO);
    expect_problem("unsupported protocol");
    bench_hang_up(&bench);
    tls_context_unref(&context);
    struct tls_client_spec connects = {.ca = path("root.pem"), .min_version = TLS_VERSION_1_3};
    context = client_of(&connects);
    bench_peer_context(&bench, true, &server, TLS1_2_VERSION);
    bench_open_client(&bench, context, "server.test");
    ck_assert_int_eq(bench_shake(&bench), EPROTO);
    expect_problem("protocol version");
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

START_TEST(a_plain_peer_is_told_from_one_that_speaks_tls)
{
    static const char *const texts[] = {"get a\r\n", "ERROR\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                        "version\r\nversion\r\nversion\r\n"};
    struct tls_context *contexts[2] = {plain_server(), plain_client()};
    bench_init(&bench);
    for (size_t i = 0; i < 2 * sizeof texts / sizeof texts[0]; i++) {
        bool serves = i % 2 == 0;
        bench_peer_context(&bench, !serves, serves ? NULL : &server, 0);
        if (serves)
            bench_open_server(&bench, contexts[0]);
        else
            bench_open_client(&bench, contexts[1], "server.test");
        const char *text = texts[i / 2];
        ck_assert_int_eq(send(bench.fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
        LOOP_UNTIL(&bench.loop, !tls_transport_is_opening(&bench.transport));
        ck_assert_int_eq(transport_connect_result(&bench.transport), EPROTO);
        expect_problem(serves ? "TLS: the client does not speak TLS" : "TLS: the server does not speak TLS");
        bench_hang_up(&bench);
    }
    bench_fini(&bench);
    tls_context_unref(&contexts[0]);
    tls_context_unref(&contexts[1]);
}
END_TEST

START_TEST(a_peer_that_goes_during_the_handshake)
{
    struct tls_context *context = plain_client();
    bench_init(&bench);
    for (int closes = 0; closes < 2; closes++) {
        bench_peer_context(&bench, true, &server, 0);
        bench_open_client(&bench, context, "server.test");
        bench.closes = closes; /* from on_ready, the owner's object goes: under ASan */
        errno = EAGAIN;
        close(bench.fd);
        bench.fd = -1;
        LOOP_UNTIL(&bench.loop, bench.calls > 0);
        if (!closes) {
            int error = transport_connect_result(&bench.transport);
            ck_assert_msg(error == ECONNRESET || error == EPIPE, "%s", strerror(error));
        }
        ck_assert_int_eq(bench.calls, 1);
        bench_hang_up(&bench);
        bench.closes = false;
    }
    bench_peer_context(&bench, true, &server, 0);
    bench_open_client(&bench, context, "server.test");
    loop_turns(&bench.loop, 2);
    ck_assert_int_eq(shutdown(bench.fd, SHUT_WR), 0);
    LOOP_UNTIL(&bench.loop, bench.calls > 0);
    ck_assert_int_eq(transport_connect_result(&bench.transport), ECONNRESET);
    expect_problem("closed the connection during the handshake");
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

/* In TLS 1.3 the peer's judgement comes when the handshake is done here: whether what is next is a read, or a write that fails. */
START_TEST(a_refusal_that_comes_late_is_told)
{
    static const char wanted[] = "TLS: the server refused our certificate (tlsv13 alert certificate required)";
    struct tls_context *context = plain_client();
    char byte;
    bench_init(&bench);
    bench_peer_context(&bench, true, &server, TLS1_3_VERSION);
    SSL_CTX_set_verify(bench.peer_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    bench_open_client(&bench, context, "server.test");
    LOOP_UNTIL(&bench.loop, (bench_pump(&bench), !tls_transport_is_opening(&bench.transport)));
    ck_assert_int_eq(transport_connect_result(&bench.transport), 0);
    ck_assert_int_eq(transport_want(&bench.transport, 0), 0);
    while (!bench.peer_failed || !bench_is_pushed(&bench))
        bench_pump(&bench);
    close(bench.fd);
    bench.fd = -1;
    if (_i == 0) {
        ck_assert_int_eq(transport_read(&bench.transport, &byte, 1), TRANSPORT_ERROR);
    } else {
        ck_assert(chain_append_copy(&bench.out, &bench.memory, "get a\r\n", 7));
        ck_assert_int_eq(transport_write_chain(&bench.transport, &bench.out, &bench.memory, SIZE_MAX), TRANSPORT_ERROR);
        ck_assert_int_eq(errno, EPIPE);
    }
    expect_problem(wanted);
    chain_clear(&bench.out, &bench.memory);
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

/* What it waits for is told while it waits, for whom its time is over. */
START_TEST(a_handshake_that_waits_says_for_what)
{
    struct tls_context *contexts[2] = {plain_server(), plain_client()};
    bench_init(&bench);
    bench_peer_context(&bench, false, NULL, 0);
    bench_open_server(&bench, contexts[0]);
    expect_problem("TLS: the client did not begin the handshake in time");
    bench_hang_up(&bench);
    bench_peer_context(&bench, true, &server, 0);
    bench_open_client(&bench, contexts[1], "server.test");
    loop_turns(&bench.loop, 2);
    expect_problem("TLS: the handshake had no answer in time: the server may not speak TLS");
    bench.step = 3;
    bench_pump(&bench);
    loop_turns(&bench.loop, 2);
    expect_problem("TLS: the handshake was not done in time");
    bench.step = SIZE_MAX;
    ck_assert_int_eq(bench_shake(&bench), 0);
    ck_assert_ptr_null(transport_problem(&bench.transport));
    bench_fini(&bench);
    tls_context_unref(&contexts[0]);
    tls_context_unref(&contexts[1]);
}
END_TEST

/* Over the loopback: the socket is still connecting when it is handed over; at first nobody listens. */
START_TEST(it_connects)
{
    struct tls_context *context = plain_client();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), unused;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    bench_init(&bench);
    for (int listens = 0; listens < 2; listens++) {
        bench_peer_context(&bench, true, &server, 0);
        bench_connect(&bench, &unused, true);
        close(unused);
        close(bench.fd);
        bench.fd = -1;
        if (listens)
            ck_assert_int_eq(listen(listener, 5), 0);
        int fd = transport_connect_socket((struct sockaddr *)&address, len);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(
            tls_transport_open_client(&bench.transport, &bench.loop, context, fd, "127.0.0.1", &bench.session), 0);
        ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_WRITABLE), 0);
        if (!listens) {
            LOOP_UNTIL(&bench.loop, bench.calls > 0);
            ck_assert_int_eq(transport_connect_result(&bench.transport), ECONNREFUSED);
            ck_assert_ptr_null(transport_problem(&bench.transport));
        } else {
            bench.fd = accept(listener, NULL, NULL);
            ck_assert_int_eq(bench_shake(&bench), 0);
            ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE), 0);
            bench_chat(&bench);
        }
        bench_hang_up(&bench);
    }
    close(listener);
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

static void fill(int fd)
{
    static char bytes[4096];
    while (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
        continue;
    while (send(fd, bytes, 1, MSG_NOSIGNAL) > 0)
        continue;
}

static bool is_readable(void)
{
    bench_peer_write(&bench, "get a\r\n", 7);
    loop_turns(&bench.loop, 5);
    return bench.got_len > 0;
}

/* The socket takes nothing when the last words of the handshake are due: they leave when it does, though nobody writes. */
START_TEST(last_words_of_a_handshake_wait_for_the_socket)
{
    struct tls_context *context = plain_server();
    bench_init(&bench);
    for (size_t i = 0; i < 2; i++) {
        bench_peer_context(&bench, false, NULL, versions[i]);
        bench_open_server(&bench, context);
        bench.take = 0;
        bench_pump(&bench);
        loop_turns(&bench.loop, 3);
        /* The server's first words are in the socket: take them away, then stuff it. */
        static char words[65536], stuffing[65536];
        ssize_t words_len = recv(bench.fd, words, sizeof words, MSG_DONTWAIT);
        ck_assert_int_gt(words_len, 0);
        BIO_write(bench.to_peer, words, (int)words_len);
        fill(bench.transport.fd);
        bench_pump(&bench);
        bench_pump(&bench);
        loop_turns(&bench.loop, 5);
        ck_assert(tls_transport_is_opening(&bench.transport));
        if (versions[i] == TLS1_3_VERSION)
            ck_assert(!is_readable());
        while (recv(bench.fd, stuffing, sizeof stuffing, MSG_DONTWAIT) > 0)
            continue;
        bench.take = SIZE_MAX;
        ck_assert_int_eq(bench_shake(&bench), 0);
        ck_assert(SSL_is_init_finished(bench.peer));
        if (versions[i] == TLS1_3_VERSION)
            LOOP_UNTIL(&bench.loop, bench.got_len == 7);
        bench_chat(&bench);
        bench_hang_up(&bench);
    }
    bench_fini(&bench);
    tls_context_unref(&context);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("handshake");
    certificates_use(tcase);
    tcase_add_test(tcase, it_shakes_hands_as_a_server);
    tcase_add_test(tcase, it_shakes_hands_as_a_client);
    tcase_add_test(tcase, what_comes_with_the_end_of_the_handshake_is_not_lost);
    tcase_add_test(tcase, servers_are_verified);
    tcase_add_test(tcase, a_chain_is_sent_and_verified);
    tcase_add_test(tcase, an_insecure_client_takes_anyone);
    tcase_add_test(tcase, revoked_servers_are_refused);
    tcase_add_test(tcase, client_certificates);
    tcase_add_test(tcase, a_client_shows_its_certificate);
    tcase_add_test(tcase, certificates_are_chosen_by_name);
    tcase_add_test(tcase, old_versions_are_refused);
    tcase_add_test(tcase, a_plain_peer_is_told_from_one_that_speaks_tls);
    tcase_add_test(tcase, a_peer_that_goes_during_the_handshake);
    tcase_add_loop_test(tcase, a_refusal_that_comes_late_is_told, 0, 2);
    tcase_add_test(tcase, a_handshake_that_waits_says_for_what);
    tcase_add_test(tcase, it_connects);
    tcase_add_test(tcase, last_words_of_a_handshake_wait_for_the_socket);
    return suite_run("handshake", tcase);
}
