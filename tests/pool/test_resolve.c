/*
 * Tests of pool/resolve: answers come by mail and in order; failures come with their text; and the end of the resolver,
 * also in the middle of a look-up.
 *
 * getaddrinfo is the test's own: it knows a few names, of which one waits until the test says so. All others are the
 * system's affair.
 */
#include "pool/resolve.h"

#include "tests/support/suite.h"
#include "tests/support/turns.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- The names ---- */

enum { MANY = SERVER_ADDRESSES_MAX + 4 };

static sem_t slow_begun, slow_may_end;
static atomic_bool localhost_is_unknown; /* detached threads may still read it */
static sigset_t signals_blocked;         /* in the resolver's thread */

/* The C library's; found by main, before there are threads. */
static int (*look_up_really)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* 192.0.2.1, 192.0.2.2 and so on. The C library frees the nodes one by one. */
static int look_up_many(const char *port, const struct addrinfo *hints, struct addrinfo **found_out)
{
    for (int i = 1; i <= MANY; i++) {
        char host[INET_ADDRSTRLEN];
        snprintf(host, sizeof host, "192.0.2.%d", i);
        int error = look_up_really(host, port, hints, found_out);
        if (error != 0)
            return error;
        while (*found_out != NULL)
            found_out = &(*found_out)->ai_next;
    }
    return 0;
}

int getaddrinfo(const char *restrict host, const char *restrict port, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found_out)
{
    pthread_sigmask(SIG_SETMASK, NULL, &signals_blocked);
    *found_out = NULL;
    if (strcmp(host, "nowhere.test") == 0 || (localhost_is_unknown && strcasecmp(host, "localhost") == 0))
        return EAI_NONAME;
    if (strcmp(host, "empty.test") == 0)
        return 0;
    if (strcmp(host, "many.test") == 0)
        return look_up_many(port, hints, found_out);
    if (strcmp(host, "slow.test") != 0)
        return look_up_really(host, port, hints, found_out);
    sem_post(&slow_begun);
    sem_wait(&slow_may_end);
    return look_up_really("192.0.2.99", port, hints, found_out);
}

/* ---- Those who ask ---- */

struct desk {
    struct loop loop;
    struct mailbox mailbox;
    struct resolver *resolver;
    pthread_t thread;
};

/* What has become of a question. */
struct answer {
    struct desk *desk;
    int place; /* the first answer: 1 */
    uint32_t address_count;
    struct server_address addresses[SERVER_ADDRESSES_MAX];
    const char *error;
};

static int answered, answered_to_nobody;

static void on_resolved(struct resolve_job *job)
{
    struct answer *answer = job->owner;
    if (answer != NULL) {
        ck_assert(pthread_equal(pthread_self(), answer->desk->thread));
        ck_assert_int_eq(answer->place, 0);
        answer->place = ++answered;
        answer->address_count = job->address_count;
        answer->error = job->error;
        memcpy(answer->addresses, job->addresses, sizeof answer->addresses);
    } else {
        answered_to_nobody++;
    }
    resolve_job_destroy(&job);
    ck_assert_ptr_null(job);
}

static void desk_init(struct desk *desk)
{
    memset(desk, 0, sizeof *desk);
    answered = answered_to_nobody = 0;
    localhost_is_unknown = false;
    ck_assert_int_eq(sem_init(&slow_begun, 0, 0), 0);
    ck_assert_int_eq(sem_init(&slow_may_end, 0, 0), 0);
    desk->thread = pthread_self();
    ck_assert_int_eq(loop_init(&desk->loop), 0);
    ck_assert_int_eq(mailbox_init(&desk->mailbox, &desk->loop), 0);
    desk->resolver = resolver_create();
    ck_assert_ptr_nonnull(desk->resolver);
}

static void desk_fini(struct desk *desk)
{
    resolver_destroy(&desk->resolver);
    ck_assert_ptr_null(desk->resolver);
    mailbox_fini(&desk->mailbox);
    loop_fini(&desk->loop);
}

