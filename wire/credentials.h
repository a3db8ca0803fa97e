/*
 * A login as memcached's ASCII authentication has it (memcached -Y, proto_text.c): bytes to a name and a password. No I/O, no
 * allocation, no copy.
 *
 *     set KEY FLAGS EXPTIME BYTES [anything]\r\n      key, flags and time do not matter
 *     USER PASSWORD [anything]\r\n                    BYTES, and CRLF
 */
#ifndef RINGSIDE_WIRE_CREDENTIALS_H
#define RINGSIDE_WIRE_CREDENTIALS_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

/* A line is not longer, its end included. memcached closes when one has not ended within that many bytes. */
#define CREDENTIALS_LINE_MAX 2048

enum credentials_status {
    CREDENTIALS_READY,
    CREDENTIALS_PARTIAL, /* more bytes are needed */
    CREDENTIALS_OTHER,   /* a line, but no login's, or one that is too long */
    CREDENTIALS_LARGE,   /* a login's line, of a data block longer than is allowed */
    CREDENTIALS_ENDLESS, /* more than CREDENTIALS_LINE_MAX bytes without a line's end */
};

struct credentials {
    size_t line_bytes;  /* with the line's end; 0: it is not in sight */
    size_t total_bytes; /* READY, PARTIAL: line and data block; 0: not known yet */
    struct slice body;  /* READY: the data block, its last two bytes included */
};

/* body_max: what the data block may have, without its CRLF. Slices point into data. */
enum credentials_status credentials_parse(const char *data, size_t len, size_t body_max,
                                          struct credentials *credentials_out);

/* Splits a data block, its last two bytes included. Empty, or the error's line: nothing is filled in then. */
struct slice credentials_split(struct slice body, struct slice *name_out, struct slice *password_out);

#endif
