/*
 * A stage for runs (routing/run.h), without a socket: a route from a configuration's text, one request, and a script that plays
 * the servers. Each step of the script, separated by "; ":
 *
 *      a<LINE       the next leg goes to pool a, with that line
 *      a>WORD       the oldest leg under way at pool a ends so: done miss refused invalid error timeout down lost
 *                   (lost: an error before any byte had left; down: the same), or, for what carries items:
 *                   item (a FETCH's: flags 7, 100 seconds left, CAS 5, 3 bytes), filled (a FILL's, CAS 9),
 *                   same, other (a CHECK's: CAS 5, 6)
 *      =a WORD      the run has answered with pool a's leg
 *      =LINE        the run has answered with a line of its own, or with "miss" in the command's words
 *      -            it has not answered yet
 *
 * At the end the run must be over, and nothing may have been sent that the script does not know.
 */
#ifndef RINGSIDE_TESTS_ROUTING_PLAY_H
#define RINGSIDE_TESTS_ROUTING_PLAY_H

#include "config/model.h"
#include "config/registry.h"
#include "config/snapshot.h"
#include "routing/run.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define PLAY_POOLS                                                                          \
    "pools: {a: {servers: [10.0.0.1]}, b: {servers: [10.0.0.2]}, c: {servers: [10.0.0.3]}," \
    " d: {servers: [10.0.0.4]}}\n"
#define PLAY_LEGS_MAX 32

struct play {
    struct registry registry;
    struct snapshot *snapshot;
    struct route_worker worker;
    struct request request;
    struct slice key; /* decoded */
    char decoded[KEY_LEN_MAX];
    struct run run;
    struct frame *legs[PLAY_LEGS_MAX]; /* in the order of sending */
    size_t sent, seen;
    struct outcome answer;
    bool answered;
};

static inline void play_on_send(struct run *run, struct frame *leg)
{
    struct play *play = run->owner;
    ck_assert_uint_lt(play->sent, PLAY_LEGS_MAX);
    play->legs[play->sent++] = leg;
}

static inline void play_on_answer(struct run *run, const struct outcome *outcome)
{
    struct play *play = run->owner;
    play->answered = true;
    play->answer = *outcome;
}

static const struct run_methods play_methods = {play_on_send, play_on_answer};

static inline void play_ignore(void *context, struct server *server)
{
    (void)context;
    (void)server;
}

static inline void play_open(struct play *play, const char *route)
{
    char text[4096];
    const char *error;
    struct config_errors errors;
    memset(play, 0, sizeof *play);
    snprintf(text, sizeof text, PLAY_POOLS "route: %s\n", route);
    struct config *config = config_parse(text, strlen(text), NULL, &errors);
    ck_assert_msg(config != NULL, "%s: %s", route, errors.count > 0 ? errors.items[0].text : "?");
    config_errors_fini(&errors);
    registry_init(&play->registry, 1, play_ignore, play_ignore, NULL);
    play->snapshot = snapshot_create(&config, &play->registry, 1, &error);
    ck_assert_ptr_nonnull(play->snapshot);
    ck_assert(route_worker_init(&play->worker, play->snapshot->route, 0));
    play->worker.unix_us = UINT64_C(1800000000) * 1000000;
    play->worker.now_us = 1000000;
}

static inline void play_close(struct play *play)
{
    route_worker_fini(&play->worker);
    snapshot_destroy(&play->snapshot, &play->registry);
    registry_fini(&play->registry);
}

static inline void play_request(struct play *play, const char *line)
{
    ck_assert_int_eq(request_parse(line, strlen(line), 1 << 20, &play->request), REQUEST_READY);
    play->key = request_route_key(&play->request, play->decoded);
    play->sent = play->seen = 0;
    play->answered = false;
}

/* The name of the pool that a leg goes to. */
static inline const char *play_pool(const struct frame *leg)
{
    return leg->plan.pool->name;
}

static inline void play_expect_sent(struct play *play, const char *pool, const char *line, const char *script)
{
    ck_assert_msg(play->seen < play->sent, "nothing more was sent, but %s<%s is due: %s", pool, line, script);
    struct frame *leg = play->legs[play->seen++];
    char printed[REQUEST_CHANGED_MAX];
    size_t len = request_print_changed(&play->request, &leg->change, printed, sizeof printed);
    ck_assert_uint_ge(len, 2);
    printed[len - 2] = '\0';
    ck_assert_msg(strcmp(play_pool(leg), pool) == 0 && strcmp(printed, line) == 0, "%s<%s instead of %s<%s: %s",
                  play_pool(leg), printed, pool, line, script);
}

