/*
 * What the parts of the request parser share. For wire/ alone; request.h is the door.
 *
 *     request.c    finds the line and its verb -> fast.c       the few lines that make up the traffic
 *                                              -> retrieval.c  get gets gat gats
 *                                              -> classic.c    all other ASCII commands
 *                                              -> meta.c       mg ms md ma me
 */
#ifndef RINGSIDE_WIRE_PARSE_H
#define RINGSIDE_WIRE_PARSE_H

#include "base/slice.h"
#include "wire/request.h"
#include "wire/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARSE_ERROR SLICE_OF("ERROR\r\n")
#define PARSE_BAD_FORMAT SLICE_OF("CLIENT_ERROR bad command line format\r\n")
#define PARSE_BAD_EXPTIME SLICE_OF("CLIENT_ERROR invalid exptime argument\r\n")
#define PARSE_LINE_TOO_LONG SLICE_OF("CLIENT_ERROR line too long\r\n")
#define PARSE_TOO_LARGE SLICE_OF("SERVER_ERROR object too large for cache\r\n")
#define PARSE_END SLICE_OF("END\r\n")

/* The largest length that a server can be sent: memcached counts in int, its CRLF included. */
#define PARSE_VALUE_MAX (INT32_MAX - 2)

/* A command line as the parts get it. */
struct parse_line {
    struct slice text; /* from the first token to the end of the last; not empty */
    bool exact;        /* text stands at the start of the input, and CRLF right behind it */
};

/*
 * An empty request. Field by field: compilers make a block fill of an initializer, and on lines of this length that
 * takes longer than all the rest.
 */
static inline void parse_start(struct request *request)
{
    const struct slice none = SLICE_OF("");
    request->verb = VERB_GET;
    request->line_bytes = 0;
    request->key_count = 0;
    request->key = none;
    request->keys = none;
    request->line = none;
    request->prefix = none;
    request->argument = none;
    request->value_bytes = 0;
    request->has_value = false;
    request->noreply = false;
    request->quiet = false;
    request->key_encoded = false;
    request->repeatable = false;
    request->cas_offered = false;
    request->verbatim = false;
    request->error = none;
    request->swallow_bytes = 0;
}

static inline enum request_status parse_refuse(struct request *request, struct slice error)
{
    request->error = error;
    return REQUEST_REFUSED;
}

/* A key that may be sent: not empty, not too long, no control character. */
bool parse_key_is_valid(struct slice key);
/* The last token is `noreply`. */
bool parse_ends_in_noreply(const struct tokens *tokens);
/* What to swallow if the data block's length stands in token: its length and its CRLF; 0: token is no length. */
uint64_t parse_swallow_bytes(struct slice token);

/* All of these: request_out is zeroed, but for line_bytes, verb and line. */

enum request_status classic_parse(const struct parse_line *line, uint64_t item_size_max, struct request *request_out);
enum request_status meta_parse(const struct parse_line *line, uint64_t item_size_max, struct request *request_out);
enum request_status retrieval_parse(const struct parse_line *line, struct request *request_out);
/* The start of a retrieval's line, from its verb on, that has grown past REQUEST_LINE_MAX without an end in sight. */
enum request_status retrieval_parse_unended(struct slice text, struct request *request_out);

/* Whether this token of the line, by its number, goes to a server. */
bool parse_prints_token(const struct request *request, uint32_t index, struct slice token);
/* Appends at *used, after a space if something stands there already. false: it does not fit. */
bool parse_print_token(struct slice token, char *buffer, size_t capacity, size_t *used);

/* Whether request_print writes this token of a meta command's line. */
bool meta_prints_token(enum verb verb, uint32_t index, struct slice token);

#endif
