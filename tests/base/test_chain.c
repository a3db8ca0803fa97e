/*
 * Tests of base/chain: random use against a naive model that copies everything; and that bytes which somebody else can
 * see are never written again.
 */
#include "base/chain.h"

#include "tests/support/random.h"
#include "tests/support/suite.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_MAX ((size_t)8 << 20)

/* What a chain ought to hold. */
struct model {
    char *bytes; /* MODEL_MAX of them */
    size_t start, end;
};

/* A block that somebody besides the chains holds: its bytes below `used` have to stay as they were. */
struct watch {
    struct block *block;
    char *copy;
    size_t used;
};

enum { CHAINS = 2, SOURCES = 4, WATCHES = 32 };

struct world {
    uint64_t random;
    struct memory memory;
    struct chain chains[CHAINS];
    struct model models[CHAINS];
    struct watch sources[SOURCES]; /* blocks as an input fills them */
    struct watch watches[WATCHES];
    char fresh[BLOCK_LARGE_BYTES];
};

static const char static_bytes[3000] = "bytes that live for ever";

static void model_append(struct model *model, const char *bytes, size_t len)
{
    ck_assert_uint_le(model->end + len, MODEL_MAX);
    memcpy(model->bytes + model->end, bytes, len);
    model->end += len;
}

static void model_splice(struct model *model, struct model *from)
{
    model_append(model, from->bytes + from->start, from->end - from->start);
    from->start = from->end = 0;
}

/* The block is as it was. */
static void watch_check(struct watch *watch)
{
    ck_assert_int_eq(memcmp(watch->block->data, watch->copy, watch->used), 0);
    ck_assert_uint_ge(watch->block->used, watch->used);
}

/* What is there now is to stay. */
static void watch_take(struct watch *watch)
{
    watch->used = watch->block->used;
    watch->copy = realloc(watch->copy, watch->used + 1);
    ck_assert_ptr_nonnull(watch->copy);
    memcpy(watch->copy, watch->block->data, watch->used);
}

static void watch_start(struct watch *watch, struct block *block)
{
    watch->block = block_ref(block);
    watch_take(watch);
}

static void watch_end(struct watch *watch)
{
    if (watch->block == NULL)
        return;
    watch_check(watch);
    block_unref(&watch->block);
    free(watch->copy);
    watch->copy = NULL;
}

/* The chain holds exactly what the model says, seen by its vectors. */
static void compare(const struct chain *chain, const struct model *model)
{
    static struct iovec vectors[65536];
    chain_check(chain);
    ck_assert_uint_eq(chain->bytes, model->end - model->start);
    ck_assert_int_eq(chain_is_empty(chain), model->end == model->start);
    int count = chain_vectors(chain, vectors, 65536);
    size_t at = model->start;
    for (int i = 0; i < count; i++) {
        ck_assert_uint_le(at + vectors[i].iov_len, model->end);
        ck_assert_int_eq(memcmp(vectors[i].iov_base, model->bytes + at, vectors[i].iov_len), 0);
        at += vectors[i].iov_len;
    }
    ck_assert_uint_eq(at, model->end);
}

/* ---- The deeds ---- */

static const char *fresh_bytes(struct world *world, size_t len)
{
    random_fill(&world->random, world->fresh, len);
    return world->fresh;
}

static void do_copy(struct world *world, int i)
{
    size_t len = random_size(&world->random, 3 * BLOCK_SMALL_BYTES);
    const char *bytes = fresh_bytes(world, len);
    ck_assert(chain_append_copy(&world->chains[i], &world->memory, bytes, len));
    model_append(&world->models[i], bytes, len);
}

static void do_few(struct world *world, int i)
{
    size_t len = random_below(&world->random, 2 * BLOCK_TINY_BYTES);
    const char *bytes = fresh_bytes(world, len);
    bool begins = chain_is_empty(&world->chains[i]) && len > 0;
    ck_assert(chain_append_few(&world->chains[i], &world->memory, bytes, len));
    model_append(&world->models[i], bytes, len);
    if (begins)
        ck_assert_int_eq(world->chains[i].head->block->size, len <= BLOCK_TINY_BYTES ? BLOCK_TINY : BLOCK_SMALL);
}

