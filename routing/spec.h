/*
 * The route as the configuration says it: a tree of plain data, checked, with every default filled in. route_create
 * makes of it what requests go through.
 *
 *      pool NAME | prefix | command | failover | replicate | warm | migrate | shadow | limit | rewrite | ttl | error | miss
 */
#ifndef RINGSIDE_ROUTING_SPEC_H
#define RINGSIDE_ROUTING_SPEC_H

#include <stddef.h>
#include <stdint.h>

/* X(enumerator suffix, name in a configuration) */
#define ROUTE_KIND_TABLE(X)   \
    X(POOL, "pool")           \
    X(PREFIX, "prefix")       \
    X(COMMAND, "command")     \
    X(FAILOVER, "failover")   \
    X(REPLICATE, "replicate") \
    X(WARM, "warm")           \
    X(MIGRATE, "migrate")     \
    X(SHADOW, "shadow")       \
    X(LIMIT, "limit")         \
    X(REWRITE, "rewrite")     \
    X(TTL, "ttl")             \
    X(ERROR, "error")         \
    X(MISS, "miss")

enum route_kind {
#define X(suffix, name) ROUTE_##suffix,
    ROUTE_KIND_TABLE(X)
#undef X
        ROUTE_KIND_COUNT
};

/* failover's `on`, a set. */
enum route_on { ROUTE_ON_DOWN = 1, ROUTE_ON_TIMEOUT = 2, ROUTE_ON_ERROR = 4, ROUTE_ON_MISS = 8 };

enum route_write { ROUTE_WRITE_ALL, ROUTE_WRITE_MAJORITY, ROUTE_WRITE_FIRST, ROUTE_WRITE_ASYNC };
enum route_read { ROUTE_READ_FIRST, ROUTE_READ_ROUND_ROBIN, ROUTE_READ_LEAST_CONNECTIONS, ROUTE_READ_FASTEST };

/* Children of one node at most. */
#define ROUTE_BRANCHES_MAX 64
/* Nodes on top of each other at most. */
#define ROUTE_DEPTH_MAX 16
/* Nodes of a route at most. */
#define ROUTE_NODES_MAX 4096

struct route_spec;

/*
 * A child. name: prefix: the prefix, "" for "*"; command: a command, a group (read, write, arithmetic, touch), or "*";
 * other kinds: the key that it stood under: "to" (failover and replicate: each of the list), "copy", "cold", "warm",
 * "from". Order: warm: cold, warm; migrate: from, to; shadow: to, copy; lists: as they stand.
 */
struct route_branch {
    char *name;
    struct route_spec *to;
};

struct route_spec {
    enum route_kind kind;
    int line, column;
    struct route_branch *branches;
    size_t branch_count;
    /* What belongs to one kind; 0 and NULL elsewhere. */
    size_t pool;        /* POOL: its number among the configuration's pools */
    unsigned on;        /* FAILOVER: set of enum route_on */
    uint32_t expiry_ms; /* FAILOVER, WARM: the longest life of what is written to a stand-in, or filled; 0: as it is */
    uint32_t budget_percent; /* FAILOVER: share of requests that may fail over; 100: all */
    enum route_write write;  /* REPLICATE */
    enum route_read read;    /* REPLICATE */
    int64_t start_unix_s;    /* MIGRATE */
    uint32_t over_ms;        /* MIGRATE */
    uint32_t hold_percent;   /* MIGRATE: the share of keys at which it stops; 100: it goes to its end */
    uint32_t sample_percent; /* SHADOW */
    uint32_t rate_per_s;     /* LIMIT */
    uint32_t burst;          /* LIMIT: requests */
    uint32_t max_ms;         /* TTL; 0: none */
    uint32_t jitter_percent; /* TTL: up to this share of the time is taken off at random */
    char *add, *strip;       /* REWRITE; NULL: none */
    char *text;              /* ERROR */
};

/* The kind's name in a configuration. */
const char *route_kind_name(enum route_kind kind);
/* Frees a tree and clears the pointer. */
void route_spec_destroy(struct route_spec **spec);

#endif
