/*
 * What the texts of hashes and of SCRAM are made of: parts between separators, numbers with a name, base64.
 *
 *      $scrypt$ln=15,r=8,p=1$SALT$KEY          take '$' ... take ',' ... number "ln=" ... base64
 *
 * Base64 is read strictly (RFC 4648, 4): its letters alone, in whole bytes. Servers' keys are read otherwise: wire/base64.h.
 */
#ifndef RINGSIDE_TLS_HASH_TEXT_H
#define RINGSIDE_TLS_HASH_TEXT_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes that a base64 text is decoded to. */
#define HASH_TEXT_BYTES_MAX 64
/* Room for the base64 of len bytes, with its NUL. */
#define HASH_TEXT_ROOM(len) (((len) + 2) / 3 * 4 + 1)

/* Takes the text up to the separator, and the separator, off *rest. false: there is none, and nothing is taken. */
bool hash_text_take(struct slice *rest, char separator, struct slice *part_out);

/* The number in a part such as "ln=15", whose name is "ln=". */
bool hash_text_number(struct slice part, struct slice name, uint32_t *value_out);

enum hash_text_padding {
    HASH_TEXT_PADDED, /* '=' up to a multiple of four */
    HASH_TEXT_ANY,    /* or without any */
};

/* The number of bytes. 0: it is no base64, is empty, or is more than fits; room is at most HASH_TEXT_BYTES_MAX. */
size_t hash_text_decode(struct slice text, enum hash_text_padding padding, uint8_t *out, size_t room);

/* out takes HASH_TEXT_ROOM(len) bytes. Returns the length without the NUL. ANY: it writes no padding. */
size_t hash_text_encode(const uint8_t *bytes, size_t len, enum hash_text_padding padding, char *out);

#endif
