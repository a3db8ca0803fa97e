/*
 * MD5 of short texts, for placement only: the key hash of most fleets, and the points of the ketama continuum.
 * Source: RFC 1321. It decides where a key lives; it protects nothing.
 */
#ifndef RINGSIDE_ROUTING_MD5_H
#define RINGSIDE_ROUTING_MD5_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

/* The whole digest as four numbers: word i is digest bytes 4i … 4i+3, read little-endian. */
void md5_words(const char *text, size_t len, uint32_t words_out[4]);

/* Word 0 alone: what the field calls the md5 hash of a key. A little faster than md5_words. */
uint32_t md5_first_word(const char *text, size_t len);

/*
 * The same of n texts, which are hashed MD5_LANES at a time: a text then costs a fifth of what one by itself does, if it is
 * below 56 bytes.
 */
#define MD5_LANES 8
void md5_first_words(const struct slice *texts, size_t n, uint32_t *words_out);

#endif
