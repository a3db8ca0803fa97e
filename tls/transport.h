/*
 * TLS under the transport contract (event/transport.h). Whoever opens such a transport uses it as a plain one:
 *
 * - on_ready is not called before the handshake is done; then the transport is writable, and transport_connect_result gives 0.
 *   If the handshake fails, on_ready is called with what is wanted (or at once with TRANSPORT_READABLE), transport_connect_result
 *   gives an errno value, a read gives TRANSPORT_ERROR, and transport_problem says why.
 * - An accepted transport becomes readable when the handshake is done, once, also where nothing is there to be read.
 * - A peer that ends without close_notify is TRANSPORT_ERROR with errno ECONNRESET: what came may be cut.
 * - Bytes that were decrypted and not yet read make the transport readable again in the next turn.
 * - A write may encrypt more than it reports: it is to be called again with the same bytes, as the contract demands anyhow.
 *
 * Records are filled: the pieces of one write are gathered into records of 16 KiB, which leave in one send.
 */
#ifndef RINGSIDE_TLS_TRANSPORT_H
#define RINGSIDE_TLS_TRANSPORT_H

#include "base/slice.h"
#include "event/transport.h"
#include "tls/context.h"

#include <stdbool.h>
#include <stddef.h>

/* A session to be taken up again, kept by whoever connects to one server again and again. Not thread-safe. */
struct tls_session;
void tls_session_forget(struct tls_session **session);

/* Takes over a connected socket of a client. 0; or -1 when memory is out, and fd is closed. */
int tls_transport_open_server(struct transport *transport, struct loop *loop, struct tls_context *context, int fd);

/*
 * Takes over a connecting socket. host: the server's name or address, verified and sent as the configuration says. *session:
 * NULL or what an earlier connection left there; it must live as long as the transport is open.
 */
int tls_transport_open_client(struct transport *transport, struct loop *loop, struct tls_context *context, int fd,
                              const char *host, struct tls_session **session);

/* The handshake is not done. Of a plain transport: false. */
bool tls_transport_is_opening(const struct transport *transport);
/* Whether the session was taken up again rather than begun. */
bool tls_transport_is_resumed(const struct transport *transport);
/*
 * The name in the peer's certificate, verified: the first DNS or e-mail or URI subject alternative name, else the common name.
 * Empty: it has shown none. Lives as long as the transport is open.
 */
struct slice tls_transport_peer_name(const struct transport *transport);

#endif
