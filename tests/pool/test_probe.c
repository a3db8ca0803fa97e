/*
 * Tests of pool/probe against a listening socket that the test answers for: what brings a server back and what does
 * not, how the pause between probes grows, by the wheel's own clock, and that forgetting ends it all. What is asked is
 * in test_homecoming.c.
 */
#include "pool/probe.h"

#include "base/log.h"
#include "pool/health.h"
#include "tests/support/peer.h"
#include "tests/support/suite.h"
#include "tests/support/turns.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROBE_MS = 100, PROBE_MAX_MS = 350, PROBE_TIMEOUT_MS = 1000 };

/* The mailbox is on a loop that never runs, where a test wants to deliver the mail itself. */
struct lab {
    struct loop loop, other_loop;
    struct mailbox mailbox;
    struct resolver *resolver;
    struct prober prober;
    struct health *health;
    struct server *server;
    int listener;
    uint16_t port;
    int peer; /* the probe's connection; -1: none */
};

static struct health_settings settings_of_lab(void)
{
    return (struct health_settings){.failures = 1,
                                    .probe_ms = PROBE_MS,
                                    .probe_max_ms = PROBE_MAX_MS,
                                    .panic_percent = 100,
                                    .timeout_ms = PROBE_TIMEOUT_MS};
}

static void lab_init_with(struct lab *lab, const char *host, bool own_mail)
{
    memset(lab, 0, sizeof *lab);
    log_configure(LOG_LEVEL_ERROR, false);
    lab->listener = peer_listen(&lab->port);
    lab->peer = -1;
    ck_assert_int_eq(loop_init(&lab->loop), 0);
    ck_assert_int_eq(loop_init(&lab->other_loop), 0);
    ck_assert_int_eq(mailbox_init(&lab->mailbox, own_mail ? &lab->other_loop : &lab->loop), 0);
    lab->resolver = resolver_create();
    ck_assert_ptr_nonnull(lab->resolver);
    prober_init(&lab->prober, &lab->loop, &lab->mailbox, lab->resolver);
    lab->health = health_create("main", prober_on_down, &lab->prober);
    ck_assert_ptr_nonnull(lab->health);
    const struct health_settings settings = settings_of_lab();
    health_configure(lab->health, &settings, 1);
    const struct server_identity identity = {.pool = "main", .label = "fake", .host = host, .port = lab->port};
    lab->server = server_create(&identity, 3, 1, lab->health);
    ck_assert_ptr_nonnull(lab->server);
}

static void lab_init(struct lab *lab)
{
    lab_init_with(lab, "127.0.0.1", false);
}

static void lab_fini(struct lab *lab)
{
    prober_fini(&lab->prober);
    ck_assert(list_is_empty(&lab->prober.probes));
    resolver_destroy(&lab->resolver);
    mailbox_fini(&lab->mailbox);
    server_destroy(&lab->server);
    health_destroy(&lab->health);
    loop_fini(&lab->loop);
    loop_fini(&lab->other_loop);
    if (lab->listener >= 0)
        close(lab->listener);
    if (lab->peer >= 0)
        close(lab->peer);
}

static unsigned count_probes(const struct lab *lab)
{
    return (unsigned)lab->server->probes;
}

static unsigned count_failures(const struct lab *lab)
{
    return (unsigned)lab->server->probe_failures;
}

/* The server goes down, and the prober has heard of it. */
static void go_down(struct lab *lab)
{
    ck_assert(health_report_down(lab->server, "test"));
    LOOP_UNTIL(&lab->loop, !list_is_empty(&lab->prober.probes));
}

/* The pause is over, wherever in its spread it ends. */
static void end_pause(struct lab *lab, uint64_t pause_ms)
{
    unsigned before = count_probes(lab);
    loop_skip(&lab->loop, pause_ms + pause_ms / 4 + 1);
    LOOP_UNTIL(&lab->loop, count_probes(lab) == before + 1);
}

