/*
 * Checks passwords off the event loops: one thread, one job at a time, a bounded queue, answers by mail.
 *
 * Sources take turns: one that has many jobs waiting delays another's first job by one check, and when the queue is full it is
 * the source with most in it that is told so. (Start-time fair queueing, with one check as the unit: P. Goyal, H. M. Vin,
 * H. Cheng, SIGCOMM 1996.)
 *
 * A wrong password's answer names a delay that the receiver is to let pass before it tells its client: it grows with
 * the failures of late under that name, so that guessing is slow, and the thread does not sleep for it.
 *
 * Who checks in a thread of his own what takes no time (SCRAM's proofs) has his failures counted here with the others, and
 * asks before each check whether too many of them are still being paid for.
 */
#ifndef RINGSIDE_TLS_PASSWORD_CHECK_H
#define RINGSIDE_TLS_PASSWORD_CHECK_H

#include "event/mailbox.h"
#include "tls/users.h"

#include <stdint.h>

/* Jobs that wait; of one more, the one with the last turn is answered PASSWORD_BUSY. At 100 ms each this is some 6 seconds. */
#define PASSWORD_CHECK_QUEUE_MAX 64
#define PASSWORD_CHECK_DELAY_MS 100      /* after the first failure; twice as much after each further one */
#define PASSWORD_CHECK_DELAY_MAX_MS 2000 /* at most */
#define PASSWORD_CHECK_FORGET_MS 5000    /* in which one failure is forgotten */
/* Failures of quick checks whose delay is not over; no further check is made then. */
#define PASSWORD_CHECK_PENDING_MAX 64

enum password_verdict {
    PASSWORD_GOOD,
    PASSWORD_WRONG, /* or the name is unknown, or memory is out */
    PASSWORD_BUSY,  /* it was not checked: too many wait. No delay */
};

struct password_checker;

/* One check. Belongs to the checker from password_checker_submit until on_checked, to the receiver's thread after. */
struct password_job {
    struct mail mail;
    struct list node;
    uint64_t source; /* who shares a turn with whom (login_source.h); set between create and submit, else 0 */
    uint64_t turn;
    struct mailbox *reply_to;
    struct users *users; /* a reference of its own */
    char name[USERS_NAME_MAX + 1];
    size_t name_len; /* USERS_NAME_MAX + 1: too long to be a name; no user has it */
    char password[USERS_PASSWORD_MAX + 1];
    size_t password_len; /* wiped, and 0, once it is checked */
    /* Called in the thread of reply_to, never from within submit; must free the job with password_job_destroy. */
    void (*on_checked)(struct password_job *job);
    void *owner; /* the receiver's; it may set it to NULL when it no longer waits */
    enum password_verdict verdict;
    uint32_t delay_ms; /* to let pass before the client is told */
};

/* NULL with errno. */
struct password_checker *password_checker_create(void);
/* Waits for the check under way, and ends the thread. Jobs that are not answered yet are freed without an answer. */
void password_checker_destroy(struct password_checker **checker);

/* NULL when memory is out. Name and password are copied; the caller wipes its own. Takes a reference on users. */
struct password_job *password_job_create(struct users *users, struct slice name, struct slice password,
                                         struct mailbox *reply_to, void (*on_checked)(struct password_job *job),
                                         void *owner);
/* Wipes the password. */
void password_job_destroy(struct password_job **job);
/* Gives the job away. Thread-safe; never blocks on a check. */
void password_checker_submit(struct password_checker *checker, struct password_job *job);

/* ---- for checks that take no time; thread-safe ---- */

/* Whether one more may be made now; if not, that is PASSWORD_BUSY. The delays count, not who still waits for his. */
bool password_checker_admits(struct password_checker *checker);
/* Counts a failure under the name. Returns the delay (milliseconds) to let pass before the client is told. */
uint32_t password_checker_count_failure(struct password_checker *checker, struct slice name);
/* SCRAM_SECRET bytes by chance, made with the checker: for users_scram_keys. */
const uint8_t *password_checker_secret(const struct password_checker *checker);

#endif
