/*
 * Keys and certificates for tests, made anew in each program; as objects for the peer, and as files in the folder for what
 * is tested.
 *
 *      root -> server (RSA), server_ec, expired, elsewhere, client, client_revoked (in revoked.crl)
 *           -> intermediate -> chained
 *      other_root -> stranger           self_signed
 *
 *      certificates_use(tcase);                          NAME.pem, NAME.key of each, revoked.crl
 *      tls_path("server.pem")
 */
#ifndef RINGSIDE_TESTS_TLS_CERTIFICATES_H
#define RINGSIDE_TESTS_TLS_CERTIFICATES_H

#include "tests/support/folder.h"

#include <check.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define DAY_S 86400L

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

struct wish {
    const char *file; /* without .pem, .key */
    const char *name;
    const char *alternative; /* as openssl.cnf has it */
    const struct identity *issuer;
    long from_s, to_s; /* from now on; both 0: a day each way */
    bool rsa, authority;
};

static struct identity root, intermediate, other_root, server, server_ec, chained, expired, elsewhere, self_signed,
    client, client_revoked, stranger;

/* A few at a time: the strings of one call. */
static inline const char *tls_path(const char *name)
{
    static char paths[16][FOLDER_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 16];
    folder_join(name, path);
    return path;
}

static inline void extend(X509 *certificate, X509V3_CTX *context, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);
    ck_assert_ptr_nonnull(extension);
    ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline X509 *certify(const struct wish *wish, EVP_PKEY *key)
{
    static long serial = 100;
    X509 *certificate = X509_new();
    X509V3_CTX context;
    bool dated = wish->from_s != 0 || wish->to_s != 0;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), dated ? wish->from_s : -DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(certificate), dated ? wish->to_s : DAY_S);
    X509_set_pubkey(certificate, key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)wish->name, -1, -1, 0);
    X509 *issuer = wish->issuer != NULL ? wish->issuer->certificate : certificate;
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    if (wish->authority)
        extend(certificate, &context, NID_basic_constraints, "critical,CA:TRUE");
    if (wish->alternative != NULL)
        extend(certificate, &context, NID_subject_alt_name, wish->alternative);
    ck_assert_int_gt(X509_sign(certificate, wish->issuer != NULL ? wish->issuer->key : key, EVP_sha256()), 0);
    return certificate;
}

/* Writes certificates one behind the other; NULL ends them early. */
static inline void write_certificates(const char *path, X509 *first, X509 *second)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_X509(file, first), 1);
    if (second != NULL)
        ck_assert_int_eq(PEM_write_X509(file, second), 1);
    ck_assert_int_eq(fclose(file), 0);
}

static inline void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_PrivateKey(file, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                          (void *)(uintptr_t)passphrase),
                     1);
    ck_assert_int_eq(fclose(file), 0);
}

static inline struct identity identity_make(const struct wish *wish)
{
    struct identity made;
    char name[64];
    made.key = wish->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    ck_assert_ptr_nonnull(made.key);
    made.certificate = certify(wish, made.key);
    (void)snprintf(name, sizeof name, "%s.pem", wish->file);
    bool in_chain = wish->issuer == &intermediate;
    write_certificates(tls_path(name), made.certificate, in_chain ? intermediate.certificate : NULL);
    (void)snprintf(name, sizeof name, "%s.key", wish->file);
    write_key(tls_path(name), made.key, NULL);
    return made;
}

static inline void identity_free(struct identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
    *identity = (struct identity){NULL, NULL};
}

/* Appends the issuer's list to a file. certificate: the one that is revoked; NULL: none is. to_s: its end, from now on. */
static inline void append_crl(const char *path, const struct identity *issuer, X509 *certificate, long to_s)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, to_s < 0 ? 2 * to_s : -60), *next = X509_gmtime_adj(NULL, to_s);
    X509_CRL_set_version(list, 1);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->certificate));
    X509_CRL_set1_lastUpdate(list, now);
    X509_CRL_set1_nextUpdate(list, next);
    if (certificate != NULL) {
        X509_REVOKED *revoked = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate));
        X509_REVOKED_set_revocationDate(revoked, now);
        X509_CRL_add0_revoked(list, revoked);
    }
    ck_assert_int_gt(X509_CRL_sign(list, issuer->key, EVP_sha256()), 0);
    FILE *file = fopen(path, "a");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_X509_CRL(file, list), 1);
    ck_assert_int_eq(fclose(file), 0);
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
    X509_CRL_free(list);
}

static inline void write_crl(const char *path, const struct identity *issuer, X509 *certificate)
{
    (void)unlink(path);
    append_crl(path, issuer, certificate, DAY_S);
}

#define SERVER_NAMES "DNS:server.test,DNS:*.wild.test,IP:127.0.0.1"

static inline void certificates_make(void)
{
    root = identity_make(&(struct wish){.file = "root", .name = "root", .authority = true});
    other_root = identity_make(&(struct wish){.file = "other_root", .name = "other", .authority = true});
    intermediate = identity_make(
        &(struct wish){.file = "intermediate", .name = "intermediate", .issuer = &root, .authority = true});
    server = identity_make(&(struct wish){
        .file = "server", .name = "server.test", .alternative = SERVER_NAMES, .issuer = &root, .rsa = true});
    server_ec = identity_make(&(struct wish){
        .file = "server_ec", .name = "ec.test", .alternative = "DNS:ec.test,DNS:*.ec.test", .issuer = &root});
    chained = identity_make(&(struct wish){
        .file = "chained", .name = "chained.test", .alternative = "DNS:chained.test", .issuer = &intermediate});
    expired = identity_make(&(struct wish){.file = "expired",
                                           .name = "server.test",
                                           .alternative = SERVER_NAMES,
                                           .issuer = &root,
                                           .from_s = -3 * DAY_S,
                                           .to_s = -DAY_S});
    elsewhere = identity_make(&(struct wish){.file = "elsewhere",
                                             .name = "elsewhere.test",
                                             .alternative = "DNS:elsewhere.test,IP:127.0.0.9",
                                             .issuer = &root});
    self_signed =
        identity_make(&(struct wish){.file = "self_signed", .name = "server.test", .alternative = SERVER_NAMES});
    client = identity_make(&(struct wish){
        .file = "client", .name = "Some One", .alternative = "DNS:web1.client.test,email:a@b.test", .issuer = &root});
    client_revoked = identity_make(&(struct wish){.file = "client_revoked", .name = "revoked.test", .issuer = &root});
    stranger = identity_make(&(struct wish){.file = "stranger", .name = "stranger", .issuer = &other_root});
    write_crl(tls_path("revoked.crl"), &root, client_revoked.certificate);
}

static inline void certificates_forget(void)
{
    struct identity *const all[] = {&root,    &other_root, &intermediate, &server, &server_ec,      &chained,
                                    &expired, &elsewhere,  &self_signed,  &client, &client_revoked, &stranger};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        identity_free(all[i]);
}

static inline void certificates_use(TCase *tcase)
{
    folder_use(tcase);
    tcase_add_unchecked_fixture(tcase, certificates_make, certificates_forget);
}

#endif
