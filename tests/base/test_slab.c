/* Tests of base/slab: recycling, growth, alignment, and that misuse is found. */
#include "base/slab.h"

#include <check.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(takes_no_memory_before_the_first_object)
{
    struct slab slab;
    slab_init(&slab, "test", 40, 8);
    ck_assert_uint_eq(slab_size_bytes(&slab), 0);
    ck_assert_uint_eq(slab_in_use(&slab), 0);
    ck_assert_str_eq(slab.name, "test");
    slab_fini(&slab);
}
END_TEST

START_TEST(the_last_freed_object_is_given_out_first)
{
    struct slab slab;
    slab_init(&slab, "test", 40, 8);
    void *a = slab_alloc(&slab), *b = slab_alloc(&slab);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_ptr_ne(a, b);
    slab_free(&slab, a);
    slab_free(&slab, b);
    ck_assert_ptr_eq(slab_alloc(&slab), b);
    ck_assert_ptr_eq(slab_alloc(&slab), a);
    slab_free(&slab, a);
    slab_free(&slab, b);
    slab_fini(&slab);
}
END_TEST

START_TEST(counts_what_is_in_use)
{
    struct slab slab;
    void *objects[5];
    slab_init(&slab, "test", 40, 2);
    for (size_t i = 0; i < 5; i++) {
        objects[i] = slab_alloc(&slab);
        ck_assert_uint_eq(slab_in_use(&slab), i + 1);
    }
    slab_free(&slab, NULL);
    ck_assert_uint_eq(slab_in_use(&slab), 5);
    for (size_t i = 5; i-- > 0;) {
        slab_free(&slab, objects[i]);
        ck_assert_uint_eq(slab_in_use(&slab), i);
    }
    slab_fini(&slab);
}
END_TEST

/* Every object is filled to its last byte with a pattern of its own, and read back after all are filled. */
START_TEST(objects_are_aligned_and_do_not_overlap)
{
    static const size_t sizes[] = {1, 7, 8, 9, 16, 24, 100, 1000};
    enum { COUNT = 100 };
    size_t size = sizes[_i];
    unsigned char *objects[COUNT];
    struct slab slab;
    slab_init(&slab, "test", size, 7);
    for (int i = 0; i < COUNT; i++) {
        objects[i] = slab_alloc(&slab);
        ck_assert_ptr_nonnull(objects[i]);
        ck_assert_uint_eq((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
        memset(objects[i], i, size);
    }
    for (int i = 0; i < COUNT; i++) {
        for (size_t at = 0; at < size; at++)
            ck_assert_uint_eq(objects[i][at], (unsigned)i);
        slab_free(&slab, objects[i]);
    }
    slab_fini(&slab);
}
END_TEST

START_TEST(memory_grows_to_the_peak_and_no_further)
{
    enum { PEAK = 50 };
    void *objects[PEAK];
    struct slab slab;
    slab_init(&slab, "test", 64, 8);
    size_t peak_bytes = 0;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < PEAK; i++)
            ck_assert_ptr_nonnull(objects[i] = slab_alloc(&slab));
        if (round == 0)
            peak_bytes = slab_size_bytes(&slab);
        for (int i = 0; i < PEAK; i++)
            slab_free(&slab, objects[(i * 7 + round) % PEAK]);
    }
    ck_assert_uint_eq(slab_size_bytes(&slab), peak_bytes);
    ck_assert_uint_ge(peak_bytes, PEAK * 64);
    slab_fini(&slab);
    ck_assert_uint_eq(slab_size_bytes(&slab), 0);
}
END_TEST

START_TEST(a_chunk_that_no_machine_has_is_refused)
{
    struct slab slab;
    slab_init(&slab, "test", 64, 1);
    size_t stride = slab.stride;
#ifndef SLAB_ASAN /* whose malloc ends the process */
    slab_init(&slab, "test", 64, SIZE_MAX / 2 / stride);
    ck_assert_ptr_null(slab_alloc(&slab));
#endif
    slab_init(&slab, "test", 64, SIZE_MAX / stride + 2); /* a product that wraps to almost nothing */
    ck_assert_ptr_null(slab_alloc(&slab));
    ck_assert_uint_eq(slab_in_use(&slab), 0);
    slab_fini(&slab);
}
END_TEST

/* Whether the deed ends the process that does it. Its complaint goes unseen. */
static bool is_fatal(void (*deed)(struct slab *slab))
{
    struct slab slab;
    slab_init(&slab, "test", 64, 4);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDERR_FILENO);
        deed(&slab);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void behave(struct slab *slab)
{
    memset(slab_alloc(slab), 1, 64);
    slab_free(slab, slab_alloc(slab));
}

START_TEST(lawful_use_is_not_fatal)
{
    ck_assert(!is_fatal(behave));
}
END_TEST

#ifndef NDEBUG
static void finish_while_in_use(struct slab *slab)
{
    slab_alloc(slab);
    slab_fini(slab);
}

START_TEST(an_object_in_use_at_the_end_is_found)
{
    ck_assert(is_fatal(finish_while_in_use));
}
END_TEST
#endif

#ifdef SLAB_ASAN
static void use_after_free(struct slab *slab)
{
    volatile char *object = slab_alloc(slab);
    slab_free(slab, (void *)object);
    object[20] = 1;
}

static void free_twice(struct slab *slab)
{
    slab_alloc(slab);
    void *object = slab_alloc(slab);
    slab_free(slab, object);
    slab_free(slab, object);
}

static void write_behind(struct slab *slab)
{
    volatile char *object = slab_alloc(slab);
    slab_alloc(slab);
    object[64] = 1;
}

START_TEST(a_use_after_free_is_found)
{
    ck_assert(is_fatal(use_after_free));
}
END_TEST

START_TEST(a_second_free_is_found)
{
    ck_assert(is_fatal(free_twice));
}
END_TEST

START_TEST(a_write_behind_an_object_is_found)
{
    ck_assert(is_fatal(write_behind));
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("slab");
    TCase *tcase = tcase_create("slab");
    tcase_add_test(tcase, takes_no_memory_before_the_first_object);
    tcase_add_test(tcase, the_last_freed_object_is_given_out_first);
    tcase_add_test(tcase, counts_what_is_in_use);
    tcase_add_loop_test(tcase, objects_are_aligned_and_do_not_overlap, 0, 8);
    tcase_add_test(tcase, memory_grows_to_the_peak_and_no_further);
    tcase_add_test(tcase, a_chunk_that_no_machine_has_is_refused);
    tcase_add_test(tcase, lawful_use_is_not_fatal);
#ifndef NDEBUG
    tcase_add_test(tcase, an_object_in_use_at_the_end_is_found);
#endif
#ifdef SLAB_ASAN
    tcase_add_test(tcase, a_use_after_free_is_found);
    tcase_add_test(tcase, a_second_free_is_found);
    tcase_add_test(tcase, a_write_behind_an_object_is_found);
#endif
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
