/*
 * What TLS is to be, as the configuration says it: plain data, paths already made absolute. tls/context.h makes of it
 * what connections are opened with.
 */
#ifndef RINGSIDE_TLS_SPEC_H
#define RINGSIDE_TLS_SPEC_H

#include <stdbool.h>
#include <stddef.h>

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

/* What a listener asks its clients for. */
enum tls_client_certificate {
    TLS_CLIENT_CERTIFICATE_NONE,
    TLS_CLIENT_CERTIFICATE_REQUEST, /* one that is shown must be good */
    TLS_CLIENT_CERTIFICATE_REQUIRE,
};

/* Files in PEM. The certificate may be followed by its chain. */
struct tls_identity {
    char *certificate;
    char *key;
};

/* A listener's. */
struct tls_server_spec {
    struct tls_identity identity; /* for clients that name no host, or none of the others' */
    struct tls_identity *further; /* chosen by the names in their certificates (SNI) */
    size_t further_count;
    char *client_ca; /* NULL with TLS_CLIENT_CERTIFICATE_NONE only */
    char *crl;       /* lists of revoked certificates, as for tls_client_spec; NULL: none are looked for */
    enum tls_client_certificate client_certificate;
    enum tls_version min_version;
};

/* A pool's. */
struct tls_client_spec {
    char *ca;                     /* NULL: the system's */
    char *server_name;            /* to be verified, and sent as SNI; NULL: the server's host, name or address */
    struct tls_identity identity; /* both NULL: none is shown */
    char *crl;     /* NULL: none is looked for. One for each issuer of a peer's own certificate at least */
    bool insecure; /* nothing is verified */
    enum tls_version min_version;
};

/* A copy with strings of its own. false: memory is out; fini frees what was copied all the same. */
bool tls_server_spec_copy(struct tls_server_spec *own, const struct tls_server_spec *spec);
bool tls_client_spec_copy(struct tls_client_spec *own, const struct tls_client_spec *spec);
void tls_server_spec_fini(struct tls_server_spec *spec);
void tls_client_spec_fini(struct tls_client_spec *spec);
bool tls_server_spec_equals(const struct tls_server_spec *a, const struct tls_server_spec *b);
bool tls_client_spec_equals(const struct tls_client_spec *a, const struct tls_client_spec *b);

#endif
