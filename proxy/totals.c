/*
 * Owns how values of the same name become one: most are added; a few are the smallest, the largest, or the first.
 */
#include "proxy/totals.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum rule { RULE_SUM, RULE_MIN, RULE_MAX, RULE_FIRST };

/* A value is a whole number, a number with six decimals (rusage), or text. */
enum kind { KIND_WHOLE, KIND_MICRO, KIND_TEXT };

struct total {
    char *name;
    size_t name_len;
    enum rule rule;
    enum kind kind;
    uint64_t number; /* KIND_MICRO: millionths */
    char *text;
};

/* Names of the general form that are not to be added up. */
static const struct {
    const char *name;
    enum rule rule;
} exceptions[] = {
    {"pid", RULE_FIRST},
    {"uptime", RULE_MIN},
    {"time", RULE_MAX},
    {"version", RULE_MIN},
    {"libevent", RULE_FIRST},
    {"pointer_size", RULE_MAX},
    {"max_connections", RULE_MAX},
    {"hash_power_level", RULE_MAX},
    {"hash_is_expanding", RULE_MAX},
    {"accepting_conns", RULE_MIN},
    {"threads", RULE_MAX},
    {"slab_reassign_running", RULE_MAX},
    {"lru_crawler_running", RULE_MAX},
    {"time_since_server_compromised", RULE_MIN},
};

/* Ends of names, of items and slabs, that are not to be added up. */
static const char *const sizes[] = {":chunk_size", ":chunks_per_page", ":age", ":age_hot", ":age_warm"};

static bool ends_with(struct slice name, const char *end)
{
    size_t len = strlen(end);
    return name.len >= len && memcmp(name.data + name.len - len, end, len) == 0;
}

static enum rule rule_of(enum stats_form form, struct slice name)
{
    if (form == STATS_SETTINGS)
        return RULE_MAX;
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++) {
        if (slice_equal(name, slice_make(exceptions[i].name, strlen(exceptions[i].name))))
            return exceptions[i].rule;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (ends_with(name, sizes[i]))
            return RULE_MAX;
    }
    return RULE_SUM;
}

/* "12.345678" in millionths. false also if it does not fit. */
static bool parse_micro(struct slice value, uint64_t *micro_out)
{
    const char *point = memchr(value.data, '.', value.len);
    uint64_t whole, fraction;
    if (point == NULL || value.len - (size_t)(point - value.data) != 7)
        return false;
    if (!text_parse_u64(slice_make(value.data, (size_t)(point - value.data)), &whole) ||
        !text_parse_u64(slice_make(point + 1, 6), &fraction))
        return false;
    if (whole > (UINT64_MAX - fraction) / 1000000)
        return false;
    *micro_out = whole * 1000000 + fraction;
    return true;
}

static enum kind parse_value(struct slice value, uint64_t *number_out)
{
    if (text_parse_u64(value, number_out))
        return KIND_WHOLE;
    if (parse_micro(value, number_out))
        return KIND_MICRO;
    return KIND_TEXT;
}

void totals_init(struct totals *totals)
{
    *totals = (struct totals){0};
}

void totals_fini(struct totals *totals)
{
    for (size_t i = 0; i < totals->count; i++) {
        free(totals->items[i].name);
        free(totals->items[i].text);
    }
    free(totals->items);
    totals_init(totals);
}

static struct total *find(struct totals *totals, struct slice name)
{
    for (size_t i = 0; i < totals->count; i++) {
        size_t at = (totals->cursor + i) % totals->count;
        struct total *total = &totals->items[at];
        if (slice_equal(slice_make(total->name, total->name_len), name)) {
            totals->cursor = at + 1;
            return total;
        }
    }
    return NULL;
}

static struct total *insert(struct totals *totals, struct slice name)
{
    if (totals->count == totals->capacity) {
        size_t capacity = totals->capacity == 0 ? 128 : totals->capacity * 2;
        struct total *items = realloc(totals->items, capacity * sizeof *items);
        if (items == NULL)
            return NULL;
        totals->items = items;
        totals->capacity = capacity;
    }
    char *copy = slice_copy(name);
    if (copy == NULL)
        return NULL;
    struct total *total = &totals->items[totals->count++];
    *total = (struct total){.name = copy, .name_len = name.len};
    totals->cursor = totals->count;
    return total;
}

static void merge_number(struct total *total, uint64_t number)
{
    switch (total->rule) {
    case RULE_SUM:
        total->number = number <= UINT64_MAX - total->number ? total->number + number : UINT64_MAX;
        break;
    case RULE_MIN:
        if (number < total->number)
            total->number = number;
        break;
    case RULE_MAX:
        if (number > total->number)
            total->number = number;
        break;
    case RULE_FIRST:
        break;
    }
}

void totals_add(struct totals *totals, enum stats_form form, struct slice name, struct slice value)
{
    uint64_t number = 0;
    enum kind kind = parse_value(value, &number);
    struct total *total = find(totals, name);
    if (total != NULL) {
        if (total->kind == kind && kind != KIND_TEXT)
            merge_number(total, number);
        return;
    }
    total = insert(totals, name);
    if (total == NULL) {
        totals->failed = true;
        return;
    }
    total->rule = rule_of(form, name);
    total->kind = kind;
    total->number = number;
    total->text = kind == KIND_TEXT ? slice_copy(value) : NULL;
    totals->failed |= kind == KIND_TEXT && total->text == NULL;
}

void totals_next_server(struct totals *totals)
{
    totals->cursor = 0;
}

void totals_print(const struct totals *totals, struct text *text)
{
    for (size_t i = 0; i < totals->count; i++) {
        const struct total *total = &totals->items[i];
        text_append_string(text, "STAT ");
        text_append(text, total->name, total->name_len);
        text_append_string(text, " ");
        if (total->kind == KIND_WHOLE)
            text_append_u64(text, total->number);
        else if (total->kind == KIND_MICRO)
            text_appendf(text, "%llu.%06llu", (unsigned long long)(total->number / 1000000),
                         (unsigned long long)(total->number % 1000000));
        else if (total->text != NULL)
            text_append_string(text, total->text);
        text_append_string(text, "\r\n");
    }
}