static inline enum outcome_kind play_kind(struct frame *leg, const char *word, bool *unsent_out)
{
    static const struct {
        const char *word;
        enum outcome_kind kind;
        bool unsent;
        uint64_t cas;
    } words[] = {
        {"done", OUTCOME_DONE, false, 0},       {"miss", OUTCOME_MISS, false, 0},
        {"refused", OUTCOME_REFUSED, false, 0}, {"invalid", OUTCOME_INVALID, false, 0},
        {"error", OUTCOME_ERROR, false, 0},     {"timeout", OUTCOME_TIMEOUT, false, 0},
        {"down", OUTCOME_DOWN, true, 0},        {"lost", OUTCOME_ERROR, true, 0},
        {"item", OUTCOME_DONE, false, 5},       {"filled", OUTCOME_DONE, false, 9},
        {"same", OUTCOME_DONE, false, 5},       {"other", OUTCOME_DONE, false, 6},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].word, word) != 0)
            continue;
        *unsent_out = words[i].unsent;
        if (words[i].cas != 0 && leg != NULL) {
            leg->has_fetched = true;
            leg->fetched = (struct fetched){.flags = 7, .expiry = 100, .cas = words[i].cas, .value_bytes = 3};
        }
        return words[i].kind;
    }
    ck_abort_msg("no such word: %s", word);
    return OUTCOME_ERROR;
}

static inline void play_end_leg(struct play *play, const char *pool, const char *word, const char *script)
{
    for (size_t i = 0; i < play->seen; i++) {
        struct frame *leg = play->legs[i];
        if (!leg->under_way || strcmp(play_pool(leg), pool) != 0)
            continue;
        bool unsent;
        enum outcome_kind kind = play_kind(leg, word, &unsent);
        run_leg_over(&play->run, leg, kind, unsent);
        return;
    }
    ck_abort_msg("no leg is under way at %s: %s", pool, script);
}

static inline void play_expect_answer(const struct play *play, const char *text, const char *script)
{
    bool unsent;
    ck_assert_msg(play->answered, "no answer yet: %s", script);
    const struct outcome *answer = &play->answer;
    if (text[0] != '\0' && text[1] == ' ') {
        ck_assert_msg(answer->leg != NULL && answer->line.len == 0 && play_pool(answer->leg)[0] == text[0],
                      "another answer: %s", script);
        ck_assert_msg(answer->kind == play_kind(NULL, text + 2, &unsent), "another outcome: %s", script);
    } else if (strcmp(text, "miss") == 0) {
        ck_assert_msg(answer->kind == OUTCOME_MISS && answer->leg == NULL && answer->line.len == 0, "no miss: %s",
                      script);
    } else {
        ck_assert_msg(answer->line.len == strlen(text) + 2 && memcmp(answer->line.data, text, strlen(text)) == 0,
                      "\"%.*s\" instead of %s: %s", (int)answer->line.len, answer->line.data, text, script);
    }
}

static inline void play_step(struct play *play, char *step, const char *script)
{
    if (step[0] == '=') {
        play_expect_answer(play, step + 1, script);
    } else if (step[0] == '-') {
        ck_assert_msg(!play->answered, "answered too early: %s", script);
    } else {
        char sign = step[1];
        step[1] = '\0';
        if (sign == '<')
            play_expect_sent(play, step, step + 2, script);
        else
            play_end_leg(play, step, step + 2, script);
    }
}

/* Plays the rest of a run that has begun. */
static inline void play_script(struct play *play, const char *script)
{
    char steps[2048];
    snprintf(steps, sizeof steps, "%s", script);
    for (char *step = steps; step != NULL;) {
        char *next = strstr(step, "; ");
        if (next != NULL) {
            *next = '\0';
            next += 2;
        }
        play_step(play, step, script);
        step = next;
    }
    ck_assert_msg(play->seen == play->sent, "%zu legs more than the script knows: %s", play->sent - play->seen, script);
    ck_assert_msg(run_is_over(&play->run), "the run is not over: %s", script);
    run_fini(&play->run);
}

/* One request through the route, from the start, by the full way. */
static inline void play_run(struct play *play, const char *line, const char *script)
{
    play_request(play, line);
    run_start(&play->run, &play_methods, play, &play->worker, &play->request, play->key, NULL);
    play_script(play, script);
}

/* The plan that a request gets by the fast way. */
static inline struct plan play_resolve(struct play *play, const char *line)
{
    struct request_traits traits;
    play_request(play, line);
    request_traits(&play->request, &traits);
    return route_plan(&play->worker, &traits, play->request.verb, play->key);
}

#endif
