/*
 * Owns the way from YAML text to a tree of nodes: libyaml's events in, nodes with their places out.
 *
 *     mapping -first-> value -next-> value -next-> NULL        list -first-> item -next-> item -next-> NULL
 *                        |             |
 *                       key           key
 *
 * All nodes and their texts lie in the tree's chunks, and are freed with it. Reading stops at the first thing after
 * which no tree makes sense; what only spoils a node is noted, and reading goes on.
 *
 * It does not know the configuration language. What libyaml refuses is told by yaml_syntax.c.
 */
#include "config/yaml.h"

#include "config/errors.h"
#include "config/yaml_syntax.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define CHUNK_BYTES 16384

struct chunk {
    struct chunk *next;
    alignas(max_align_t) char bytes[];
};

struct yaml_tree {
    const struct yaml_node *root;
    struct chunk *chunks;
    size_t room; /* bytes that are free at the end of the first chunk */
    size_t used;
};

struct anchor {
    const char *name;
    const struct yaml_node *node;
};

/* What reading needs, and the tree does not. */
struct reader {
    yaml_parser_t parser;
    struct slice input;
    struct config_errors *errors;
    struct yaml_tree *tree;
    struct anchor anchors[YAML_ANCHORS_MAX];
    size_t anchor_count;
    size_t nodes; /* so far, each alias counted as all that it stands for */
    unsigned depth;
};

/* ---- memory ---- */

static void *take(struct reader *reader, size_t bytes)
{
    struct yaml_tree *tree = reader->tree;
    bytes = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (bytes > tree->room) {
        size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        struct chunk *chunk = malloc(sizeof *chunk + room);
        if (chunk == NULL) {
            config_errors_no_memory(reader->errors);
            return NULL;
        }
        chunk->next = tree->chunks;
        tree->chunks = chunk;
        tree->room = room;
        tree->used = 0;
    }
    void *memory = tree->chunks->bytes + tree->used;
    tree->used += bytes;
    tree->room -= bytes;
    return memory;
}

static char *take_text(struct reader *reader, const char *data, size_t len)
{
    char *text = take(reader, len + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, data, len);
    text[len] = '\0';
    return text;
}

/* Counts nodes against the bound. false when it is passed. */
static bool count_nodes(struct reader *reader, size_t more, yaml_mark_t mark)
{
    reader->nodes += more;
    if (reader->nodes <= YAML_NODES_MAX)
        return true;
    config_errors_add(reader->errors, yaml_mark_line(mark), yaml_mark_column(mark),
                      "the file holds more than %d values, every alias counted as what it stands for", YAML_NODES_MAX);
    return false;
}

static struct yaml_node *make_node(struct reader *reader, enum yaml_kind kind, yaml_mark_t mark)
{
    if (!count_nodes(reader, 1, mark))
        return NULL;
    struct yaml_node *node = take(reader, sizeof *node);
    if (node != NULL)
        *node =
            (struct yaml_node){.kind = kind, .line = yaml_mark_line(mark), .column = yaml_mark_column(mark), .size = 1};
    return node;
}

/* ---- events ---- */

/* false: reading stops. The event is to be deleted only on true. */
static bool next_event(struct reader *reader, yaml_event_t *event_out)
{
    if (yaml_parser_parse(&reader->parser, event_out))
        return true;
    yaml_note_syntax_error(&reader->parser, reader->input, reader->errors);
    return false;
}

static void refuse_tag(struct reader *reader, const yaml_char_t *tag, yaml_mark_t mark)
{
    if (tag == NULL)
        return;
    const char *text = (const char *)tag;
    config_errors_add(reader->errors, yaml_mark_line(mark), yaml_mark_column(mark),
                      "tag %s: tags have no meaning here; leave it out", quote(slice_make(text, strlen(text))).text);
}

/* Remembers node under its anchor, if it has one. */
static bool keep_anchor(struct reader *reader, const yaml_char_t *name, const struct yaml_node *node)
{
    if (name == NULL)
        return true;
    if (reader->anchor_count == YAML_ANCHORS_MAX) {
        config_errors_add(reader->errors, node->line, node->column, "the file holds more than %d anchors",
                          YAML_ANCHORS_MAX);
        return false;
    }
    const char *copy = take_text(reader, (const char *)name, strlen((const char *)name));
    if (copy == NULL)
        return false;
    reader->anchors[reader->anchor_count++] = (struct anchor){copy, node};
    return true;
}

