/*
 * Tests of tls/password_check: answers come by mail in the asker's thread, failures are delayed by the clock of
 * tests/support/clock.h, a full queue is told at once, and nothing is left at the end.
 *
 * scrypt is stood in for, so that a test can hold the checker's thread in the middle of a check: it takes the gate. The
 * stand-in makes every password's key from the password's length: "secret" is right, other lengths are wrong.
 */
#include "tls/password_check.h"

#include "tests/support/suite.h"
#include "tests/support/turns.h"

#include <check.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The key is 16 bytes of 6. */
#define APP "app:$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$BgYGBgYGBgYGBgYGBgYGBg\n"
#define BOB "bob:$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$BgYGBgYGBgYGBgYGBgYGBg\n"

#define SOURCE_BUSY 1000

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint begun; /* checks that the thread has come to */
static pthread_t asker;
static _Atomic bool in_asker; /* a check was made in the asker's own thread */

int EVP_PBE_scrypt(const char *pass, size_t passlen, const unsigned char *salt, size_t saltlen, uint64_t N, uint64_t r,
                   uint64_t p, uint64_t maxmem, unsigned char *key, size_t keylen)
{
    (void)pass, (void)salt, (void)saltlen, (void)N, (void)r, (void)p, (void)maxmem;
    if (pthread_equal(pthread_self(), asker))
        in_asker = true;
    atomic_fetch_add(&begun, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    memset(key, (int)passlen, keylen);
    return 1;
}

struct desk {
    struct loop loop;
    struct mailbox mailbox;
    struct password_checker *checker;
    struct users *users;
    unsigned answers, good, wrong, busy, orphans;
    uint64_t sources[2 * PASSWORD_CHECK_QUEUE_MAX]; /* of the answers, in their order; told busy: SOURCE_BUSY more */
    uint32_t delay_ms;
};

static void desk_init(struct desk *desk)
{
    struct users_errors errors;
    memset(desk, 0, sizeof *desk);
    asker = pthread_self();
    ck_assert_int_eq(loop_init(&desk->loop), 0);
    ck_assert_int_eq(mailbox_init(&desk->mailbox, &desk->loop), 0);
    desk->checker = password_checker_create();
    ck_assert_ptr_nonnull(desk->checker);
    desk->users = users_parse(SLICE_OF(APP BOB), &errors);
    ck_assert_ptr_nonnull(desk->users);
}

static void desk_fini(struct desk *desk)
{
    password_checker_destroy(&desk->checker);
    mailbox_fini(&desk->mailbox);
    loop_fini(&desk->loop);
    users_unref(&desk->users);
    ck_assert(!in_asker);
}

static struct desk *the_desk;

static void on_checked(struct password_job *job)
{
    struct desk *desk = job->owner != NULL ? job->owner : the_desk;
    ck_assert(pthread_equal(pthread_self(), asker));
    if (desk->answers < sizeof desk->sources / sizeof desk->sources[0])
        desk->sources[desk->answers] = job->source + (job->verdict == PASSWORD_BUSY ? SOURCE_BUSY : 0);
    desk->answers++;
    desk->orphans += job->owner == NULL;
    desk->good += job->verdict == PASSWORD_GOOD;
    desk->wrong += job->verdict == PASSWORD_WRONG;
    desk->busy += job->verdict == PASSWORD_BUSY;
    desk->delay_ms = job->delay_ms;
    ck_assert_uint_eq(job->password_len, 0);
    for (size_t i = 0; i < sizeof job->password; i++)
        ck_assert_int_eq(job->password[i], 0);
    password_job_destroy(&job);
    ck_assert_ptr_null(job);
}

static struct password_job *submit_from(struct desk *desk, uint64_t source, const char *name, const char *password)
{
    struct password_job *job =
        password_job_create(desk->users, slice_make(name, strlen(name)), slice_make(password, strlen(password)),
                            &desk->mailbox, on_checked, desk);
    ck_assert_ptr_nonnull(job);
    job->source = source;
    password_checker_submit(desk->checker, job);
    return job;
}

static struct password_job *submit(struct desk *desk, const char *name, const char *password)
{
    return submit_from(desk, 0, name, password);
}

/* The delay of the answer. */
static uint32_t ask(struct desk *desk, const char *name, const char *password)
{
    unsigned before = desk->answers;
    submit(desk, name, password);
    LOOP_UNTIL(&desk->loop, desk->answers > before);
    ck_assert_uint_eq(desk->answers, before + 1);
    return desk->delay_ms;
}

/* Names may share a slot by chance. */
static void forget_all(void)
{
    clock_skip_us((uint64_t)100 * PASSWORD_CHECK_FORGET_MS * 1000);
}

START_TEST(good_and_wrong)
{
    struct desk desk;
    desk_init(&desk);
    ck_assert_uint_eq(ask(&desk, "app", "secret"), 0);
    ck_assert_uint_eq(desk.good, 1);
    ck_assert_uint_eq(ask(&desk, "app", "wrong"), 100);
    forget_all();
    ck_assert_uint_eq(ask(&desk, "nobody", "secret"), 100);
    forget_all();
    ck_assert_uint_eq(ask(&desk, "", ""), 100);
    ck_assert_uint_eq(desk.wrong, 3);
    desk_fini(&desk);
}
END_TEST

START_TEST(delays_grow_with_a_names_failures_and_are_forgotten)
{
    static const uint32_t delays[] = {100, 200, 400, 800, 1600, 2000, 2000, 2000};
    struct desk desk;
    desk_init(&desk);
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++)
        ck_assert_uint_eq(ask(&desk, "app", "wrong"), delays[i]);
    ck_assert_uint_eq(ask(&desk, "app", "secret"), 0);
    /* Another name has its own count, unless it shares the slot. */
    char name[] = "a";
    while (ask(&desk, name, "wrong") != 100 && name[0] < 'f')
        name[0]++;
    ck_assert_int_lt(name[0], 'f');
    clock_skip_us(PASSWORD_CHECK_FORGET_MS * 1000 - 1000);
    ck_assert_uint_eq(ask(&desk, "app", "wrong"), 2000);
    clock_skip_us(1000);
    ck_assert_uint_eq(ask(&desk, "app", "wrong"), 2000);
    clock_skip_us(3 * PASSWORD_CHECK_FORGET_MS * 1000);
    ck_assert_uint_eq(ask(&desk, "app", "wrong"), 800);
    forget_all();
    ck_assert_uint_eq(ask(&desk, "app", "wrong"), 100);
    desk_fini(&desk);
}
END_TEST

