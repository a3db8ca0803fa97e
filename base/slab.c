/*
 * Owns the memory behind a slab: a list of chunks, each cut into objects.
 *
 *     slab.chunks -> +-------+--------+-----+--------+-----+----
 *                    | chunk | object | gap | object | gap | …      the gap: under AddressSanitizer only
 *                    +-------+--------+-----+--------+-----+----
 *                        |        ^              ^
 *                        v        +-- slab.free -+--- …             a free object holds the link to the next
 *                    next chunk
 *
 * It does not give chunks back before slab_fini, and knows nothing of threads. The fast paths are in slab.h.
 */
#include "base/slab.h"

#include <stdint.h>
#include <stdlib.h>

#define ALIGNMENT _Alignof(max_align_t)
#define ROUND_UP(size) (((size) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

#ifdef SLAB_ASAN
#define GAP_BYTES 32
#else
#define GAP_BYTES 0
#endif

struct slab_chunk {
    struct slab_chunk *next;
};

/* The objects start here, aligned for any type. */
#define CHUNK_HEAD_BYTES ROUND_UP(sizeof(struct slab_chunk))

void slab_init(struct slab *slab, const char *name, size_t object_size, size_t objects_per_chunk)
{
    assert(object_size > 0 && object_size < SIZE_MAX / 2 && objects_per_chunk > 0);
    size_t room = object_size < sizeof(struct slab_free) ? sizeof(struct slab_free) : object_size;
    *slab = (struct slab){
        .name = name,
        .object_size = object_size,
        .stride = ROUND_UP(room + GAP_BYTES),
        .objects_per_chunk = objects_per_chunk,
    };
}

void slab_fini(struct slab *slab)
{
    assert(slab->in_use == 0);
    while (slab->chunks != NULL) {
        struct slab_chunk *chunk = slab->chunks;
        slab->chunks = chunk->next;
        free(chunk);
    }
    slab->free = NULL;
}

struct slab_free *slab_grow(struct slab *slab)
{
    if (slab->objects_per_chunk > (SIZE_MAX - CHUNK_HEAD_BYTES) / slab->stride)
        return NULL;
    size_t objects_bytes = slab->objects_per_chunk * slab->stride;
    struct slab_chunk *chunk = malloc(CHUNK_HEAD_BYTES + objects_bytes);
    if (chunk == NULL)
        return NULL;
    chunk->next = slab->chunks;
    slab->chunks = chunk;

    /* Linked from the last to the first, so that the first is given out first. */
    char *objects = (char *)chunk + CHUNK_HEAD_BYTES;
    for (size_t i = slab->objects_per_chunk; i-- > 0;) {
        struct slab_free *object = (struct slab_free *)(void *)(objects + i * slab->stride);
        object->next = slab->free;
        slab->free = object;
    }
#ifdef SLAB_ASAN
    ASAN_POISON_MEMORY_REGION(objects, objects_bytes);
#endif
    return slab->free;
}

size_t slab_size_bytes(const struct slab *slab)
{
    size_t chunk_bytes = CHUNK_HEAD_BYTES + slab->objects_per_chunk * slab->stride;
    size_t total_bytes = 0;
    for (const struct slab_chunk *chunk = slab->chunks; chunk != NULL; chunk = chunk->next)
        total_bytes += chunk_bytes;
    return total_bytes;
}
