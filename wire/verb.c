/*
 * Names and groups of the commands, generated from VERB_TABLE.
 *
 *     VERB_TABLE -> names[] lengths[] groups[]        name -> verb: a walk over lengths[], then one compare
 *
 * The table's order puts the frequent commands first, so the walk is short where it counts. This file knows nothing
 * of arguments: request.c does.
 */
#include "wire/verb.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static const char *const names[VERB_COUNT] = {
#define X(suffix, name, group) [VERB_##suffix] = name,
    VERB_TABLE(X)
#undef X
};

static const uint8_t lengths[VERB_COUNT] = {
#define X(suffix, name, group) [VERB_##suffix] = sizeof(name) - 1,
    VERB_TABLE(X)
#undef X
};

static const uint8_t groups[VERB_COUNT] = {
#define X(suffix, name, group) [VERB_##suffix] = VERB_GROUP_##group,
    VERB_TABLE(X)
#undef X
};

struct slice verb_name(enum verb verb)
{
    return slice_make(names[verb], lengths[verb]);
}

enum verb_group verb_group(enum verb verb)
{
    return (enum verb_group)groups[verb];
}

bool verb_by_name(struct slice name, enum verb *verb_out)
{
    for (unsigned verb = 0; verb < VERB_COUNT; verb++) {
        if (lengths[verb] == name.len && names[verb][0] == name.data[0] &&
            memcmp(names[verb], name.data, name.len) == 0) {
            *verb_out = (enum verb)verb;
            return true;
        }
    }
    return false;
}
