/*
 * Tests of pool/upstream's uploads: each has a connection of its own, idle ones are used again, and one that is not
 * complete takes its connection along.
 */
#include "pool/upstream.h"

#include "pool/connection.h"
#include "tests/pool/bench.h"
#include "tests/support/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void end_upload(struct bench *bench, struct call *call, const char *part)
{
    ck_assert(chain_append_copy(call_out(call), &bench->memory, part, strlen(part)));
    upload_continue(call);
    upload_end(call);
}

static uint32_t count_uploads(const struct bench *bench)
{
    uint32_t count = 0;
    for (const struct list *node = bench->upstream->uploads.next; node != &bench->upstream->uploads; node = node->next)
        count++;
    return count;
}

START_TEST(an_upload_has_a_connection_of_its_own)
{
    struct bench bench;
    struct outcome upload, shared, second;
    bench_init(&bench);
    struct call *call = bench_upload(&bench, &upload, "set a 0 0 4\r\nab");
    int alone = bench_welcome_one(&bench);
    peer_expect(&bench.loop, alone, "set a 0 0 4\r\nab");
    bench_ask(&bench, &shared, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get b\r\n");
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &shared, "END\r\n");
    peer_expect_nothing(&bench.loop, alone);
    end_upload(&bench, call, "cd\r\n");
    peer_expect(&bench.loop, alone, "cd\r\n");
    peer_say(&bench.loop, alone, "STORED\r\n");
    bench_expect_reply(&bench, &upload, "STORED\r\n");
    call = bench_upload(&bench, &second, "set c 0 0 1\r\n"); /* the same connection, now that it is idle */
    ck_assert_uint_eq(count_uploads(&bench), 1);
    end_upload(&bench, call, "x\r\n");
    peer_expect(&bench.loop, alone, "set c 0 0 1\r\nx\r\n");
    peer_say(&bench.loop, alone, "STORED\r\n");
    bench_expect_reply(&bench, &second, "STORED\r\n");
    close(alone);
    bench_fini(&bench);
}
END_TEST

enum { UPLOADS = 8 };

START_TEST(uploads_at_once_do_not_share_and_few_connections_are_kept)
{
    struct bench bench;
    struct outcome outcomes[UPLOADS], last;
    struct call *calls[UPLOADS];
    int fds[UPLOADS];
    bench_init(&bench);
    for (int i = 0; i < UPLOADS; i++) {
        calls[i] = bench_upload(&bench, &outcomes[i], "set a 0 0 1\r\n");
        fds[i] = bench_welcome_one(&bench);
    }
    ck_assert_uint_eq(count_uploads(&bench), UPLOADS);
    for (int i = 0; i < UPLOADS; i++) {
        end_upload(&bench, calls[i], "x\r\n");
        peer_expect(&bench.loop, fds[i], "set a 0 0 1\r\nx\r\n");
        peer_say(&bench.loop, fds[i], "STORED\r\n");
        bench_expect_reply(&bench, &outcomes[i], "STORED\r\n");
    }
    struct call *call = bench_upload(&bench, &last, "set b 0 0 1\r\n");
    ck_assert_uint_lt(count_uploads(&bench), UPLOADS);
    ck_assert_uint_eq(call->connection->call_count, 1);
    ck_assert_int_eq(peer_try_accept(bench.listener), -1);
    upstream_destroy(&bench.upstream);
    bench_expect_failure(&bench, &last, CALL_FAILURE_LOCAL, true);
    for (int i = 0; i < UPLOADS; i++)
        close(fds[i]);
    bench_fini(&bench);
}
END_TEST

START_TEST(uploads_are_under_way_too)
{
    struct bench bench;
    struct outcome upload;
    bench_init(&bench);
    bench.server->version = server_version_pack("1.6.18", 6);
    bench_upload(&bench, &upload, "set a 0 0 4\r\nab");
    ck_assert_uint_eq(upstream_outstanding(bench.upstream), 2); /* with its greeting */
    upstream_destroy(&bench.upstream);
    bench_expect_failure(&bench, &upload, CALL_FAILURE_LOCAL, true);
    bench_fini(&bench);
}
END_TEST

START_TEST(an_upload_that_is_abandoned_closes_its_connection)
{
    struct bench bench;
    struct outcome upload;
    bench_init(&bench);
    struct call *call = bench_upload(&bench, &upload, "set a 0 0 4\r\nab");
    int fd = bench_welcome_one(&bench);
    peer_expect(&bench.loop, fd, "set a 0 0 4\r\nab");
    call_abandon(&call);
    ck_assert_ptr_null(call);
    call_abandon(&call);
    peer_expect_end(&bench.loop, fd);
    ck_assert(!upload.done && !upload.failed);
    ck_assert_uint_eq(bench.upstream->failures, 0);
    close(fd);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_complete_upload_that_is_abandoned_keeps_its_connection)
{
    struct bench bench;
    struct outcome upload, next;
    bench_init(&bench);
    struct call *call = bench_upload(&bench, &upload, "set a 0 0 1\r\n");
    int fd = bench_welcome_one(&bench);
    end_upload(&bench, call, "x\r\n");
    call_abandon(&call);
    peer_expect(&bench.loop, fd, "set a 0 0 1\r\nx\r\n");
    peer_say(&bench.loop, fd, "STORED\r\n");
    loop_turns(&bench.loop, 5);
    call = bench_upload(&bench, &next, "set b 0 0 1\r\n");
    end_upload(&bench, call, "y\r\n");
    peer_expect(&bench.loop, fd, "set b 0 0 1\r\ny\r\n");
    peer_say(&bench.loop, fd, "STORED\r\n");
    bench_expect_reply(&bench, &next, "STORED\r\n");
    ck_assert(!upload.done && !upload.failed);
    close(fd);
    bench_fini(&bench);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("uploads");
    tcase_add_test(tcase, an_upload_has_a_connection_of_its_own);
    tcase_add_test(tcase, uploads_at_once_do_not_share_and_few_connections_are_kept);
    tcase_add_test(tcase, uploads_are_under_way_too);
    tcase_add_test(tcase, an_upload_that_is_abandoned_closes_its_connection);
    tcase_add_test(tcase, a_complete_upload_that_is_abandoned_keeps_its_connection);
    return suite_run("uploads", tcase);
}