/* ---- nodes ---- */

static struct yaml_node *read_node(struct reader *reader, bool *end_out);

static struct yaml_node *read_alias(struct reader *reader, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct yaml_node *target = NULL;
    for (size_t i = reader->anchor_count; i > 0 && target == NULL; i--) {
        if (strcmp(reader->anchors[i - 1].name, name) == 0)
            target = reader->anchors[i - 1].node;
    }
    yaml_mark_t mark = event->start_mark;
    if (target == NULL) {
        config_errors_add(reader->errors, yaml_mark_line(mark), yaml_mark_column(mark),
                          "alias %s: no anchor of that name ends before it",
                          quote(slice_make(name, strlen(name))).text);
        return NULL;
    }
    struct yaml_node *node = make_node(reader, target->kind, mark);
    if (node == NULL || !count_nodes(reader, target->size - 1, mark))
        return NULL;
    *node = *target;
    node->line = yaml_mark_line(mark);
    node->column = yaml_mark_column(mark);
    node->key = NULL;
    node->next = NULL;
    return node;
}

static struct yaml_node *read_scalar(struct reader *reader, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    yaml_mark_t mark = event->start_mark;
    refuse_tag(reader, event->data.scalar.tag, mark);
    if (memchr(value, '\0', len) != NULL) {
        config_errors_add(reader->errors, yaml_mark_line(mark), yaml_mark_column(mark),
                          "text with a NUL character in it");
        return NULL;
    }
    struct yaml_node *node = make_node(reader, YAML_KIND_SCALAR, mark);
    const char *copy = node == NULL ? NULL : take_text(reader, value, len);
    if (copy == NULL)
        return NULL;
    node->text = slice_make(copy, len);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return keep_anchor(reader, event->data.scalar.anchor, node) ? node : NULL;
}

/* A chain of children under construction. */
struct children {
    struct yaml_node *first;
    struct yaml_node *last;
    size_t count;
    size_t size; /* with what is below them */
};

static void append_child(struct children *children, struct yaml_node *node)
{
    node->next = NULL;
    if (children->last == NULL)
        children->first = node;
    else
        children->last->next = node;
    children->last = node;
    children->count++;
    children->size += node->size;
}

static void set_children(struct yaml_node *node, const struct children *children)
{
    node->first = children->first;
    node->count = children->count;
    node->size = 1 + children->size;
}

static struct yaml_node *read_list(struct reader *reader, const yaml_event_t *event)
{
    refuse_tag(reader, event->data.sequence_start.tag, event->start_mark);
    struct yaml_node *list = make_node(reader, YAML_KIND_LIST, event->start_mark);
    if (list == NULL)
        return NULL;
    struct children items = {NULL, NULL, 0, 0};
    bool end = false;
    for (;;) {
        struct yaml_node *item = read_node(reader, &end);
        if (end)
            break;
        if (item == NULL)
            return NULL;
        append_child(&items, item);
    }
    set_children(list, &items);
    return keep_anchor(reader, event->data.sequence_start.anchor, list) ? list : NULL;
}

/* ---- mappings: merge keys and duplicates ---- */

/* Appends copies of a mapping's values, and their keys, to pairs. */
static bool merge_mapping(struct reader *reader, const struct yaml_node *from, struct children *pairs)
{
    if (from->kind != YAML_KIND_MAPPING) {
        config_errors_add(reader->errors, from->line, from->column, "`<<`: found %s; write an alias of a mapping",
                          yaml_kind_name(from));
        return true;
    }
    for (const struct yaml_node *value = from->first; value != NULL; value = value->next) {
        yaml_mark_t mark = {0, (size_t)value->line - 1, (size_t)value->column - 1};
        struct yaml_node *copy = make_node(reader, value->kind, mark);
        if (copy == NULL || !count_nodes(reader, value->size - 1, mark))
            return false;
        *copy = *value;
        copy->merged = true;
        append_child(pairs, copy);
    }
    return true;
}

