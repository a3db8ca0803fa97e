/*
 * Owns what can be done with a row of an option table: read a value, set its default, print it, compare it.
 *
 *     {"timeout", OPTION_DURATION, offset, min, max, "250ms"}  +  node `2s`  ->  target.timeout_ms = 2000
 *
 * The rows themselves, and what is peculiar to one option, are in bind.c and the files beside it (bind_*.c).
 */
#include "config/option.h"

#include "config/nearest.h"
#include "config/timestamp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: a value is printed in the largest unit that it is a whole number of. */
static const struct unit duration_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit size_units[] = {{"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"B", 1}};

static const struct option_choice flag_choices[] = {{"yes", true}, {"no", false}, {NULL, 0}};

/* ---- values in their place ---- */

static bool is_number(const struct option *option)
{
    return option->type <= OPTION_SHARE;
}

static void store_number(const struct option *option, void *target, uint64_t number)
{
    char *field = (char *)target + option->offset;
    uint32_t narrow = (uint32_t)number;
    if (option->type == OPTION_SIZE)
        memcpy(field, &number, sizeof number);
    else
        memcpy(field, &narrow, sizeof narrow);
}

static uint64_t load_number(const struct option *option, const void *target)
{
    const char *field = (const char *)target + option->offset;
    uint64_t number;
    uint32_t narrow;
    if (option->type == OPTION_SIZE) {
        memcpy(&number, field, sizeof number);
        return number;
    }
    memcpy(&narrow, field, sizeof narrow);
    return narrow;
}

static void store_choice(const struct option *option, void *target, int value)
{
    char *field = (char *)target + option->offset;
    bool flag = value != 0;
    if (option->type == OPTION_FLAG)
        memcpy(field, &flag, sizeof flag);
    else
        memcpy(field, &value, sizeof value);
}

static const struct option_choice *choices_of(const struct option *option)
{
    return option->type == OPTION_FLAG ? flag_choices : option->choices;
}

static const char *load_string(const struct option *option, const void *target)
{
    const char *string;
    memcpy(&string, (const char *)target + option->offset, sizeof string);
    return string;
}

/* ---- printing ---- */

static void print_in_units(uint64_t number, const struct unit *units, size_t count, struct text *out)
{
    size_t unit = 0;
    /* Zero reads best in seconds or bytes, not in the largest unit. */
    while (unit + 1 < count && (number % units[unit].factor != 0 || (number == 0 && units[unit].factor > 1000)))
        unit++;
    text_append_u64(out, number / units[unit].factor);
    text_append_string(out, units[unit].name);
}

static void print_number(const struct option *option, uint64_t number, struct text *out)
{
    switch (option->type) {
    case OPTION_DURATION:
        print_in_units(number, duration_units, sizeof duration_units / sizeof duration_units[0], out);
        break;
    case OPTION_SIZE:
        print_in_units(number, size_units, sizeof size_units / sizeof size_units[0], out);
        break;
    default:
        if (option->type == OPTION_AUTO && number == 0) {
            text_append_string(out, "auto");
            break;
        }
        text_append_u64(out, number);
        text_append_string(out, option->type == OPTION_SHARE ? "%" : option->type == OPTION_RATE ? "/s" : "");
        break;
    }
}

static const char *choice_name(const struct option *option, const void *target)
{
    const char *field = (const char *)target + option->offset;
    int value;
    if (option->type == OPTION_FLAG)
        value = *(const bool *)(const void *)field;
    else
        memcpy(&value, field, sizeof value);
    const struct option_choice *choice = choices_of(option);
    while (choice->name != NULL && choice->value != value)
        choice++;
    return choice->name;
}

/* Appends "[down, timeout]". */
static void print_set(const struct option *option, const void *target, struct text *out)
{
    unsigned bits;
    memcpy(&bits, (const char *)target + option->offset, sizeof bits);
    const char *separator = "";
    text_append(out, "[", 1);
    for (const struct option_choice *choice = option->choices; choice->name != NULL; choice++) {
        if ((bits & (unsigned)choice->value) == 0)
            continue;
        text_appendf(out, "%s%s", separator, choice->name);
        separator = ", ";
    }
    text_append(out, "]", 1);
}

void option_print(const struct option *option, const void *target, struct text *out)
{
    const char *field = (const char *)target + option->offset;
    const char *string;
    int64_t unix_s;
    mode_t mode;
    switch (option->type) {
    case OPTION_CHOICE:
    case OPTION_FLAG:
        text_append_string(out, choice_name(option, target));
        break;
    case OPTION_SET:
        print_set(option, target, out);
        break;
    case OPTION_TIME:
        memcpy(&unix_s, field, sizeof unix_s);
        timestamp_print(unix_s, out);
        break;
    case OPTION_STRING:
        string = load_string(option, target);
        text_append_string(out, string == NULL ? "none" : string);
        break;
    case OPTION_TAG:
        text_append(out, field[0] == '\0' ? "none" : field, field[0] == '\0' ? 4 : 2);
        break;
    case OPTION_MODE:
        memcpy(&mode, field, sizeof mode);
        text_appendf(out, "%04o", (unsigned)mode);
        break;
    default:
        assert(is_number(option));
        print_number(option, load_number(option, target), out);
        break;
    }
}

bool option_has_value(const struct option *option)
{
    return option->type < OPTION_GROUP;
}

static size_t field_bytes(const struct option *option)
{
    switch (option->type) {
    case OPTION_SIZE:
        return sizeof(uint64_t);
    case OPTION_CHOICE:
    case OPTION_SET:
        return sizeof(int);
    case OPTION_FLAG:
        return sizeof(bool);
    case OPTION_TIME:
        return sizeof(int64_t);
    case OPTION_TAG:
        return 2;
    case OPTION_MODE:
        return sizeof(mode_t);
    default:
        assert(is_number(option));
        return sizeof(uint32_t);
    }
}

bool option_equal(const struct option *option, const void *left, const void *right)
{
    if (option->type == OPTION_STRING) {
        const char *a = load_string(option, left), *b = load_string(option, right);
        return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
    }
    return memcmp((const char *)left + option->offset, (const char *)right + option->offset, field_bytes(option)) == 0;
}

/* ---- messages ---- */

/* Appends "`a`, `b` or `c`". */
static void print_choices(const struct option_choice *choices, struct text *out)
{
    const struct option_choice *last = NULL;
    for (const struct option_choice *choice = choices; choice->name != NULL; choice++)
        last = choice;
    const char *separator = "";
    for (const struct option_choice *choice = choices; choice->name != NULL; choice++) {
        text_appendf(out, "%s`%s`", choice == last && choice != choices ? " or " : separator, choice->name);
        separator = ", ";
    }
}

/* Appends "a size from 1KiB to 128MiB". */
static void print_range(const struct option *option, struct text *out)
{
    static const char *const nouns[] = {
        [OPTION_INTEGER] = "a number",    [OPTION_AUTO] = "`auto` or a number",
        [OPTION_DURATION] = "a duration", [OPTION_SIZE] = "a size",
        [OPTION_RATE] = "a rate",         [OPTION_SHARE] = "a share",
    };
    assert(is_number(option));
    text_appendf(out, "%s from ", nouns[option->type]);
    print_number(option, option->min, out);
    text_append_string(out, " to ");
    print_number(option, option->max, out);
}

/* Appends what a right value would look like. */
static void print_advice(const struct option *option, struct text *out)
{
    if (option->advice != NULL)
        text_append_string(out, option->advice);
    else if (choices_of(option) != NULL)
        print_choices(choices_of(option), out);
    else if (option->type == OPTION_GROUP)
        text_appendf(out, "a mapping such as `{%s: ...}`", option->table->options[0].name);
    else
        print_range(option, out);
}

/* Adds "`name`: found X; write Y", with what was found given in words; list: "write a list of Y". */
static void refuse_words(struct binder *binder, const struct option *option, const struct yaml_node *value,
                         const char *words, bool list)
{
    struct text advice;
    text_init(&advice);
    print_advice(option, &advice);
    if (advice.failed)
        config_errors_no_memory(binder->errors);
    else
        config_errors_add(binder->errors, value->line, value->column, "`%s`: found %s; write %s%s", option->name, words,
                          list ? "a list of " : "", advice.data);
    text_fini(&advice);
}

void option_refuse(struct binder *binder, const struct option *option, const struct yaml_node *value)
{
    if (value->kind == YAML_KIND_SCALAR && !yaml_is_null(value))
        refuse_words(binder, option, value, quote(value->text).text, false);
    else
        refuse_words(binder, option, value, yaml_kind_name(value), false);
}

static void refuse_range(struct binder *binder, const struct option *option, const struct yaml_node *value)
{
    struct text range;
    text_init(&range);
    print_range(option, &range);
    if (range.failed)
        config_errors_no_memory(binder->errors);
    else
        config_errors_add(binder->errors, value->line, value->column, "`%s`: %s is out of range; write %s",
                          option->name, quote(value->text).text, range.data);
    text_fini(&range);
}

static void refuse_unknown_key(struct binder *binder, const struct option_table *table, const struct yaml_node *key)
{
    struct nearest nearest;
    struct text known;
    nearest_init(&nearest, key->text);
    text_init(&known);
    for (const struct option *option = table->options; option->name != NULL; option++) {
        nearest_offer_string(&nearest, option->name);
        if (option->type != OPTION_LATER)
            text_appendf(&known, "%s`%s`", known.len == 0 ? "" : ", ", option->name);
    }
    if (known.failed)
        config_errors_no_memory(binder->errors);
    else if (nearest.best.data != NULL)
        config_errors_add(binder->errors, key->line, key->column, "unknown key %s; did you mean `%s`?",
                          quote(key->text).text, nearest.best.data);
    else
        config_errors_add(binder->errors, key->line, key->column, "unknown key %s; the keys of %s are %s",
                          quote(key->text).text, table->noun, known.data);
    text_fini(&known);
}

/* ---- reading ---- */

bool option_text(struct binder *binder, const struct option *option, const struct yaml_node *value,
                 struct slice *text_out)
{
    if (value->kind != YAML_KIND_SCALAR || yaml_is_null(value)) {
        option_refuse(binder, option, value);
        return false;
    }
    *text_out = value->text;
    return true;
}

char *option_copy(struct binder *binder, struct slice text)
{
    char *copy = strndup(text.data, text.len);
    if (copy == NULL)
        config_errors_no_memory(binder->errors);
    return copy;
}

/* "1000/s". */
static bool parse_rate(struct slice text, uint64_t *number_out, const char **error_out)
{
    size_t digits = 0;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    struct slice unit = slice_make(text.data + digits, text.len - digits);
    *error_out = digits == 0     ? "does not start with a number; write a rate such as `1000/s`"
                 : unit.len == 0 ? "has no unit; write a rate such as `1000/s`"
                                 : "has an unknown unit; write a rate such as `1000/s`";
    if (digits == 0 || !slice_equal(unit, SLICE_OF("/s")))
        return false;
    *error_out = "is too large; write a rate such as `1000/s`";
    return text_parse_u64(slice_make(text.data, digits), number_out);
}

/* false with *error_out NULL: it is no such number at all. */
static bool parse_number(const struct option *option, struct slice text, uint64_t *number_out, const char **error_out)
{
    uint32_t percent;
    *error_out = NULL;
    switch (option->type) {
    case OPTION_DURATION:
        return text_parse_duration(text, number_out, error_out);
    case OPTION_SIZE:
        return text_parse_size(text, number_out, error_out);
    case OPTION_RATE:
        return parse_rate(text, number_out, error_out);
    case OPTION_SHARE:
        if (!text_parse_share(text, &percent, error_out))
            return false;
        *number_out = percent;
        return true;
    default:
        if (option->type == OPTION_AUTO && slice_equal(text, SLICE_OF("auto"))) {
            *number_out = 0;
            return true;
        }
        return text_parse_u64(text, number_out);
    }
}

static bool in_range(const struct option *option, struct slice text, uint64_t number)
{
    if (option->type == OPTION_AUTO && slice_equal(text, SLICE_OF("auto")))
        return true;
    return number >= option->min && number <= option->max;
}

static void refuse_step(struct binder *binder, const struct option *option, const struct yaml_node *value)
{
    struct text step;
    text_init(&step);
    print_number(option, option->step, &step);
    if (step.failed)
        config_errors_no_memory(binder->errors);
    else
        config_errors_add(binder->errors, value->line, value->column, "`%s`: %s is not a whole multiple of %s",
                          option->name, quote(value->text).text, step.data);
    text_fini(&step);
}

static void bind_number(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct slice text;
    uint64_t number;
    const char *error;
    if (!option_text(binder, option, value, &text))
        return;
    if (parse_number(option, text, &number, &error)) {
        if (!in_range(option, text, number))
            refuse_range(binder, option, value);
        else if (option->step != 0 && number % option->step != 0)
            refuse_step(binder, option, value);
        else
            store_number(option, target, number);
    } else if (error != NULL) {
        config_errors_add(binder->errors, value->line, value->column, "`%s`: %s %s", option->name, quote(text).text,
                          error);
    } else {
        option_refuse(binder, option, value);
    }
}

static const struct option_choice *find_choice(const struct option *option, struct slice text)
{
    const struct option_choice *choice = choices_of(option);
    while (choice->name != NULL && !slice_equal(text, slice_make(choice->name, strlen(choice->name))))
        choice++;
    return choice->name == NULL ? NULL : choice;
}

/* NULL after an error. */
static const struct option_choice *read_choice(struct binder *binder, const struct option *option,
                                               const struct yaml_node *value)
{
    struct slice text;
    if (!option_text(binder, option, value, &text))
        return NULL;
    const struct option_choice *choice = find_choice(option, text);
    if (choice == NULL)
        option_refuse(binder, option, value);
    return choice;
}

static void bind_choice(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    const struct option_choice *choice = read_choice(binder, option, value);
    if (choice != NULL)
        store_choice(option, target, choice->value);
}

static void bind_set(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    int bits = 0;
    if (value->kind != YAML_KIND_LIST) {
        refuse_words(binder, option, value,
                     value->kind == YAML_KIND_MAPPING || yaml_is_null(value) ? yaml_kind_name(value)
                                                                             : quote(value->text).text,
                     true);
        return;
    }
    if (value->count == 0)
        refuse_words(binder, option, value, "an empty list", true);
    for (const struct yaml_node *item = value->first; item != NULL; item = item->next) {
        const struct option_choice *choice = read_choice(binder, option, item);
        if (choice != NULL && (bits & choice->value) != 0)
            config_errors_add(binder->errors, item->line, item->column, "`%s`: %s stands twice", option->name,
                              quote(item->text).text);
        bits |= choice != NULL ? choice->value : 0;
    }
    store_choice(option, target, bits);
}

static void bind_value(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    if (option->type == OPTION_LATER)
        config_errors_add(binder->errors, value->key->line, value->key->column, "`%s` is not supported by this version",
                          option->name);
    else if (option->bind != NULL)
        option->bind(binder, option, value, target);
    else if (option->type == OPTION_CHOICE || option->type == OPTION_FLAG)
        bind_choice(binder, option, value, target);
    else if (option->type == OPTION_SET)
        bind_set(binder, option, value, target);
    else if (option->type != OPTION_GROUP)
        bind_number(binder, option, value, target);
    else if (value->kind == YAML_KIND_MAPPING)
        option_bind_mapping(binder, option->table, value, target);
    else
        option_refuse(binder, option, value);
}

static const struct option *find_option(const struct option_table *table, struct slice name)
{
    for (const struct option *option = table->options; option->name != NULL; option++) {
        if (slice_equal(name, slice_make(option->name, strlen(option->name))))
            return option;
    }
    return NULL;
}

void option_bind_mapping(struct binder *binder, const struct option_table *table, const struct yaml_node *mapping,
                         void *target)
{
    assert(mapping->kind == YAML_KIND_MAPPING);
    for (const struct yaml_node *value = mapping->first; value != NULL; value = value->next) {
        const struct option *option = find_option(table, value->key->text);
        if (option != NULL)
            bind_value(binder, option, value, target);
        else
            refuse_unknown_key(binder, table, value->key);
    }
}

const struct option *option_missing(const struct option *from, const struct yaml_node *mapping)
{
    while (from->name != NULL && (!from->required || yaml_find(mapping, from->name) != NULL))
        from++;
    return from->name != NULL ? from : NULL;
}

/* ---- defaults ---- */

static void set_default(const struct option *option, void *target)
{
    struct slice text = slice_make(option->initial, strlen(option->initial));
    const char *error;
    uint64_t number = 0;
    if (option->type == OPTION_CHOICE || option->type == OPTION_FLAG) {
        const struct option_choice *choice = find_choice(option, text);
        assert(choice != NULL);
        store_choice(option, target, choice->value);
        return;
    }
    bool valid = parse_number(option, text, &number, &error) && in_range(option, text, number);
    assert(valid);
    (void)valid;
    store_number(option, target, number);
}

void option_set_defaults(const struct option_table *table, void *target)
{
    for (const struct option *option = table->options; option->name != NULL; option++) {
        if (option->type == OPTION_GROUP)
            option_set_defaults(option->table, target);
        else if (option->initial != NULL)
            set_default(option, target);
    }
}