/* A source with new bytes at its end, as after a read: the last *len_out of it. */
static struct block *read_into_source(struct world *world, size_t *len_out)
{
    struct watch *source = &world->sources[random_below(&world->random, SOURCES)];
    if (source->block == NULL || block_room(source->block) < 100 || random_below(&world->random, 4) == 0) {
        watch_end(source);
        struct block *fresh = block_create(&world->memory.blocks, BLOCK_LARGE);
        ck_assert_ptr_nonnull(fresh);
        watch_start(source, fresh);
        block_unref(&fresh);
    }
    struct block *block = source->block;
    *len_out = random_size(&world->random, block_room(block));
    random_fill(&world->random, block->data + block->used, *len_out);
    block->used += (uint32_t)*len_out;
    watch_take(source);
    return block;
}

/* Parts of what was read: by reference, or as the length says. Neighbouring ones, and with gaps. */
static void do_source(struct world *world, int i, bool always_ref)
{
    size_t len;
    struct block *block = read_into_source(world, &len);
    const char *data = block->data + block->used - len;
    while (len > 0) {
        size_t part = random_size(&world->random, len);
        if (random_below(&world->random, 4) > 0) {
            bool done = always_ref ? chain_append_ref(&world->chains[i], &world->memory, block, data, part)
                                   : chain_append(&world->chains[i], &world->memory, block, data, part);
            ck_assert(done);
            model_append(&world->models[i], data, part);
        }
        data += part;
        len -= part;
    }
}

static void do_static(struct world *world, int i)
{
    size_t len = random_below(&world->random, sizeof static_bytes + 1);
    ck_assert(chain_append_static(&world->chains[i], &world->memory, slice_make(static_bytes, len)));
    model_append(&world->models[i], static_bytes, len);
}

static void do_reserve(struct world *world, int i)
{
    size_t len = random_size(&world->random, BLOCK_SMALL_BYTES);
    char *place = chain_reserve(&world->chains[i], &world->memory, len);
    ck_assert_ptr_nonnull(place);
    size_t kept = 1 + random_below(&world->random, len);
    random_fill(&world->random, place, len);
    model_append(&world->models[i], place, kept);
    if (kept < len)
        chain_trim(&world->chains[i], len - kept);
}

/* A piece of one chain is shared with the other one. */
static void do_share(struct world *world, int i)
{
    const struct segment *segment = world->chains[1 - i].head;
    for (size_t n = random_below(&world->random, 5); segment != NULL && segment->next != NULL && n > 0; n--)
        segment = segment->next;
    if (segment == NULL || segment->block == NULL)
        return;
    size_t skipped = random_below(&world->random, segment->len);
    const char *data = segment->data + skipped;
    size_t len = segment->len - skipped;
    ck_assert(chain_append_ref(&world->chains[i], &world->memory, segment->block, data, len));
    model_append(&world->models[i], data, len);
}

static void do_consume(struct world *world, int i)
{
    struct chain *chain = &world->chains[i];
    size_t n = random_below(&world->random, 4) == 0 ? random_below(&world->random, chain->bytes + 1)
                                                    : random_size(&world->random, 5000);
    n = n < chain->bytes ? n : chain->bytes;
    chain_consume(chain, &world->memory, n);
    world->models[i].start += n;
}

static void do_settle(struct world *world, int i)
{
    ck_assert(chain_settle(&world->chains[i], &world->memory));
    for (const struct segment *s = world->chains[i].head; s != NULL; s = s->next)
        ck_assert(s->block == NULL || s->block->size <= BLOCK_SMALL || s->len >= BLOCK_LARGE_BYTES / 4);
}

/* Somebody takes a reference to the last block of a chain, where the next bytes would go. */
static void do_watch(struct world *world, int i)
{
    struct watch *watch = &world->watches[random_below(&world->random, WATCHES)];
    watch_end(watch);
    const struct segment *tail = world->chains[i].tail;
    if (tail != NULL && tail->block != NULL)
        watch_start(watch, tail->block);
}

