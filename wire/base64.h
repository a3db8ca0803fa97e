/*
 * Base64 of binary keys (RFC 4648, with padding), read as leniently as memcached reads it. For wire/ alone.
 *
 * The route of a key is decided by its decoded form, so a key must decode here to what a server decodes it to:
 * bytes outside the alphabet are passed over; the text ends with the first group of four that has padding.
 */
#ifndef RINGSIDE_WIRE_BASE64_H
#define RINGSIDE_WIRE_BASE64_H

#include "base/slice.h"

#include <stddef.h>

/* out takes text.len * 3 / 4 bytes. Returns the decoded length; 0: not base64, or nothing in it. */
size_t base64_decode(struct slice text, char *out);

/* The text that len bytes become. */
#define BASE64_TEXT_LEN(len) (((len) + 2) / 3 * 4)
/* out takes BASE64_TEXT_LEN(bytes.len) bytes; that count is returned. */
size_t base64_encode(struct slice bytes, char *out);

#endif
