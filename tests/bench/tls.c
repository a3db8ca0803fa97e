/*
 * Owns TLS for the generator: one OpenSSL context for all connections, and calls that act like send and recv.
 *
 *      client   tls_open(fd) ... tls_send, tls_receive ... tls_close
 *                     |        the handshake happens by the way            |
 *                     +--- session of the connection before (resumed) <----+
 *
 * All offer the same, TLS 1.3 with one cipher and one group, so that every server has the same work to do. The server's
 * certificate must come from the CA given and be for 127.0.0.1.
 */
#include "tests/bench/load.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#define CIPHER "TLS_AES_256_GCM_SHA384"
#define GROUP "X25519"

static SSL_CTX *context;

/* With OpenSSL's own reason, and the certificate's, if that is what was wrong. */
static _Noreturn void die_of_tls(const char *what, SSL *ssl)
{
    char reason[256] = "no reason given";
    unsigned long code = ERR_get_error();
    if (code != 0)
        ERR_error_string_n(code, reason, sizeof reason);
    long verified = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;
    fprintf(stderr, "load: %s: %s%s%s\n", what, reason, verified != X509_V_OK ? ": " : "",
            verified != X509_V_OK ? X509_verify_cert_error_string(verified) : "");
    exit(2);
}

void tls_init(const char *ca_path)
{
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context, CIPHER) != 1 || SSL_CTX_set1_groups_list(context, GROUP) != 1 ||
        SSL_CTX_load_verify_file(context, ca_path) != 1 ||
        X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(context), "127.0.0.1") != 1)
        die_of_tls(ca_path, NULL);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
}

struct ssl_st *tls_open(int fd, struct ssl_session_st *session)
{
    SSL *ssl = SSL_new(context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || (session != NULL && SSL_set_session(ssl, session) != 1))
        die_of_tls("TLS", ssl);
    SSL_set_connect_state(ssl);
    return ssl;
}

/* What recv or send would have given. */
static ssize_t outcome(SSL *ssl, int done, size_t bytes, const char *what)
{
    if (done > 0)
        return (ssize_t)bytes;
    switch (SSL_get_error(ssl, done)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        die_of_tls(what, ssl);
    }
}

ssize_t tls_send(struct ssl_st *ssl, const void *data, size_t len)
{
    size_t bytes = 0;
    ERR_clear_error();
    int done = SSL_write_ex(ssl, data, len, &bytes);
    return outcome(ssl, done, bytes, "TLS, sending");
}

ssize_t tls_receive(struct ssl_st *ssl, void *data, size_t len)
{
    size_t bytes = 0;
    ERR_clear_error();
    int done = SSL_read_ex(ssl, data, len, &bytes);
    return outcome(ssl, done, bytes, "TLS, receiving");
}

bool tls_wants_write(struct ssl_st *ssl)
{
    return SSL_want_write(ssl);
}

void tls_close(struct ssl_st *ssl, struct ssl_session_st **session)
{
    totals.handshakes++;
    totals.resumed += SSL_session_reused(ssl) != 0;
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(ssl);
    SSL_shutdown(ssl); /* a session whose connection ended otherwise is not resumed */
    SSL_free(ssl);
}
