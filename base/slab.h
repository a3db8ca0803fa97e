/*
 * A slab: objects of one size, recycled within one thread. The object that was freed last is given out first, while it
 * is still in the cache. Memory is taken from malloc in chunks, and grows to the largest number of objects that were
 * ever in use at once, never beyond; chunks go back at slab_fini.
 *
 * Objects are aligned for any type. Their bytes are not cleared. Under AddressSanitizer a free object is poisoned, so
 * that a use after free is reported, and so is a second free; a poisoned gap follows each object.
 */
#ifndef RINGSIDE_BASE_SLAB_H
#define RINGSIDE_BASE_SLAB_H

#include <assert.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_ASAN 1
#endif
#endif

#ifdef SLAB_ASAN
#include <sanitizer/asan_interface.h>
#endif

struct slab_free {
    struct slab_free *next;
};

struct slab_chunk;

struct slab {
    const char *name;   /* for people; static */
    size_t object_size; /* bytes, as asked for */
    size_t stride;      /* bytes from one object to the next */
    size_t objects_per_chunk;
    size_t in_use;             /* objects given out */
    struct slab_free *free;    /* last freed first */
    struct slab_chunk *chunks; /* all memory */
};

/* Takes no memory yet. Both sizes are at least 1. name must outlive the slab. */
void slab_init(struct slab *slab, const char *name, size_t object_size, size_t objects_per_chunk);
/* Gives all memory back. Every object must have been freed: asserted. */
void slab_fini(struct slab *slab);

/* The slow path of slab_alloc: takes one more chunk. Returns its first object, or NULL when memory is out. */
struct slab_free *slab_grow(struct slab *slab);

/* The memory that the slab holds, used or free, in bytes. */
size_t slab_size_bytes(const struct slab *slab);

static inline size_t slab_in_use(const struct slab *slab)
{
    return slab->in_use;
}

/* An object, its bytes undefined. NULL when memory is out. */
static inline void *slab_alloc(struct slab *slab)
{
    struct slab_free *object = slab->free;
    if (object == NULL && (object = slab_grow(slab)) == NULL)
        return NULL;
#ifdef SLAB_ASAN
    ASAN_UNPOISON_MEMORY_REGION(object, slab->object_size < sizeof *object ? sizeof *object : slab->object_size);
#endif
    slab->free = object->next;
    slab->in_use++;
    return object;
}

/* Gives an object back. It must have come from this slab. NULL is allowed and does nothing. */
static inline void slab_free(struct slab *slab, void *object)
{
    if (object == NULL)
        return;
    assert(slab->in_use > 0);
    struct slab_free *head = object;
    head->next = slab->free;
    slab->free = head;
    slab->in_use--;
#ifdef SLAB_ASAN
    ASAN_POISON_MEMORY_REGION(object, slab->stride);
#endif
}

#endif
