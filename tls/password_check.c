/*
 * Owns the thread that may take its time over a password, the queue of jobs in front of it, and the count of failures.
 *
 *      submit -- jobs, by turn --> thread: users_verify --> good --> mail
 *                    |                          `--> wrong: the name's slot counts up --> delay_ms --> mail
 *                    `-- queue is full: the last of them --> BUSY, by mail
 *
 *      of sources A (many), B, C:      A7 | A8 B8 C8 | A9 C9 | A10 | A11 ...
 *                           in service ^    turns
 *
 *      quick checks (SCRAM): admits? -- 64 delays are running --> BUSY
 *                                `---- wrong: the same slots; until[] keeps when its delay is over
 *
 * Failures are counted in a fixed number of slots; a name's slot follows from a keyed hash. So names that are made up
 * take no memory, nobody can drive another's count out, and two names that meet in a slot cost at most a longer delay.
 * Only wrong passwords are delayed: nobody can lock a user out.
 */
#include "tls/password_check.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#define SLOTS 1024
/* The count from which on the delay no longer grows. */
#define FAILURES_MAX 6

struct slot {
    uint32_t failures;
    uint64_t since_ms; /* when the last one was forgotten, or the first one came */
};

struct password_checker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list jobs; /* by turn, then by when they came */
    size_t waiting;
    uint64_t turn, source; /* of the job that was begun last */
    bool stopping;
    uint64_t seed;
    struct slot slots[SLOTS];
    uint64_t until_ms[PASSWORD_CHECK_PENDING_MAX]; /* when the delays of quick checks are over */
    uint8_t secret[SCRAM_SECRET];                  /* never changes */
};

/* ---- failures ---- */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void forget(struct slot *slot, uint64_t now)
{
    uint64_t forgotten = (now - slot->since_ms) / PASSWORD_CHECK_FORGET_MS;
    if (slot->failures == 0 || forgotten >= slot->failures) {
        *slot = (struct slot){.since_ms = now};
        return;
    }
    slot->failures -= (uint32_t)forgotten;
    slot->since_ms += forgotten * PASSWORD_CHECK_FORGET_MS;
}

/* Counts one more failure of the name; the delay that it costs. Under the lock. */
static uint32_t count_failure(struct password_checker *checker, struct slice name)
{
    struct slot *slot = &checker->slots[XXH3_64bits_withSeed(name.data, name.len, checker->seed) % SLOTS];
    forget(slot, now_ms());
    if (slot->failures < FAILURES_MAX)
        slot->failures++;
    uint32_t delay_ms = (uint32_t)PASSWORD_CHECK_DELAY_MS << (slot->failures - 1);
    return delay_ms < PASSWORD_CHECK_DELAY_MAX_MS ? delay_ms : PASSWORD_CHECK_DELAY_MAX_MS;
}

/* ---- jobs ---- */

static void wipe(struct password_job *job)
{
    OPENSSL_cleanse(job->password, sizeof job->password);
    job->password_len = 0;
}

struct password_job *password_job_create(struct users *users, struct slice name, struct slice password,
                                         struct mailbox *reply_to, void (*on_checked)(struct password_job *job),
                                         void *owner)
{
    struct password_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    list_init(&job->node);
    job->users = users_ref(users);
    /* One byte more than may be: what is too long stays too long. */
    job->name_len = name.len < sizeof job->name ? name.len : sizeof job->name;
    job->password_len = password.len < sizeof job->password ? password.len : sizeof job->password;
    if (job->name_len > 0)
        memcpy(job->name, name.data, job->name_len);
    if (job->password_len > 0)
        memcpy(job->password, password.data, job->password_len);
    job->reply_to = reply_to;
    job->on_checked = on_checked;
    job->owner = owner;
    return job;
}

void password_job_destroy(struct password_job **job)
{
    struct password_job *j = *job;
    *job = NULL;
    if (j == NULL)
        return;
    wipe(j);
    users_unref(&j->users);
    free(j);
}

static void deliver(struct mail *mail)
{
    struct password_job *job = list_entry(mail, struct password_job, mail);
    job->on_checked(job);
}

static void answer(struct password_job *job, enum password_verdict verdict, uint32_t delay_ms)
{
    wipe(job);
    job->verdict = verdict;
    job->delay_ms = delay_ms;
    job->mail.deliver = deliver;
    mailbox_post(job->reply_to, &job->mail);
}

/* ---- the queue ---- */

/* Behind all jobs of the same source, the one in service too. */
static uint64_t next_turn(const struct password_checker *checker, uint64_t source)
{
    uint64_t turn = checker->turn + (checker->source == source);
    for (const struct list *node = checker->jobs.next; node != &checker->jobs; node = node->next) {
        const struct password_job *job = list_entry(node, struct password_job, node);
        if (job->source == source && job->turn >= turn)
            turn = job->turn + 1;
    }
    return turn;
}

