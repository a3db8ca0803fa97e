/* A retrieval of several keys under way: the data that multiget.c works on. */
#ifndef RINGSIDE_PROXY_MULTIGET_H
#define RINGSIDE_PROXY_MULTIGET_H

#include "proxy/exchange.h"

#include <stdint.h>

/* Parts: one for each key at the first try, and some for the tries after. */
#define PARTS_MAX (MULTIGET_KEYS_MAX + 32)
#define NO_KEY UINT16_MAX

enum key_state { KEY_WAITING, KEY_HELD, KEY_MISSED, KEY_FAILED };

struct multiget_key {
    const char *data;
    uint8_t len;
    uint8_t state; /* enum key_state */
    uint16_t next; /* of the same part */
    uint32_t kept_len;
    const char *kept;  /* its VALUE unit until its turn, if it is small: in multiget->kept; NULL: it is not */
    struct chain held; /* the same of a large one, or what there is of it */
};

/* What belongs to a key where the route is more than a pool. */
struct multiget_route {
    struct route_choices choices; /* plan.choices */
    uint32_t watch;               /* plan.watch: with these outcomes the route has not had its last word */
    bool got_value;
    struct routed *routed; /* the key takes more than one call: it is under way; NULL: it is not */
};

/* The keys that one call asks for. */
struct multiget_part {
    struct multiget *multiget;
    struct call *call;
    struct upstream *upstream;
    const struct pool *pool;
    uint16_t first; /* the next key that its reply may name */
    uint16_t last;
    uint16_t current; /* the key whose unit is arriving in pieces, or NO_KEY */
    uint16_t count;
    uint32_t bytes; /* of the keys, with a space each */
};

struct multiget {
    struct exchange *exchange;
    struct block *block;      /* holds the keys */
    struct slice prefix;      /* "get", "gat 100" */
    struct long_get *part_of; /* NULL: it is the whole request */
    bool is_routed;           /* the route is more than a pool: traits and routes are filled in */
    uint16_t key_count;
    uint16_t next; /* the first key that has not been given out */
    uint16_t part_count;
    uint16_t parts_under_way;
    uint8_t retries;
    struct chain kept; /* small units, as they came: what their keys refer to */
    size_t error_len;
    char error[FAILURE_LINE_MAX]; /* a line: the first error; answered in place of END */
    struct multiget_key keys[MULTIGET_KEYS_MAX];
    struct multiget_part parts[PARTS_MAX];
    struct request_traits traits;
    struct multiget_route routes[MULTIGET_KEYS_MAX];
};

#endif
