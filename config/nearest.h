/*
 * The nearest of several known words to a word that is not among them, for "did you mean".
 * Source of the distance: optimal string alignment, that is Damerau and Levenshtein's edits (insert, delete, replace,
 * swap two neighbours) with no part edited twice.
 */
#ifndef RINGSIDE_CONFIG_NEAREST_H
#define RINGSIDE_CONFIG_NEAREST_H

#include "base/slice.h"

#include <stddef.h>

/* Longer words are near to nothing. */
#define NEAREST_LEN_MAX 64

struct nearest {
    struct slice found;
    struct slice best; /* data NULL: none is near enough */
    size_t distance;   /* edits from found to best */
};

void nearest_init(struct nearest *nearest, struct slice found);
/* Near enough is one edit for every three letters. On a tie the word that was offered first stays. */
void nearest_offer(struct nearest *nearest, struct slice known);
void nearest_offer_string(struct nearest *nearest, const char *known);

#endif
