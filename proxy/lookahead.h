/*
 * Requests of a pipeline parsed a few at a time, so that their keys can be hashed side by side (routing/ahead.h).
 *
 *      input   get a\r\nget b\r\nset c 0 0 1\r\nx\r\nget d\r\n ...
 *              |------|       ^ lookahead_next: parses eight, hashes eight, hands out the first; then the others
 *
 * Only lines of the frequent kinds that are here as a whole, their values too; whatever else there is ends it, and is the caller's
 * to parse. All of it lives within one handling of a client's input: lookahead_end before the bytes may change.
 */
#ifndef RINGSIDE_PROXY_LOOKAHEAD_H
#define RINGSIDE_PROXY_LOOKAHEAD_H

#include "wire/request.h"

#include <stddef.h>
#include <stdint.h>

struct client;

#define LOOKAHEAD_MAX 8

struct lookahead {
    uint32_t at, count;
    struct request requests[LOOKAHEAD_MAX];
};

/* The request at the start of the client's input, READY; NULL: to be parsed by the caller. Valid until the next call. */
const struct request *lookahead_next(struct client *client, uint64_t item_size_max);

/* Nothing is known any more. */
void lookahead_end(struct client *client);

#endif