START_TEST(a_full_queue_is_told_at_once)
{
    struct desk desk;
    desk_init(&desk);
    atomic_store(&begun, 0);
    pthread_mutex_lock(&gate);
    submit(&desk, "app", "secret");
    LOOP_UNTIL(&desk.loop, atomic_load(&begun) == 1);
    for (int i = 0; i < PASSWORD_CHECK_QUEUE_MAX; i++)
        submit(&desk, "app", "secret");
    loop_turns(&desk.loop, 3);
    ck_assert_uint_eq(desk.answers, 0);
    submit(&desk, "app", "secret");
    ck_assert_uint_eq(desk.answers, 0); /* never from within submit */
    LOOP_UNTIL(&desk.loop, desk.answers == 1);
    ck_assert_uint_eq(desk.busy, 1);
    ck_assert_uint_eq(desk.delay_ms, 0);
    pthread_mutex_unlock(&gate);
    LOOP_UNTIL(&desk.loop, desk.answers == PASSWORD_CHECK_QUEUE_MAX + 2);
    ck_assert_uint_eq(desk.good, PASSWORD_CHECK_QUEUE_MAX + 1);
    ck_assert_uint_eq(ask(&desk, "app", "secret"), 0); /* room again */
    ck_assert_uint_eq(desk.busy, 1);
    desk_fini(&desk);
}
END_TEST

/* Takes the gate, and has the thread stand before it with a job of the source. */
static void hold_with(struct desk *desk, uint64_t source)
{
    atomic_store(&begun, 0);
    pthread_mutex_lock(&gate);
    submit_from(desk, source, "app", "secret");
    LOOP_UNTIL(&desk->loop, atomic_load(&begun) == 1);
}

static void let_go(struct desk *desk, const uint64_t *sources, unsigned count)
{
    pthread_mutex_unlock(&gate);
    LOOP_UNTIL(&desk->loop, desk->answers == count);
    for (unsigned i = 0; i < count; i++)
        ck_assert_msg(desk->sources[i] == sources[i], "answer %u is of source %u", i, (unsigned)desk->sources[i]);
}