static struct resolve_job *ask(struct desk *desk, struct answer *answer, const char *host, uint16_t port)
{
    *answer = (struct answer){.desk = desk};
    struct resolve_job *job = resolve_job_create(host, port, &desk->mailbox, on_resolved, answer);
    ck_assert_ptr_nonnull(job);
    resolver_submit(desk->resolver, job);
    return job;
}

static void ask_and_wait(struct desk *desk, struct answer *answer, const char *host, uint16_t port)
{
    ask(desk, answer, host, port);
    LOOP_UNTIL(&desk->loop, answer->place > 0);
}

/* Address and port as text; the length is that of the family. */
static const char *as_text(const struct server_address *address)
{
    static char text[INET6_ADDRSTRLEN + 16];
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->address;
    bool is_v4 = address->address.ss_family == AF_INET;
    ck_assert(is_v4 || address->address.ss_family == AF_INET6);
    ck_assert_uint_eq(address->len, is_v4 ? sizeof *v4 : sizeof *v6);
    inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, host, sizeof host);
    snprintf(text, sizeof text, "%s %u", host, ntohs(is_v4 ? v4->sin_port : v6->sin6_port));
    return text;
}

static int count_threads(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(tasks);
    const struct dirent *entry;
    while ((entry = readdir(tasks)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* ---- Answers ---- */

START_TEST(localhost_is_this_machine)
{
    struct desk desk;
    struct answer answer;
    desk_init(&desk);
    ask_and_wait(&desk, &answer, "localhost", 11211);
    ck_assert_uint_ge(answer.address_count, 1);
    ck_assert_ptr_null(answer.error);
    for (uint32_t i = 0; i < answer.address_count; i++) {
        const char *text = as_text(&answer.addresses[i]);
        ck_assert_msg(strcmp(text, "127.0.0.1 11211") == 0 || strcmp(text, "::1 11211") == 0, "%s", text);
    }
    desk_fini(&desk);
}
END_TEST

static const char *const spellings[] = {"localhost", "LocalHost"};

START_TEST(localhost_is_known_where_nobody_knows_it)
{
    struct desk desk;
    struct answer answer;
    desk_init(&desk);
    localhost_is_unknown = true;
    ask_and_wait(&desk, &answer, spellings[_i], 1);
    ck_assert_uint_eq(answer.address_count, 1);
    ck_assert_ptr_null(answer.error);
    ck_assert_str_eq(as_text(&answer.addresses[0]), "127.0.0.1 1");
    desk_fini(&desk);
}
END_TEST

START_TEST(numbers_are_their_own_addresses)
{
    struct desk desk;
    struct answer v4, v6;
    desk_init(&desk);
    ask_and_wait(&desk, &v4, "192.0.2.7", 65535);
    ck_assert_uint_eq(v4.address_count, 1);
    ck_assert_str_eq(as_text(&v4.addresses[0]), "192.0.2.7 65535");
    /* A machine without IPv6 may say that it knows no such family. */
    ask_and_wait(&desk, &v6, "2001:db8::7", 0);
    if (v6.address_count > 0)
        ck_assert_str_eq(as_text(&v6.addresses[0]), "2001:db8::7 0");
    else
        ck_assert_ptr_nonnull(v6.error);
    ck_assert_uint_le(v6.address_count, 1);
    desk_fini(&desk);
}
END_TEST

START_TEST(an_unknown_name_is_answered_with_the_reason)
{
    struct desk desk;
    struct answer answer;
    desk_init(&desk);
    ask_and_wait(&desk, &answer, "nowhere.test", 1);
    ck_assert_uint_eq(answer.address_count, 0);
    ck_assert_str_eq(answer.error, gai_strerror(EAI_NONAME));
    ask_and_wait(&desk, &answer, "192.0.2.1", 1); /* and the next one is answered well */
    ck_assert_uint_eq(answer.address_count, 1);
    desk_fini(&desk);
}
END_TEST

START_TEST(a_name_without_an_address_is_a_failure)
{
    struct desk desk;
    struct answer answer;
    desk_init(&desk);
    ask_and_wait(&desk, &answer, "empty.test", 1);
    ck_assert_uint_eq(answer.address_count, 0);
    ck_assert_str_eq(answer.error, "the name has no address");
    desk_fini(&desk);
}
END_TEST

START_TEST(no_more_addresses_come_than_there_is_room_for)
{
    struct desk desk;
    struct answer answer;
    desk_init(&desk);
    ask_and_wait(&desk, &answer, "many.test", 5);
    ck_assert_uint_eq(answer.address_count, SERVER_ADDRESSES_MAX);
    ck_assert_str_eq(as_text(&answer.addresses[0]), "192.0.2.1 5");
    ck_assert_str_eq(as_text(&answer.addresses[SERVER_ADDRESSES_MAX - 1]), "192.0.2.8 5");
    desk_fini(&desk);
}
END_TEST

START_TEST(the_name_is_copied)
{
    struct desk desk;
    struct answer answer = {.desk = &desk};
    desk_init(&desk);
    char host[] = "192.0.2.1";
    struct resolve_job *job = resolve_job_create(host, 1, &desk.mailbox, on_resolved, &answer);
    ck_assert_ptr_nonnull(job);
    host[0] = 'x';
    resolver_submit(desk.resolver, job);
    LOOP_UNTIL(&desk.loop, answer.place > 0);
    ck_assert_str_eq(as_text(&answer.addresses[0]), "192.0.2.1 1");
    desk_fini(&desk);
}
END_TEST

/* ---- Order ---- */

enum { JOBS = 100 };

START_TEST(jobs_are_answered_in_order)
{
    struct desk desk;
    static struct answer slow, answers[JOBS];
    static const char *const mixed[] = {"192.0.2.1", "nowhere.test", "many.test", "empty.test"};
    desk_init(&desk);
    ask(&desk, &slow, "slow.test", 1);
    for (int i = 0; i < JOBS; i++)
        ask(&desk, &answers[i], mixed[i % 4], (uint16_t)(i + 1));
    sem_wait(&slow_begun);
    loop_turns(&desk.loop, 5);
    ck_assert_int_eq(answered, 0); /* one at a time */
    sem_post(&slow_may_end);
    LOOP_UNTIL(&desk.loop, answered == JOBS + 1);
    ck_assert_int_eq(slow.place, 1);
    ck_assert_str_eq(as_text(&slow.addresses[0]), "192.0.2.99 1");
    for (int i = 0; i < JOBS; i++) {
        ck_assert_int_eq(answers[i].place, i + 2);
        ck_assert_uint_eq(answers[i].address_count, i % 2 ? 0 : i % 4 ? SERVER_ADDRESSES_MAX : 1);
    }
    desk_fini(&desk);
}
END_TEST

START_TEST(a_receiver_that_no_longer_waits_is_left_alone)
{
    struct desk desk;
    struct answer gone, next;
    desk_init(&desk);
    struct resolve_job *job = ask(&desk, &gone, "slow.test", 1);
    sem_wait(&slow_begun);
    job->owner = NULL;
    sem_post(&slow_may_end);
    ask_and_wait(&desk, &next, "192.0.2.1", 1);
    ck_assert_int_eq(gone.place, 0);
    ck_assert_int_eq(next.place, 1);
    ck_assert_int_eq(answered_to_nobody, 1);
    desk_fini(&desk);
}
END_TEST

/* ---- The thread, and its end ---- */

START_TEST(the_thread_takes_no_signal)
{
    struct desk desk;
    struct answer answer;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    desk_init(&desk);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ask_and_wait(&desk, &answer, "nowhere.test", 1);
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGCHLD};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        ck_assert_int_eq(sigismember(&signals_blocked, signals[i]), 1);
        ck_assert_int_eq(sigismember(&after, signals[i]), sigismember(&before, signals[i]));
    }
    desk_fini(&desk);
}
END_TEST

static void *do_nothing(void *context)
{
    return context;
}

/* The threads that there are when no resolver is: a sanitizer starts one of its own beside the first. */
static int count_own_threads(void)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return count_threads();
}