/* The next probe has come as far as its question. */
static void await_question(struct lab *lab, uint64_t pause_ms)
{
    if (lab->peer >= 0)
        close(lab->peer);
    end_pause(lab, pause_ms);
    lab->peer = peer_accept(&lab->loop, lab->listener);
    peer_expect(&lab->loop, lab->peer, "version\r\n");
}

static void expect_up(struct lab *lab, unsigned version)
{
    LOOP_UNTIL(&lab->loop, !server_is_down(lab->server));
    ck_assert_uint_eq(lab->server->version, version);
    ck_assert_uint_eq(lab->health->down, 0);
    ck_assert(list_is_empty(&lab->prober.probes));
}

/* ---- Good answers ---- */

START_TEST(a_good_answer_brings_the_server_back)
{
    struct lab lab;
    lab_init(&lab);
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    ck_assert(server_is_down(lab.server));
    peer_say(&lab.loop, lab.peer, "VERSION 1.6.21\r\n");
    expect_up(&lab, server_version_pack("1.6.21", 6));
    peer_expect_end(&lab.loop, lab.peer);
    ck_assert_uint_eq(count_probes(&lab), 1);
    ck_assert_uint_eq(count_failures(&lab), 0);
    loop_skip(&lab.loop, 100000); /* it is left alone from now on */
    ck_assert_int_eq(peer_try_accept(lab.listener), -1);
    ck_assert_uint_eq(count_probes(&lab), 1);
    lab_fini(&lab);
}
END_TEST

START_TEST(an_answer_may_come_byte_by_byte)
{
    struct lab lab;
    static const char answer[] = "VERSION 1.6.21\r\n";
    lab_init(&lab);
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    for (size_t i = 0; i < sizeof answer - 1; i++) {
        ck_assert(server_is_down(lab.server));
        peer_say_bytes(&lab.loop, lab.peer, answer + i, 1);
        loop_turns(&lab.loop, 2);
    }
    expect_up(&lab, server_version_pack("1.6.21", 6));
    lab_fini(&lab);
}
END_TEST

START_TEST(a_version_that_is_no_number_is_good_enough)
{
    struct lab lab;
    lab_init(&lab);
    lab.server->version = server_version_pack("1.6.21", 6); /* that was before */
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    peer_say(&lab.loop, lab.peer, "VERSION unknown\r\n");
    expect_up(&lab, 0);
    lab_fini(&lab);
}
END_TEST

START_TEST(down_again_it_is_probed_again_from_the_first_pause_on)
{
    struct lab lab;
    lab_init(&lab);
    for (unsigned i = 0; i < 3; i++) {
        go_down(&lab);
        await_question(&lab, PROBE_MS);
        peer_say(&lab.loop, lab.peer, "ERROR\r\n");
        LOOP_UNTIL(&lab.loop, count_failures(&lab) == i + 1);
        await_question(&lab, 2 * PROBE_MS);
        peer_say(&lab.loop, lab.peer, "VERSION 1.6.21\r\n");
        expect_up(&lab, server_version_pack("1.6.21", 6));
    }
    ck_assert_uint_eq(lab.server->ejections, 3);
    ck_assert_uint_eq(count_probes(&lab), 6);
    lab_fini(&lab);
}
END_TEST

