/*
 * Owns the names of the kinds of nodes, and the end of a spec. Specs are made by config/bind_route.c.
 */
#include "routing/spec.h"

#include <stdlib.h>

const char *route_kind_name(enum route_kind kind)
{
    static const char *const names[ROUTE_KIND_COUNT] = {
#define X(suffix, name) [ROUTE_##suffix] = (name),
        ROUTE_KIND_TABLE(X)
#undef X
    };
    return names[kind];
}

void route_spec_destroy(struct route_spec **spec)
{
    struct route_spec *old = *spec;
    *spec = NULL;
    if (old == NULL)
        return;
    for (size_t i = 0; i < old->branch_count; i++) {
        free(old->branches[i].name);
        route_spec_destroy(&old->branches[i].to);
    }
    free(old->branches);
    free(old->add);
    free(old->strip);
    free(old->text);
    free(old);
}