START_TEST(sources_take_turns)
{
    static const uint64_t come[] = {1, 1, 1, 2, 1, 3, 2, 3, 1}, checked[] = {1, 2, 3, 1, 2, 3, 1, 1, 1, 1};
    struct desk desk;
    desk_init(&desk);
    hold_with(&desk, 1);
    for (size_t i = 0; i < sizeof come / sizeof come[0]; i++)
        submit_from(&desk, come[i], "app", "secret");
    let_go(&desk, checked, sizeof checked / sizeof checked[0]);
    desk_fini(&desk);
}
END_TEST

START_TEST(who_fills_the_queue_gives_way)
{
    uint64_t checked[PASSWORD_CHECK_QUEUE_MAX + 4];
    struct desk desk;
    desk_init(&desk);
    hold_with(&desk, 1);
    for (int i = 0; i < PASSWORD_CHECK_QUEUE_MAX; i++)
        submit_from(&desk, 1, "app", "wrong");
    submit_from(&desk, 2, "app", "secret"); /* takes a place */
    submit_from(&desk, 1, "app", "wrong");  /* finds none */
    submit_from(&desk, 2, "app", "secret"); /* takes another */
    LOOP_UNTIL(&desk.loop, desk.answers == 3);
    for (size_t i = 0; i < sizeof checked / sizeof checked[0]; i++)
        checked[i] = 1;
    checked[0] = checked[1] = checked[2] = 1 + SOURCE_BUSY;
    checked[4] = checked[6] = 2; /* behind the one in service, and one of theirs each */
    let_go(&desk, checked, PASSWORD_CHECK_QUEUE_MAX + 4);
    ck_assert_uint_eq(desk.good, 3);
    ck_assert_uint_eq(desk.busy, 3);
    desk_fini(&desk);
}
END_TEST

START_TEST(as_many_sources_as_places_keep_them)
{
    struct desk desk;
    desk_init(&desk);
    hold_with(&desk, 900);
    for (uint64_t source = 1; source <= PASSWORD_CHECK_QUEUE_MAX; source++)
        submit_from(&desk, source, "app", "secret");
    submit_from(&desk, 901, "app", "secret");
    LOOP_UNTIL(&desk.loop, desk.answers == 1);
    ck_assert_uint_eq(desk.sources[0], 901 + SOURCE_BUSY);
    pthread_mutex_unlock(&gate);
    LOOP_UNTIL(&desk.loop, desk.answers == PASSWORD_CHECK_QUEUE_MAX + 2);
    ck_assert_uint_eq(desk.busy, 1);
    desk_fini(&desk);
}
END_TEST

START_TEST(a_receiver_that_no_longer_waits)
{
    struct desk desk;
    desk_init(&desk);
    the_desk = &desk;
    pthread_mutex_lock(&gate);
    struct password_job *job = submit(&desk, "app", "secret");
    job->owner = NULL;
    /* And the users leave with a reload: the job holds its own. */
    users_unref(&desk.users);
    pthread_mutex_unlock(&gate);
    LOOP_UNTIL(&desk.loop, desk.answers == 1);
    ck_assert_uint_eq(desk.orphans, 1);
    ck_assert_uint_eq(desk.good, 1);
    desk_fini(&desk);
}
END_TEST

static uint32_t fail_quickly(struct desk *desk, const char *name)
{
    return password_checker_count_failure(desk->checker, slice_make(name, strlen(name)));
}

START_TEST(quick_checks_are_counted_with_the_others)
{
    struct desk desk;
    desk_init(&desk);
    ck_assert_uint_eq(fail_quickly(&desk, "app"), 100);
    ck_assert_uint_eq(ask(&desk, "app", "wrong"), 200);
    ck_assert_uint_eq(fail_quickly(&desk, "app"), 400);
    forget_all();
    ck_assert_uint_eq(fail_quickly(&desk, "app"), 100);
    desk_fini(&desk);
}
END_TEST

