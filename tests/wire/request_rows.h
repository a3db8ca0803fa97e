/*
 * Tables of command lines with what the parser must make of them, and the checks that hold for every line. For the
 * tests of wire/ alone.
 */
#ifndef RINGSIDE_TESTS_WIRE_REQUEST_ROWS_H
#define RINGSIDE_TESTS_WIRE_REQUEST_ROWS_H

#include "wire/request.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_ITEM_SIZE 1000

#define ERR "ERROR\r\n"
#define BAD "CLIENT_ERROR bad command line format\r\n"
#define TIME "CLIENT_ERROR invalid exptime argument\r\n"
#define LARGE "SERVER_ERROR object too large for cache\r\n"
#define LONG "CLIENT_ERROR line too long\r\n"

struct row {
    const char *input;
    size_t len;
    enum request_status status;
    const char *result; /* READY: the line for the server, without CRLF; REFUSED, FATAL: the error */
    const char *traits; /* v verbatim, n noreply, q quiet, b key encoded, r repeatable, d data block */
    uint64_t bytes;     /* READY: value_bytes; REFUSED: swallow_bytes */
};

#define ROW_READY(input, printed, traits, bytes)                        \
    {                                                                   \
        input, sizeof(input) - 1, REQUEST_READY, printed, traits, bytes \
    }
#define ROW_REFUSED(input, error, bytes)                            \
    {                                                               \
        input, sizeof(input) - 1, REQUEST_REFUSED, error, "", bytes \
    }
#define ROW_SILENT(input, bytes)                                  \
    {                                                             \
        input, sizeof(input) - 1, REQUEST_REFUSED, "", "n", bytes \
    }
#define ROW_FATAL(input, error)                               \
    {                                                         \
        input, sizeof(input) - 1, REQUEST_FATAL, error, "", 0 \
    }

/* The bytes in a block of exactly their size, so that a read beyond them is seen by the address sanitizer. */
static inline char *row_copy(const char *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, len);
    return copy;
}

static inline bool row_trait(const struct row *row, char trait)
{
    return strchr(row->traits, trait) != NULL;
}

static inline void row_check_inside(const struct row *row, struct slice slice, const char *data)
{
    if (slice.len > 0)
        ck_assert_msg(slice.data >= data && slice.data + slice.len <= data + row->len, "`%s`: a slice outside",
                      row->input);
}

/* What is printed for a server is itself a line that needs no more change. */
static inline void row_check_printed(const struct row *row, const struct request *request)
{
    char printed[REQUEST_LINE_MAX + 2], again[REQUEST_LINE_MAX + 2];
    size_t len = request_print(request, printed, sizeof(printed));
    size_t expected = strlen(row->result);
    ck_assert_msg(len == expected + 2 && memcmp(printed, row->result, expected) == 0 &&
                      memcmp(printed + expected, "\r\n", 2) == 0,
                  "`%s` is printed as `%.*s`", row->input, (int)len, printed);
    ck_assert_uint_eq(request_print(request, again, len - 1), 0);
    if (request->verbatim)
        ck_assert_msg(request->line.len == expected && request->line_bytes == expected + 2 &&
                          memcmp(request->line.data, row->result, expected) == 0,
                      "`%s` is not what is sent", row->input);
    struct request second;
    ck_assert_int_eq(request_parse(printed, len, ROW_ITEM_SIZE, &second), REQUEST_READY);
    ck_assert_int_eq(second.verb, request->verb);
    ck_assert(slice_equal(second.key, request->key));
    ck_assert_uint_eq(second.key_count, request->key_count);
    ck_assert_uint_eq(second.value_bytes, request->value_bytes);
    ck_assert_uint_eq(second.line_bytes, len);
    ck_assert(!second.noreply && !second.quiet);
    ck_assert_uint_eq(request_print(&second, again, sizeof(again)), len);
    ck_assert_mem_eq(again, printed, len);
}

static inline void row_check_fields(const struct row *row, const struct request *request, const char *data)
{
    row_check_inside(row, request->key, data);
    row_check_inside(row, request->keys, data);
    row_check_inside(row, request->line, data);
    row_check_inside(row, request->prefix, data);
    row_check_inside(row, request->argument, data);
    ck_assert_msg(request->noreply == row_trait(row, 'n'), "noreply of `%s`", row->input);
    if (row->status != REQUEST_READY) {
        ck_assert_msg(slice_equal(request->error, slice_make(row->result, strlen(row->result))),
                      "`%s` is refused by `%.*s`", row->input, (int)request->error.len, request->error.data);
        ck_assert_msg(request->swallow_bytes == row->bytes, "`%s` swallows %llu", row->input,
                      (unsigned long long)request->swallow_bytes);
        return;
    }
    ck_assert_msg(request->verbatim == row_trait(row, 'v'), "verbatim of `%s`", row->input);
    ck_assert_msg(request->quiet == row_trait(row, 'q'), "quiet of `%s`", row->input);
    ck_assert_msg(request->key_encoded == row_trait(row, 'b'), "encoding of `%s`", row->input);
    ck_assert_msg(request->repeatable == row_trait(row, 'r'), "repeatable of `%s`", row->input);
    ck_assert_msg(request->has_value == row_trait(row, 'd'), "data block of `%s`", row->input);
    ck_assert_uint_eq(request->value_bytes, row->bytes);
    ck_assert_uint_eq(request->swallow_bytes, 0);
    ck_assert_uint_eq(request->error.len, 0);
}

static inline void row_check_status(const struct row *row, enum request_status status)
{
    ck_assert_msg(status == row->status, "`%s` has status %d", row->input, (int)status);
}

/* A space before the line keeps it from the fast path: the slow one must find the same in it. */
static inline void row_check_slowly(const struct row *row)
{
    struct request request;
    char *copy = malloc(row->len + 1);
    ck_assert_ptr_nonnull(copy);
    copy[0] = ' ';
    memcpy(copy + 1, row->input, row->len);
    row_check_status(row, request_parse(copy, row->len + 1, ROW_ITEM_SIZE, &request));
    if (row->status == REQUEST_READY) {
        ck_assert(!request.verbatim);
        ck_assert_uint_eq(request.line_bytes, row->len + 1);
        row_check_printed(row, &request);
    }
    free(copy);
}

/* The whole line, each prefix of it, and the line with more behind it. */
static inline void row_check(const struct row *row)
{
    struct request request;
    char *data = row_copy(row->input, row->len);
    row_check_status(row, request_parse(data, row->len, ROW_ITEM_SIZE, &request));
    row_check_fields(row, &request, data);
    if (row->status != REQUEST_FATAL)
        ck_assert_uint_eq(request.line_bytes, row->len);
    if (row->status == REQUEST_READY) {
        row_check_printed(row, &request);
        row_check_slowly(row);
    }
    free(data);
    for (size_t len = 0; len < row->len; len++) {
        char *prefix = row_copy(row->input, len);
        ck_assert_msg(request_parse(prefix, len, ROW_ITEM_SIZE, &request) == REQUEST_PARTIAL,
                      "%zu bytes of `%s` are enough", len, row->input);
        free(prefix);
    }
    char *more = malloc(row->len + 9);
    ck_assert_ptr_nonnull(more);
    memcpy(more, row->input, row->len);
    memcpy(more + row->len, "get k\r\n\0\n", 9);
    row_check_status(row, request_parse(more, row->len + 9, ROW_ITEM_SIZE, &request));
    row_check_fields(row, &request, more);
    if (row->status != REQUEST_FATAL)
        ck_assert_uint_eq(request.line_bytes, row->len);
    free(more);
}

#endif
