/*
 * The binary protocol of servers under the transport contract (event/transport.h): who opens such a transport writes text and
 * meta requests to it, and reads their replies, as to a server that speaks text.
 *
 *      owner  <- text ->  binary  <- packets ->  base: plain, or TLS
 *
 * - With a login the first request written is one of text (secret_print_login). It becomes SASL PLAIN, and is answered STORED, or
 *   CLIENT_ERROR and the server's words.
 * - What a server must not say makes reads end with TRANSPORT_ERROR and errno EBADMSG; transport_problem then is what it has
 *   sent. A write that has no binary form (no line, a data block without its end) ends in the same way, with what it was.
 * - Requests are to be written whole but for data blocks. The base's rules about where writes end are seen to here.
 */
#ifndef RINGSIDE_POOL_BINARY_TRANSPORT_H
#define RINGSIDE_POOL_BINARY_TRANSPORT_H

#include "event/transport.h"

#include <stdbool.h>

struct binary_transport;

/* logs_in: a login comes first. NULL when memory is out. */
struct binary_transport *binary_transport_create(bool logs_in);
/* Of one that no transport was opened with. */
void binary_transport_destroy(struct binary_transport **stream);
/* To be opened, by whatever means, before binary_transport_open. */
struct transport *binary_transport_base(struct binary_transport *stream);
/* Opens the transport on that base, and gives the stream away. */
void binary_transport_open(struct transport *transport, struct binary_transport **stream);

#endif