static void do_something(struct world *world)
{
    int i = (int)random_below(&world->random, CHAINS);
    switch (random_below(&world->random, 16)) {
    case 0:
    case 1:
    case 2:
        do_copy(world, i);
        break;
    case 3:
        do_source(world, i, true);
        break;
    case 4:
        do_source(world, i, false);
        break;
    case 5:
        do_static(world, i);
        break;
    case 6:
        do_reserve(world, i);
        break;
    case 7:
        do_share(world, i);
        break;
    case 8:
        do_settle(world, i);
        break;
    case 9:
        do_watch(world, i);
        break;
    case 10:
        chain_splice(&world->chains[i], &world->chains[1 - i]);
        model_splice(&world->models[i], &world->models[1 - i]);
        break;
    case 11:
        chain_join(&world->chains[i], &world->memory, &world->chains[1 - i]);
        model_splice(&world->models[i], &world->models[1 - i]);
        break;
    case 12:
        do_few(world, i);
        break;
    default:
        do_consume(world, i);
        break;
    }
}

/* ---- The test ---- */

static void world_init(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->random = seed;
    memory_init(&world->memory, SIZE_MAX);
    for (int i = 0; i < CHAINS; i++) {
        chain_init(&world->chains[i]);
        world->models[i].bytes = malloc(MODEL_MAX);
        ck_assert_ptr_nonnull(world->models[i].bytes);
    }
}

static void world_check(struct world *world)
{
    for (int i = 0; i < CHAINS; i++)
        compare(&world->chains[i], &world->models[i]);
    for (int i = 0; i < SOURCES; i++) {
        if (world->sources[i].block != NULL)
            watch_check(&world->sources[i]);
    }
    for (int i = 0; i < WATCHES; i++) {
        if (world->watches[i].block != NULL)
            watch_check(&world->watches[i]);
    }
}

/* Empties a model that has grown too far, and its chain. */
static void bound(struct world *world)
{
    for (int i = 0; i < CHAINS; i++) {
        struct model *model = &world->models[i];
        if (model->end - model->start > MODEL_MAX / 16) {
            chain_clear(&world->chains[i], &world->memory);
            model->start = model->end;
        }
        memmove(model->bytes, model->bytes + model->start, model->end - model->start);
        model->end -= model->start;
        model->start = 0;
    }
}

static void world_fini(struct world *world)
{
    for (int i = 0; i < SOURCES; i++)
        watch_end(&world->sources[i]);
    for (int i = 0; i < WATCHES; i++)
        watch_end(&world->watches[i]);
    for (int i = 0; i < CHAINS; i++) {
        chain_clear(&world->chains[i], &world->memory);
        ck_assert(chain_is_empty(&world->chains[i]));
        ck_assert_uint_eq(world->chains[i].bytes, 0);
        free(world->models[i].bytes);
    }
    ck_assert_uint_eq(world->memory.blocks.held_bytes, 0);
    ck_assert_uint_eq(slab_in_use(&world->memory.segments), 0);
    memory_fini(&world->memory);
}

START_TEST(bytes_in_are_bytes_out)
{
    static struct world world;
    world_init(&world, 0x9e3779b97f4a7c15u * (uint64_t)(_i + 1));
    for (int step = 0; step < 2000; step++) {
        do_something(&world);
        if (step % 8 == 0)
            world_check(&world);
        bound(&world);
    }
    world_check(&world);
    world_fini(&world);
}
END_TEST

/* ---- Single rules ---- */

struct bench {
    struct memory memory;
    struct chain chain;
};

static void bench_init(struct bench *bench)
{
    memory_init(&bench->memory, SIZE_MAX);
    chain_init(&bench->chain);
}

static void bench_fini(struct bench *bench)
{
    chain_clear(&bench->chain, &bench->memory);
    ck_assert_uint_eq(bench->memory.blocks.held_bytes, 0);
    memory_fini(&bench->memory);
}

static int segment_count(const struct chain *chain)
{
    int n = 0;
    for (const struct segment *s = chain->head; s != NULL; s = s->next)
        n++;
    return n;
}

