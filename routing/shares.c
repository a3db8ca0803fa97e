/*
 * Owns: the map from a place in the weighted list of members to the member.
 *
 *   weights 2, 1, 3      list   0 0 1 2 2 2      ends   2 3 6
 *
 * With equal weights it is a division, else a search over the ends.
 *
 * Does not do: the choice of a place (modulo.c, jump.c).
 */
#include "routing/shares.h"

#include <stdbool.h>
#include <stdlib.h>

static bool all_equal(const struct ring_member *members, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (members[i].weight != members[0].weight)
            return false;
    return true;
}

struct shares *shares_create(const struct ring_member *members, size_t n)
{
    bool equal = all_equal(members, n);
    struct shares *shares = malloc(sizeof *shares + (equal ? 0 : n * sizeof shares->ends[0]));
    if (shares == NULL)
        return NULL;
    *shares = (struct shares){.n = n, .each = equal ? members[0].weight : 0};
    for (size_t i = 0; i < n; i++) {
        shares->total += members[i].weight;
        if (!equal)
            shares->ends[i] = shares->total;
    }
    return shares;
}

uint32_t shares_owner(const struct shares *shares, uint64_t place)
{
    if (shares->each != 0)
        return (uint32_t)(place / shares->each);
    size_t low = 0, high = shares->n - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (shares->ends[middle] <= place)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

size_t shares_bytes(const struct shares *shares)
{
    return sizeof *shares + (shares->each != 0 ? 0 : shares->n * sizeof shares->ends[0]);
}
