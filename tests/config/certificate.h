/* Certificates for tests: made anew, signed by themselves, good for a day. */
#ifndef RINGSIDE_TESTS_CONFIG_CERTIFICATE_H
#define RINGSIDE_TESTS_CONFIG_CERTIFICATE_H

#include <check.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

#define CERTIFICATE_DAY_S (24 * 3600)

/* Writes a certificate of that name, and its key. */
static inline void certificate_write(const char *name, const char *certificate_path, const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    ck_assert(key != NULL && x509 != NULL);
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -CERTIFICATE_DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(x509), CERTIFICATE_DAY_S);
    X509_set_pubkey(x509, key);
    X509_NAME *subject = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    ck_assert_int_gt(X509_sign(x509, key, EVP_sha256()), 0);
    FILE *certificate_file = fopen(certificate_path, "w"), *key_file = fopen(key_path, "w");
    ck_assert(certificate_file != NULL && key_file != NULL);
    ck_assert_int_eq(PEM_write_X509(certificate_file, x509), 1);
    ck_assert_int_eq(PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(certificate_file);
    (void)fclose(key_file);
    X509_free(x509);
    EVP_PKEY_free(key);
}

#endif
