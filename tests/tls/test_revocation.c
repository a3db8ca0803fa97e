/*
 * Tests of lists of revoked certificates, where an intermediate stands between the root and those who show themselves: a list is
 * due of who issued the certificate itself, and heeded of all others.
 */
#include "tests/support/suite.h"
#include "tests/tls/bench.h"

static struct bench bench;

/* What the lists say, one letter each: of whom, and what. */
static const char *lists_file(const char *lists)
{
    const char *path = tls_path(lists);
    if (access(path, F_OK) == 0)
        return path;
    for (const char *letter = lists; *letter != '\0'; letter++) {
        const struct identity *issuer = strchr("rRx", *letter) != NULL ? &root : &intermediate;
        X509 *revoked = *letter == 'R' ? intermediate.certificate : *letter == 'I' ? chained.certificate : NULL;
        append_crl(path, issuer, revoked, strchr("xy", *letter) != NULL ? -DAY_S : DAY_S);
    }
    return path;
}

static const struct {
    const char *lists; /* r, i: root's, intermediate's; R, I: with what is below it revoked; x, y: of both, too old */
    const struct identity *shown;
    const char *problem; /* NULL: it is taken */
} rows[] = {
    {"r", &server, NULL},
    {"ri", &server, NULL},
    {"ri", &chained, NULL},
    {"i", &chained, NULL}, /* nothing is known of the intermediate itself */
    {"r", &chained, "unable to get certificate CRL"},
    {"i", &server, "unable to get certificate CRL"},
    {"I", &chained, "certificate revoked"},
    {"rI", &chained, "certificate revoked"},
    {"rI", &server, NULL},
    {"Ri", &chained, "certificate revoked"}, /* by who has signed the issuer */
    {"Ri", &server, NULL},
    {"xi", &chained, "CRL has expired"},
    {"x", &server, "CRL has expired"},
    {"ry", &chained, "CRL has expired"},
    {"ry", &server, NULL},
};

#define ROWS (sizeof rows / sizeof rows[0])

static void peer_shows(bool serves, const struct identity *shown)
{
    bench_peer_context(&bench, serves, shown, 0);
    if (shown == &chained)
        ck_assert_int_eq(SSL_CTX_add1_chain_cert(bench.peer_context, intermediate.certificate), 1);
}

static void expect(size_t row, int error)
{
    const char *problem = transport_problem(&bench.transport);
    ck_assert_msg((error == 0) == (rows[row].problem == NULL), "row %zu: %s", row, problem);
    if (error == 0)
        bench_chat(&bench);
    else
        ck_assert_msg(strstr(problem, rows[row].problem) != NULL, "row %zu: %s", row, problem);
}

START_TEST(lists_for_servers)
{
    bench_init(&bench);
    for (size_t row = 0; row < ROWS; row++) {
        struct tls_client_spec spec = {.ca = (char *)(uintptr_t)tls_path("root.pem"),
                                       .crl = (char *)(uintptr_t)lists_file(rows[row].lists)};
        struct tls_context *context = client_of(&spec);
        peer_shows(true, rows[row].shown);
        bench_open_client(&bench, context, rows[row].shown == &chained ? "chained.test" : "server.test");
        expect(row, bench_shake(&bench));
        bench_hang_up(&bench);
        tls_context_unref(&context);
    }
    bench_fini(&bench);
}
END_TEST

START_TEST(lists_for_clients)
{
    bench_init(&bench);
    for (size_t row = 0; row < ROWS; row++) {
        struct tls_server_spec spec = server_spec_of("server.pem", "server.key");
        spec.client_certificate = TLS_CLIENT_CERTIFICATE_REQUIRE;
        spec.client_ca = (char *)(uintptr_t)tls_path("root.pem");
        spec.crl = (char *)(uintptr_t)lists_file(rows[row].lists);
        struct tls_context *context = server_of(&spec);
        peer_shows(false, rows[row].shown);
        bench_open_server(&bench, context);
        expect(row, bench_shake(&bench));
        /* Who was forgiven a list that is not there has a name all the same. */
        ck_assert_int_eq(tls_transport_peer_name(&bench.transport).len > 0, rows[row].problem == NULL);
        bench_hang_up(&bench);
        tls_context_unref(&context);
    }
    bench_fini(&bench);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("revocation");
    certificates_use(tcase);
    tcase_add_test(tcase, lists_for_servers);
    tcase_add_test(tcase, lists_for_clients);
    return suite_run("revocation", tcase);
}
