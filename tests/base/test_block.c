/* Tests of base/block: references, recycling, and what is held in all. */
#include "base/block.h"

#include "tests/support/suite.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const size_t capacity_of[BLOCK_SIZES] = {BLOCK_TINY_BYTES, BLOCK_SMALL_BYTES, BLOCK_LARGE_BYTES,
                                                BLOCK_HUGE_BYTES};

START_TEST(a_fresh_block_is_empty_and_has_one_reference)
{
    struct block_pool pool;
    block_pool_init(&pool, SIZE_MAX);
    struct block *block = block_create(&pool, (enum block_size)_i);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(block->refs, 1);
    ck_assert_uint_eq(block->used, 0);
    ck_assert_uint_eq(block->capacity, capacity_of[_i]);
    ck_assert_uint_eq(block_room(block), capacity_of[_i]);
    ck_assert_uint_eq(pool.held_bytes, capacity_of[_i]);
    memset(block->data, 'x', block->capacity);
    block->used = 100;
    ck_assert_uint_eq(block_room(block), capacity_of[_i] - 100);
    block_unref(&block);
    ck_assert_uint_eq(pool.held_bytes, 0);
    block_pool_fini(&pool);
}
END_TEST

START_TEST(a_block_lives_until_its_last_reference_is_given_back)
{
    struct block_pool pool;
    block_pool_init(&pool, SIZE_MAX);
    struct block *first = block_create(&pool, BLOCK_SMALL);
    struct block *second = block_ref(first);
    struct block *third = block_ref(first);
    ck_assert_ptr_eq(second, third);
    ck_assert_uint_eq(second->refs, 3);
    block_unref(&first);
    ck_assert_ptr_null(first);
    block_unref(&first); /* nothing any more, and lawful */
    ck_assert_uint_eq(second->refs, 2);
    block_unref(&second);
    ck_assert_uint_eq(pool.held_bytes, BLOCK_SMALL_BYTES);
    ck_assert_uint_eq(pool.free_count[BLOCK_SMALL], 0);
    block_unref(&third);
    ck_assert_uint_eq(pool.held_bytes, 0);
    ck_assert_uint_eq(pool.free_count[BLOCK_SMALL], 1);
    block_pool_fini(&pool);
}
END_TEST

START_TEST(a_block_given_back_is_used_again_and_is_empty)
{
    struct block_pool pool;
    block_pool_init(&pool, SIZE_MAX);
    struct block *small = block_create(&pool, BLOCK_SMALL);
    struct block *large = block_create(&pool, BLOCK_LARGE);
    struct block *const was_small = small, *const was_large = large;
    small->used = 17;
    large->used = 18;
    block_unref(&small);
    block_unref(&large);
    large = block_create(&pool, BLOCK_LARGE);
    small = block_create(&pool, BLOCK_SMALL);
    ck_assert_ptr_eq(small, was_small);
    ck_assert_ptr_eq(large, was_large);
    ck_assert_uint_eq(small->used + large->used, 0);
    ck_assert_uint_eq(small->refs, 1);
    ck_assert_uint_eq(large->refs, 1);
    ck_assert_uint_eq(pool.free_count[BLOCK_SMALL] + pool.free_count[BLOCK_LARGE], 0);
    ck_assert_uint_eq(pool.held_bytes, BLOCK_SMALL_BYTES + BLOCK_LARGE_BYTES);
    block_unref(&small);
    block_unref(&large);
    block_pool_fini(&pool);
}
END_TEST

START_TEST(a_secret_block_is_wiped_when_it_is_given_back)
{
    struct block_pool pool;
    block_pool_init(&pool, SIZE_MAX);
    struct block *block = block_create(&pool, BLOCK_SMALL), *other = block_ref(block);
    memset(block->data, 'x', block->capacity);
    block->is_secret = true;
    block_unref(&other);
    ck_assert_int_eq(block->data[7], 'x'); /* it is still held */
    block_unref(&block);
    block = block_create(&pool, BLOCK_SMALL);
    ck_assert(!block->is_secret);
    for (size_t i = 0; i < block->capacity; i++)
        ck_assert_int_eq(block->data[i], 0);
    block_unref(&block);
    block_pool_fini(&pool);
}
END_TEST

START_TEST(what_is_kept_for_later_is_bounded)
{
    enum { COUNT = 1100 };
    static struct block *blocks[COUNT];
    struct block_pool pool;
    block_pool_init(&pool, SIZE_MAX);
    for (int i = 0; i < COUNT; i++)
        ck_assert_ptr_nonnull(blocks[i] = block_create(&pool, BLOCK_SMALL));
    ck_assert_uint_eq(pool.held_bytes, COUNT * BLOCK_SMALL_BYTES);
    for (int i = 0; i < COUNT; i++)
        block_unref(&blocks[i]);
    ck_assert_uint_eq(pool.held_bytes, 0);
    ck_assert_uint_eq(pool.free_count[BLOCK_SMALL], 1024);
    block_pool_fini(&pool);
    ck_assert_ptr_null(pool.free[BLOCK_SMALL]);
    ck_assert_uint_eq(pool.free_count[BLOCK_SMALL], 0);
}
END_TEST

START_TEST(a_pool_is_short_above_its_limit_and_gives_all_the_same)
{
    struct block_pool pool;
    block_pool_init(&pool, 2 * BLOCK_SMALL_BYTES);
    struct block *blocks[3];
    for (int i = 0; i < 3; i++) {
        ck_assert(!block_pool_is_short(&pool));
        ck_assert_ptr_nonnull(blocks[i] = block_create(&pool, BLOCK_SMALL));
    }
    ck_assert(block_pool_is_short(&pool));
    block_unref(&blocks[1]);
    ck_assert(!block_pool_is_short(&pool));
    block_unref(&blocks[0]);
    block_unref(&blocks[2]);
    block_pool_fini(&pool);
}
END_TEST

#ifndef NDEBUG
START_TEST(a_block_held_at_the_end_is_found)
{
    struct block_pool pool;
    block_pool_init(&pool, SIZE_MAX);
    block_create(&pool, BLOCK_SMALL);
    block_pool_fini(&pool);
}
END_TEST

START_TEST(a_second_unref_is_found)
{
    struct block_pool pool;
    block_pool_init(&pool, SIZE_MAX);
    struct block *block = block_create(&pool, BLOCK_SMALL), *again = block;
    block_unref(&block);
    block_unref(&again);
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("block");
    tcase_add_loop_test(tcase, a_fresh_block_is_empty_and_has_one_reference, 0, BLOCK_SIZES);
    tcase_add_test(tcase, a_block_lives_until_its_last_reference_is_given_back);
    tcase_add_test(tcase, a_block_given_back_is_used_again_and_is_empty);
    tcase_add_test(tcase, a_secret_block_is_wiped_when_it_is_given_back);
    tcase_add_test(tcase, what_is_kept_for_later_is_bounded);
    tcase_add_test(tcase, a_pool_is_short_above_its_limit_and_gives_all_the_same);
#ifndef NDEBUG
    tcase_add_test_raise_signal(tcase, a_block_held_at_the_end_is_found, SIGABRT);
    tcase_add_test_raise_signal(tcase, a_second_unref_is_found, SIGABRT);
#endif
    return suite_run("block", tcase);
}
