/* From a client's bytes to exchanges: what client.c calls for each step through the input. */
#ifndef RINGSIDE_PROXY_REQUESTS_H
#define RINGSIDE_PROXY_REQUESTS_H

#include <stddef.h>
#include <stdint.h>

struct client;
struct request;

enum request_step {
    REQUEST_STEP_ON,   /* something was consumed, or the client was paused or ended */
    REQUEST_STEP_WAIT, /* more bytes are needed */
};

/*
 * Takes one request, or a part of one, off client->in, which is not empty. On WAIT *need_out is the length in bytes of
 * the piece that has to be there as a whole, or 0 if that is not known.
 */
enum request_step requests_step(struct client *client, size_t *need_out);

/* ---- For binary.c ---- */

/* Drops n bytes of the input, those that have not come yet included. */
void requests_swallow(struct client *client, uint64_t n);
/* A storage command whose value does not fit a block: its data block follows line_bytes of the input. */
enum request_step requests_start_upload(struct client *client, const struct request *request);

#endif