START_TEST(an_idle_resolver_ends_with_its_thread)
{
    struct desk desk;
    int before = count_own_threads();
    desk_init(&desk);
    resolver_destroy(&desk.resolver);
    resolver_destroy(&desk.resolver); /* there is none any more */
    LOOP_UNTIL(&desk.loop, count_threads() == before);
    desk_fini(&desk);
}
END_TEST

/* What is left behind on purpose stays in reach, so that leak checkers do not tell of it. */
static struct resolver *left_behind[100];

START_TEST(destroyed_in_the_middle_of_a_look_up_it_answers_nobody)
{
    struct desk desk;
    struct answer slow, waiting[3];
    int before = count_own_threads();
    desk_init(&desk);
    left_behind[0] = desk.resolver;
    ask(&desk, &slow, "slow.test", 1);
    for (int i = 0; i < 3; i++)
        ask(&desk, &waiting[i], "192.0.2.1", 1);
    sem_wait(&slow_begun);
    resolver_destroy(&desk.resolver); /* does not wait for it */
    ck_assert_ptr_null(desk.resolver);
    mailbox_fini(&desk.mailbox);
    sem_post(&slow_may_end);
    LOOP_UNTIL(&desk.loop, count_threads() == before);
    ck_assert_int_eq(answered, 0);
    loop_fini(&desk.loop);
}
END_TEST

