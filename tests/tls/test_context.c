/* Tests of tls/context: what is read of files and what is wrong with them, refreshes, and when one is due. */
#include "tls/context.h"

#include "tests/support/suite.h"
#include "tests/tls/certificates.h"
#include "tls/context_internal.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *path(const char *name)
{
    return (char *)(uintptr_t)tls_path(name);
}

static void copy_file(const char *from, const char *to)
{
    static char content[65536];
    FILE *file = fopen(tls_path(from), "r");
    ck_assert_ptr_nonnull(file);
    size_t len = fread(content, 1, sizeof content, file);
    ck_assert_int_eq(fclose(file), 0);
    folder_write(tls_path(to), content, len);
}

/* So that a file counts as changed, however coarse its clock. */
static void touch(const char *name, time_t unix_s)
{
    struct timespec times[2] = {{.tv_sec = unix_s}, {.tv_sec = unix_s}};
    ck_assert_int_eq(utimensat(AT_FDCWD, tls_path(name), times, 0), 0);
}

static struct tls_server_spec serving(const char *certificate, const char *key)
{
    return (struct tls_server_spec){.identity = {path(certificate), path(key)}};
}

static struct tls_context *create_server(const struct tls_server_spec *spec)
{
    char error[TLS_ERROR_MAX];
    const char *field;
    struct tls_context *context = tls_context_create_server(spec, error, &field);
    ck_assert_msg(context != NULL, "%s", error);
    return context;
}

/* The serial number of what connections are opened with. */
static long serial_of(struct tls_context *context)
{
    uint64_t generation;
    SSL *ssl = tls_context_open(context, &generation);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(SSL_get_certificate(ssl)));
    SSL_free(ssl);
    return serial;
}

static void write_bad_files(void)
{
    folder_write(tls_path("text"), "no certificate\n", 15);
    write_key(tls_path("locked.key"), server.key, "secret");
    ck_assert(mkdir(tls_path("folder"), 0700) == 0 || access(tls_path("folder"), F_OK) == 0);
    ck_assert(mkfifo(tls_path("pipe"), 0600) == 0 || access(tls_path("pipe"), F_OK) == 0);
}

START_TEST(a_bad_file_of_a_server_is_named)
{
    static const struct {
        const char *certificate, *key, *ca, *crl, *further, *field, *error;
    } rows[] = {
        {"none.pem", "server.key", NULL, NULL, NULL, "certificate", "none.pem: No such file or directory"},
        {"server.pem", "none.key", NULL, NULL, NULL, "key", "none.key: No such file or directory"},
        {"folder", "server.key", NULL, NULL, NULL, "certificate", "folder: it is not a file"},
        {"pipe", "server.key", NULL, NULL, NULL, "certificate", "pipe: it is not a file"},
        {"text", "server.key", NULL, NULL, NULL, "certificate", "text: it holds no certificate"},
        {"server.pem", "text", NULL, NULL, NULL, "key", "text: it holds no private key"},
        {"server.pem", "locked.key", NULL, NULL, NULL, "key", "one with a passphrase cannot be"},
        {"server_ec.pem", "client.key", NULL, NULL, NULL, "key", "it is not the key of the certificate"},
        {"server.pem", "client.key", NULL, NULL, NULL, "key", "it is not the key of the certificate"},
        {"server.pem", "server.key", "none.pem", NULL, NULL, "client_ca", "none.pem: No such file"},
        {"server.pem", "server.key", "text", NULL, NULL, "client_ca", "text: it holds no certificate of an authority"},
        {"server.pem", "server.key", "root.pem", "none.crl", NULL, "crl", "none.crl: No such file"},
        {"server.pem", "server.key", "root.pem", "root.pem", NULL, "crl", "it holds no list of revoked certificates"},
        {"server.pem", "server.key", NULL, NULL, "text", "certificate", "text: it holds no certificate"},
    };
    write_bad_files();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char error[TLS_ERROR_MAX];
        const char *field;
        struct tls_server_spec spec = serving(rows[i].certificate, rows[i].key);
        struct tls_identity further = {path("text"), path("server.key")};
        if (rows[i].ca != NULL) {
            spec.client_ca = path(rows[i].ca);
            spec.client_certificate = TLS_CLIENT_CERTIFICATE_REQUIRE;
        }
        spec.crl = rows[i].crl != NULL ? path(rows[i].crl) : NULL;
        spec.further = &further;
        spec.further_count = rows[i].further != NULL;
        ck_assert_ptr_null(tls_context_create_server(&spec, error, &field));
        ck_assert_str_eq(field, rows[i].field);
        ck_assert_msg(strstr(error, rows[i].error) != NULL, "row %zu: %s", i, error);
        ck_assert_uint_eq(ERR_peek_error(), 0);
    }
}
END_TEST