/* The mappings that `<<` names: one, or a list of them of which the first goes before the others. */
static bool merge(struct reader *reader, const struct yaml_node *from, struct children *pairs)
{
    if (from->kind != YAML_KIND_LIST)
        return merge_mapping(reader, from, pairs);
    bool going = true;
    for (const struct yaml_node *item = from->first; item != NULL && going; item = item->next)
        going = merge_mapping(reader, item, pairs);
    return going;
}

/* A pair and its number, to find twins by sorting. */
struct ranked {
    struct yaml_node *value;
    size_t rank;
    bool dropped;
};

static int by_key(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    int order = strcmp(a->value->key->text.data, b->value->key->text.data);
    return order != 0 ? order : a->rank < b->rank ? -1 : 1;
}

static int by_rank(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    return a->rank < b->rank ? -1 : 1;
}

/* Of pairs with the same key the first stays: its own before merged ones. Twins of its own are errors. */
static void drop_twins(struct reader *reader, struct ranked *all, size_t count)
{
    qsort(all, count, sizeof *all, by_key);
    const struct yaml_node *first = all[0].value->key;
    for (size_t i = 1; i < count; i++) {
        const struct yaml_node *key = all[i].value->key;
        all[i].dropped = slice_equal(key->text, first->text);
        if (!all[i].dropped)
            first = key;
        else if (!all[i].value->merged)
            config_errors_add(reader->errors, key->line, key->column,
                              "duplicate key %s; the first is at line %d, column %d", quote(key->text).text,
                              first->line, first->column);
    }
    qsort(all, count, sizeof *all, by_rank);
}

static bool set_pairs(struct reader *reader, struct yaml_node *mapping, const struct children *pairs)
{
    struct ranked *all = pairs->count == 0 ? NULL : malloc(pairs->count * sizeof *all);
    if (all == NULL) {
        if (pairs->count > 0)
            config_errors_no_memory(reader->errors);
        return pairs->count == 0;
    }
    size_t count = 0;
    for (struct yaml_node *value = pairs->first; value != NULL; value = value->next) {
        all[count] = (struct ranked){value, count, false};
        count++;
    }
    drop_twins(reader, all, count);
    struct children kept = {NULL, NULL, 0, 0};
    for (size_t i = 0; i < count; i++) {
        if (!all[i].dropped)
            append_child(&kept, all[i].value);
    }
    kept.size += kept.count; /* the keys */
    free(all);
    set_children(mapping, &kept);
    return true;
}

/* A key and its value. false: reading stops, or the mapping ended (*end_out). */
static bool read_pair(struct reader *reader, struct children *pairs, struct children *merges, bool *end_out)
{
    struct yaml_node *key = read_node(reader, end_out);
    if (key == NULL)
        return false;
    bool no_end = false;
    struct yaml_node *value = read_node(reader, &no_end);
    if (value == NULL)
        return false;
    if (key->kind != YAML_KIND_SCALAR) {
        config_errors_add(reader->errors, key->line, key->column, "found %s as a key; a key is text",
                          yaml_kind_name(key));
        return true;
    }
    if (key->plain && slice_equal(key->text, SLICE_OF("<<")))
        return merge(reader, value, merges);
    value->key = key;
    append_child(pairs, value);
    return true;
}

static struct yaml_node *read_mapping(struct reader *reader, const yaml_event_t *event)
{
    refuse_tag(reader, event->data.mapping_start.tag, event->start_mark);
    struct yaml_node *mapping = make_node(reader, YAML_KIND_MAPPING, event->start_mark);
    if (mapping == NULL)
        return NULL;
    struct children pairs = {NULL, NULL, 0, 0}, merges = {NULL, NULL, 0, 0};
    bool end = false;
    while (read_pair(reader, &pairs, &merges, &end)) {
    }
    if (!end)
        return NULL;
    if (merges.count > 0) {
        if (pairs.last == NULL)
            pairs.first = merges.first;
        else
            pairs.last->next = merges.first;
        pairs.count += merges.count;
    }
    if (!set_pairs(reader, mapping, &pairs))
        return NULL;
    return keep_anchor(reader, event->data.mapping_start.anchor, mapping) ? mapping : NULL;
}

