/*
 * YAML text as a tree of nodes, each with the place where it stands.
 *
 * Every alias is a node of its own, with the alias's place, that shares the children of what it names. Merge keys
 * (`<<: *other`) are carried out: what a mapping says itself goes before what it merges. The tree is bounded in depth
 * and, with every alias counted as all that it stands for, in nodes.
 */
#ifndef RINGSIDE_CONFIG_YAML_H
#define RINGSIDE_CONFIG_YAML_H

#include "base/slice.h"
#include "config/model.h"

#include <stdbool.h>
#include <stddef.h>

#define YAML_DEPTH_MAX 64
#define YAML_NODES_MAX 250000
#define YAML_ANCHORS_MAX 256

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_LIST, YAML_KIND_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    bool plain;                    /* scalar: neither quoted nor a block */
    bool merged;                   /* came into its mapping by a merge key */
    int line, column;              /* of the first character, from 1 */
    struct slice text;             /* scalar: NUL-terminated, with no NUL within */
    const struct yaml_node *key;   /* in a mapping: the key, always a scalar; else NULL */
    const struct yaml_node *first; /* children: a list's items, a mapping's values */
    struct yaml_node *next;        /* the next child of the same parent */
    size_t count;                  /* of children */
    size_t size;                   /* of nodes in it, itself included */
};

struct yaml_tree;

/*
 * Reads one document. NULL when it cannot be read as a whole (the reason is in errors); also adds what is wrong in a
 * tree that can be read: duplicate keys (the first one stays), keys that are no text, tags.
 */
struct yaml_tree *yaml_tree_create(const char *text, size_t len, struct config_errors *errors);
void yaml_tree_destroy(struct yaml_tree **tree);
/* Lives as long as the tree. */
const struct yaml_node *yaml_tree_root(const struct yaml_tree *tree);

/* The value of key, or NULL. Also NULL on a node that is no mapping. */
const struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key);
/* A plain scalar that stands for no value: nothing, `~` or `null`. */
bool yaml_is_null(const struct yaml_node *node);
/* "a list", "a mapping", "nothing", or "text". */
const char *yaml_kind_name(const struct yaml_node *node);

#endif
