/*
 * An input: the bytes of a stream that were read and not yet consumed.
 *
 *      idle: holds nothing. A read goes into the block that all inputs of the loop share.
 *      kept: an unfinished piece lies at [start, end) of a block of its own; the next read goes behind it. A large one
 *            stays where it was read: the shared block becomes its own, and the others get a new one.
 *
 *         block->data      start          end            capacity
 *            |  consumed     |  to parse    |  next read    |
 *            +---------------+--------------+---------------+
 *
 * So an idle connection holds no buffer, and busy ones share a few warm blocks. What is consumed may still be referred
 * to by chains and requests: input_block gives the block to take the reference on. Bytes once read never move.
 */
#ifndef RINGSIDE_EVENT_INPUT_H
#define RINGSIDE_EVENT_INPUT_H

#include "base/chain.h"
#include "event/transport.h"

/* The largest piece that can be kept whole. */
#define INPUT_PIECE_MAX BLOCK_LARGE_BYTES
/* A left-over up to this size is kept in a small block, and read on in the shared one. */
#define INPUT_SMALL_MAX (BLOCK_SMALL_BYTES / 2)
/* For input_settle: nothing more will be read until all of this has been consumed. */
#define INPUT_NO_READ SIZE_MAX

/* The block that the inputs of one loop read into while they hold none of their own. */
struct input_shared {
    struct memory *memory;
    enum block_size size;
    struct block *block; /* NULL until the first read */
};

struct input {
    struct block *block; /* NULL: idle; within a read's handling it may be the shared one */
    uint32_t start;
    uint32_t end;
};

/* size: BLOCK_LARGE or BLOCK_HUGE: the most that is read at once. */
void input_shared_init(struct input_shared *shared, struct memory *memory, enum block_size size);
void input_shared_fini(struct input_shared *shared);

static inline void input_init(struct input *input)
{
    *input = (struct input){NULL, 0, 0};
}

/*
 * Reads once. The result is transport_read's, or TRANSPORT_ERROR with ENOMEM, or, when a kept piece fills its block and
 * waits to be consumed, TRANSPORT_AGAIN. After a read the bytes to parse are input_data/input_bytes; when they have been
 * handled, input_settle must be called before anything else is read on this loop.
 */
ssize_t input_read(struct input *input, struct input_shared *shared, struct transport *transport);

static inline const char *input_data(const struct input *input)
{
    return input->block->data + input->start;
}

static inline size_t input_bytes(const struct input *input)
{
    return input->end - input->start;
}

static inline struct block *input_block(const struct input *input)
{
    return input->block;
}

static inline void input_consume(struct input *input, size_t n)
{
    assert(n <= input_bytes(input));
    input->start += (uint32_t)n;
}

/* What is left over may be a part of a secret: input_settle and all after it leave no copy of it behind. */
static inline void input_keep_secret(struct input *input)
{
    if (input->block != NULL && input_bytes(input) > 0)
        input->block->is_secret = true;
}

/*
 * Ends the handling of a read: what is left over is kept in a block of its own that has room for a piece of `need` bytes
 * from its start on (at most INPUT_PIECE_MAX; 0: unknown, some more; or INPUT_NO_READ). Nothing left: the input is idle again. 0, or -1
 * when memory is out.
 */
int input_settle(struct input *input, struct input_shared *shared, size_t need);
/* Drops all. */
void input_clear(struct input *input);

#endif
