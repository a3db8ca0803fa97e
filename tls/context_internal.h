/* What tls/transport.c needs of a context. For tls/ alone. */
#ifndef RINGSIDE_TLS_CONTEXT_INTERNAL_H
#define RINGSIDE_TLS_CONTEXT_INTERNAL_H

#include "tls/context.h"

#include <openssl/ssl.h>

/* A connection by the context as it is now. Thread-safe. generation_out: grows with each refresh. NULL: memory is out. */
SSL *tls_context_open(struct tls_context *context, uint64_t *generation_out);
/* A client context's spec: still, lives as long as the context. */
const struct tls_client_spec *tls_context_client_spec(const struct tls_context *context);

/* SSL_CTX_sess_set_new_cb's callback: keeps the session for the next connection. */
int tls_on_new_session(SSL *ssl, SSL_SESSION *session);

#endif