START_TEST(small_pieces_gather_in_one_segment)
{
    struct bench bench;
    bench_init(&bench);
    for (int i = 0; i < 100; i++)
        ck_assert(chain_append_copy(&bench.chain, &bench.memory, "0123456789", 10));
    ck_assert_int_eq(segment_count(&bench.chain), 1);
    ck_assert_uint_eq(bench.chain.bytes, 1000);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, BLOCK_SMALL_BYTES);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_tail_whose_block_is_shared_does_not_grow_in_it)
{
    struct bench bench;
    bench_init(&bench);
    ck_assert(chain_append_copy(&bench.chain, &bench.memory, "abc", 3));
    struct block *shared = block_ref(bench.chain.tail->block);
    ck_assert(chain_append_copy(&bench.chain, &bench.memory, "def", 3));
    ck_assert_uint_eq(shared->used, 3);
    ck_assert_int_eq(segment_count(&bench.chain), 2);
    block_unref(&shared);
    bench_fini(&bench);
}
END_TEST

/* Behind the segment lie bytes that were consumed elsewhere, or are another's: they may not be overwritten. */
START_TEST(a_tail_that_ends_before_the_blocks_bytes_do_does_not_grow)
{
    struct bench bench;
    bench_init(&bench);
    struct block *block = block_create(&bench.memory.blocks, BLOCK_LARGE);
    memcpy(block->data, "abcdef", 6);
    block->used = 6;
    ck_assert(chain_append_ref(&bench.chain, &bench.memory, block, block->data, 3));
    struct block *const lent = block;
    block_unref(&block); /* the chain is the only holder now */
    ck_assert(chain_append_copy(&bench.chain, &bench.memory, "xyz", 3));
    ck_assert_int_eq(memcmp(lent->data, "abcdef", 6), 0);
    ck_assert_uint_eq(lent->used, 6);
    bench_fini(&bench);
}
END_TEST

/* Such a tail has more room than chain_reserve gives at once. */
START_TEST(a_tail_alone_in_a_large_block_grows_by_large_copies)
{
    struct bench bench;
    bench_init(&bench);
    struct block *block = block_create(&bench.memory.blocks, BLOCK_LARGE);
    memcpy(block->data, "abc", 3);
    block->used = 3;
    ck_assert(chain_append_ref(&bench.chain, &bench.memory, block, block->data, 3));
    block_unref(&block);
    char bytes[3 * BLOCK_SMALL_BYTES] = "def";
    ck_assert(chain_append_copy(&bench.chain, &bench.memory, bytes, sizeof bytes));
    chain_check(&bench.chain);
    ck_assert_uint_eq(bench.chain.bytes, 3 + sizeof bytes);
    ck_assert_int_eq(memcmp(bench.chain.head->data, "abcdef", 6), 0);
    ck_assert_int_eq(segment_count(&bench.chain), 1);
    bench_fini(&bench);
}
END_TEST

START_TEST(neighbours_by_reference_become_one_segment)
{
    struct bench bench;
    bench_init(&bench);
    struct block *block = block_create(&bench.memory.blocks, BLOCK_LARGE);
    block->used = 9000;
    memset(block->data, 'v', 9000);
    ck_assert(chain_append_ref(&bench.chain, &bench.memory, block, block->data, 3000));
    ck_assert(chain_append_ref(&bench.chain, &bench.memory, block, block->data + 3000, 2000));
    ck_assert(chain_append_ref(&bench.chain, &bench.memory, block, block->data + 5000, 0));
    ck_assert_int_eq(segment_count(&bench.chain), 1);
    ck_assert_uint_eq(block->refs, 2);
    ck_assert(chain_append_ref(&bench.chain, &bench.memory, block, block->data + 6000, 3000));
    ck_assert_int_eq(segment_count(&bench.chain), 2);
    ck_assert_uint_eq(block->refs, 3);
    block_unref(&block);
    bench_fini(&bench);
}
END_TEST

START_TEST(large_pieces_are_referred_to_and_small_ones_copied)
{
    struct bench bench;
    bench_init(&bench);
    struct block *block = block_create(&bench.memory.blocks, BLOCK_LARGE);
    block->used = 4000;
    memset(block->data, 'v', 4000);
    ck_assert(chain_append(&bench.chain, &bench.memory, block, block->data, CHAIN_COPY_BYTES - 1));
    ck_assert_uint_eq(block->refs, 1);
    ck_assert(chain_append(&bench.chain, &bench.memory, block, block->data, CHAIN_COPY_BYTES));
    ck_assert_uint_eq(block->refs, 2);
    ck_assert_ptr_eq(bench.chain.tail->data, block->data);
    ck_assert(chain_append_static(&bench.chain, &bench.memory, slice_make(static_bytes, sizeof static_bytes)));
    ck_assert_ptr_eq(bench.chain.tail->data, static_bytes);
    ck_assert_ptr_null(bench.chain.tail->block);
    block_unref(&block);
    bench_fini(&bench);
}
END_TEST