START_TEST(a_bad_file_of_a_client_is_named)
{
    char error[TLS_ERROR_MAX];
    const char *field;
    write_bad_files();
    struct tls_client_spec spec = {.ca = path("text")};
    ck_assert_ptr_null(tls_context_create_client(&spec, error, &field));
    ck_assert_str_eq(field, "ca");
    spec = (struct tls_client_spec){.ca = path("root.pem"), .identity = {path("client.pem"), path("server.key")}};
    ck_assert_ptr_null(tls_context_create_client(&spec, error, &field));
    ck_assert_str_eq(field, "key");
    /* Nothing is verified: what it would be verified by is not read. */
    spec = (struct tls_client_spec){.ca = path("text"), .insecure = true};
    struct tls_context *context = tls_context_create_client(&spec, error, &field);
    ck_assert_ptr_nonnull(context);
    ck_assert_int_eq(tls_context_expires_unix_s(context), 0);
    tls_context_unref(&context);
    ck_assert_ptr_null(context);
    tls_context_unref(&context);
}
END_TEST

START_TEST(the_first_certificate_to_expire_counts)
{
    struct identity soon = identity_make(
        &(struct wish){.file = "soon", .name = "soon.test", .issuer = &root, .from_s = -60, .to_s = 3600});
    struct tls_server_spec spec = serving("server.pem", "server.key");
    struct tls_identity further = {path("soon.pem"), path("soon.key")};
    struct tls_context *context = create_server(&spec);
    int64_t expires_s = tls_context_expires_unix_s(context);
    tls_context_unref(&context);
    spec.further = &further;
    spec.further_count = 1;
    context = create_server(&spec);
    struct tm tm;
    ck_assert_int_eq(ASN1_TIME_to_tm(X509_get0_notAfter(soon.certificate), &tm), 1);
    ck_assert_int_eq(tls_context_expires_unix_s(context), timegm(&tm));
    ck_assert_int_gt(expires_s, tls_context_expires_unix_s(context));
    tls_context_unref(&context);
    identity_free(&soon);
}
END_TEST

START_TEST(a_changed_file_makes_it_stale_and_a_refresh_reads_it)
{
    char error[TLS_ERROR_MAX];
    copy_file("server.pem", "live.pem");
    copy_file("server.key", "live.key");
    touch("live.pem", 1000);
    touch("live.key", 1000);
    struct tls_server_spec spec = serving("live.pem", "live.key");
    struct tls_context *context = create_server(&spec);
    ck_assert(!tls_context_is_stale(context));
    long serial = serial_of(context);
    copy_file("server_ec.pem", "live.pem");
    touch("live.pem", 2000);
    ck_assert(tls_context_is_stale(context));
    /* The key has not come yet: the old ones stay, and nothing is to be looked at before that has come. */
    ck_assert(!tls_context_refresh(context, error));
    ck_assert_ptr_nonnull(strstr(error, "live.key: it is not the key of the certificate"));
    ck_assert_int_eq(serial_of(context), serial);
    ck_assert(!tls_context_is_stale(context));
    copy_file("server_ec.key", "live.key");
    touch("live.key", 2000);
    ck_assert(tls_context_is_stale(context));
    ck_assert(tls_context_refresh(context, error));
    ck_assert(!tls_context_is_stale(context));
    ck_assert_int_ne(serial_of(context), serial);
    /* Of the same time and size, but another file. */
    copy_file("live.key", "next.key");
    struct stat status;
    ck_assert_int_eq(stat(tls_path("live.key"), &status), 0);
    struct timespec times[2] = {status.st_mtim, status.st_mtim};
    ck_assert_int_eq(utimensat(AT_FDCWD, tls_path("next.key"), times, 0), 0);
    ck_assert_int_eq(rename(tls_path("next.key"), tls_path("live.key")), 0);
    ck_assert(tls_context_is_stale(context));
    /* One that is away is about to be replaced. */
    ck_assert(tls_context_refresh(context, error));
    ck_assert_int_eq(unlink(tls_path("live.key")), 0);
    ck_assert(!tls_context_is_stale(context));
    ck_assert(!tls_context_refresh(context, error));
    ck_assert_int_ne(serial_of(context), serial);
    tls_context_unref(&context);
}
END_TEST

