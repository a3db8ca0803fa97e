/*
 * Owns nothing: the words for what OpenSSL says of a failure. They name the end that has to be looked at, since most of these
 * are mistakes in a configuration: of this end, or of the peer.
 *
 *      verify result     "TLS: the certificate is not good: certificate has expired"
 *      alert received    "TLS: the server refused our certificate (tlsv13 alert certificate required)"
 *      plain bytes       "TLS: the server does not speak TLS"
 *      all else          "TLS: " and OpenSSL's own words
 */
#include "tls/problem.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

static const char *peer_of(const SSL *ssl)
{
    return SSL_is_server(ssl) ? "client" : "server";
}

/* What a plain peer's bytes look like. */
static bool is_plain_text(int reason)
{
    return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST;
}

/* Alerts by which a peer says that it does not take what it was shown (RFC 8446, 6.2; RFC 5246, 7.2.2). */
static bool is_refusal(int reason)
{
    switch (reason) {
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

static char *sentence(const char *format, const char *one, const char *two)
{
    char *text;
    return asprintf(&text, format, one, two) >= 0 ? text : NULL;
}

char *problem_of(const SSL *ssl, enum problem_stage stage, unsigned long code, bool cut)
{
    int reason = ERR_GET_REASON(code);
    long verified = SSL_get_verify_result(ssl);
    const char *words = code != 0 ? ERR_reason_error_string(code) : NULL;
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
        return sentence("TLS: the certificate is not good: %s", X509_verify_cert_error_string(verified), "");
    if (cut && stage == PROBLEM_SHAKING)
        return sentence("TLS: the %s closed the connection during the handshake", peer_of(ssl), "");
    if (cut)
        return strdup("TLS: the connection ended without close_notify");
    if (stage == PROBLEM_SHAKING && is_plain_text(reason))
        return sentence("TLS: the %s does not speak TLS", peer_of(ssl), "");
    if (is_refusal(reason) && words != NULL)
        return sentence("TLS: the %s refused our certificate (%s)", peer_of(ssl), words);
    return words != NULL ? sentence("TLS: %s", words, "") : NULL;
}

const char *problem_of_waiting(const SSL *ssl)
{
    if (BIO_number_read(SSL_get_rbio(ssl)) > 0)
        return "TLS: the handshake was not done in time";
    return SSL_is_server(ssl) ? "TLS: the client did not begin the handshake in time"
                              : "TLS: the handshake had no answer in time: the server may not speak TLS";
}
