/* The table of commands: everything that depends on a command's name is generated from it. */
#ifndef RINGSIDE_WIRE_VERB_H
#define RINGSIDE_WIRE_VERB_H

#include "base/slice.h"

#include <stdbool.h>

/* X(enumerator suffix, name on the wire, group) */
#define VERB_TABLE(X)                \
    X(GET, "get", READ)              \
    X(GETS, "gets", READ)            \
    X(GAT, "gat", TOUCH)             \
    X(GATS, "gats", TOUCH)           \
    X(SET, "set", WRITE)             \
    X(ADD, "add", WRITE)             \
    X(REPLACE, "replace", WRITE)     \
    X(APPEND, "append", WRITE)       \
    X(PREPEND, "prepend", WRITE)     \
    X(CAS, "cas", WRITE)             \
    X(DELETE, "delete", WRITE)       \
    X(INCR, "incr", ARITHMETIC)      \
    X(DECR, "decr", ARITHMETIC)      \
    X(TOUCH, "touch", TOUCH)         \
    X(MG, "mg", READ)                \
    X(MS, "ms", WRITE)               \
    X(MD, "md", WRITE)               \
    X(MA, "ma", ARITHMETIC)          \
    X(ME, "me", READ)                \
    X(MN, "mn", LOCAL)               \
    X(VERSION, "version", LOCAL)     \
    X(STATS, "stats", LOCAL)         \
    X(FLUSH_ALL, "flush_all", WRITE) \
    X(VERBOSITY, "verbosity", LOCAL) \
    X(QUIT, "quit", LOCAL)

enum verb {
#define X(suffix, name, group) VERB_##suffix,
    VERB_TABLE(X)
#undef X
        VERB_COUNT
};

enum verb_group { VERB_GROUP_READ, VERB_GROUP_WRITE, VERB_GROUP_ARITHMETIC, VERB_GROUP_TOUCH, VERB_GROUP_LOCAL };

/* The verb's name on the wire. */
struct slice verb_name(enum verb verb);
enum verb_group verb_group(enum verb verb);
/* false: no such command. */
bool verb_by_name(struct slice name, enum verb *verb_out);
/* get, gets, gat, gats: several keys in a line, answered by VALUE units and END. */
static inline bool verb_is_retrieval(enum verb verb)
{
    return verb <= VERB_GATS;
}
/* mg ms md ma me */
static inline bool verb_is_meta(enum verb verb)
{
    return verb >= VERB_MG && verb <= VERB_ME;
}
/* Carrying it out twice does no harm: get gets mg(*) me version stats. */
static inline bool verb_is_read(enum verb verb)
{
    return verb == VERB_GET || verb == VERB_GETS || verb == VERB_MG || verb == VERB_ME || verb == VERB_VERSION ||
           verb == VERB_STATS;
}

#endif
