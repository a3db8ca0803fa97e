/*
 * Clients of the binary protocol: their requests become exchanges as those of ASCII clients do, and what an exchange
 * answers is printed in binary. Only clients whose first byte is BINARY_MAGIC come here.
 *
 *      binary.c        client->in -> wire/binary.h -> single_start | upload | gather_start | an answer at once
 *      binary_reply.c  exchange_emit* (lines and values as a server sends them) -> wire/binary.h -> the client's output
 *
 * client->asking stands while a request is being taken in: exchanges made then keep what their reply has to repeat.
 */
#ifndef RINGSIDE_PROXY_BINARY_H
#define RINGSIDE_PROXY_BINARY_H

#include "proxy/exchange.h"
#include "proxy/requests.h"
#include "wire/binary.h"

#include <stdbool.h>
#include <stddef.h>

/* The request that is being taken in. */
struct binary_asking {
    struct binary_asked asked;
    struct block *block; /* holds body */
    struct slice
        body; /* a value that is passed on from where it was read; empty: it stands behind the request's line */
};

/* What an exchange of a binary client keeps; in worker->binary_slab. */
struct exchange_binary {
    struct binary_asked asked; /* its key is a copy */
    struct binary_stream stream;
    struct block *block;
    struct slice body;
    char key[KEY_LEN_MAX];
};

/* ---- binary.c ---- */

/* As requests_step, at the start of a request. */
enum request_step binary_step(struct client *client, size_t *need_out);
/* All of an upload's value is here: sends the line's end that servers want, and ends it. */
void binary_end_upload(struct client *client);

/* ---- binary_reply.c ---- */

/* For exchange_create: the exchange answers client->asking. false when memory is out. */
bool binary_attach(struct exchange *exchange);
/* For exchange_free. */
void binary_detach(struct exchange *exchange);
/* Appends the body that stands alone, if there is one, with its CRLF. false when memory is out. */
bool binary_append_body(const struct exchange *exchange, struct chain *chain);

/* What exchange_emit, exchange_emit_copy, exchange_emit_chain and exchange_answer do for binary clients. */
void binary_emit(struct exchange *exchange, struct block *block, const char *data, size_t len);
void binary_emit_lines(struct exchange *exchange, struct slice lines);
void binary_emit_chain(struct exchange *exchange, struct chain *chain);
void binary_answer(struct client *client, struct slice lines);

#endif
