/*
 * A connection to a server, over loopback: the test is the server, and speaks between turns of the loop. What is proven:
 * replies go to their requests, whatever is late, garbage, cut off or unasked for.
 */
#include "pool/connection.h"

#include "event/mailbox.h"
#include "pool/health.h"
#include "pool/upstream.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREETING "version\r\n"
#define WELCOME "VERSION 1.6.18\r\n"
/* A test that waits for longer has failed. */
#define PATIENCE_MS 20000

/* What has become of a call. */
struct outcome {
    char reply[256];
    size_t reply_len;
    bool done;
    bool failed;
    struct call_failure failure;
    bool refuse; /* on_reply is to say that the reply is not its own */
};

static struct loop loop;
static struct mailbox mailbox;
static struct memory memory;
static struct input_shared input;
static struct upstream_context context;
static struct health *health;
static struct server *server;
static struct upstream *upstream;
static int listening, peer;
static unsigned downs;

static bool on_reply(struct call *call, const struct call_reply *reply)
{
    struct outcome *outcome = call->owner;
    if (outcome->refuse)
        return false;
    ck_assert_uint_le(outcome->reply_len + reply->len, sizeof outcome->reply);
    memcpy(outcome->reply + outcome->reply_len, reply->data, reply->len);
    outcome->reply_len += reply->len;
    outcome->done = reply->final;
    return true;
}

static void on_failed(struct call *call, const struct call_failure *failure)
{
    struct outcome *outcome = call->owner;
    outcome->failed = true;
    outcome->failure = *failure;
}

static const struct call_methods methods = {on_reply, on_failed};

static void on_down(void *counter, struct server *down)
{
    (void)down;
    ++*(unsigned *)counter;
}

static void setup_with(uint32_t timeout_ms, uint32_t failures)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    listening = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listening, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(listening, 8), 0);
    ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&address, &len), 0);
    ck_assert_int_eq(loop_init(&loop), 0);
    ck_assert_int_eq(mailbox_init(&mailbox, &loop), 0);
    memory_init(&memory, SIZE_MAX);
    input_shared_init(&input, &memory);
    upstream_context_init(&context, &loop, &mailbox, &memory, &input, NULL, 0);
    downs = 0;
    health = health_create("main", on_down, &downs);
    health_configure(health, &(struct health_settings){failures, 50, 100, 100, 100}, 1);
    const struct server_identity identity = {"main", "fake", "127.0.0.1", ntohs(address.sin_port), false};
    server = server_create(&identity, 0, 1, health);
    const struct upstream_settings settings = {1, 2000, timeout_ms, failures};
    upstream = upstream_create(&context, server, &settings);
    ck_assert_ptr_nonnull(upstream);
    peer = -1;
}

static void setup(void)
{
    setup_with(5000, 3);
}

static void setup_impatient(void)
{
    setup_with(500, 3);
}

static void teardown(void)
{
    upstream_destroy(&upstream);
    loop_settle(&loop);
    server_destroy(&server);
    health_destroy(&health);
    upstream_context_fini(&context);
    input_shared_fini(&input);
    memory_fini(&memory);
    mailbox_fini(&mailbox);
    loop_fini(&loop);
    close(listening);
    if (peer >= 0)
        close(peer);
}

/* ---- The loop ---- */

static struct wheel_timer tick;
static const bool *awaited;
static int ticks_left;

static void on_tick(struct wheel_timer *timer)
{
    if (*awaited || --ticks_left <= 0)
        loop_stop(&loop);
    else
        loop_arm(&loop, timer, 1);
}

static void run(const bool *until, int most_ms)
{
    awaited = until;
    ticks_left = most_ms;
    wheel_timer_init(&tick, on_tick);
    loop.now_us = 0;
    loop_arm(&loop, &tick, 1);
    loop.stopping = false;
    loop_run(&loop);
    loop_disarm(&loop, &tick);
}

static void await(const bool *until)
{
    run(until, PATIENCE_MS);
    ck_assert(*until);
}

/* Lets the loop do what there is to do. */
static void let_run(void)
{
    static const bool never = false;
    run(&never, 30);
}

/* ---- The server ---- */

static void say(const char *text)
{
    ck_assert_int_eq(write(peer, text, strlen(text)), (ssize_t)strlen(text));
}

/* Reads exactly this. */
static void hear(const char *text)
{
    char heard[1024];
    size_t len = strlen(text);
    for (size_t n = 0; n < len;) {
        ssize_t got = read(peer, heard + n, len - n);
        ck_assert_int_gt(got, 0);
        n += (size_t)got;
    }
    ck_assert_int_eq(memcmp(heard, text, len), 0);
}

static void expect_end(void)
{
    char byte;
    ck_assert_int_le(read(peer, &byte, 1), 0);
    close(peer);
    peer = -1;
}

static void welcome(void)
{
    let_run();
    peer = accept(listening, NULL, NULL);
    ck_assert_int_ge(peer, 0);
    let_run();
    hear(GREETING);
    say(WELCOME);
    let_run();
}

