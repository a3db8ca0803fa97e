/*
 * Tests of event/input: several streams through one shared block, with random reads, pieces and pauses. The bytes that
 * come out are those that went in, bytes that somebody refers to neither move nor change, an idle input holds nothing.
 */
#include "event/input.h"

#include "tests/support/random.h"
#include "tests/support/suite.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A stream without end whose bytes are known by their position; a read gives as many as `give` says. */
struct source {
    struct transport transport;
    uint64_t seed;
    uint64_t at;
    size_t give;
    ssize_t verdict; /* what a read answers when give is 0 */
    size_t asked;    /* the last read's capacity */
};

static char byte_at(const struct source *source, uint64_t at)
{
    return (char)((at * 0x9e3779b97f4a7c15u + source->seed) >> 41);
}

static ssize_t source_read(struct transport *transport, char *buffer, size_t capacity)
{
    struct source *source = list_entry(transport, struct source, transport);
    ck_assert_uint_gt(capacity, 0);
    source->asked = capacity;
    if (source->give == 0)
        return source->verdict;
    size_t n = source->give < capacity ? source->give : capacity;
    for (size_t i = 0; i < n; i++)
        buffer[i] = byte_at(source, source->at + i);
    source->at += n;
    return (ssize_t)n;
}

static const struct transport_methods source_methods = {.name = "source", .read = source_read};

static void source_init(struct source *source, uint64_t seed)
{
    *source = (struct source){.seed = seed, .transport.methods = &source_methods, .transport.fd = -1};
}

/* Bytes that were consumed, and are still referred to. */
struct pin {
    struct block *block;
    const char *data;
    size_t len;
    char *copy;
};

enum { STREAMS = 3, PINS = 24 };

struct stream {
    struct source source;
    struct input in;
    uint64_t out; /* position of the next byte to come out */
    size_t piece; /* length of the piece that is to be whole before it is consumed */
    bool paused;  /* settled with INPUT_NO_READ: to be consumed without another read */
};

struct world {
    uint64_t random;
    struct memory memory;
    struct input_shared shared;
    struct stream streams[STREAMS];
    struct pin pins[PINS];
};

static void pin_end(struct pin *pin)
{
    if (pin->block == NULL)
        return;
    ck_assert_int_eq(memcmp(pin->data, pin->copy, pin->len), 0);
    block_unref(&pin->block);
    free(pin->copy);
}

static void pin_some(struct world *world, struct input *in, size_t len)
{
    struct pin *pin = &world->pins[random_below(&world->random, PINS)];
    pin_end(pin);
    pin->block = block_ref(input_block(in));
    pin->data = input_data(in);
    pin->len = len;
    pin->copy = malloc(len);
    ck_assert_ptr_nonnull(pin->copy);
    memcpy(pin->copy, pin->data, len);
}

static void expect_bytes(const struct stream *stream)
{
    const char *data = input_data(&stream->in);
    size_t len = input_bytes(&stream->in);
    ck_assert_uint_eq(stream->out + len, stream->source.at);
    for (size_t i = 0; i < len; i++) {
        if (data[i] != byte_at(&stream->source, stream->out + i))
            ck_abort_msg("byte %zu of %zu is wrong", i, len);
    }
}

static size_t choose_piece(struct world *world)
{
    switch (random_below(&world->random, 8)) {
    case 0:
        return INPUT_PIECE_MAX - random_below(&world->random, 3);
    case 1:
        return INPUT_SMALL_MAX - 1 + random_below(&world->random, 3);
    case 2:
        return BLOCK_SMALL_BYTES - 1 + random_below(&world->random, 3);
    default:
        return random_size(&world->random, INPUT_PIECE_MAX);
    }
}

/* Consumes whole pieces, and perhaps stops in between. */
static void handle(struct world *world, struct stream *stream)
{
    struct input *in = &stream->in;
    expect_bytes(stream);
    stream->paused = false;
    while (input_bytes(in) >= stream->piece) {
        if (random_below(&world->random, 3) == 0)
            pin_some(world, in, stream->piece);
        input_consume(in, stream->piece);
        stream->out += stream->piece;
        stream->piece = choose_piece(world);
        if (random_below(&world->random, 10) == 0 && input_bytes(in) > 0) {
            stream->paused = true;
            break;
        }
    }
    /* A parser knows the need of a piece only when it has seen its head. */
    size_t need = input_bytes(in) > 16 || random_below(&world->random, 2) ? stream->piece : 0;
    ck_assert_int_eq(input_settle(in, &world->shared, stream->paused ? INPUT_NO_READ : need), 0);
    if (input_bytes(in) == 0) {
        ck_assert_ptr_null(in->block);
        return;
    }
    /* What is kept is never in the block that others read into. */
    ck_assert_ptr_ne(in->block, world->shared.block);
    if (!stream->paused && in->block->size == BLOCK_LARGE)
        ck_assert_uint_le(in->start + need, in->block->capacity);
    expect_bytes(stream);
}