START_TEST(quick_checks_wait_while_too_many_have_failed)
{
    struct desk desk;
    desk_init(&desk);
    for (int i = 0; i < PASSWORD_CHECK_PENDING_MAX; i++) {
        ck_assert(password_checker_admits(desk.checker));
        fail_quickly(&desk, "app");
    }
    ck_assert(!password_checker_admits(desk.checker));
    ck_assert_uint_eq(fail_quickly(&desk, "app"),
                      PASSWORD_CHECK_DELAY_MAX_MS); /* of another thread, at the same time */
    clock_skip_us(99 * 1000);
    ck_assert(!password_checker_admits(desk.checker));
    clock_skip_us(1000); /* the first one's delay is over */
    ck_assert(password_checker_admits(desk.checker));
    fail_quickly(&desk, "app");
    ck_assert(!password_checker_admits(desk.checker));
    ck_assert_uint_eq(ask(&desk, "app", "secret"), 0); /* other checks go on */
    clock_skip_us(PASSWORD_CHECK_DELAY_MAX_MS * 1000);
    ck_assert(password_checker_admits(desk.checker));
    desk_fini(&desk);
}
END_TEST

START_TEST(every_checker_has_a_secret_of_its_own)
{
    struct desk one, two;
    static const uint8_t zeroes[SCRAM_SECRET];
    desk_init(&one);
    desk_init(&two);
    ck_assert_mem_ne(password_checker_secret(one.checker), password_checker_secret(two.checker), SCRAM_SECRET);
    ck_assert_mem_ne(password_checker_secret(one.checker), zeroes, SCRAM_SECRET);
    desk_fini(&one);
    desk_fini(&two);
}
END_TEST

static void *destroy_checker(void *context)
{
    struct desk *desk = context;
    password_checker_destroy(&desk->checker);
    return NULL;
}

START_TEST(the_end_with_jobs_under_way)
{
    struct desk desk;
    pthread_t thread;
    desk_init(&desk);
    atomic_store(&begun, 0);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 10; i++)
        submit(&desk, "app", "secret");
    LOOP_UNTIL(&desk.loop, atomic_load(&begun) == 1);
    /* Whether the end comes before the gate opens or after, jobs are answered or freed, never both. */
    ck_assert_int_eq(pthread_create(&thread, NULL, destroy_checker, &desk), 0);
    pthread_mutex_unlock(&gate);
    pthread_join(thread, NULL);
    ck_assert_ptr_null(desk.checker);
    loop_turns(&desk.loop, 3);
    ck_assert_uint_le(desk.answers, 10);
    desk_fini(&desk);
}
END_TEST

START_TEST(names_and_passwords_that_are_too_long)
{
    struct desk desk;
    char name[USERS_NAME_MAX + 20], password[USERS_PASSWORD_MAX + 20];
    desk_init(&desk);
    memset(name, 'n', sizeof name);
    memset(password, 'p', sizeof password);
    struct password_job *job =
        password_job_create(desk.users, slice_make(name, sizeof name), slice_make(password, sizeof password),
                            &desk.mailbox, on_checked, &desk);
    ck_assert_uint_gt(job->name_len, USERS_NAME_MAX);
    ck_assert_uint_gt(job->password_len, USERS_PASSWORD_MAX);
    password_checker_submit(desk.checker, job);
    LOOP_UNTIL(&desk.loop, desk.answers == 1);
    ck_assert_uint_eq(desk.wrong, 1);
    desk_fini(&desk);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("password_check");
    tcase_add_test(tcase, good_and_wrong);
    tcase_add_test(tcase, delays_grow_with_a_names_failures_and_are_forgotten);
    tcase_add_test(tcase, a_full_queue_is_told_at_once);
    tcase_add_test(tcase, quick_checks_are_counted_with_the_others);
    tcase_add_test(tcase, quick_checks_wait_while_too_many_have_failed);
    tcase_add_test(tcase, every_checker_has_a_secret_of_its_own);
    tcase_add_test(tcase, sources_take_turns);
    tcase_add_test(tcase, who_fills_the_queue_gives_way);
    tcase_add_test(tcase, as_many_sources_as_places_keep_them);
    tcase_add_test(tcase, a_receiver_that_no_longer_waits);
    tcase_add_test(tcase, the_end_with_jobs_under_way);
    tcase_add_test(tcase, names_and_passwords_that_are_too_long);
    return suite_run("password_check", tcase);
}
