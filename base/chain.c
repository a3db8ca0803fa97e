/*
 * Owns the segments of chains and the references that they hold; see the picture in chain.h.
 *
 * The tail grows in place when it alone holds its block and its bytes end where the block's used bytes end: so bytes
 * that others may see are never written again. It does not write to sockets: event/transport does.
 */
#include "base/chain.h"

#define SEGMENTS_PER_CHUNK 512

void memory_init(struct memory *memory, size_t limit_bytes)
{
    block_pool_init(&memory->blocks, limit_bytes);
    slab_init(&memory->segments, "segment", sizeof(struct segment), SEGMENTS_PER_CHUNK);
}

void memory_fini(struct memory *memory)
{
    slab_fini(&memory->segments);
    block_pool_fini(&memory->blocks);
}

void chain_check(const struct chain *chain)
{
#ifndef NDEBUG
    size_t bytes = 0;
    const struct segment *last = NULL;
    for (const struct segment *s = chain->head; s != NULL; s = s->next) {
        assert(s->len > 0);
        bytes += s->len;
        last = s;
    }
    assert(bytes == chain->bytes);
    assert(last == chain->tail);
#else
    (void)chain;
#endif
}

static void segment_link(struct chain *chain, struct segment *segment)
{
    segment->next = NULL;
    if (chain->tail == NULL)
        chain->head = segment;
    else
        chain->tail->next = segment;
    chain->tail = segment;
    chain->bytes += segment->len;
}

static bool segment_append(struct chain *chain, struct memory *memory, struct block *block, const char *data,
                           size_t len)
{
    struct segment *segment = slab_alloc(&memory->segments);
    if (segment == NULL)
        return false;
    segment->block = block;
    segment->data = data;
    segment->len = len;
    segment_link(chain, segment);
    return true;
}

static char *tail_grow(struct chain *chain, size_t len)
{
    struct segment *tail = chain->tail;
    char *place = tail->block->data + tail->block->used;
    tail->block->used += (uint32_t)len;
    tail->len += len;
    chain->bytes += len;
    return place;
}

/* A block of its own at the chain's end, with room for len bytes, which count as appended. */
static char *block_append(struct chain *chain, struct memory *memory, enum block_size size, size_t len)
{
    struct block *block = block_create(&memory->blocks, size);
    if (block == NULL)
        return NULL;
    block->used = (uint32_t)len;
    if (!segment_append(chain, memory, block, block->data, len)) {
        block_unref(&block);
        return NULL;
    }
    return block->data;
}

char *chain_reserve(struct chain *chain, struct memory *memory, size_t len)
{
    assert(len > 0 && len <= BLOCK_SMALL_BYTES);
    if (chain_tail_room(chain) >= len)
        return tail_grow(chain, len);
    return block_append(chain, memory, BLOCK_SMALL, len);
}

bool chain_start_tiny(struct chain *chain, struct memory *memory, const char *data, size_t len)
{
    assert(chain->head == NULL && len > 0 && len <= BLOCK_TINY_BYTES);
    char *place = block_append(chain, memory, BLOCK_TINY, len);
    if (place == NULL)
        return false;
    memcpy(place, data, len);
    return true;
}

void chain_trim(struct chain *chain, size_t n)
{
    struct segment *tail = chain->tail;
    assert(tail != NULL && n < tail->len && tail->data + tail->len == tail->block->data + tail->block->used);
    tail->block->used -= (uint32_t)n;
    tail->len -= n;
    chain->bytes -= n;
}

bool chain_append_copy_slowly(struct chain *chain, struct memory *memory, const char *data, size_t len)
{
    while (len > 0) {
        size_t part = chain_tail_room(chain);
        if (part == 0 || part > BLOCK_SMALL_BYTES)
            part = BLOCK_SMALL_BYTES;
        if (part > len)
            part = len;
        char *place = chain_reserve(chain, memory, part);
        if (place == NULL)
            return false;
        memcpy(place, data, part);
        data += part;
        len -= part;
    }
    return true;
}