START_TEST(few_bytes_take_a_tiny_block_and_more_behind_them_a_small_one)
{
    struct bench bench;
    bench_init(&bench);
    char bytes[BLOCK_TINY_BYTES] = {0};
    ck_assert(chain_append_few(&bench.chain, &bench.memory, bytes, 0));
    ck_assert(chain_is_empty(&bench.chain));
    ck_assert(chain_append_few(&bench.chain, &bench.memory, bytes, 100));
    ck_assert(chain_append_few(&bench.chain, &bench.memory, bytes, BLOCK_TINY_BYTES - 100));
    ck_assert_int_eq(segment_count(&bench.chain), 1);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, BLOCK_TINY_BYTES);
    ck_assert(chain_append_few(&bench.chain, &bench.memory, bytes, 1));
    ck_assert_int_eq(segment_count(&bench.chain), 2);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, BLOCK_TINY_BYTES + BLOCK_SMALL_BYTES);
    bench_fini(&bench);
}
END_TEST

START_TEST(consuming_gives_blocks_back_at_once)
{
    struct bench bench;
    bench_init(&bench);
    char bytes[3 * BLOCK_SMALL_BYTES] = {0};
    ck_assert(chain_append_copy(&bench.chain, &bench.memory, bytes, sizeof bytes));
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, 3 * BLOCK_SMALL_BYTES);
    chain_consume(&bench.chain, &bench.memory, BLOCK_SMALL_BYTES - 1);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, 3 * BLOCK_SMALL_BYTES);
    chain_consume(&bench.chain, &bench.memory, 1);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, 2 * BLOCK_SMALL_BYTES);
    chain_consume(&bench.chain, &bench.memory, 2 * BLOCK_SMALL_BYTES);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, 0);
    ck_assert_ptr_null(bench.chain.tail);
    bench_fini(&bench);
}
END_TEST

START_TEST(vectors_are_given_up_to_the_maximum)
{
    struct bench bench;
    struct iovec vectors[4];
    bench_init(&bench);
    char bytes[3 * BLOCK_SMALL_BYTES] = {0};
    ck_assert_int_eq(chain_vectors(&bench.chain, vectors, 4), 0);
    ck_assert(chain_append_copy(&bench.chain, &bench.memory, bytes, sizeof bytes));
    ck_assert_int_eq(chain_vectors(&bench.chain, vectors, 2), 2);
    ck_assert_int_eq(chain_vectors(&bench.chain, vectors, 4), 3);
    ck_assert_uint_eq(vectors[2].iov_len, BLOCK_SMALL_BYTES);
    bench_fini(&bench);
}
END_TEST

START_TEST(settling_lets_large_blocks_go_and_keeps_what_is_in_proportion)
{
    struct bench bench;
    bench_init(&bench);
    for (int i = 0; i < 20; i++) {
        struct block *block = block_create(&bench.memory.blocks, BLOCK_LARGE);
        block->used = BLOCK_LARGE_BYTES;
        memset(block->data, 'a' + i, BLOCK_LARGE_BYTES);
        size_t len = i == 10 ? BLOCK_LARGE_BYTES / 4 : 2000;
        ck_assert(chain_append_ref(&bench.chain, &bench.memory, block, block->data, len));
        block_unref(&block);
    }
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, 20 * BLOCK_LARGE_BYTES);
    ck_assert(chain_settle(&bench.chain, &bench.memory));
    chain_check(&bench.chain);
    ck_assert_uint_le(bench.memory.blocks.held_bytes, BLOCK_LARGE_BYTES + 12 * BLOCK_SMALL_BYTES);
    ck_assert_uint_eq(bench.chain.bytes, 19 * 2000 + BLOCK_LARGE_BYTES / 4);
    size_t held = bench.memory.blocks.held_bytes;
    const struct segment *head = bench.chain.head;
    ck_assert(chain_settle(&bench.chain, &bench.memory)); /* nothing left to do */
    ck_assert_ptr_eq(bench.chain.head, head);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, held);
    bench_fini(&bench);
}
END_TEST

