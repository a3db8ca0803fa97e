/*
 * A chain: bytes waiting to be written, in order, as a list of segments over blocks.
 *
 *      head -> [segment: data, len, block] -> [segment] -> ... -> tail
 *
 * Small pieces are copied together into blocks of the chain's own; large ones are referred to where they lie (the chain
 * then holds a reference to their block), so that a large value is never copied. Bytes that live for ever (static text)
 * are referred to without a block.
 *
 * Invariant (chain_check): bytes is the sum of the segments' lengths; no segment is empty.
 */
#ifndef RINGSIDE_BASE_CHAIN_H
#define RINGSIDE_BASE_CHAIN_H

#include "base/block.h"
#include "base/slab.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

/* Pieces from this size on are referred to, smaller ones copied. */
#define CHAIN_COPY_BYTES ((size_t)1024)

struct segment {
    struct segment *next;
    struct block *block; /* NULL: static bytes */
    const char *data;
    size_t len;
};

struct chain {
    struct segment *head;
    struct segment *tail;
    size_t bytes;
};

/* What chains are made of: one for each worker. */
struct memory {
    struct block_pool blocks;
    struct slab segments;
};

void memory_init(struct memory *memory, size_t limit_bytes);
void memory_fini(struct memory *memory);

static inline void chain_init(struct chain *chain)
{
    *chain = (struct chain){NULL, NULL, 0};
}

static inline bool chain_is_empty(const struct chain *chain)
{
    return chain->head == NULL;
}

void chain_check(const struct chain *chain);

/*
 * Room for len bytes (at most BLOCK_SMALL_BYTES) at the end of the chain, to be filled at once by the caller; they count
 * as appended. NULL when memory is out.
 */
char *chain_reserve(struct chain *chain, struct memory *memory, size_t len);
/* Takes the last n bytes of what chain_reserve has just given back; fewer than that was long. */
void chain_trim(struct chain *chain, size_t n);
/* The bytes by which the tail can grow in place: it alone holds its block, and ends where that is filled. */
static inline size_t chain_tail_room(const struct chain *chain)
{
    const struct segment *tail = chain->tail;
    if (tail == NULL || tail->block == NULL || tail->block->refs != 1 ||
        tail->data + tail->len != tail->block->data + tail->block->used)
        return 0;
    return block_room(tail->block);
}

/* chain_append_copy where the tail has too little room. */
bool chain_append_copy_slowly(struct chain *chain, struct memory *memory, const char *data, size_t len);
/* chain_append_few where the chain is empty and a tiny block is enough. */
bool chain_start_tiny(struct chain *chain, struct memory *memory, const char *data, size_t len);

/* Appends a copy. false when memory is out: then the chain may hold a part of it, and its owner has to give up. */
static inline bool chain_append_copy(struct chain *chain, struct memory *memory, const char *data, size_t len)
{
    if (chain_tail_room(chain) < len)
        return chain_append_copy_slowly(chain, memory, data, len);
    if (len == 0)
        return true;
    struct segment *tail = chain->tail;
    memcpy(tail->block->data + tail->block->used, data, len);
    tail->block->used += (uint32_t)len;
    tail->len += len;
    chain->bytes += len;
    return true;
}
/*
 * The same for a chain that few bytes are expected in, such as one reply: if it is empty, it begins with a tiny block. So thousands of
 * clients with a reply each cost little.
 */
static inline bool chain_append_few(struct chain *chain, struct memory *memory, const char *data, size_t len)
{
    if (chain->head == NULL && len <= BLOCK_TINY_BYTES && len > 0)
        return chain_start_tiny(chain, memory, data, len);
    return chain_append_copy(chain, memory, data, len);
}
/* Appends a reference to data, which lies in block. */
bool chain_append_ref(struct chain *chain, struct memory *memory, struct block *block, const char *data, size_t len);
/* Appends bytes that live for ever. */
bool chain_append_static(struct chain *chain, struct memory *memory, struct slice bytes);
/* A copy or a reference, by length. data lies in block. */
static inline bool chain_append(struct chain *chain, struct memory *memory, struct block *block, const char *data,
                                size_t len)
{
    if (len < CHAIN_COPY_BYTES)
        return chain_append_copy(chain, memory, data, len);
    return chain_append_ref(chain, memory, block, data, len);
}

/* Appends the bytes of `from`, which keeps them: copies or references, by each segment's length. */
bool chain_append_shared(struct chain *chain, struct memory *memory, const struct chain *from);
/* Copies the first bytes, at most capacity, to buffer; returns how many. */
size_t chain_peek(const struct chain *chain, char *buffer, size_t capacity);
void chain_clear(struct chain *chain, struct memory *memory);
/* Moves all of `from` behind `chain`. */
void chain_splice(struct chain *chain, struct chain *from);
/*
 * The same, where `from` may be short: then it is copied into the room behind the last piece, if there is enough, so that many of them
 * become one segment.
 */
static inline void chain_join(struct chain *chain, struct memory *memory, struct chain *from)
{
    size_t len = from->bytes;
    if (len == 0 || len >= CHAIN_COPY_BYTES || chain_tail_room(chain) < len) {
        chain_splice(chain, from);
        return;
    }
    for (const struct segment *s = from->head; s != NULL; s = s->next)
        (void)chain_append_copy(chain, memory, s->data, s->len);
    chain_clear(from, memory);
}
/* Fills at most max vectors from the head on; returns how many. */
int chain_vectors(const struct chain *chain, struct iovec *vectors, int max);
/* Drops n bytes (at most chain->bytes) from the head. */
void chain_consume(struct chain *chain, struct memory *memory, size_t n);
/*
 * For a chain that may wait for long: copies segments that pin much larger blocks than they use, so that what the chain
 * holds is in proportion to its bytes. false when memory is out: the chain is then not whole, its owner has to give up.
 */
bool chain_settle(struct chain *chain, struct memory *memory);

#endif
