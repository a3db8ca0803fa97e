/*
 * A client's command line, parsed in place: bytes to request. No I/O, no allocation, no copy.
 *
 * The reference is memcached 1.6 (proto_text.c): what it accepts, and the bytes of its error lines. Stricter than it
 * where a server could fall out of step: everything that READY lets through draws exactly one reply from a server.
 */
#ifndef RINGSIDE_WIRE_REQUEST_H
#define RINGSIDE_WIRE_REQUEST_H

#include "base/slice.h"
#include "wire/reply.h"
#include "wire/verb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_LEN_MAX 250
/* A line that has not ended within this many bytes is refused, or, for a retrieval, handled in parts. */
#define REQUEST_LINE_MAX 2048

enum request_status {
    REQUEST_READY,   /* a whole, valid command line */
    REQUEST_PARTIAL, /* more bytes are needed */
    REQUEST_KEYS,    /* a retrieval's line longer than REQUEST_LINE_MAX: the whole keys of it so far */
    REQUEST_REFUSED, /* not valid: answer `error` (if not empty), drop the line, swallow, go on */
    REQUEST_FATAL,   /* not valid, and the stream cannot be trusted further: answer `error`, close */
};

struct request {
    enum verb verb;
    uint32_t line_bytes;   /* of the input, with the line's end: what the parser consumed */
    uint32_t key_count;    /* 1 for all but retrievals with several keys; 0 where the verb has no key */
    struct slice key;      /* the first key as it stands on the line (meta with flag b: base64) */
    struct slice keys;     /* retrieval: from the first byte of the first key to the last byte of the last */
    struct slice line;     /* the command line without its end, from its first token to the end of its last */
    struct slice prefix;   /* retrieval: what stands before the keys, to be repeated for each server: "gat 100" */
    struct slice argument; /* stats: the rest of the line after the verb; flush_all: the delay; verbosity: the level;
                               empty if there is none */
    uint64_t value_bytes;  /* storage commands: length of the data block without its CRLF */
    bool has_value;        /* a data block of value_bytes + 2 follows the line */
    bool noreply;          /* the client wants no answer whatever happens (not meta) */
    bool quiet;            /* meta with flag q: request_swallows tells which answers the client does not want */
    bool key_encoded;      /* meta with flag b: the routed key is the decoded one */
    bool repeatable;       /* may be sent again after it was perhaps carried out: a read without a side effect */
    bool cas_offered; /* flag c is there as the client's protocol has room for a CAS number, not because it is wanted */
    bool verbatim;    /* line + CRLF may go to a server as it stands; else request_print makes the line to send */
    struct slice error; /* REFUSED, FATAL: the reply's line with CRLF, static; empty: say nothing (noreply) */
    /* REFUSED because the value is too large: the key is filled in, so that its old value can be removed. */
    uint64_t swallow_bytes; /* REFUSED: bytes after the line to drop (the data block with its CRLF) */
};

/*
 * Parses the command line at the start of data. item_size_max (bytes) is the largest value allowed through.
 * On READY, KEYS, REFUSED and FATAL request_out is filled in; its slices point into data. On KEYS line_bytes covers
 * all up to and including the last whole key; the rest of the line is to be given to request_parse_more_keys.
 */
enum request_status request_parse(const char *data, size_t len, uint64_t item_size_max, struct request *request_out);

/*
 * The same for a line of the frequent kinds, in canonical form, that is here as a whole: get or gets of one key, set, add. It is
 * READY then. false: anything else; *request_out is untouched.
 */
bool request_parse_frequent(const char *data, size_t len, uint64_t item_size_max, struct request *request_out);

/*
 * The continuation of a long retrieval line: data starts where the last part ended. `more` keeps verb, and gets keys,
 * key, key_count and line_bytes; its prefix still points into the first part, as long as the caller keeps that. READY:
 * the line ended within data (key_count may be 0); KEYS: it goes on; PARTIAL: not even one further key is whole,
 * or the next one is wrong and the line's end is not in sight; REFUSED: a key was wrong: `error` replaces END, the rest of the
 * line, given by line_bytes, is consumed; FATAL: REQUEST_LINE_MAX bytes without a good key, and no end in sight.
 */
enum request_status request_parse_more_keys(const char *data, size_t len, struct request *more);

/* Takes the next key off *keys. false: no key is left. Never fails on a `keys` that the parser gave. */
bool request_next_key(struct slice *keys, struct slice *key_out);

/* What a printed line can have more bytes than request->line: its CRLF, and a token that some servers need. */
#define REQUEST_PRINT_EXTRA 4

/*
 * Writes the line to send to a server, CRLF included, without noreply and flag q, tokens separated by one space.
 * At most REQUEST_LINE_MAX + 2 bytes, but for a retrieval in sight: line.len + 2. Returns the count; 0: it did not
 * fit. For one-line requests (not KEYS).
 */
size_t request_print(const struct request *request, char *buffer, size_t capacity);

/*
 * The key that decides the route: request->key, or, with flag b, its decoded form in buffer (KEY_LEN_MAX bytes).
 * Always succeeds on a READY request.
 */
struct slice request_route_key(const struct request *request, char *buffer);

/* Whether a reply with this code is to be kept from the client (noreply; quiet meta). */
bool request_swallows(const struct request *request, enum reply_code code);

#endif