/* The whole dialogue over a socket, several questions to one connection; two answers in one read, too. */
START_TEST(a_server_that_is_to_be_flushed_is_flushed_first)
{
    struct lab lab;
    lab_init(&lab);
    struct health_settings settings = settings_of_lab();
    settings.flush_on_return = true;
    health_configure(lab.health, &settings, 1);
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    peer_say(&lab.loop, lab.peer, "VERSION 1.6.21\r\n");
    peer_expect(&lab.loop, lab.peer, "stats\r\n");
    peer_say(&lab.loop, lab.peer, "STAT pid 1\r\nSTAT uptime 5000\r\nSTAT time 1700000000\r\nEND\r\n");
    peer_expect(&lab.loop, lab.peer, "gets ringside:flush:main\r\n");
    peer_say(&lab.loop, lab.peer, "END\r\n");
    peer_expect(&lab.loop, lab.peer, "add ringside:flush:main 0 86400 19\r\nflushing 1700000000\r\n");
    peer_say(&lab.loop, lab.peer, "STORED\r\n");
    peer_expect(&lab.loop, lab.peer, "flush_all\r\nset ringside:flush:main 0 86400 15\r\ndone 1700000000\r\n");
    peer_say(&lab.loop, lab.peer, "OK\r\n");
    loop_turns(&lab.loop, 5);
    ck_assert(server_is_down(lab.server));
    peer_say(&lab.loop, lab.peer, "STORED\r\n");
    expect_up(&lab, server_version_pack("1.6.21", 6));
    ck_assert_uint_eq(lab.server->flushes, 1);
    ck_assert_uint_eq(count_probes(&lab), 1);
    lab_fini(&lab);
}
END_TEST

/* ---- Bad answers ---- */

static const char *const bad_answers[] = {
    "ERROR\r\n",  "SERVER_ERROR busy\r\n",
    "STORED\r\n", "END\r\n",
    "\r\n",       "HTTP/1.1 400 Bad Request\r\n\r\n",
    "VERSION",    "",
};

/* The last ones are cut off: the connection is closed behind them. */
START_TEST(a_bad_answer_leaves_it_down_and_it_is_asked_again)
{
    struct lab lab;
    lab_init(&lab);
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    const char *answer = bad_answers[_i];
    if (answer[0] != '\0')
        peer_say(&lab.loop, lab.peer, answer);
    if (strchr(answer, '\n') == NULL) {
        loop_turns(&lab.loop, 3);
        ck_assert_uint_eq(count_failures(&lab), 0);
        shutdown(lab.peer, SHUT_WR);
    }
    LOOP_UNTIL(&lab.loop, count_failures(&lab) == 1);
    ck_assert(server_is_down(lab.server));
    ck_assert_uint_eq(lab.server->version, 0);
    peer_expect_end(&lab.loop, lab.peer);
    await_question(&lab, 2 * PROBE_MS);
    peer_say(&lab.loop, lab.peer, "VERSION 1.4.5\r\n"); /* nothing of the first answer is left */
    expect_up(&lab, server_version_pack("1.4.5", 5));
    lab_fini(&lab);
}
END_TEST

START_TEST(an_answer_without_an_end_is_given_up)
{
    struct lab lab;
    static char endless[8192];
    memset(endless, '1', sizeof endless);
    memcpy(endless, "VERSION ", 8);
    lab_init(&lab);
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    ck_assert_int_eq(send(lab.peer, endless, sizeof endless, MSG_NOSIGNAL), sizeof endless);
    LOOP_UNTIL(&lab.loop, count_failures(&lab) == 1);
    ck_assert(server_is_down(lab.server));
    lab_fini(&lab);
}
END_TEST

START_TEST(no_answer_in_time_is_a_failure)
{
    struct lab lab;
    lab_init(&lab);
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    peer_say(&lab.loop, lab.peer, "VERSION 1.6");
    loop_turns(&lab.loop, 3);
    loop_skip(&lab.loop, PROBE_TIMEOUT_MS - PROBE_MS);
    ck_assert_uint_eq(count_failures(&lab), 0);
    loop_skip(&lab.loop, PROBE_MS + 2);
    LOOP_UNTIL(&lab.loop, count_failures(&lab) == 1);
    peer_expect_end(&lab.loop, lab.peer);
    await_question(&lab, 2 * PROBE_MS);
    lab_fini(&lab);
}
END_TEST

/* ---- The pause ---- */

/* The next probe begins within a quarter of the pause before or behind its end, and is refused. */
static void expect_pause(struct lab *lab, uint64_t pause_ms)
{
    unsigned before = count_probes(lab);
    loop_skip(&lab->loop, pause_ms - pause_ms / 4 - 1);
    ck_assert_uint_eq(count_probes(lab), before);
    loop_skip(&lab->loop, pause_ms / 4 + pause_ms / 4 + 2);
    LOOP_UNTIL(&lab->loop, count_probes(lab) == before + 1);
    LOOP_UNTIL(&lab->loop, count_failures(lab) == before + 1);
}