bool chain_append_ref(struct chain *chain, struct memory *memory, struct block *block, const char *data, size_t len)
{
    if (len == 0)
        return true;
    assert(data >= block->data && data + len <= block->data + block->capacity);
    struct segment *tail = chain->tail;
    if (tail != NULL && tail->block == block && tail->data + tail->len == data) {
        tail->len += len;
        chain->bytes += len;
        return true;
    }
    if (!segment_append(chain, memory, block, data, len))
        return false;
    block_ref(block);
    return true;
}

bool chain_append_static(struct chain *chain, struct memory *memory, struct slice bytes)
{
    if (bytes.len < CHAIN_COPY_BYTES)
        return chain_append_copy(chain, memory, bytes.data, bytes.len);
    return segment_append(chain, memory, NULL, bytes.data, bytes.len);
}

bool chain_append_shared(struct chain *chain, struct memory *memory, const struct chain *from)
{
    for (const struct segment *s = from->head; s != NULL; s = s->next) {
        bool appended = s->block != NULL ? chain_append(chain, memory, s->block, s->data, s->len)
                                         : chain_append_static(chain, memory, slice_make(s->data, s->len));
        if (!appended)
            return false;
    }
    return true;
}

size_t chain_peek(const struct chain *chain, char *buffer, size_t capacity)
{
    size_t used = 0;
    for (const struct segment *s = chain->head; s != NULL && used < capacity; s = s->next) {
        size_t len = s->len < capacity - used ? s->len : capacity - used;
        memcpy(buffer + used, s->data, len);
        used += len;
    }
    return used;
}

void chain_splice(struct chain *chain, struct chain *from)
{
    if (from->head == NULL)
        return;
    if (chain->tail == NULL)
        chain->head = from->head;
    else
        chain->tail->next = from->head;
    chain->tail = from->tail;
    chain->bytes += from->bytes;
    chain_init(from);
}

int chain_vectors(const struct chain *chain, struct iovec *vectors, int max)
{
    int n = 0;
    for (const struct segment *s = chain->head; s != NULL && n < max; s = s->next) {
        vectors[n].iov_base = (void *)(uintptr_t)s->data;
        vectors[n].iov_len = s->len;
        n++;
    }
    return n;
}

static void segment_destroy(struct segment *segment, struct memory *memory)
{
    block_unref(&segment->block);
    slab_free(&memory->segments, segment);
}

void chain_consume(struct chain *chain, struct memory *memory, size_t n)
{
    assert(n <= chain->bytes);
    chain->bytes -= n;
    while (n > 0) {
        struct segment *head = chain->head;
        if (n < head->len) {
            head->data += n;
            head->len -= n;
            return;
        }
        n -= head->len;
        chain->head = head->next;
        if (chain->head == NULL)
            chain->tail = NULL;
        segment_destroy(head, memory);
    }
}

void chain_clear(struct chain *chain, struct memory *memory)
{
    chain_consume(chain, memory, chain->bytes);
}

/* Whether the segment holds a block at least four times as large as what it shows. */
static bool segment_is_wasteful(const struct segment *segment)
{
    return segment->block != NULL && segment->block->size > BLOCK_SMALL && segment->len < segment->block->capacity / 4;
}

bool chain_settle(struct chain *chain, struct memory *memory)
{
    bool wasteful = false;
    for (const struct segment *s = chain->head; s != NULL && !wasteful; s = s->next)
        wasteful = segment_is_wasteful(s);
    if (!wasteful)
        return true;
    struct chain settled;
    chain_init(&settled);
    while (chain->head != NULL) {
        struct segment *segment = chain->head;
        if (segment_is_wasteful(segment)) {
            if (!chain_append_copy(&settled, memory, segment->data, segment->len))
                break;
            chain_consume(chain, memory, segment->len);
            continue;
        }
        chain->head = segment->next;
        if (chain->head == NULL)
            chain->tail = NULL;
        chain->bytes -= segment->len;
        segment_link(&settled, segment);
    }
    bool whole = chain->head == NULL;
    chain_splice(&settled, chain);
    *chain = settled;
    return whole;
}
