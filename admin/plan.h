/* What a change of configuration would move: `ringside plan`. */
#ifndef RINGSIDE_ADMIN_PLAN_H
#define RINGSIDE_ADMIN_PLAN_H

#include "base/text.h"
#include "config/registry.h"
#include "config/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Keys of the fixed sequence: `key:0`, `key:1`, and so on. */
#define PLAN_SAMPLE 1000000

struct plan_result {
    size_t keys;
    size_t wrong_line; /* of the file: it is no key; 0: none */
    int system_error;  /* errno value: the file cannot be read, memory is out; else 0 */
};

/*
 * Compares two snapshots that were made over one registry, for the keys of a file, one a line (empty lines are passed
 * over), or for the fixed sequence if `file` is NULL. A key belongs to the server that a get of it goes to first, all
 * servers being up. Appends the pools with the servers that come and go, and the share of keys that move, by pool and
 * in all. unix_us: the time, for routes that go by it. false: see *result_out; what was appended then is to be dropped.
 */
bool plan_compare(const struct snapshot *old, const struct snapshot *new, const struct registry *registry, FILE *file,
                  uint64_t unix_us, struct text *out, struct plan_result *result_out);

/* Whether a client could ask for it. */
bool plan_key_is_lawful(struct slice key);

#endif
