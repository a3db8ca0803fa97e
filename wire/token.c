/*
 * Cutting a line.
 *
 *     "set  key 0 0 5"  ->  set | key | 0 | 0 | 5, not single spaced
 *
 * Only lines of at most REQUEST_LINE_MAX bytes come here; the keys of a retrieval are walked in retrieval.c.
 */
#include "wire/token.h"

void tokens_split(struct slice text, struct tokens *tokens_out)
{
    struct slice rest = text;
    const char *last_end = text.data;
    tokens_out->count = 0;
    tokens_out->single_spaced = true;
    while (tokens_out->count < TOKENS_MAX) {
        struct slice *token = &tokens_out->at[tokens_out->count];
        if (!token_next(&rest, token))
            return;
        if (tokens_out->count > 0 && token->data - last_end != 1)
            tokens_out->single_spaced = false;
        last_end = token->data + token->len;
        tokens_out->count++;
    }
}
