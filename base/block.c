/*
 * Owns the memory of blocks, and how much of it is kept for re-use.
 *
 *      malloc --create_fresh--> held (refs >= 1) --release--> free list --create--> held
 *                                                   |
 *                                                   +--> free(), when enough are kept
 *
 * It does not know what the bytes are, and it refuses nothing: see block_pool_is_short.
 */
#include "base/block.h"

#include <stdlib.h>
#include <string.h>

/* Tiny blocks come so many more at a time: the most that are in use at once creeps up, one by one, for long. */
#define TINY_SPARES 15
/* Blocks kept for re-use, by size: 1 MiB of tiny ones, 4 MiB of small ones, 8 MiB of each of the others. */
static const size_t kept_max[BLOCK_SIZES] = {2048, 1024, 128, 32};
static const size_t capacity_of[BLOCK_SIZES] = {BLOCK_TINY_BYTES, BLOCK_SMALL_BYTES, BLOCK_LARGE_BYTES,
                                                BLOCK_HUGE_BYTES};

void block_pool_init(struct block_pool *pool, size_t limit_bytes)
{
    *pool = (struct block_pool){.limit_bytes = limit_bytes};
}

void block_pool_fini(struct block_pool *pool)
{
    assert(pool->held_bytes == 0);
    for (int size = 0; size < BLOCK_SIZES; size++) {
        while (pool->free[size] != NULL) {
            struct block *block = pool->free[size];
            pool->free[size] = block->next_free;
            free(block);
        }
        pool->free_count[size] = 0;
    }
}

/* Memory for a block that nobody holds. */
static struct block *block_allocate(struct block_pool *pool, enum block_size size)
{
    struct block *block = malloc(sizeof *block + capacity_of[size]);
    if (block == NULL)
        return NULL;
    *block = (struct block){.pool = pool, .capacity = (uint32_t)capacity_of[size], .size = (uint16_t)size};
    return block;
}

static void block_keep(struct block_pool *pool, struct block *block)
{
    block->next_free = pool->free[block->size];
    pool->free[block->size] = block;
    pool->free_count[block->size]++;
}

struct block *block_create_fresh(struct block_pool *pool, enum block_size size)
{
    struct block *block = block_allocate(pool, size);
    if (block == NULL)
        return NULL;
    struct block *spare;
    for (int i = 0; size == BLOCK_TINY && i < TINY_SPARES && (spare = block_allocate(pool, size)) != NULL; i++)
        block_keep(pool, spare);
    block->refs = 1;
    pool->held_bytes += block->capacity;
    return block;
}

void block_wipe(struct block *block, size_t start, size_t end)
{
    assert(start <= end && end <= block->capacity);
    explicit_bzero(block->data + start, end - start);
}

void block_release(struct block *block)
{
    struct block_pool *pool = block->pool;
    if (block->is_secret)
        block_wipe(block, 0, block->capacity);
    block->is_secret = false;
    assert(pool->held_bytes >= block->capacity);
    pool->held_bytes -= block->capacity;
    if (pool->free_count[block->size] >= kept_max[block->size]) {
        free(block);
        return;
    }
    block_keep(pool, block);
}