START_TEST(the_pause_doubles_up_to_its_maximum)
{
    struct lab lab;
    lab_init(&lab);
    close(lab.listener); /* refused from now on */
    lab.listener = -1;
    go_down(&lab);
    static const uint64_t pauses_ms[] = {PROBE_MS,     2 * PROBE_MS, PROBE_MAX_MS, PROBE_MAX_MS,
                                         PROBE_MAX_MS, PROBE_MAX_MS, PROBE_MAX_MS, PROBE_MAX_MS};
    for (size_t i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++)
        expect_pause(&lab, pauses_ms[i]);
    ck_assert(server_is_down(lab.server));
    lab_fini(&lab);
}
END_TEST

START_TEST(a_reload_changes_the_maximum_from_the_next_failure_on)
{
    struct lab lab;
    lab_init(&lab);
    close(lab.listener); /* refused from now on */
    lab.listener = -1;
    go_down(&lab);
    struct health_settings settings = settings_of_lab();
    for (uint64_t pause_ms = PROBE_MS; pause_ms <= 800; pause_ms *= 2) {
        settings.probe_max_ms = 800;
        health_configure(lab.health, &settings, 1);
        expect_pause(&lab, pause_ms);
    }
    settings.probe_max_ms = 120;
    health_configure(lab.health, &settings, 1);
    expect_pause(&lab, 800);
    expect_pause(&lab, 120);
    lab_fini(&lab);
}
END_TEST

/* Many sidecars do not probe in step: the first pauses of many servers are not all one. */
START_TEST(the_pauses_of_servers_differ)
{
    enum { SERVERS = 20 };
    struct lab lab;
    struct server *servers[SERVERS];
    lab_init(&lab);
    struct health_settings settings = settings_of_lab();
    settings.probe_ms = settings.probe_max_ms = 10000;
    health_configure(lab.health, &settings, SERVERS);
    for (uint32_t i = 0; i < SERVERS; i++) {
        const struct server_identity identity = {.pool = "main", .label = "x", .host = "127.0.0.1", .port = lab.port};
        servers[i] = server_create(&identity, i, 1, lab.health);
        ck_assert(health_report_down(servers[i], "test"));
    }
    loop_turns(&lab.loop, 3);
    unsigned early = 0, steps = 0;
    for (int ms = 7500; ms < 12500; ms += 500) {
        loop_skip(&lab.loop, ms == 7500 ? 8000 : 500);
        unsigned begun = 0;
        for (int i = 0; i < SERVERS; i++)
            begun += (unsigned)servers[i]->probes > 0;
        steps += begun > early;
        early = begun;
    }
    ck_assert_uint_gt(steps, 2);
    prober_fini(&lab.prober);
    for (int i = 0; i < SERVERS; i++)
        server_destroy(&servers[i]);
    lab_fini(&lab);
}
END_TEST

/* ---- Watching and forgetting ---- */

START_TEST(a_server_that_is_up_is_not_watched)
{
    struct lab lab;
    lab_init(&lab);
    prober_watch(&lab.prober, lab.server);
    ck_assert(list_is_empty(&lab.prober.probes));
    lab_fini(&lab);
}
END_TEST

START_TEST(a_server_is_watched_once)
{
    struct lab lab;
    lab_init(&lab);
    go_down(&lab);
    prober_watch(&lab.prober, lab.server);
    prober_watch(&lab.prober, lab.server);
    ck_assert_ptr_eq(lab.prober.probes.next, lab.prober.probes.prev);
    await_question(&lab, PROBE_MS);
    prober_watch(&lab.prober, lab.server);
    ck_assert_uint_eq(count_probes(&lab), 1);
    ck_assert_int_eq(peer_try_accept(lab.listener), -1);
    peer_say(&lab.loop, lab.peer, "VERSION 1.6.21\r\n");
    expect_up(&lab, server_version_pack("1.6.21", 6));
    lab_fini(&lab);
}
END_TEST

