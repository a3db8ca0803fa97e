/*
 * Owns: the three rings of the memcached world that place servers on a continuum by hashing their names.
 *
 *                        name of a server, if none is configured     points, and how they are made
 *   ketama               host:port; host if the port is 11211;       by weight, about 160; one md5 of NAME-j gives
 *                        path: for a Unix socket                     four: j = 0, 1, 2 …
 *   ketama-libmemcached  the same; path:0 for a Unix socket          all weights 1: 100, each the ring's hash of NAME-j
 *                                                                    else: as ketama
 *   ketama-spy           /host:port                                  the same
 *
 *   NAME-j --md5--> 16 bytes, as four little-endian numbers --> four points on the continuum
 *
 * Sources: Richard Jones, libketama (last.fm, 2007). ketama: twemproxy, and libmemcached's KETAMA_WEIGHTED.
 * ketama-libmemcached and ketama-spy: libmemcached's CONSISTENT (KETAMA) and CONSISTENT_KETAMA_SPY.
 * Points of one value stand in the order of the servers: libmemcached says so, twemproxy leaves it open.
 *
 * Does not do: the search (continuum.c). A server that is passed over keeps its points, and the others theirs:
 * twemproxy and libmemcached count the points anew when they eject a server, and can move keys of servers that are
 * well.
 */
#include "routing/continuum.h"
#include "routing/distribution.h"
#include "routing/md5.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT 11211
#define POINTS_WEIGHTED 160
#define POINTS_EVEN 100
#define POINTS_OF_MD5 4

/* Writes the name of a member that has none configured. Returns its length; size has room for it. */
typedef size_t name_fn(const struct ring_member *member, char *text, size_t size);

static size_t name_with_port(const struct ring_member *member, char *text, size_t size)
{
    return (size_t)snprintf(text, size, "%s:%u", member->host, (unsigned)member->port);
}

static size_t name_ketama(const struct ring_member *member, char *text, size_t size)
{
    if (member->port == DEFAULT_PORT)
        return (size_t)snprintf(text, size, "%s", member->host);
    if (member->port == 0)
        return (size_t)snprintf(text, size, "%s:", member->host);
    return name_with_port(member, text, size);
}

static size_t name_libmemcached(const struct ring_member *member, char *text, size_t size)
{
    return member->port == 0 ? name_with_port(member, text, size) : name_ketama(member, text, size);
}

static size_t name_spy(const struct ring_member *member, char *text, size_t size)
{
    text[0] = '/';
    return 1 + name_with_port(member, text + 1, size - 1);
}

/* The text NAME-j under the pen: the name and the dash stay, the number changes. */
struct label {
    char *text;
    size_t stem_len; /* NAME- */
};

static int label_init(struct label *label, const struct ring_member *member, name_fn *name)
{
    size_t size = strlen(member->name != NULL ? member->name : member->host) + sizeof "/:65535-4294967295";
    label->text = malloc(size);
    if (label->text == NULL)
        return -1;
    if (member->name != NULL) {
        label->stem_len = strlen(member->name);
        memcpy(label->text, member->name, label->stem_len);
    } else {
        label->stem_len = name(member, label->text, size);
    }
    label->text[label->stem_len++] = '-';
    return 0;
}

/* Sets the number; returns the length of the whole. */
static size_t label_number(struct label *label, uint32_t number)
{
    char digits[10];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    for (size_t i = 0; i < count; i++)
        label->text[label->stem_len + i] = digits[count - 1 - i];
    return label->stem_len + count;
}

/*
 * How many md5 digests, of four points each, a server gets. In single precision step by step, as twemproxy and
 * libmemcached do it: n = 25, 47, 50 … equal servers get 39 digests and not 40, and only so do keys land where they do.
 */
static uint32_t digests_of(uint32_t weight, uint64_t total_weight, size_t n)
{
    float share = (float)weight / (float)total_weight;
    float points = share * POINTS_WEIGHTED;
    float digests = points / POINTS_OF_MD5;
    float of_all = digests * (float)n;
    float nudged = (float)((double)of_all + 1e-10);
    return (uint32_t)floorf(nudged);
}

static void add_weighted(struct continuum *continuum, struct label *label, uint32_t server, uint32_t digests)
{
    for (uint32_t j = 0; j < digests; j++) {
        uint32_t words[POINTS_OF_MD5];
        md5_words(label->text, label_number(label, j), words);
        for (size_t i = 0; i < POINTS_OF_MD5; i++)
            continuum_add(continuum, words[i], server);
    }
}