static struct call *ask(struct outcome *outcome, enum verb verb, const char *request)
{
    struct call *call = upstream_call(upstream, 0, verb, &methods, outcome);
    ck_assert_ptr_nonnull(call);
    call->whole = verb == VERB_GET;
    ck_assert(chain_append_copy(call_out(call), &memory, request, strlen(request)));
    upstream_send(call);
    return call;
}

static void expect_reply(const struct outcome *outcome, const char *reply)
{
    ck_assert(outcome->done);
    ck_assert(!outcome->failed);
    ck_assert_uint_eq(outcome->reply_len, strlen(reply));
    ck_assert_int_eq(memcmp(outcome->reply, reply, outcome->reply_len), 0);
}

/* ---- The tests ---- */

START_TEST(replies_go_to_their_requests_in_order)
{
    struct outcome a = {0}, b = {0}, c = {0};
    ask(&a, VERB_GET, "get a\r\n");
    ask(&b, VERB_SET, "set b 0 0 1\r\nx\r\n");
    ask(&c, VERB_GET, "get c\r\n");
    welcome();
    hear("get a\r\nset b 0 0 1\r\nx\r\nget c\r\n");
    say("VALUE a 0 1\r\n1\r\nEND\r\nSTO");
    await(&a.done);
    ck_assert(!b.done);
    say("RED\r\nEND\r\n");
    await(&c.done);
    expect_reply(&a, "VALUE a 0 1\r\n1\r\nEND\r\n");
    expect_reply(&b, "STORED\r\n");
    expect_reply(&c, "END\r\n");
    ck_assert_uint_eq(server->version, server_version_pack("1.6.18", 6));
}
END_TEST

START_TEST(nothing_but_the_greeting_before_the_version_is_known)
{
    struct outcome a = {0};
    ask(&a, VERB_MG, "mg a v\r\n");
    let_run();
    peer = accept(listening, NULL, NULL);
    let_run();
    char heard[64];
    ck_assert_int_eq(recv(peer, heard, sizeof heard, 0), (ssize_t)strlen(GREETING));
    ck_assert_int_lt(recv(peer, heard, sizeof heard, MSG_DONTWAIT), 0);
    say("VERSION 1.4.25\r\n");
    await(&a.failed);
    ck_assert(a.failure.unsent);
    ck_assert(!server_knows_meta(server));
}
END_TEST