/* Forgets and destroys the server, and lets much time pass. */
static void forget(struct lab *lab)
{
    prober_forget(&lab->prober, lab->server);
    ck_assert(list_is_empty(&lab->prober.probes));
    prober_forget(&lab->prober, lab->server); /* nothing is known of it any more */
    health_forget(lab->server);
    server_destroy(&lab->server);
    loop_skip(&lab->loop, 100000);
    loop_turns(&lab->loop, 5);
}

START_TEST(forgotten_in_its_pause_it_is_not_probed)
{
    struct lab lab;
    lab_init(&lab);
    go_down(&lab);
    forget(&lab);
    ck_assert_int_eq(peer_try_accept(lab.listener), -1);
    lab_fini(&lab);
}
END_TEST

START_TEST(forgotten_in_the_middle_of_a_probe_it_hangs_up)
{
    struct lab lab;
    lab_init(&lab);
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    peer_say(&lab.loop, lab.peer, "VERSION 1.6");
    loop_turns(&lab.loop, 3);
    forget(&lab);
    ck_assert(peer_has_ended(lab.peer));
    lab_fini(&lab);
}
END_TEST

START_TEST(the_end_of_the_prober_ends_all_probes)
{
    struct lab lab;
    lab_init(&lab);
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    prober_fini(&lab.prober);
    peer_expect_end(&lab.loop, lab.peer);
    loop_skip(&lab.loop, 100000);
    ck_assert(server_is_down(lab.server));
    ck_assert_int_eq(peer_try_accept(lab.listener), -1);
    lab_fini(&lab);
}
END_TEST

static void *report_down(void *context)
{
    struct lab *lab = context;
    health_report_down(lab->server, "test");
    return NULL;
}

START_TEST(a_report_from_another_thread_comes_by_mail)
{
    struct lab lab;
    pthread_t thread;
    lab_init(&lab);
    ck_assert_int_eq(pthread_create(&thread, NULL, report_down, &lab), 0);
    pthread_join(thread, NULL);
    ck_assert(server_is_down(lab.server));
    ck_assert(list_is_empty(&lab.prober.probes));
    LOOP_UNTIL(&lab.loop, !list_is_empty(&lab.prober.probes));
    await_question(&lab, PROBE_MS);
    lab_fini(&lab);
}
END_TEST

/* ---- Names ---- */

START_TEST(a_name_is_looked_up_for_the_probe)
{
    struct lab lab;
    lab_init_with(&lab, "localhost", false);
    ck_assert(lab.server->is_name);
    ck_assert_uint_eq(server_address_count(lab.server), 0);
    go_down(&lab);
    /* It may be ::1 first, where nobody listens: then the next probe takes the next address. */
    int fd;
    end_pause(&lab, PROBE_MS);
    while ((fd = peer_try_accept(lab.listener)) < 0) {
        if (count_failures(&lab) == count_probes(&lab))
            end_pause(&lab, PROBE_MAX_MS);
        loop_turn(&lab.loop);
    }
    lab.peer = fd;
    ck_assert_uint_ge(server_address_count(lab.server), 1);
    peer_expect(&lab.loop, lab.peer, "version\r\n");
    peer_say(&lab.loop, lab.peer, "VERSION 1.6.21\r\n");
    expect_up(&lab, server_version_pack("1.6.21", 6));
    lab_fini(&lab);
}
END_TEST

/* An empty label: no server of names is asked. */
#define IMPOSSIBLE_NAME "a..b"

START_TEST(a_name_that_nobody_knows_is_a_failed_probe)
{
    struct lab lab;
    lab_init_with(&lab, IMPOSSIBLE_NAME, false);
    go_down(&lab);
    end_pause(&lab, PROBE_MS);
    LOOP_UNTIL(&lab.loop, count_failures(&lab) == 1);
    end_pause(&lab, 2 * PROBE_MS);
    LOOP_UNTIL(&lab.loop, count_failures(&lab) == 2);
    ck_assert(server_is_down(lab.server));
    lab_fini(&lab);
}
END_TEST