static void step(struct world *world)
{
    struct stream *stream = &world->streams[random_below(&world->random, STREAMS)];
    if (stream->paused) {
        handle(world, stream);
        return;
    }
    stream->source.give = random_size(&world->random, 100000);
    ssize_t n = input_read(&stream->in, &world->shared, &stream->source.transport);
    /* A piece that is asked for always finds room. */
    ck_assert_int_gt(n, 0);
    handle(world, stream);
}

static void world_init(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->random = seed;
    memory_init(&world->memory, SIZE_MAX);
    input_shared_init(&world->shared, &world->memory, BLOCK_LARGE);
    for (int i = 0; i < STREAMS; i++) {
        source_init(&world->streams[i].source, seed + (uint64_t)i);
        input_init(&world->streams[i].in);
        world->streams[i].piece = choose_piece(world);
    }
}

static void world_fini(struct world *world)
{
    for (int i = 0; i < PINS; i++)
        pin_end(&world->pins[i]);
    for (int i = 0; i < STREAMS; i++)
        input_clear(&world->streams[i].in);
    input_shared_fini(&world->shared);
    ck_assert_uint_eq(world->memory.blocks.held_bytes, 0);
    memory_fini(&world->memory);
}

START_TEST(the_streams_come_out_as_they_went_in)
{
    static struct world world;
    world_init(&world, 0x9e3779b97f4a7c15u * (uint64_t)(_i + 1));
    for (int i = 0; i < 3000; i++)
        step(&world);
    for (int i = 0; i < STREAMS; i++)
        ck_assert_uint_gt(world.streams[i].out, 1000000);
    world_fini(&world);
}
END_TEST

/* ---- Single rules ---- */

struct bench {
    struct memory memory;
    struct input_shared shared;
    struct source source;
    struct input in;
};

static void bench_init(struct bench *bench)
{
    memory_init(&bench->memory, SIZE_MAX);
    input_shared_init(&bench->shared, &bench->memory, BLOCK_LARGE);
    source_init(&bench->source, 7);
    input_init(&bench->in);
}

static void bench_fini(struct bench *bench)
{
    input_clear(&bench->in);
    input_shared_fini(&bench->shared);
    ck_assert_uint_eq(bench->memory.blocks.held_bytes, 0);
    memory_fini(&bench->memory);
}

static void bench_read(struct bench *bench, size_t n)
{
    bench->source.give = n;
    ck_assert_int_eq(input_read(&bench->in, &bench->shared, &bench->source.transport), (ssize_t)n);
}

static void bench_settle(struct bench *bench, size_t need)
{
    ck_assert_int_eq(input_settle(&bench->in, &bench->shared, need), 0);
}

START_TEST(an_idle_input_holds_nothing)
{
    struct bench bench;
    bench_init(&bench);
    for (int i = 0; i < 10; i++) {
        bench_read(&bench, 1000);
        input_consume(&bench.in, 1000);
        bench_settle(&bench, 0);
        ck_assert_ptr_null(bench.in.block);
        ck_assert_uint_eq(bench.memory.blocks.held_bytes, BLOCK_LARGE_BYTES); /* the shared one, always the same */
        ck_assert_uint_eq(bench.shared.block->refs, 1);
    }
    bench_fini(&bench);
}
END_TEST

START_TEST(a_read_that_finds_nothing_leaves_an_idle_input_idle)
{
    static const ssize_t verdicts[] = {TRANSPORT_AGAIN, TRANSPORT_EOF, TRANSPORT_ERROR};
    struct bench bench;
    bench_init(&bench);
    for (int i = 0; i < 3; i++) {
        bench.source.verdict = verdicts[i];
        ck_assert_int_eq(input_read(&bench.in, &bench.shared, &bench.source.transport), verdicts[i]);
        ck_assert_ptr_null(bench.in.block);
    }
    ck_assert_uint_eq(bench.shared.block->refs, 1);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_read_that_finds_nothing_leaves_what_was_kept)
{
    struct bench bench;
    bench_init(&bench);
    bench_read(&bench, 100);
    input_consume(&bench.in, 40);
    bench_settle(&bench, 0);
    bench.source.give = 0;
    bench.source.verdict = TRANSPORT_AGAIN;
    ck_assert_int_eq(input_read(&bench.in, &bench.shared, &bench.source.transport), TRANSPORT_AGAIN);
    ck_assert_uint_eq(input_bytes(&bench.in), 60);
    for (size_t i = 0; i < 60; i++)
        ck_assert_int_eq(input_data(&bench.in)[i], byte_at(&bench.source, 40 + i));
    bench_fini(&bench);
}
END_TEST