START_TEST(splicing_moves_everything_behind)
{
    struct bench bench;
    struct chain from;
    bench_init(&bench);
    chain_init(&from);
    chain_splice(&bench.chain, &from);
    ck_assert(chain_is_empty(&bench.chain));
    ck_assert(chain_append_copy(&from, &bench.memory, "abc", 3));
    chain_splice(&bench.chain, &from);
    ck_assert(chain_is_empty(&from));
    ck_assert_uint_eq(from.bytes, 0);
    ck_assert(chain_append_copy(&from, &bench.memory, "def", 3));
    chain_splice(&bench.chain, &from);
    chain_check(&bench.chain);
    ck_assert_uint_eq(bench.chain.bytes, 6);
    ck_assert_int_eq(memcmp(bench.chain.head->data, "abc", 3), 0);
    ck_assert_int_eq(memcmp(bench.chain.tail->data, "def", 3), 0);
    bench_fini(&bench);
}
END_TEST

START_TEST(joining_makes_one_segment_of_small_pieces)
{
    struct bench bench;
    struct chain from;
    bench_init(&bench);
    chain_init(&from);
    chain_join(&bench.chain, &bench.memory, &from);
    ck_assert(chain_is_empty(&bench.chain));
    for (int i = 0; i < 3; i++) {
        ck_assert(chain_append_copy(&from, &bench.memory, "abc", 3));
        chain_join(&bench.chain, &bench.memory, &from);
        ck_assert(chain_is_empty(&from));
    }
    ck_assert_ptr_eq(bench.chain.head, bench.chain.tail);
    ck_assert_uint_eq(bench.chain.bytes, 9);
    ck_assert_int_eq(memcmp(bench.chain.head->data, "abcabcabc", 9), 0);
    static const char large[CHAIN_COPY_BYTES] = "";
    ck_assert(chain_append_static(&from, &bench.memory, slice_make(large, sizeof large)));
    chain_join(&bench.chain, &bench.memory, &from);
    chain_check(&bench.chain);
    ck_assert_ptr_eq(bench.chain.tail->data, large);
    bench_fini(&bench);
}
END_TEST

#ifndef NDEBUG
START_TEST(a_chain_whose_sum_is_wrong_is_found)
{
    struct bench bench;
    bench_init(&bench);
    ck_assert(chain_append_copy(&bench.chain, &bench.memory, "abc", 3));
    chain_check(&bench.chain);
    bench.chain.bytes++;
    chain_check(&bench.chain);
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("chain");
    tcase_add_loop_test(tcase, bytes_in_are_bytes_out, 0, 20);
    tcase_add_test(tcase, small_pieces_gather_in_one_segment);
    tcase_add_test(tcase, a_tail_whose_block_is_shared_does_not_grow_in_it);
    tcase_add_test(tcase, a_tail_that_ends_before_the_blocks_bytes_do_does_not_grow);
    tcase_add_test(tcase, a_tail_alone_in_a_large_block_grows_by_large_copies);
    tcase_add_test(tcase, neighbours_by_reference_become_one_segment);
    tcase_add_test(tcase, large_pieces_are_referred_to_and_small_ones_copied);
    tcase_add_test(tcase, few_bytes_take_a_tiny_block_and_more_behind_them_a_small_one);
    tcase_add_test(tcase, consuming_gives_blocks_back_at_once);
    tcase_add_test(tcase, vectors_are_given_up_to_the_maximum);
    tcase_add_test(tcase, settling_lets_large_blocks_go_and_keeps_what_is_in_proportion);
    tcase_add_test(tcase, splicing_moves_everything_behind);
    tcase_add_test(tcase, joining_makes_one_segment_of_small_pieces);
#ifndef NDEBUG
    tcase_add_test_raise_signal(tcase, a_chain_whose_sum_is_wrong_is_found, SIGABRT);
#endif
    return suite_run("chain", tcase);
}