/* Wherever the thread happens to be: what was looked up by then is in the mailbox, the rest is gone. */
START_TEST(destroyed_with_jobs_waiting_it_leaves_none)
{
    static struct answer answers[sizeof left_behind / sizeof left_behind[0]][4];
    for (size_t round = 0; round < sizeof left_behind / sizeof left_behind[0]; round++) {
        struct desk desk;
        desk_init(&desk);
        left_behind[round] = desk.resolver;
        for (int i = 0; i < 4; i++)
            ask(&desk, &answers[round][i], i % 2 ? "nowhere.test" : "192.0.2.1", 1);
        for (size_t i = 0; i < round; i++)
            count_threads(); /* takes its time */
        desk_fini(&desk);
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(answers[round][i].place, i < answered ? i + 1 : 0);
    }
}
END_TEST

START_TEST(a_job_can_be_destroyed_unasked)
{
    struct desk desk;
    desk_init(&desk);
    struct resolve_job *job = resolve_job_create("a.test", 1, &desk.mailbox, on_resolved, NULL);
    ck_assert_ptr_nonnull(job);
    resolve_job_destroy(&job);
    ck_assert_ptr_null(job);
    resolve_job_destroy(&job);
    desk_fini(&desk);
}
END_TEST

int main(void)
{
    *(void **)&look_up_really = dlsym(RTLD_NEXT, "getaddrinfo");
    TCase *tcase = tcase_create("resolve");
    tcase_add_test(tcase, localhost_is_this_machine);
    tcase_add_loop_test(tcase, localhost_is_known_where_nobody_knows_it, 0, 2);
    tcase_add_test(tcase, numbers_are_their_own_addresses);
    tcase_add_test(tcase, an_unknown_name_is_answered_with_the_reason);
    tcase_add_test(tcase, a_name_without_an_address_is_a_failure);
    tcase_add_test(tcase, no_more_addresses_come_than_there_is_room_for);
    tcase_add_test(tcase, the_name_is_copied);
    tcase_add_test(tcase, jobs_are_answered_in_order);
    tcase_add_test(tcase, a_receiver_that_no_longer_waits_is_left_alone);
    tcase_add_test(tcase, the_thread_takes_no_signal);
    tcase_add_test(tcase, an_idle_resolver_ends_with_its_thread);
    tcase_add_test(tcase, destroyed_in_the_middle_of_a_look_up_it_answers_nobody);
    tcase_add_test(tcase, destroyed_with_jobs_waiting_it_leaves_none);
    tcase_add_test(tcase, a_job_can_be_destroyed_unasked);
    return suite_run("resolve", tcase);
}
