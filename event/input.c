/*
 * Owns the unread bytes of streams between two reads; see the picture in input.h. It does not know where a piece ends:
 * its users consume what they have parsed and say how much the next piece needs.
 */
#include "event/input.h"

#include <errno.h>

/* A shared block with less room than this is given up for a new one. */
#define READ_ROOM_MIN ((size_t)16384)

void input_shared_init(struct input_shared *shared, struct memory *memory, enum block_size size)
{
    shared->memory = memory;
    shared->size = size;
    shared->block = NULL;
}

void input_shared_fini(struct input_shared *shared)
{
    block_unref(&shared->block);
}

/* The shared block with room for a read; rewound when nobody refers to it. NULL when memory is out. */
static struct block *shared_block(struct input_shared *shared)
{
    if (shared->block != NULL && shared->block->refs == 1)
        shared->block->used = 0;
    if (shared->block != NULL && block_room(shared->block) < READ_ROOM_MIN)
        block_unref(&shared->block);
    if (shared->block == NULL)
        shared->block = block_create(&shared->memory->blocks, shared->size);
    return shared->block;
}

/* Reads behind what lies in the input's own block. */
static ssize_t read_in_place(struct input *input, struct transport *transport)
{
    size_t room = block_room(input->block);
    if (room == 0)
        return TRANSPORT_AGAIN;
    ssize_t n = transport_read(transport, input->block->data + input->block->used, room);
    if (n <= 0)
        return n;
    input->block->used += (uint32_t)n;
    input->end = input->block->used;
    return n;
}

ssize_t input_read(struct input *input, struct input_shared *shared, struct transport *transport)
{
    if (input->block != NULL && input->block->size != BLOCK_SMALL)
        return read_in_place(input, transport);
    struct block *block = shared_block(shared);
    if (block == NULL) {
        errno = ENOMEM;
        return TRANSPORT_ERROR;
    }
    /* A small piece that was kept goes in front, so that every read has much room. */
    size_t kept = input->block != NULL ? input_bytes(input) : 0;
    char *place = block->data + block->used;
    ssize_t n = transport_read(transport, place + kept, block_room(block) - kept);
    if (n <= 0)
        return n;
    if (kept > 0)
        memcpy(place, input_data(input), kept);
    block_unref(&input->block);
    input->block = block_ref(block);
    input->start = block->used;
    block->used += (uint32_t)(kept + (size_t)n);
    input->end = block->used;
    return n;
}

/* Moves what is left over to the start of a block of its own. */
static int input_move(struct input *input, struct input_shared *shared, enum block_size size)
{
    size_t left = input_bytes(input);
    struct block *block = block_create(&shared->memory->blocks, size);
    if (block == NULL)
        return -1;
    memcpy(block->data, input_data(input), left);
    block->used = (uint32_t)left;
    if (input->block->is_secret) {
        block->is_secret = true;
        block_wipe(input->block, input->start, input->end);
        /* All else in the shared one is of others. */
        input->block->is_secret = input->block != shared->block;
    }
    block_unref(&input->block);
    input->block = block;
    input->start = 0;
    input->end = (uint32_t)left;
    return 0;
}

/*
 * Whether a piece of which `need` bytes are wanted (0: some more) may stay in the shared block: it has room, and memory is not so
 * short that a large block for each stream would be felt.
 */
static bool may_stay(const struct input *input, const struct input_shared *shared, size_t need)
{
    const struct block_pool *pool = &shared->memory->blocks;
    size_t left = input_bytes(input), missing = need > left ? need - left : 0;
    size_t room = block_room(input->block);
    return room >= missing && room >= READ_ROOM_MIN && pool->held_bytes < pool->limit_bytes / 4;
}

int input_settle(struct input *input, struct input_shared *shared, size_t need)
{
    assert(need <= INPUT_PIECE_MAX || need == INPUT_NO_READ);
    if (input->block == NULL)
        return 0;
    size_t left = input_bytes(input);
    if (left == 0) {
        input_clear(input);
        return 0;
    }
    bool own = input->block != shared->block;
    size_t wanted = need == INPUT_NO_READ ? left : need;
    if (left <= INPUT_SMALL_MAX && wanted <= BLOCK_SMALL_BYTES)
        return own && input->block->size == BLOCK_SMALL ? 0 : input_move(input, shared, BLOCK_SMALL);
    if (!own && need != INPUT_NO_READ && may_stay(input, shared, need)) {
        block_unref(&shared->block);
        return 0;
    }
    if (!own)
        return input_move(input, shared, BLOCK_LARGE);
    if (need == INPUT_NO_READ)
        return 0;
    /* Its own block: it stays where the piece, or at least one more decent read, fits behind it. */
    size_t room = block_room(input->block);
    bool fits = need > left ? room >= need - left : room >= INPUT_SMALL_MAX;
    if (input->block->size != BLOCK_SMALL && (fits || input->start == 0))
        return 0;
    return input_move(input, shared, input->block->size == BLOCK_HUGE ? BLOCK_HUGE : BLOCK_LARGE);
}

void input_clear(struct input *input)
{
    block_unref(&input->block);
    input_init(input);
}