START_TEST(it_is_known_by_its_spec)
{
    struct tls_identity further[2] = {{path("server_ec.pem"), path("server_ec.key")},
                                      {path("chained.pem"), path("chained.key")}};
    struct tls_server_spec spec = serving("server.pem", "server.key"), other;
    spec.further = further;
    spec.further_count = 2;
    spec.client_ca = path("root.pem");
    spec.crl = path("revoked.crl");
    spec.client_certificate = TLS_CLIENT_CERTIFICATE_REQUEST;
    struct tls_context *context = create_server(&spec);
    ck_assert(tls_context_is_server(context, &spec));
    ck_assert(!tls_context_is_client(context, &(struct tls_client_spec){0}));
    other = spec;
    other.crl = NULL;
    ck_assert(!tls_context_is_server(context, &other));
    other = spec;
    other.min_version = TLS_VERSION_1_3;
    ck_assert(!tls_context_is_server(context, &other));
    other = spec;
    other.client_certificate = TLS_CLIENT_CERTIFICATE_REQUIRE;
    ck_assert(!tls_context_is_server(context, &other));
    other = spec;
    other.further_count = 1;
    ck_assert(!tls_context_is_server(context, &other));
    struct tls_identity swapped[2] = {further[1], further[0]};
    other = spec;
    other.further = swapped;
    ck_assert(!tls_context_is_server(context, &other));
    tls_context_unref(&context);
    struct tls_client_spec wanted = {.ca = path("root.pem"), .server_name = "a"}, unlike;
    char error[TLS_ERROR_MAX];
    const char *field;
    context = tls_context_create_client(&wanted, error, &field);
    ck_assert(tls_context_is_client(context, &wanted));
    ck_assert(!tls_context_is_server(context, &spec));
    unlike = wanted;
    unlike.server_name = "b";
    ck_assert(!tls_context_is_client(context, &unlike));
    unlike = wanted;
    unlike.insecure = true;
    ck_assert(!tls_context_is_client(context, &unlike));
    tls_context_unref(&context);
}
END_TEST

START_TEST(generations_are_never_the_same)
{
    uint64_t before = 0;
    char error[TLS_ERROR_MAX];
    for (int i = 0; i < 3; i++) {
        /* The place in memory may be the same. */
        struct tls_server_spec spec = serving("server_ec.pem", "server_ec.key");
        struct tls_context *context = create_server(&spec);
        for (int refreshes = 0; refreshes < 2; refreshes++) {
            uint64_t generation;
            SSL_free(tls_context_open(context, &generation));
            ck_assert_uint_gt(generation, before);
            before = generation;
            ck_assert(tls_context_refresh(context, error));
        }
        tls_context_unref(&context);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("context");
    certificates_use(tcase);
    tcase_add_test(tcase, a_bad_file_of_a_server_is_named);
    tcase_add_test(tcase, a_bad_file_of_a_client_is_named);
    tcase_add_test(tcase, the_first_certificate_to_expire_counts);
    tcase_add_test(tcase, a_changed_file_makes_it_stale_and_a_refresh_reads_it);
    tcase_add_test(tcase, it_is_known_by_its_spec);
    tcase_add_test(tcase, generations_are_never_the_same);
    return suite_run("context", tcase);
}
