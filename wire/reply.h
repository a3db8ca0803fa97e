/*
 * A server's reply, unit by unit: bytes to reply. No I/O, no allocation, no copy.
 *
 * A reply is one or more units; the last is `final`. A unit is a line, or a line and its data block. What is not a
 * lawful reply to a request of that kind is GARBAGE: the connection that it came from can no longer be trusted.
 */
#ifndef RINGSIDE_WIRE_REPLY_H
#define RINGSIDE_WIRE_REPLY_H

#include "base/slice.h"
#include "wire/verb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest line that a lawful server sends, its CRLF included. */
#define REPLY_LINE_MAX 4096

/*
 * The longest value that a lawful server sends: memcached counts an item's bytes, its CRLF included, in an int. A binary
 * client's reply has 32 bits for it and the key together: a longer one would be told wrongly, and bytes of the value taken
 * for further replies.
 */
#define REPLY_VALUE_MAX ((uint64_t)INT32_MAX - 2)

enum reply_status {
    REPLY_UNIT,    /* *unit_out is filled in; its data block need not be in the buffer yet */
    REPLY_PARTIAL, /* the unit's first line is not whole yet */
    REPLY_GARBAGE, /* not a lawful reply to this verb */
};

/* Every first word that a reply can have; see reply.c for which verb may be answered by which. */
enum reply_code {
    REPLY_CODE_VALUE,
    REPLY_CODE_END,
    REPLY_CODE_STORED,
    REPLY_CODE_NOT_STORED,
    REPLY_CODE_EXISTS,
    REPLY_CODE_NOT_FOUND,
    REPLY_CODE_DELETED,
    REPLY_CODE_TOUCHED,
    REPLY_CODE_NUMBER,
    REPLY_CODE_OK,
    REPLY_CODE_RESET,
    REPLY_CODE_VERSION,
    REPLY_CODE_STAT,
    REPLY_CODE_HD, /* meta */
    REPLY_CODE_VA,
    REPLY_CODE_EN,
    REPLY_CODE_NS,
    REPLY_CODE_EX,
    REPLY_CODE_NF,
    REPLY_CODE_ME,
    REPLY_CODE_MN,
    REPLY_CODE_ERROR,
    REPLY_CODE_CLIENT_ERROR,
    REPLY_CODE_SERVER_ERROR,
};

struct reply_unit {
    enum reply_code code;
    bool final;          /* the reply ends with this unit */
    uint32_t head_bytes; /* the line, with its CRLF */
    uint64_t body_bytes; /* the data block with its CRLF; 0 where there is none. The caller checks that CRLF */
    struct slice key;    /* VALUE: the key; STAT: the name; else empty */
    struct slice rest;   /* STAT: the value; VERSION: the version; error codes: the text after the word */
};

/* Parses the unit at the start of data, as part of a reply to `verb`. */
enum reply_status reply_parse(enum verb verb, const char *data, size_t len, struct reply_unit *unit_out);

#endif
