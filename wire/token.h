/*
 * A line cut at its spaces, as memcached cuts it: any count of spaces, and no other byte, divides tokens. For wire/
 * alone.
 */
#ifndef RINGSIDE_WIRE_TOKEN_H
#define RINGSIDE_WIRE_TOKEN_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One more than any command takes: memcached gives up at the 24th token too. */
#define TOKENS_MAX 24

struct tokens {
    struct slice at[TOKENS_MAX];
    uint32_t count;     /* TOKENS_MAX: that many or more; the rest is not cut */
    bool single_spaced; /* one space between tokens, as far as the line was cut */
};

/* Cuts text, which neither starts nor ends with a space. */
void tokens_split(struct slice text, struct tokens *tokens_out);

/* Takes the next token off *text. false: none is left. */
static inline bool token_next(struct slice *text, struct slice *token_out)
{
    const char *at = text->data;
    const char *end = at + text->len;
    while (at < end && *at == ' ')
        at++;
    const char *start = at;
    while (at < end && *at != ' ')
        at++;
    *token_out = slice_make(start, (size_t)(at - start));
    *text = slice_make(at, (size_t)(end - at));
    return at > start;
}

#endif