static void enqueue(struct password_checker *checker, struct password_job *job)
{
    struct list *place = &checker->jobs;
    job->turn = next_turn(checker, job->source);
    while (place->prev != &checker->jobs && list_entry(place->prev, struct password_job, node)->turn > job->turn)
        place = place->prev;
    list_insert_before(place, &job->node);
    checker->waiting++;
}

/* The next job; NULL: none waits. */
static struct password_job *dequeue(struct password_checker *checker)
{
    struct list *node = list_pop_front(&checker->jobs);
    if (node == NULL)
        return NULL;
    struct password_job *job = list_entry(node, struct password_job, node);
    checker->waiting--;
    checker->turn = job->turn;
    checker->source = job->source;
    return job;
}

/* The one that is too many; NULL: there is room for all. */
static struct password_job *drop_last(struct password_checker *checker)
{
    if (checker->waiting <= PASSWORD_CHECK_QUEUE_MAX)
        return NULL;
    struct password_job *last = list_last(&checker->jobs, struct password_job, node);
    list_unlink(&last->node);
    checker->waiting--;
    return last;
}

/* ---- the thread ---- */

static void *checker_main(void *context)
{
    struct password_checker *checker = context;
    pthread_mutex_lock(&checker->lock);
    while (!checker->stopping) {
        struct password_job *job = dequeue(checker);
        if (job == NULL) {
            pthread_cond_wait(&checker->changed, &checker->lock);
            continue;
        }
        pthread_mutex_unlock(&checker->lock);
        struct slice name = slice_make(job->name, job->name_len);
        bool good = users_verify(job->users, name, slice_make(job->password, job->password_len));
        pthread_mutex_lock(&checker->lock);
        uint32_t delay_ms = good ? 0 : count_failure(checker, name);
        if (checker->stopping)
            password_job_destroy(&job); /* the receiver may be gone */
        else
            answer(job, good ? PASSWORD_GOOD : PASSWORD_WRONG, delay_ms);
    }
    pthread_mutex_unlock(&checker->lock);
    return NULL;
}

struct password_checker *password_checker_create(void)
{
    struct password_checker *checker = calloc(1, sizeof *checker);
    if (checker == NULL)
        return NULL;
    if (RAND_bytes((unsigned char *)&checker->seed, sizeof checker->seed) != 1 ||
        RAND_bytes(checker->secret, sizeof checker->secret) != 1) {
        free(checker);
        errno = EIO;
        return NULL;
    }
    pthread_mutex_init(&checker->lock, NULL);
    pthread_cond_init(&checker->changed, NULL);
    list_init(&checker->jobs);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&checker->thread, NULL, checker_main, checker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        pthread_cond_destroy(&checker->changed);
        pthread_mutex_destroy(&checker->lock);
        free(checker);
        errno = error;
        return NULL;
    }
    return checker;
}

void password_checker_destroy(struct password_checker **checker)
{
    struct password_checker *c = *checker;
    *checker = NULL;
    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    struct list *node;
    while ((node = list_pop_front(&c->jobs)) != NULL) {
        struct password_job *job = list_entry(node, struct password_job, node);
        password_job_destroy(&job);
    }
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    OPENSSL_cleanse(c->secret, sizeof c->secret);
    free(c);
}

void password_checker_submit(struct password_checker *checker, struct password_job *job)
{
    pthread_mutex_lock(&checker->lock);
    enqueue(checker, job);
    struct password_job *too_many = drop_last(checker);
    pthread_cond_signal(&checker->changed);
    pthread_mutex_unlock(&checker->lock);
    if (too_many != NULL)
        answer(too_many, PASSWORD_BUSY, 0);
}

/* ---- quick checks ---- */

/* A place whose delay is over; NULL: there is none. Under the lock. */
static uint64_t *find_free(struct password_checker *checker, uint64_t now)
{
    for (size_t i = 0; i < PASSWORD_CHECK_PENDING_MAX; i++) {
        if (checker->until_ms[i] <= now)
            return &checker->until_ms[i];
    }
    return NULL;
}

bool password_checker_admits(struct password_checker *checker)
{
    pthread_mutex_lock(&checker->lock);
    bool admits = find_free(checker, now_ms()) != NULL;
    pthread_mutex_unlock(&checker->lock);
    return admits;
}

uint32_t password_checker_count_failure(struct password_checker *checker, struct slice name)
{
    pthread_mutex_lock(&checker->lock);
    uint64_t now = now_ms();
    uint64_t *until_ms = find_free(checker, now);
    uint32_t delay_ms = count_failure(checker, name);
    if (until_ms != NULL)
        *until_ms = now + delay_ms;
    pthread_mutex_unlock(&checker->lock);
    return delay_ms;
}

const uint8_t *password_checker_secret(const struct password_checker *checker)
{
    return checker->secret;
}