static void add_even(struct continuum *continuum, struct label *label, uint32_t server, hash_fn *hash)
{
    for (uint32_t j = 0; j < POINTS_EVEN; j++)
        continuum_add(continuum, hash(label->text, label_number(label, j)), server);
}

/* hash: the ring's hash if each point is one hash, NULL for points by weight. */
static int add_members(struct continuum *continuum, const struct ring_member *members, size_t n, name_fn *name,
                       hash_fn *hash, uint64_t total_weight)
{
    for (size_t i = 0; i < n; i++) {
        struct label label;
        if (label_init(&label, &members[i], name) != 0)
            return -1;
        if (hash != NULL)
            add_even(continuum, &label, (uint32_t)i, hash);
        else
            add_weighted(continuum, &label, (uint32_t)i, digests_of(members[i].weight, total_weight, n));
        free(label.text);
    }
    return 0;
}

static uint64_t sum_weights(const struct ring_member *members, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += members[i].weight;
    return total;
}

static size_t count_points(const struct ring_member *members, size_t n, bool even, uint64_t total_weight)
{
    if (even)
        return n * POINTS_EVEN;
    size_t points = 0;
    for (size_t i = 0; i < n; i++)
        points += (size_t)digests_of(members[i].weight, total_weight, n) * POINTS_OF_MD5;
    return points;
}

static void state_destroy(void *state)
{
    continuum_fini(state);
    free(state);
}

/* even_hash: as hash in add_members. */
static void *state_create(const struct ring_member *members, size_t n, name_fn *name, hash_fn *even_hash,
                          const char **error_out)
{
    uint64_t total_weight = sum_weights(members, n);
    struct continuum *continuum = calloc(1, sizeof *continuum);
    if (continuum != NULL &&
        continuum_init(continuum, count_points(members, n, even_hash != NULL, total_weight)) == 0 &&
        add_members(continuum, members, n, name, even_hash, total_weight) == 0 && continuum_seal(continuum) == 0)
        return continuum;
    if (continuum != NULL)
        state_destroy(continuum);
    *error_out = distribution_no_memory;
    return NULL;
}

static bool all_ones(const struct ring_member *members, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (members[i].weight != 1)
            return false;
    return true;
}

static void *ketama_create(const struct ring_member *members, size_t n, hash_fn *hash, const char **error_out)
{
    (void)hash;
    return state_create(members, n, name_ketama, NULL, error_out);
}

static void *libmemcached_create(const struct ring_member *members, size_t n, hash_fn *hash, const char **error_out)
{
    return state_create(members, n, name_libmemcached, all_ones(members, n) ? hash : NULL, error_out);
}

static void *spy_create(const struct ring_member *members, size_t n, hash_fn *hash, const char **error_out)
{
    return state_create(members, n, name_spy, all_ones(members, n) ? hash : NULL, error_out);
}

static uint32_t state_locate(const void *state, uint32_t hash)
{
    const struct continuum *continuum = state;
    return continuum->points[continuum_search(continuum, hash)].server;
}

static uint32_t state_pass_over(const void *state, uint32_t hash, const struct ring_filter *filter)
{
    return continuum_pass_over(state, hash, filter);
}

static void state_explain(const void *state, uint32_t hash, struct ring_spot *spot_out)
{
    const struct continuum *continuum = state;
    size_t at = continuum_search(continuum, hash);
    if (at == continuum->count)
        at = 0;
    spot_out->server = continuum->points[at].server;
    spot_out->point = continuum->points[at].value;
    spot_out->index = at;
}

static size_t state_bytes(const void *state)
{
    return sizeof(struct continuum) + continuum_bytes(state);
}

static size_t state_points(const void *state)
{
    const struct continuum *continuum = state;
    return continuum->count;
}

#define KETAMA_METHODS                                                                                        \
    .destroy = state_destroy, .locate = state_locate, .pass_over = state_pass_over, .explain = state_explain, \
    .bytes = state_bytes, .points = state_points

const struct distribution distribution_ketama = {.default_hash = "md5", .create = ketama_create, KETAMA_METHODS};
const struct distribution distribution_ketama_libmemcached = {
    .default_hash = "one_at_a_time", .create = libmemcached_create, KETAMA_METHODS};
const struct distribution distribution_ketama_spy = {
    .default_hash = "one_at_a_time", .create = spy_create, KETAMA_METHODS};