START_TEST(a_small_left_over_is_kept_in_a_small_block)
{
    struct bench bench;
    bench_init(&bench);
    bench_read(&bench, INPUT_SMALL_MAX + 10);
    input_consume(&bench.in, 10);
    bench_settle(&bench, 0);
    ck_assert_uint_eq(bench.in.block->size, BLOCK_SMALL);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, BLOCK_LARGE_BYTES + BLOCK_SMALL_BYTES);
    /* The next read has as much room as ever, and the block is given back. */
    bench_read(&bench, 20000);
    ck_assert_uint_eq(bench.source.asked, BLOCK_LARGE_BYTES - INPUT_SMALL_MAX);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, BLOCK_LARGE_BYTES);
    ck_assert_uint_eq(input_bytes(&bench.in), INPUT_SMALL_MAX + 20000);
    bench_settle(&bench, 0);
    bench_fini(&bench);
}
END_TEST

static bool is_wiped(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != 0)
            return false;
    }
    return true;
}

/* A login that comes in three pieces: what is copied on leaves nothing where it was; what was others' is left alone. */
START_TEST(a_secret_leaves_no_copy_behind)
{
    struct bench bench;
    bench_init(&bench);
    bench_read(&bench, 1000);
    struct block *read_into = block_ref(bench.in.block);
    input_consume(&bench.in, 100);
    input_keep_secret(&bench.in);
    bench_settle(&bench, 0);
    ck_assert(is_wiped(read_into->data + 100, 900));
    ck_assert(!is_wiped(read_into->data, 100));
    ck_assert(!read_into->is_secret);
    const struct block *kept = bench.in.block;
    ck_assert(kept->is_secret);
    bench_read(&bench, 200);
    ck_assert_uint_eq(input_bytes(&bench.in), 1100);
    ck_assert(is_wiped(kept->data, 900)); /* it is in the pool's list by now */
    input_keep_secret(&bench.in);
    bench_settle(&bench, 0);
    kept = bench.in.block;
    input_clear(&bench.in);
    ck_assert(is_wiped(kept->data, 1100));
    block_unref(&read_into);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_left_over_stays_where_it_is_while_nothing_is_read)
{
    struct bench bench;
    bench_init(&bench);
    bench_read(&bench, _i == BLOCK_SMALL ? 300 : 30000);
    bench_settle(&bench, INPUT_NO_READ);
    const struct block *block = bench.in.block;
    ck_assert_uint_eq(block->size, (unsigned)_i);
    input_consume(&bench.in, 100);
    bench_settle(&bench, INPUT_NO_READ);
    ck_assert_ptr_eq(bench.in.block, block);
    bench_fini(&bench);
}
END_TEST

/* A piece of the largest length is read behind its beginning, without another move. */
START_TEST(a_large_piece_comes_together_in_its_own_block)
{
    struct bench bench;
    bench_init(&bench);
    bench_read(&bench, 100);
    bench_settle(&bench, INPUT_PIECE_MAX);
    const struct block *block = bench.in.block;
    ck_assert_uint_eq(block->size, BLOCK_LARGE);
    while (input_bytes(&bench.in) < INPUT_PIECE_MAX) {
        size_t left = INPUT_PIECE_MAX - input_bytes(&bench.in);
        bench_read(&bench, left < 10000 ? left : 10000);
        bench_settle(&bench, INPUT_PIECE_MAX);
        ck_assert_ptr_eq(bench.in.block, block);
    }
    /* Full, and nothing consumed: there is nothing to read into. */
    bench.source.give = 1;
    ck_assert_int_eq(input_read(&bench.in, &bench.shared, &bench.source.transport), TRANSPORT_AGAIN);
    bench_fini(&bench);
}
END_TEST