START_TEST(a_name_that_nobody_knows_any_more_keeps_its_last_address)
{
    struct lab lab;
    lab_init_with(&lab, IMPOSSIBLE_NAME, false);
    struct server_address address = {.len = sizeof(struct sockaddr_in)};
    *(struct sockaddr_in *)&address.address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(lab.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    server_set_addresses(lab.server, &address, 1);
    go_down(&lab);
    await_question(&lab, PROBE_MS);
    peer_say(&lab.loop, lab.peer, "VERSION 1.6.21\r\n");
    expect_up(&lab, server_version_pack("1.6.21", 6));
    lab_fini(&lab);
}
END_TEST

static bool has_mail(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    bool has = !list_is_empty(&mailbox->letters);
    pthread_mutex_unlock(&mailbox->lock);
    return has;
}

/* The answer is on its way when the server goes: it finds nobody. The same for an attempt whose time was over. */
START_TEST(an_answer_to_a_probe_that_is_over_is_dropped)
{
    struct lab lab;
    lab_init_with(&lab, "localhost", true);
    ck_assert(health_report_down(lab.server, "test"));
    mailbox_deliver(&lab.mailbox);
    end_pause(&lab, PROBE_MS);
    LOOP_UNTIL(&lab.loop, has_mail(&lab.mailbox));
    loop_skip(&lab.loop, PROBE_TIMEOUT_MS + 2);
    LOOP_UNTIL(&lab.loop, count_failures(&lab) == 1);
    mailbox_deliver(&lab.mailbox);
    ck_assert_uint_eq(server_address_count(lab.server), 0);
    end_pause(&lab, 2 * PROBE_MS);
    LOOP_UNTIL(&lab.loop, has_mail(&lab.mailbox));
    forget(&lab);
    mailbox_deliver(&lab.mailbox);
    ck_assert_int_eq(peer_try_accept(lab.listener), -1);
    lab_fini(&lab);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("probe");
    tcase_add_test(tcase, a_good_answer_brings_the_server_back);
    tcase_add_test(tcase, an_answer_may_come_byte_by_byte);
    tcase_add_test(tcase, a_version_that_is_no_number_is_good_enough);
    tcase_add_test(tcase, down_again_it_is_probed_again_from_the_first_pause_on);
    tcase_add_test(tcase, a_server_that_is_to_be_flushed_is_flushed_first);
    tcase_add_loop_test(tcase, a_bad_answer_leaves_it_down_and_it_is_asked_again, 0,
                        sizeof bad_answers / sizeof bad_answers[0]);
    tcase_add_test(tcase, an_answer_without_an_end_is_given_up);
    tcase_add_test(tcase, no_answer_in_time_is_a_failure);
    tcase_add_test(tcase, the_pause_doubles_up_to_its_maximum);
    tcase_add_test(tcase, a_reload_changes_the_maximum_from_the_next_failure_on);
    tcase_add_test(tcase, the_pauses_of_servers_differ);
    tcase_add_test(tcase, a_server_that_is_up_is_not_watched);
    tcase_add_test(tcase, a_server_is_watched_once);
    tcase_add_test(tcase, forgotten_in_its_pause_it_is_not_probed);
    tcase_add_test(tcase, forgotten_in_the_middle_of_a_probe_it_hangs_up);
    tcase_add_test(tcase, the_end_of_the_prober_ends_all_probes);
    tcase_add_test(tcase, a_report_from_another_thread_comes_by_mail);
    tcase_add_test(tcase, a_name_is_looked_up_for_the_probe);
    tcase_add_test(tcase, a_name_that_nobody_knows_is_a_failed_probe);
    tcase_add_test(tcase, a_name_that_nobody_knows_any_more_keeps_its_last_address);
    tcase_add_test(tcase, an_answer_to_a_probe_that_is_over_is_dropped);
    return suite_run("probe", tcase);
}