START_TEST(a_late_reply_is_dropped_in_its_place)
{
    struct outcome late = {0}, next = {0};
    ask(&late, VERB_GET, "get a\r\n");
    welcome();
    hear("get a\r\n");
    await(&late.failed);
    ck_assert_int_eq(late.failure.reason, CALL_FAILURE_TIMEOUT);
    ck_assert(!late.failure.unsent);
    ask(&next, VERB_GET, "get b\r\n");
    let_run();
    hear("get b\r\n");
    say("VALUE a 0 1\r\n1\r\nEND\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    await(&next.done);
    expect_reply(&next, "VALUE b 0 1\r\n2\r\nEND\r\n");
    ck_assert_uint_eq(late.reply_len, 0);
    ck_assert_uint_eq(counter_read(&upstream->stats->late_replies), 1);
}
END_TEST

START_TEST(a_call_after_one_that_timed_out_has_its_own_deadline)
{
    struct outcome first = {0}, second = {0};
    ask(&first, VERB_GET, "get a\r\n");
    welcome();
    await(&first.failed);
    ask(&second, VERB_GET, "get b\r\n");
    await(&second.failed);
    ck_assert_int_eq(second.failure.reason, CALL_FAILURE_TIMEOUT);
    /* The connection is given up only when nothing moves for a second: it is the same one. */
    hear("get a\r\nget b\r\n");
}
END_TEST

START_TEST(an_abandoned_call_keeps_its_place)
{
    struct outcome gone = {0}, next = {0};
    struct call *call = ask(&gone, VERB_GET, "get a\r\n");
    ask(&next, VERB_GET, "get b\r\n");
    call_abandon(&call);
    ck_assert_ptr_null(call);
    welcome();
    hear("get a\r\nget b\r\n");
    say("VALUE a 0 1\r\n1\r\nEND\r\nEND\r\n");
    await(&next.done);
    expect_reply(&next, "END\r\n");
    ck_assert(!gone.done && !gone.failed);
}
END_TEST

static const char *const lies[] = {
    "STORED\r\n", "rubbish\r\n", "VALUE a 0 1\r\nxyz\r\nEND\r\n", "VALUE a 0 1 7\r\nx\r\nEND\r\n", "\r\n",
};

START_TEST(an_unlawful_reply_ends_the_connection)
{
    struct outcome a = {0}, b = {0};
    ask(&a, VERB_GET, "get a\r\n");
    ask(&b, VERB_GET, "get b\r\n");
    welcome();
    hear("get a\r\nget b\r\n");
    say(lies[_i]);
    await(&b.failed);
    ck_assert(a.failed);
    ck_assert_int_eq(a.failure.reason, CALL_FAILURE_PROTOCOL);
    ck_assert_int_eq(b.failure.reason, CALL_FAILURE_PROTOCOL);
    ck_assert(!b.failure.unsent);
    expect_end();
}
END_TEST

START_TEST(a_reply_that_its_owner_does_not_know_ends_the_connection)
{
    struct outcome a = {.refuse = true}, b = {0};
    ask(&a, VERB_GET, "get a\r\n");
    ask(&b, VERB_GET, "get b\r\n");
    welcome();
    say("VALUE z 0 1\r\n1\r\nEND\r\nEND\r\n");
    await(&b.failed);
    ck_assert(a.failed && !b.done);
    ck_assert_int_eq(b.failure.reason, CALL_FAILURE_PROTOCOL);
}
END_TEST

START_TEST(bytes_that_nobody_asked_for_end_the_connection)
{
    struct outcome a = {0}, b = {0};
    ask(&a, VERB_GET, "get a\r\n");
    welcome();
    hear("get a\r\n");
    say("END\r\nEND\r\n");
    await(&a.done);
    let_run();
    expect_end();
    ask(&b, VERB_GET, "get b\r\n");
    welcome();
    hear("get b\r\n");
    say("END\r\n");
    await(&b.done);
    expect_reply(&b, "END\r\n");
}
END_TEST

START_TEST(unsent_is_exact)
{
    struct outcome sent = {0}, unsent = {0};
    ask(&sent, VERB_SET, "set a 0 0 1\r\nx\r\n");
    welcome();
    hear("set a 0 0 1\r\nx\r\n");
    close(peer);
    peer = -1;
    ask(&unsent, VERB_SET, "set b 0 0 1\r\nx\r\n");
    /* The end is seen in the same turn as, or before, the second request would leave. */
    await(&sent.failed);
    ck_assert_int_eq(sent.failure.reason, CALL_FAILURE_RESET);
    ck_assert(!sent.failure.unsent);
    await(&unsent.failed);
}
END_TEST

START_TEST(an_idle_connection_closed_by_its_server_is_no_failure)
{
    struct outcome a = {0}, b = {0};
    ask(&a, VERB_GET, "get a\r\n");
    welcome();
    hear("get a\r\n");
    say("END\r\n");
    await(&a.done);
    close(peer);
    let_run();
    ck_assert_uint_eq(upstream->failures, 0);
    ask(&b, VERB_GET, "get b\r\n");
    welcome();
    hear("get b\r\n");
    say("END\r\n");
    await(&b.done);
}
END_TEST

START_TEST(a_refused_connection_ejects_at_once)
{
    close(listening);
    struct outcome a = {0};
    ask(&a, VERB_SET, "set a 0 0 1\r\nx\r\n");
    await(&a.failed);
    listening = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(a.failure.reason, CALL_FAILURE_REFUSED);
    ck_assert(a.failure.unsent);
    ck_assert(server_is_down(server));
    ck_assert_uint_eq(downs, 1);
}
END_TEST

START_TEST(late_replies_are_no_sign_of_health)
{
    struct outcome calls[3];
    memset(calls, 0, sizeof calls);
    for (int i = 0; i < 3; i++) {
        ask(&calls[i], VERB_GET, "get a\r\n");
        if (i == 0)
            welcome();
        await(&calls[i].failed);
        say("END\r\n");
        let_run();
    }
    ck_assert(server_is_down(server));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("connection");
    TCase *patient = tcase_create("patient");
    tcase_add_checked_fixture(patient, setup, teardown);
    tcase_set_timeout(patient, 60);
    tcase_add_test(patient, replies_go_to_their_requests_in_order);
    tcase_add_test(patient, nothing_but_the_greeting_before_the_version_is_known);
    tcase_add_test(patient, an_abandoned_call_keeps_its_place);
    tcase_add_loop_test(patient, an_unlawful_reply_ends_the_connection, 0, (int)(sizeof lies / sizeof lies[0]));
    tcase_add_test(patient, a_reply_that_its_owner_does_not_know_ends_the_connection);
    tcase_add_test(patient, bytes_that_nobody_asked_for_end_the_connection);
    tcase_add_test(patient, unsent_is_exact);
    tcase_add_test(patient, an_idle_connection_closed_by_its_server_is_no_failure);
    tcase_add_test(patient, a_refused_connection_ejects_at_once);
    suite_add_tcase(suite, patient);
    TCase *impatient = tcase_create("impatient");
    tcase_add_checked_fixture(impatient, setup_impatient, teardown);
    tcase_set_timeout(impatient, 60);
    tcase_add_test(impatient, a_late_reply_is_dropped_in_its_place);
    tcase_add_test(impatient, a_call_after_one_that_timed_out_has_its_own_deadline);
    tcase_add_test(impatient, late_replies_are_no_sign_of_health);
    suite_add_tcase(suite, impatient);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
