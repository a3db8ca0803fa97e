/*
 * Requests made of a client's request: the same with another key or expiry time, a delete of its key, a plain set of its
 * value; and the two commands by which an item is carried from one server to another.
 */
#ifndef RINGSIDE_WIRE_CHANGE_H
#define RINGSIDE_WIRE_CHANGE_H

#include "base/slice.h"
#include "wire/reply.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_form {
    REQUEST_FORM_SAME,  /* the client's command */
    REQUEST_FORM_STORE, /* its data block, flags and expiry time stored whatever is there (of set add replace cas: `set`;
                            of ms: mode set, without C; never of append and prepend) */
    REQUEST_FORM_DELETE, /* its key deleted */
    REQUEST_FORM_FETCH,  /* mg: the item with flags, time left, CAS number */
    REQUEST_FORM_CHECK,  /* mg: its CAS number alone */
    REQUEST_FORM_FILL,   /* ms, mode add: what FETCH brought; answered with its CAS number */
    REQUEST_FORM_UNFILL, /* md: the item with that CAS number deleted */
};

struct request_change {
    enum request_form form;
    struct slice key; /* decoded; data NULL: the request's own */
    bool expiry_set;  /* FORM_SAME and STORE: this time in place of the request's, or added where there may be one */
    int64_t expiry;   /* FILL: the time left; -1: never ends */
    uint32_t flags;   /* FILL: the client flags */
    uint64_t cas;     /* UNFILL */
    uint64_t value_bytes; /* FILL: without CRLF */
};

/* Bytes that a changed line takes at most. */
#define REQUEST_CHANGED_MAX (REQUEST_LINE_MAX + 512)

/*
 * Writes the line to send, CRLF included, without noreply and flag q. With FORM_SAME and STORE the data block follows it
 * as it came; with FILL the fetched one. A key that cannot stand in plain text, and every key of a request whose key came
 * as base64, is written as base64 with flag b (classic commands never have such a key). Returns the count; 0: the changed
 * key is longer than KEY_LEN_MAX (as base64: KEY_LEN_MAX bytes of text), or the line does not fit.
 */
size_t request_print_changed(const struct request *request, const struct request_change *change, char *buffer,
                             size_t capacity);
/* The command that stands on that line: whose grammar its reply has. */
enum verb request_changed_verb(const struct request *request, enum request_form form);

/* What the VA line of a FETCH, or the HD line of a CHECK or a FILL, tells. */
struct fetched {
    uint32_t flags;
    int64_t expiry; /* seconds left; -1: never ends */
    uint64_t cas;
    uint64_t value_bytes; /* of the item's value: for whoever reads the reply to fill in */
};
/* line: from the code to before the CRLF. false: something is missing. */
bool fetched_parse(struct slice line, struct fetched *fetched_out);

/*
 * The line of a reply unit anew with another key: VALUE lines, and meta lines with flag k. `key`: as the client sent it.
 * Returns the count with CRLF; 0: nothing to change, the line can go as it is. capacity at least REPLY_LINE_MAX.
 */
size_t reply_print_key(struct slice line_with_crlf, enum verb verb, struct slice key, char *buffer, size_t capacity);

#endif
