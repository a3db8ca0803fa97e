/*
 * The options of the configuration as tables: each row says an option's name, type, range, default, where its value
 * lies, and whether a reload may change it. Reading, defaults, summaries and differences all come from the same rows.
 */
#ifndef RINGSIDE_CONFIG_OPTION_H
#define RINGSIDE_CONFIG_OPTION_H

#include "base/text.h"
#include "config/errors.h"
#include "config/model.h"
#include "config/yaml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_INTEGER,  /* uint32_t: a whole number */
    OPTION_AUTO,     /* uint32_t: `auto`, kept as 0, or a whole number */
    OPTION_DURATION, /* uint32_t: milliseconds */
    OPTION_SIZE,     /* uint64_t: bytes */
    OPTION_RATE,     /* uint32_t: requests a second */
    OPTION_SHARE,    /* uint32_t: percent */
    OPTION_CHOICE,   /* int or an enum: one of `choices` */
    OPTION_FLAG,     /* bool: `yes` or `no` */
    OPTION_SET,      /* unsigned: bits, each one of `choices`; a list of them */
    OPTION_STRING,   /* char *: a malloc'ed string or NULL; read by `bind` */
    OPTION_TAG,      /* char[2], both 0 for none; read by `bind` */
    OPTION_MODE,     /* mode_t; read by `bind` */
    OPTION_TIME,     /* int64_t: seconds since 1970 */
    OPTION_GROUP,    /* a mapping; its options, in `table`, lie in the same struct */
    OPTION_PART,     /* anything else: read by `bind`; printed and compared by others */
    OPTION_LATER,    /* belongs to a later version, and is refused */
};

struct option_choice {
    const char *name; /* NULL ends the list */
    int value;
};

struct option;
struct option_table {
    const char *noun;             /* "a pool": what the options are options of */
    const struct option *options; /* the last has no name */
};

/* What reading carries along. */
struct binder {
    struct config_errors *errors;
    struct config *config;
    const char *directory;          /* of the file, with its slash; empty: the current one */
    const struct yaml_node *route;  /* read last, when all pools are known */
    const struct yaml_node *access; /* read when all listeners are known */
    unsigned route_depth;           /* nodes above the one that is read */
    size_t route_nodes;             /* so far */
};

/* Reads value into target, the struct that the table's offsets are of. What is wrong goes to binder->errors. */
typedef void option_bind_fn(struct binder *binder, const struct option *option, const struct yaml_node *value,
                            void *target);

struct option {
    const char *name;
    enum option_type type;
    bool restart;        /* a reload cannot change it */
    bool required;       /* there is no default: for those who ask option_missing */
    size_t offset;       /* of the value in the table's struct */
    uint64_t min, max;   /* of numbers, in the value's unit */
    uint64_t step;       /* numbers are whole multiples of it; 0: any */
    const char *initial; /* the default, as it would stand in a file; NULL: all bytes zero, or set by code */
    const char *advice;  /* what would be right, for messages: "a list such as …"; NULL: follows from the type */
    const struct option_choice *choices;
    const struct option_table *table;
    option_bind_fn *bind;
};

/* Gives every option of the table its default. */
void option_set_defaults(const struct option_table *table, void *target);

/* Reads a mapping's keys into target by the table. Unknown keys are errors. */
void option_bind_mapping(struct binder *binder, const struct option_table *table, const struct yaml_node *mapping,
                         void *target);

/* Adds "found X; write Y" for a value that the option cannot have. */
void option_refuse(struct binder *binder, const struct option *option, const struct yaml_node *value);
/* The value's text, if it is a scalar that is not null. Otherwise false, and an error. */
bool option_text(struct binder *binder, const struct option *option, const struct yaml_node *value,
                 struct slice *text_out);
/* The next required option, from `from` on, that the mapping does not have. NULL: there is none. */
const struct option *option_missing(const struct option *from, const struct yaml_node *mapping);
/* strndup that notes want of memory. */
char *option_copy(struct binder *binder, struct slice text);

/* Appends the option's value as it would stand in a file. For all types but GROUP, PART and LATER. */
void option_print(const struct option *option, const void *target, struct text *out);
/* Whether both targets have the same value of it. For the same types. */
bool option_equal(const struct option *option, const void *left, const void *right);
/* GROUP, PART and LATER hold no value of their own. */
bool option_has_value(const struct option *option);

#endif
