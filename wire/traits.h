/*
 * What a command does, as far as a route has to know it: read from the verb, and for meta commands from the flags.
 */
#ifndef RINGSIDE_WIRE_TRAITS_H
#define RINGSIDE_WIRE_TRAITS_H

#include "wire/reply.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

struct request_traits {
    bool reads; /* it asks for an item: get gets gat gats mg me */
    bool
        writes; /* it changes, makes or removes an item, its expiry time included (so: also gat, and mg with T, N, R) */
    bool removes; /* delete, md: without a condition (CAS), and without marking stale (flag I) */
    bool
        conditional; /* what it does depends on what is stored: all writes but set, ms in mode set without C, and `removes`;
                          gat and mg with T are: they touch only what is there */
    bool creates; /* makes an item because there is none: add, ms in mode add; mg and ma with flag N */
    bool
        needs_cas; /* asks for a CAS number, or names one: gets gats cas, and meta with flag c (unless cas_offered), C or E */
    bool needs_item; /* its NOT_STORED (NS) says that there is no item: replace append prepend, ms in these modes */
    bool
        repeats_well; /* doing it twice ends in the same as doing it once: reads, set, delete, touch; not add cas append incr */
    bool has_expiry; /* an expiry time stands on the line: storage commands, touch, gat(s), meta with T (ma: T or N) */
    bool may_expire; /* one could: the same, and ms, ma, md, mg without T */
    int64_t expiry;  /* as on the line: 0 never; negative: at once; up to 30 days: seconds from now; else Unix time */
};

/* Of a READY request. */
void request_traits(const struct request *request, struct request_traits *traits_out);

/* What came of a request. */
enum outcome_kind {
    OUTCOME_DONE,    /* there is an item, or the command was carried out */
    OUTCOME_MISS,    /* there is no such item */
    OUTCOME_REFUSED, /* the condition did not hold: NOT_STORED, EXISTS */
    OUTCOME_INVALID, /* the server does not take such a command: ERROR, CLIENT_ERROR */
    OUTCOME_ERROR,   /* the server, or the way to it, failed: SERVER_ERROR, reset, garbage */
    OUTCOME_TIMEOUT,
    OUTCOME_DOWN, /* no connection, or the server is ejected */
    OUTCOME_KINDS
};

/* By the first word of the reply: of several units the first. */
enum outcome_kind outcome_of_reply(const struct request_traits *traits, enum reply_code code);

static inline bool outcome_is_failure(enum outcome_kind kind)
{
    return kind >= OUTCOME_ERROR;
}

#endif
