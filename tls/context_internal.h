/* What tls/transport.c needs of a context. For tls/ alone. */
#ifndef RINGSIDE_TLS_CONTEXT_INTERNAL_H
#define RINGSIDE_TLS_CONTEXT_INTERNAL_H

#include "tls/context.h"

#include <openssl/ssl.h>

/* A connection by the context as it is now. Thread-safe. generation_out: grows with each refresh. NULL: memory is out. */
SSL *tls_context_open(struct tls_context *context, uint64_t *generation_out);
/* Tells the connection of a client context whom to expect: host, or whom the spec names instead. false: memory is out. */
bool tls_context_expect(const struct tls_context *context, SSL *ssl, const char *host);

/* SSL_CTX_sess_set_new_cb's callback: keeps the session for the next connection. */
int tls_on_new_session(SSL *ssl, SSL_SESSION *session);

#endif
