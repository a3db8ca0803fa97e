/*
 * A folder for the files of a test program: made before the tests of a case, removed after them, whatever came of them
 * (a test that fails or crashes runs in a process of its own, which cannot do it).
 *
 *     folder_use(tcase);
 *     char path[FOLDER_PATH_MAX];
 *     folder_join("x.yaml", path);
 */
#ifndef RINGSIDE_TESTS_SUPPORT_FOLDER_H
#define RINGSIDE_TESTS_SUPPORT_FOLDER_H

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER_PATH_MAX 256

/* The folder while the case's tests run; short, so that a Unix socket finds room in it. */
static char folder_path[64];

static inline void folder_make(void)
{
    strcpy(folder_path, "/tmp/ringside-test-XXXXXX");
    ck_assert_msg(mkdtemp(folder_path) != NULL, "%s cannot be made", folder_path);
}

static inline int folder_remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline void folder_remove(void)
{
    (void)nftw(folder_path, folder_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* All tests of the case may use the folder; they share it. */
static inline void folder_use(TCase *tcase)
{
    tcase_add_unchecked_fixture(tcase, folder_make, folder_remove);
}

/* The path of a file in the folder. */
static inline void folder_join(const char *name, char path_out[FOLDER_PATH_MAX])
{
    int len = snprintf(path_out, FOLDER_PATH_MAX, "%s/%s", folder_path, name);
    ck_assert_int_lt(len, FOLDER_PATH_MAX);
}

/* Writes a file of the folder anew. */
static inline void folder_write(const char *path, const char *content, size_t len)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(content, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

#endif
