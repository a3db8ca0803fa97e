/*
 * Blocks: reference-counted byte buffers in four sizes, recycled within one worker.
 *
 *      data                    used                  capacity
 *       |  handed out           |   free               |
 *       +-----------------------+----------------------+
 *
 * Bytes below `used` never change while anybody holds a reference; bytes beyond it belong to whoever fills the block.
 * Counts are plain integers: a block never leaves its worker's thread.
 *
 * Invariant (block_check): refs >= 1 while held, used <= capacity.
 */
#ifndef RINGSIDE_BASE_BLOCK_H
#define RINGSIDE_BASE_BLOCK_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum block_size { BLOCK_TINY, BLOCK_SMALL, BLOCK_LARGE, BLOCK_HUGE, BLOCK_SIZES };

/* Usable bytes of each size. */
#define BLOCK_TINY_BYTES ((size_t)512 - 32)
#define BLOCK_SMALL_BYTES ((size_t)4096 - 32)
#define BLOCK_LARGE_BYTES ((size_t)65536)
#define BLOCK_HUGE_BYTES ((size_t)262144)

struct block_pool;

struct block {
    struct block_pool *pool;
    struct block *next_free;
    uint32_t refs;
    uint32_t used;
    uint32_t capacity;
    uint16_t size;  /* enum block_size */
    bool is_secret; /* wiped before anybody else gets it */
    char data[];
};

struct block_pool {
    struct block *free[BLOCK_SIZES];
    size_t free_count[BLOCK_SIZES];
    size_t held_bytes;  /* of the blocks given out */
    size_t limit_bytes; /* of held_bytes: what the owner is allowed; see block_pool_is_short */
};

void block_pool_init(struct block_pool *pool, size_t limit_bytes);
/* Frees the recycled blocks. All blocks must have been given back: asserted. */
void block_pool_fini(struct block_pool *pool);

/* Whether more is held than allowed. The pool still gives blocks: its users decide what to refuse. */
static inline bool block_pool_is_short(const struct block_pool *pool)
{
    return pool->held_bytes > pool->limit_bytes;
}

/* The slow path of block_create: takes memory from malloc. */
struct block *block_create_fresh(struct block_pool *pool, enum block_size size);
/* The slow path of block_unref. */
void block_release(struct block *block);
/* Wipes bytes [start, end) of it, whoever may read them later. */
void block_wipe(struct block *block, size_t start, size_t end);

static inline void block_check(const struct block *block)
{
    assert(block->refs >= 1);
    assert(block->used <= block->capacity);
    (void)block;
}

/* An empty block with one reference, the caller's. NULL when memory is out. */
static inline struct block *block_create(struct block_pool *pool, enum block_size size)
{
    struct block *block = pool->free[size];
    if (block == NULL)
        return block_create_fresh(pool, size);
    pool->free[size] = block->next_free;
    pool->free_count[size]--;
    pool->held_bytes += block->capacity;
    block->refs = 1;
    block->used = 0;
    return block;
}

static inline struct block *block_ref(struct block *block)
{
    block_check(block);
    block->refs++;
    return block;
}

/* Gives one reference back and clears the caller's pointer. *block may be NULL. */
static inline void block_unref(struct block **block)
{
    struct block *b = *block;
    *block = NULL;
    if (b == NULL)
        return;
    block_check(b);
    if (--b->refs == 0)
        block_release(b);
}

static inline size_t block_room(const struct block *block)
{
    return block->capacity - block->used;
}

#endif