static bool deepen(struct reader *reader, const yaml_event_t *event)
{
    if (reader->depth < YAML_DEPTH_MAX) {
        reader->depth++;
        return true;
    }
    config_errors_add(reader->errors, yaml_mark_line(event->start_mark), yaml_mark_column(event->start_mark),
                      "nested more than %d levels deep", YAML_DEPTH_MAX);
    return false;
}

/* The next node. NULL: the collection that is being read ends here (*end_out), or reading stops. */
static struct yaml_node *read_node(struct reader *reader, bool *end_out)
{
    yaml_event_t event;
    if (!next_event(reader, &event))
        return NULL;
    struct yaml_node *node = NULL;
    switch (event.type) {
    case YAML_ALIAS_EVENT:
        node = read_alias(reader, &event);
        break;
    case YAML_SCALAR_EVENT:
        node = read_scalar(reader, &event);
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (deepen(reader, &event)) {
            node = event.type == YAML_SEQUENCE_START_EVENT ? read_list(reader, &event) : read_mapping(reader, &event);
            reader->depth--;
        }
        break;
    default: /* SEQUENCE-END or MAPPING-END: libyaml gives no other here */
        *end_out = true;
        break;
    }
    yaml_event_delete(&event);
    return node;
}

/* ---- documents ---- */

/* Reads the next event and drops it; its type and place are what is wanted. */
static bool skip_event(struct reader *reader, yaml_event_type_t *type_out, yaml_mark_t *mark_out)
{
    yaml_event_t event;
    if (!next_event(reader, &event))
        return false;
    *type_out = event.type;
    *mark_out = event.start_mark;
    yaml_event_delete(&event);
    return true;
}

/* The stream: its start, one document, its end. false: there is no whole tree. */
static bool read_stream(struct reader *reader)
{
    yaml_event_type_t type;
    yaml_mark_t mark;
    if (!skip_event(reader, &type, &mark) || !skip_event(reader, &type, &mark))
        return false;
    if (type == YAML_STREAM_END_EVENT) {
        config_errors_add(reader->errors, 1, 1, "the file is empty; it needs `pools` at least");
        return false;
    }
    bool end = false;
    reader->tree->root = read_node(reader, &end);
    if (reader->tree->root == NULL || !skip_event(reader, &type, &mark) || !skip_event(reader, &type, &mark))
        return false;
    if (type == YAML_STREAM_END_EVENT)
        return true;
    config_errors_add(reader->errors, yaml_mark_line(mark), yaml_mark_column(mark),
                      "a second document starts here; a configuration is one document");
    return false;
}

struct yaml_tree *yaml_tree_create(const char *text, size_t len, struct config_errors *errors)
{
    struct yaml_tree *tree = calloc(1, sizeof *tree);
    struct reader *reader = calloc(1, sizeof *reader);
    if (tree == NULL || reader == NULL || !yaml_parser_initialize(&reader->parser)) {
        config_errors_no_memory(errors);
        free(reader);
        free(tree);
        return NULL;
    }
    reader->input = slice_make(text, len);
    reader->errors = errors;
    reader->tree = tree;
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, len);
    bool whole = read_stream(reader);
    yaml_parser_delete(&reader->parser);
    free(reader);
    if (!whole)
        yaml_tree_destroy(&tree);
    return tree;
}

void yaml_tree_destroy(struct yaml_tree **tree)
{
    if (*tree == NULL)
        return;
    for (struct chunk *chunk = (*tree)->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(*tree);
    *tree = NULL;
}

/* ---- looking at a tree ---- */

const struct yaml_node *yaml_tree_root(const struct yaml_tree *tree)
{
    return tree->root;
}

const struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key)
{
    if (mapping->kind != YAML_KIND_MAPPING)
        return NULL;
    for (const struct yaml_node *value = mapping->first; value != NULL; value = value->next) {
        if (strcmp(value->key->text.data, key) == 0)
            return value;
    }
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    if (node->kind != YAML_KIND_SCALAR || !node->plain)
        return false;
    return node->text.len == 0 || slice_equal(node->text, SLICE_OF("~")) || slice_equal(node->text, SLICE_OF("null"));
}

const char *yaml_kind_name(const struct yaml_node *node)
{
    if (yaml_is_null(node))
        return "nothing";
    return node->kind == YAML_KIND_LIST ? "a list" : node->kind == YAML_KIND_MAPPING ? "a mapping" : "text";
}
