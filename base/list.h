/*
 * An intrusive, circular, doubly linked list. The head and the nodes are the same struct; a node lives in the object
 * that is listed, and the object says by which list it hangs on what state it is in.
 *
 *        +----------------------------------------------+
 *        v                                              |
 *      head <--> object.node <--> object.node <--> object.node
 *
 * Every head and every node is to be given to list_init once, before its first use. An unlinked node points to itself,
 * so list_unlink is always safe after list_init, and may be called twice. Heads and linked nodes do not move in memory.
 * The list owns nothing. All is O(1).
 */
#ifndef RINGSIDE_BASE_LIST_H
#define RINGSIDE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev;
    struct list *next;
};

/* The object whose `member` is the node. */
#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* The first or last object of a list that is not empty. */
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_last(head, type, member) list_entry((head)->prev, type, member)

/* Walks the nodes, first to last. The body may unlink or free `node`, but not `following`. Both are struct list *. */
#define list_for_each_safe(node, following, head)                             \
    for ((node) = (head)->next, (following) = (node)->next; (node) != (head); \
         (node) = (following), (following) = (node)->next)

static inline void list_init(struct list *list)
{
    list->prev = list;
    list->next = list;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* Whether a node hangs on a list. */
static inline bool list_is_linked(const struct list *node)
{
    return node->next != node;
}

/* Puts an unlinked node right before `place`. */
static inline void list_insert_before(struct list *place, struct list *node)
{
    node->prev = place->prev;
    node->next = place;
    place->prev->next = node;
    place->prev = node;
}

static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}

/* Takes a node off its list, whichever that is. Leaves it as after list_init. */
static inline void list_unlink(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Takes the first node off. NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
    if (list_is_empty(head))
        return NULL;
    struct list *node = head->next;
    list_unlink(node);
    return node;
}

/* Moves all nodes of `from` behind those of `head`, in their order. `from` is empty after. */
static inline void list_splice_back(struct list *head, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    list_init(from);
}

#endif