/* Bytes that were read for one input are never in the way of another's. */
START_TEST(a_pinned_shared_block_is_filled_behind_and_then_replaced)
{
    struct bench bench;
    bench_init(&bench);
    bench_read(&bench, 30000);
    struct block *first = block_ref(input_block(&bench.in));
    const char *data = input_data(&bench.in);
    input_consume(&bench.in, 30000);
    bench_settle(&bench, 0);
    bench_read(&bench, 1000);
    ck_assert_ptr_eq(input_block(&bench.in), first);
    ck_assert_ptr_eq(input_data(&bench.in), data + 30000);
    input_consume(&bench.in, 1000);
    bench_settle(&bench, 0);
    bench_read(&bench, 30000); /* leaves less than a decent read */
    input_consume(&bench.in, 30000);
    bench_settle(&bench, 0);
    bench_read(&bench, 1000);
    ck_assert_ptr_ne(input_block(&bench.in), first);
    ck_assert_ptr_eq(input_data(&bench.in), input_block(&bench.in)->data);
    for (size_t i = 0; i < 61000; i++)
        ck_assert_int_eq(data[i], byte_at(&bench.source, i));
    block_unref(&first);
    bench_fini(&bench);
}
END_TEST

/* Nothing is copied: the block is the input's own from now on, and the others get a new one. */
START_TEST(a_large_left_over_keeps_the_shared_block)
{
    struct bench bench;
    bench_init(&bench);
    bench_read(&bench, 30000);
    const char *data = input_data(&bench.in);
    const struct block *block = input_block(&bench.in);
    input_consume(&bench.in, 10000);
    bench_settle(&bench, _i == 0 ? 0 : 40000);
    ck_assert_ptr_eq(bench.in.block, block);
    ck_assert_ptr_null(bench.shared.block);
    bench_read(&bench, 20000);
    ck_assert_ptr_eq(input_data(&bench.in), data + 10000);
    ck_assert_uint_eq(input_bytes(&bench.in), 40000);
    input_consume(&bench.in, 40000);
    bench_settle(&bench, 0);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, 0);
    bench_fini(&bench);
}
END_TEST

/* The piece does not fit behind its beginning; or memory is short. */
START_TEST(a_large_left_over_is_moved_where_it_cannot_stay)
{
    struct bench bench;
    bench_init(&bench);
    bench_read(&bench, 30000);
    input_consume(&bench.in, 10000);
    bench_settle(&bench, BLOCK_LARGE_BYTES - 9999);
    ck_assert_ptr_ne(bench.in.block, bench.shared.block);
    ck_assert_ptr_nonnull(bench.shared.block);
    ck_assert_uint_eq(bench.in.start, 0);
    input_clear(&bench.in);
    bench.memory.blocks.limit_bytes = 4 * BLOCK_LARGE_BYTES;
    bench_read(&bench, 30000);
    input_consume(&bench.in, 10000);
    bench_settle(&bench, 0);
    ck_assert_ptr_ne(bench.in.block, bench.shared.block);
    ck_assert_uint_eq(bench.in.start, 0);
    bench_fini(&bench);
}
END_TEST

START_TEST(clearing_drops_all)
{
    struct bench bench;
    bench_init(&bench);
    bench_read(&bench, 5000);
    bench_settle(&bench, 0);
    input_clear(&bench.in);
    ck_assert_ptr_null(bench.in.block);
    input_clear(&bench.in); /* twice is lawful */
    bench_settle(&bench, 0);
    ck_assert_uint_eq(bench.memory.blocks.held_bytes, 0);
    bench_fini(&bench);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("input");
    tcase_add_loop_test(tcase, the_streams_come_out_as_they_went_in, 0, 6);
    tcase_add_test(tcase, an_idle_input_holds_nothing);
    tcase_add_test(tcase, a_read_that_finds_nothing_leaves_an_idle_input_idle);
    tcase_add_test(tcase, a_read_that_finds_nothing_leaves_what_was_kept);
    tcase_add_test(tcase, a_small_left_over_is_kept_in_a_small_block);
    tcase_add_test(tcase, a_secret_leaves_no_copy_behind);
    tcase_add_loop_test(tcase, a_left_over_stays_where_it_is_while_nothing_is_read, BLOCK_SMALL, BLOCK_LARGE + 1);
    tcase_add_loop_test(tcase, a_large_left_over_keeps_the_shared_block, 0, 2);
    tcase_add_test(tcase, a_large_left_over_is_moved_where_it_cannot_stay);
    tcase_add_test(tcase, a_large_piece_comes_together_in_its_own_block);
    tcase_add_test(tcase, a_pinned_shared_block_is_filled_behind_and_then_replaced);
    tcase_add_test(tcase, clearing_drops_all);
    return suite_run("input", tcase);
}
