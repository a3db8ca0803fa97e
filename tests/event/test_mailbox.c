/* Tests of event/mailbox: each sender's order, from several threads; and that no letter is lost. */
#include "event/mailbox.h"

#include "tests/support/suite.h"
#include "tests/support/turns.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SENDERS = 4, LETTERS = 3000 };

struct letter {
    struct mail mail;
    int sender;
    int number;
};

struct sender {
    pthread_t thread;
    struct mailbox *mailbox;
    int number;
};

/* The receiver's: no lock, since deliver runs in the loop's thread alone. */
static int next_number[SENDERS];
static int delivered;
static pthread_t receiver;

static void deliver(struct mail *mail)
{
    struct letter *letter = list_entry(mail, struct letter, mail);
    ck_assert(pthread_equal(pthread_self(), receiver));
    ck_assert_int_eq(letter->number, next_number[letter->sender]);
    next_number[letter->sender]++;
    delivered++;
    free(letter);
}

static void post(struct mailbox *mailbox, int sender, int number, void (*on_delivery)(struct mail *mail))
{
    struct letter *letter = malloc(sizeof *letter);
    ck_assert_ptr_nonnull(letter);
    *letter = (struct letter){.mail.deliver = on_delivery, .sender = sender, .number = number};
    mailbox_post(mailbox, &letter->mail);
}

static void *send_letters(void *context)
{
    struct sender *sender = context;
    for (int i = 0; i < LETTERS; i++)
        post(sender->mailbox, sender->number, i, deliver);
    return NULL;
}

START_TEST(letters_of_several_threads_keep_each_senders_order)
{
    struct loop loop;
    struct mailbox mailbox;
    struct sender senders[SENDERS];
    receiver = pthread_self();
    ck_assert_int_eq(loop_init(&loop), 0);
    ck_assert_int_eq(mailbox_init(&mailbox, &loop), 0);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.mailbox = &mailbox, .number = i};
        ck_assert_int_eq(pthread_create(&senders[i].thread, NULL, send_letters, &senders[i]), 0);
    }
    LOOP_UNTIL(&loop, delivered == SENDERS * LETTERS);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        ck_assert_int_eq(next_number[i], LETTERS);
    }
    loop_turns(&loop, 2);
    ck_assert_int_eq(delivered, SENDERS * LETTERS);
    mailbox_fini(&mailbox);
    loop_fini(&loop);
}
END_TEST

/* A loop that waits for nothing else is woken: without the letter this thread would never end. */
static struct loop sleeping;

static void deliver_stop(struct mail *mail)
{
    free(list_entry(mail, struct letter, mail));
    loop_stop(&sleeping);
}

static void *run_loop(void *context)
{
    loop_run(context);
    return NULL;
}

START_TEST(a_letter_wakes_a_loop_that_waits)
{
    struct mailbox mailbox;
    pthread_t thread;
    ck_assert_int_eq(loop_init(&sleeping), 0);
    ck_assert_int_eq(mailbox_init(&mailbox, &sleeping), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_loop, &sleeping), 0);
    post(&mailbox, 0, 0, deliver_stop);
    pthread_join(thread, NULL);
    mailbox_fini(&mailbox);
    loop_fini(&sleeping);
}
END_TEST

/* What a letter posts in its turn is delivered too, after those that were there. */
static struct mailbox *own_mailbox;

static void deliver_and_answer(struct mail *mail)
{
    struct letter *letter = list_entry(mail, struct letter, mail);
    ck_assert_int_eq(delivered, letter->number);
    post(own_mailbox, 0, 0, deliver);
    free(letter);
}

START_TEST(a_letter_may_post_another)
{
    struct loop loop;
    struct mailbox mailbox;
    receiver = pthread_self();
    own_mailbox = &mailbox;
    ck_assert_int_eq(loop_init(&loop), 0);
    ck_assert_int_eq(mailbox_init(&mailbox, &loop), 0);
    post(&mailbox, 0, 0, deliver_and_answer);
    LOOP_UNTIL(&loop, delivered == 1);
    mailbox_fini(&mailbox);
    loop_fini(&loop);
}
END_TEST

START_TEST(letters_left_at_the_end_are_delivered)
{
    struct loop loop;
    struct mailbox mailbox;
    receiver = pthread_self();
    ck_assert_int_eq(loop_init(&loop), 0);
    ck_assert_int_eq(mailbox_init(&mailbox, &loop), 0);
    post(&mailbox, 0, 0, deliver);
    post(&mailbox, 1, 0, deliver);
    ck_assert_int_eq(delivered, 0);
    mailbox_deliver(&mailbox);
    ck_assert_int_eq(delivered, 2);
    post(&mailbox, 0, 1, deliver);
    mailbox_fini(&mailbox);
    ck_assert_int_eq(delivered, 3);
    loop_fini(&loop);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("mailbox");
    tcase_add_test(tcase, letters_of_several_threads_keep_each_senders_order);
    tcase_add_test(tcase, a_letter_wakes_a_loop_that_waits);
    tcase_add_test(tcase, a_letter_may_post_another);
    tcase_add_test(tcase, letters_left_at_the_end_are_delivered);
    return suite_run("mailbox", tcase);
}
