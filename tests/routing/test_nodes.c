/*
 * Tests of the route's nodes as plans, without a socket: for each kind what it sends, to whom, and what it answers, whatever comes
 * of its calls. The stage and the script's words are in play.h.
 */
#include "tests/routing/play.h"
#include "tests/support/suite.h"

struct scene {
    const char *route, *line, *script;
};

#define SET "set k 0 0 1\r\n"
#define FAILOVER "{failover: {to: [a, b, c]}}"
#define REPLICATE(write) "{replicate: {to: [a, b, c], write: " write "}}"
#define WARM "{warm: {cold: a, warm: b}}"
#define FETCH_K "b<mg k t f v c"

static const struct scene scenes[] = {
    /* prefix */
    {"{prefix: {x: a, xy: b, '*': c}}", "get xyz\r\n", "b<get xyz; b>done; =b done"},
    {"{prefix: {x: a, xy: b, '*': c}}", "get xz\r\n", "a<get xz; a>miss; =a miss"},
    {"{prefix: {x: a, xy: b, '*': c}}", "get y\r\n", "c<get y; c>error; =c error"},
    {"{prefix: {x: a}}", "get y\r\n", "=SERVER_ERROR route prefix: no prefix matches the key"},
    {"{prefix: {x: a, y: {prefix: {yy: b}}}}", "get y\r\n",
     "=SERVER_ERROR route prefix[y].prefix: no prefix matches the key"},
    /* command */
    {"{command: {get: a, read: b, '*': c}}", "get k\r\n", "a<get k; a>done; =a done"},
    {"{command: {get: a, read: b, '*': c}}", "gets k\r\n", "b<gets k; b>done; =b done"},
    {"{command: {get: a, read: b, '*': c}}", SET, "c<set k 0 0 1; c>done; =c done"},
    {"{command: {get: a}}", SET, "=SERVER_ERROR route command: no target for this command"},
    /* error, miss */
    {"{error: closed for repairs}", "get k\r\n", "=SERVER_ERROR closed for repairs"},
    {"miss", "get k\r\n", "=miss"},
    /* failover */
    {FAILOVER, "get k\r\n", "a<get k; -; a>done; =a done"},
    {FAILOVER, "get k\r\n", "a<get k; a>miss; =a miss"},
    {FAILOVER, "get k\r\n", "a<get k; a>down; b<get k; -; b>miss; =b miss"},
    {FAILOVER, "get k\r\n", "a<get k; a>timeout; b<get k; b>error; c<get k; c>done; =c done"},
    {FAILOVER, "get k\r\n",
     "a<get k; a>down; b<get k; b>down; c<get k; c>timeout; =SERVER_ERROR route failover: all 3 targets failed"},
    {FAILOVER, SET, "a<set k 0 0 1; a>timeout; b<set k 0 10 1; b>down; c<set k 0 10 1; c>done; =c done"},
    {FAILOVER, "set k 0 5 1\r\n", "a<set k 0 5 1; a>down; b<set k 0 5 1; b>done; =b done"},
    {FAILOVER, "set k 0 -1 1\r\n", "a<set k 0 -1 1; a>down; b<set k 0 -1 1; b>done; =b done"},
    {FAILOVER, "set k 0 1800000005 1\r\n", "a<set k 0 1800000005 1; a>down; b<set k 0 1800000005 1; b>done; =b done"},
    {FAILOVER, "set k 0 1800009999 1\r\n", "a<set k 0 1800009999 1; a>down; b<set k 0 10 1; b>done; =b done"},
    {FAILOVER, "delete k\r\n", "a<delete k; a>down; b<delete k; b>miss; =b miss"},
    {FAILOVER, "incr k 1\r\n", "a<incr k 1; a>timeout; =a timeout"},
    {FAILOVER, "incr k 1\r\n", "a<incr k 1; a>down; b<incr k 1; b>miss; =b miss"},
    {FAILOVER, "append k 0 0 1\r\n", "a<append k 0 0 1; a>error; =a error"},
    {FAILOVER, "append k 0 0 1\r\n", "a<append k 0 0 1; a>lost; b<append k 0 0 1; b>done; =b done"},
    {FAILOVER, "get k\r\n", "a<get k; a>invalid; =a invalid"},
    {FAILOVER, "ms k 1 T500\r\n", "a<ms k 1 T500; a>down; b<ms k 1 T10; b>done; =b done"},
    {FAILOVER, "ms k 1\r\n", "a<ms k 1; a>down; b<ms k 1 T10; b>done; =b done"},
    {"{failover: {to: [a, b], on: [miss]}}", "get k\r\n", "a<get k; a>miss; b<get k; b>done; =b done"},
    {"{failover: {to: [a, b], on: [miss]}}", "get k\r\n", "a<get k; a>miss; b<get k; b>miss; =b miss"},
    {"{failover: {to: [a, b], on: [miss]}}", "get k\r\n", "a<get k; a>down; =a down"},
    {"{failover: {to: [a, b], on: [down]}}", "get k\r\n", "a<get k; a>timeout; =a timeout"},
    /* replicate: reads */
    {"{replicate: {to: [a, b, c]}}", "get k\r\n", "a<get k; a>miss; =a miss"},
    {"{replicate: {to: [a, b, c]}}", "get k\r\n", "a<get k; a>down; b<get k; b>timeout; c<get k; c>done; =c done"},
    {"{replicate: {to: [a, b]}}", "get k\r\n", "a<get k; a>down; b<get k; b>error; =b error"},
    {"{replicate: {to: [a, b]}}", "gets k\r\n", "a<gets k; a>down; =a down"},
    /* replicate: plain writes */
    {REPLICATE("all"), SET, "a<set k 0 0 1; b<set k 0 0 1; c<set k 0 0 1; a>done; -; c>done; -; b>done; =a done"},
    {REPLICATE("all"), SET, "a<set k 0 0 1; b<set k 0 0 1; c<set k 0 0 1; b>down; -; a>done; c>done; =b down"},
    {REPLICATE("all"), "delete k\r\n", "a<delete k; b<delete k; c<delete k; a>miss; b>done; c>miss; =b done"},
    {REPLICATE("all"), "delete k\r\n", "a<delete k; b<delete k; c<delete k; a>done; b>error; c>done; =b error"},
    {REPLICATE("majority"), SET, "a<set k 0 0 1; b<set k 0 0 1; c<set k 0 0 1; b>down; -; a>done; -; c>done; =a done"},
    {REPLICATE("majority"), SET, "a<set k 0 0 1; b<set k 0 0 1; c<set k 0 0 1; a>done; b>done; =a done; c>timeout"},
    {REPLICATE("majority"), SET, "a<set k 0 0 1; b<set k 0 0 1; c<set k 0 0 1; a>down; -; b>error; =b error; c>done"},
    {REPLICATE("first"), SET, "a<set k 0 0 1; b<set k 0 0 1; c<set k 0 0 1; b>down; -; c>done; =c done; a>error"},
    /* the CAS number that counts is the first one's, whoever answers first */
    {REPLICATE("all"), "ms k 1 c\r\n", "a<ms k 1 c; b<ms k 1 c; c<ms k 1 c; b>done; a>done; -; c>done; =a done"},
    {REPLICATE("first"), SET, "a<set k 0 0 1; b<set k 0 0 1; c<set k 0 0 1; b>down; c>down; -; a>error; =b down"},
    {REPLICATE("async"), SET, "a<set k 0 0 1; b<set k 0 0 1; c<set k 0 0 1; b>down; c>done; -; a>done; =a done"},
    {REPLICATE("async"), SET, "a<set k 0 0 1; b<set k 0 0 1; c<set k 0 0 1; a>timeout; =a timeout; b>done; c>done"},
    /* replicate: conditional writes */
    {REPLICATE("all"), "add k 0 0 1\r\n", "a<add k 0 0 1; a>refused; =a refused"},
    {REPLICATE("all"), "add k 0 0 1\r\n",
     "a<add k 0 0 1; -; a>done; b<set k 0 0 1; c<set k 0 0 1; -; b>done; -; c>done; =a done"},
    {REPLICATE("all"), "add k 0 0 1\r\n",
     "a<add k 0 0 1; a>done; b<set k 0 0 1; c<set k 0 0 1; b>error; c>done; =b error"},
    {REPLICATE("majority"), "incr k 1\r\n", "a<incr k 1; a>done; b<incr k 1; c<incr k 1; b>down; -; c>miss; =a done"},
    {REPLICATE("first"), "touch k 5\r\n", "a<touch k 5; a>done; =a done; b<touch k 5; c<touch k 5; b>miss; c>done"},
    {REPLICATE("async"), "cas k 0 0 1 77\r\n",
     "a<cas k 0 0 1 77; a>done; =a done; b<set k 0 0 1; c<set k 0 0 1; b>done; c>down"},
    {REPLICATE("all"), "cas k 0 0 1 77\r\n", "a<cas k 0 0 1 77; a>lost; =a error"},
    {REPLICATE("all"), "incr k 1\r\n",
     "a<incr k 1; a>down; b<incr k 1; b>done; a<incr k 1; c<incr k 1; a>down; c>done; =a down"},
    {REPLICATE("all"), "incr k 1\r\n", "a<incr k 1; a>timeout; =a timeout"},
    {REPLICATE("all"), "ma k C5\r\n", "a<ma k C5; a>done; b<delete k; c<delete k; b>done; c>miss; =a done"},
    {REPLICATE("all"), "ms k 1 MA\r\n", "a<ms k 1 MA; a>done; b<ms k 1 MA; c<ms k 1 MA; b>done; c>done; =a done"},
    {REPLICATE("all"), "ms k 1 C5 F3\r\n", "a<ms k 1 C5 F3; a>done; b<ms k 1 F3; c<ms k 1 F3; b>done; c>done; =a done"},
    /* warm */
    {WARM, "get k\r\n", "a<get k; a>done; =a done"},
    {WARM, "get k\r\n", "a<get k; a>error; =a error"},
    {WARM, "get k\r\n", "a<get k; a>miss; " FETCH_K "; -; b>miss; =a miss"},
    {WARM, "get k\r\n", "a<get k; a>miss; " FETCH_K "; b>down; =a miss"},
    {WARM, "get k\r\n",
     "a<get k; a>miss; " FETCH_K "; b>item; a<ms k 3 F7 T100 ME c; a<get k; -; a>filled; b<mg k c; a>done; =a done; "
     "b>same"},
    {WARM, "get k\r\n",
     "a<get k; a>miss; " FETCH_K "; b>item; a<ms k 3 F7 T100 ME c; a<get k; a>filled; a>done; =a done; b<mg k c; "
     "b>miss; a<md k C9; a>done"},
    {WARM, "get k\r\n",
     "a<get k; a>miss; " FETCH_K "; b>item; a<ms k 3 F7 T100 ME c; a<get k; a>filled; a>done; b<mg k c; b>other; "
     "a<md k C9; a>refused; =a done"},
    {WARM, "get k\r\n",
     "a<get k; a>miss; " FETCH_K "; b>item; a<ms k 3 F7 T100 ME c; a<get k; a>refused; a>done; =a done"},
    {"{warm: {cold: a, warm: b, expiry: 60s}}", "get k\r\n",
     "a<get k; a>miss; " FETCH_K
     "; b>item; a<ms k 3 F7 T60 ME c; a<get k; a>filled; a>done; b<mg k c; b>same; =a done"},
    {WARM, SET, "b<delete k; -; b>done; a<set k 0 0 1; -; a>done; =a done"},
    {WARM, SET, "b<delete k; b>down; a<set k 0 0 1; a>done; =a done"},
    {WARM, "delete k\r\n", "b<delete k; b>done; a<delete k; a>miss; =b done"},
    {WARM, "delete k\r\n", "b<delete k; b>miss; a<delete k; a>done; =a done"},
    {WARM, "delete k\r\n", "b<delete k; b>done; a<delete k; a>timeout; =a timeout"},
    {WARM, "add k 0 0 1\r\n",
     FETCH_K "; b>item; a<ms k 3 F7 T100 ME c; a<add k 0 0 1; a>filled; a>refused; =a refused"},
    {WARM, "add k 0 0 1\r\n", FETCH_K "; b>miss; a<add k 0 0 1; a>done; =a done; b<delete k; b>miss"},
    {WARM, "incr k 1\r\n", "a<incr k 1; a>done; =a done; b<delete k; b>done"},
    {WARM, "incr k 1\r\n",
     "a<incr k 1; a>miss; " FETCH_K
     "; b>item; a<ms k 3 F7 T100 ME c; a<incr k 1; a>filled; a>done; =a done; b<delete k; "
     "b>done"},
    {WARM, "touch k 9\r\n", "a<touch k 9; a>done; =a done"},
    /* migrate: 1 800 000 000 is 2027-01-15 */
    {"{migrate: {from: a, to: b, start: 2030-01-01, over: 1h}}", SET, "a<set k 0 0 1; a>done; =a done"},
    {"{migrate: {from: a, to: b, start: 2020-01-01, over: 1h}}", SET, "b<set k 0 0 1; b>done; =b done"},
    {"{migrate: {from: a, to: b, start: 2020-01-01, over: 1h, hold: 0%}}", SET,
     "a<set k 0 0 1; b<delete k; a>done; -; b>miss; =a done"},
    {"{migrate: {from: a, to: b, start: 2020-01-01, over: 1h, hold: 0%}}", SET,
     "a<set k 0 0 1; b<delete k; b>down; -; a>done; =a done"},
    {"{migrate: {from: a, to: b, start: 2020-01-01, over: 1h, hold: 0%}}", SET,
     "a<set k 0 0 1; b<delete k; b>done; a>error; =a error"},
    {"{migrate: {from: a, to: b, start: 2020-01-01, over: 1h, hold: 0%}}", "delete k\r\n",
     "a<delete k; b<delete k; a>miss; b>done; =b done"},
    {"{migrate: {from: a, to: b, start: 2020-01-01, over: 1h, hold: 0%}}", "delete k\r\n",
     "a<delete k; b<delete k; b>done; a>timeout; =a timeout"},
    {"{migrate: {from: a, to: b, start: 2020-01-01, over: 1h, hold: 0%}}", "get k\r\n", "a<get k; a>miss; =a miss"},
    /* shadow */
    {"{shadow: {to: a, copy: b, sample: 100%}}", "get k\r\n", "a<get k; b<get k; b>down; -; a>done; =a done"},
    {"{shadow: {to: a, copy: b, sample: 100%}}", SET, "a<set k 0 0 1; b<set k 0 0 1; a>error; =a error; b>done"},
    {"{shadow: {to: a, copy: b, sample: 0%}}", "get k\r\n", "a<get k; a>done; =a done"},
    /* rewrite */
    {"{rewrite: {to: a, add: 'n:', strip: 'o:'}}", "get o:k\r\n", "a<get n:k; a>done; =a done"},
    {"{rewrite: {to: a, add: 'n:', strip: 'o:'}}", "set k 0 0 1\r\n", "a<set n:k 0 0 1; a>done; =a done"},
    {"{rewrite: {to: a, strip: 'o:'}}", "get k\r\n", "a<get k; a>done; =a done"},
    {"{rewrite: {to: a, strip: 'o:'}}", "get o:\r\n", "a<get o:; a>miss; =a miss"},
    {"{rewrite: {to: a, add: 'n:'}}", "mg bTEx b k v\r\n", "a<mg bjptMTE= k v b; a>done; =a done"},
    /* ttl */
    {"{ttl: {to: a, max: 60s}}", SET, "a<set k 0 60 1; a>done; =a done"},
    {"{ttl: {to: a, max: 60s}}", "set k 0 30 1\r\n", "a<set k 0 30 1; a>done; =a done"},
    {"{ttl: {to: a, max: 60s}}", "touch k 90\r\n", "a<touch k 60; a>done; =a done"},
    {"{ttl: {to: a, max: 60s}}", "gat 90 k\r\n", "a<gat 60 k; a>done; =a done"},
    {"{ttl: {to: a, max: 60s}}", "mg k T90 v\r\n", "a<mg k T60 v; a>done; =a done"},
    {"{ttl: {to: a, max: 60s}}", "mg k v\r\n", "a<mg k v; a>done; =a done"},
    {"{ttl: {to: a, max: 60s}}", "delete k\r\n", "a<delete k; a>done; =a done"},
    {"{ttl: {to: a, max: 60s}}", "append k 0 0 1\r\n", "a<append k 0 0 1; a>done; =a done"},
    /* limit */
    {"{limit: {to: a, rate: 1/s, burst: 1}}", "get k\r\n", "a<get k; a>done; =a done"},
    /* nested */
    {"{failover: {to: [{replicate: {to: [a, b]}}, c]}}", "get k\r\n",
     "a<get k; a>down; b<get k; b>down; c<get k; c>done; =c done"},
    {"{failover: {to: [{replicate: {to: [a, b]}}, c]}}", SET,
     "a<set k 0 0 1; b<set k 0 0 1; a>done; b>down; c<set k 0 10 1; c>done; =c done"},
    {"{replicate: {to: [{failover: {to: [a, b]}}, c]}}", SET,
     "a<set k 0 0 1; c<set k 0 0 1; c>done; a>down; -; b<set k 0 10 1; b>done; =b done"},
    {"{rewrite: {add: 'x:', to: {failover: {to: [a, {rewrite: {strip: 'x:', to: b}}]}}}}", "get k\r\n",
     "a<get x:k; a>down; b<get k; b>done; =b done"},
    {"{migrate: {from: a, to: {warm: {cold: b, warm: a}}, start: 2020-01-01, over: 1h, hold: 99%}}", "get k\r\n",
     "b<get k; b>miss; a<mg k t f v c; a>item; b<ms k 3 F7 T100 ME c; b<get k; b>filled; b>done; =b done; a<mg k c; "
     "a>same"},
    /* what is written at `from` is not deleted there by way of the warm node; what another pool holds is */
    {"{migrate: {from: a, to: {warm: {cold: b, warm: a}}, start: 2020-01-01, over: 1h, hold: 0%}}", SET,
     "a<set k 0 0 1; b<delete k; a>done; b>miss; =a done"},
    {"{migrate: {from: a, to: {warm: {cold: b, warm: a}}, start: 2020-01-01, over: 1h, hold: 0%}}", "incr k 1\r\n",
     "a<incr k 1; b<delete k; b>miss; a>done; =a done"},
    {"{migrate: {from: {warm: {cold: b, warm: a}}, to: a, start: 2020-01-01, over: 1h, hold: 99%}}", SET,
     "a<set k 0 0 1; b<delete k; a>done; b>miss; =a done"},
    {"{migrate: {from: a, to: {warm: {cold: b, warm: c}}, start: 2020-01-01, over: 1h, hold: 0%}}", SET,
     "a<set k 0 0 1; c<delete k; a>done; c>done; b<delete k; b>miss; =a done"},
    {"{migrate: {from: a, to: {warm: {cold: b, warm: a}}, start: 2020-01-01, over: 1h, hold: 0%}}", "delete k\r\n",
     "a<delete k; a<delete k; a>done; a>miss; b<delete k; b>miss; =a done"},
    {"{ttl: {max: 60s, to: {failover: {to: [a, b]}}}}", SET, "a<set k 0 60 1; a>down; b<set k 0 10 1; b>done; =b done"},
};

START_TEST(nodes_play_their_scenes)
{
    struct play play;
    play_open(&play, scenes[_i].route);
    play_run(&play, scenes[_i].line, scenes[_i].script);
    play_close(&play);
}
END_TEST

/* Whatever the fast way chooses, a run that takes over from there does the same. */
START_TEST(the_fast_way_agrees_with_the_full_one)
{
    struct play play;
    play_open(&play, scenes[_i].route);
    struct plan plan = play_resolve(&play, scenes[_i].line);
    if (plan.outcome == PLAN_SEND) {
        for (enum outcome_kind kind = 0; kind < OUTCOME_KINDS; kind++) {
            const struct outcome outcome = {.kind = kind, .unsent = kind == OUTCOME_DOWN};
            play_request(&play, scenes[_i].line);
            run_replay(&play.run, &play_methods, &play, &play.worker, &play.request, play.key, &plan.choices, &outcome);
            bool said_no_more =
                play.answered && play.sent == 0 && play.answer.kind == kind && play.answer.line.len == 0;
            if (!(plan.watch >> kind & 1))
                ck_assert_msg(said_no_more, "outcome %d is not watched, but not the last word: %s", kind,
                              scenes[_i].route);
            ck_assert_ptr_eq(play.run.replayed.leg->plan.pool, plan.pool);
            for (size_t i = 0; i < play.sent; i++) {
                if (play.legs[i]->under_way)
                    run_leg_over(&play.run, play.legs[i], OUTCOME_ERROR, false);
            }
            run_fini(&play.run);
        }
    }
    play_close(&play);
}
END_TEST

START_TEST(reads_by_turns)
{
    static const char *const scripts[] = {"a<get k; a>done; =a done", "b<get k; b>done; =b done",
                                          "c<get k; c>done; =c done"};
    struct play play;
    play_open(&play, "{replicate: {to: [a, b, c], read: round_robin}}");
    for (int i = 0; i < 9; i++)
        play_run(&play, "get k\r\n", scripts[i % 3]);
    play_close(&play);
}
END_TEST

START_TEST(a_budget_is_earned)
{
    struct play play;
    play_open(&play, "{failover: {to: [a, b], budget: 20%}}");
    unsigned failovers = 0;
    for (int i = 0; i < 1000; i++) {
        play_request(&play, "get k\r\n");
        run_start(&play.run, &play_methods, &play, &play.worker, &play.request, play.key, NULL);
        run_leg_over(&play.run, play.legs[0], OUTCOME_DOWN, true);
        if (play.sent == 2) {
            failovers++;
            run_leg_over(&play.run, play.legs[1], OUTCOME_DONE, false);
        }
        ck_assert(run_is_over(&play.run));
        run_fini(&play.run);
    }
    ck_assert_uint_ge(failovers, 205);
    ck_assert_uint_le(failovers, 211);
    play_close(&play);
}
END_TEST

START_TEST(a_limit_lets_its_rate_through)
{
    struct play play;
    play_open(&play, "{limit: {to: a, rate: 100/s, burst: 10}}");
    unsigned through = 0;
    for (int i = 0; i < 2000; i++) {
        struct plan plan = play_resolve(&play, "get k\r\n");
        through += plan.outcome == PLAN_SEND;
        play.worker.now_us += 1000;
    }
    ck_assert_uint_ge(through, 205);
    ck_assert_uint_le(through, 212);
    play_close(&play);
}
END_TEST

START_TEST(keys_migrate_one_by_one)
{
    struct play play;
    play_open(&play, "{migrate: {from: a, to: b, start: 2020-01-01, over: 100h}}");
    int64_t start_s = play.snapshot->config->route->start_unix_s;
    unsigned before = 0;
    bool moved[500] = {false};
    for (unsigned hour = 0; hour <= 100; hour += 10) {
        play.worker.unix_us = ((uint64_t)start_s + hour * 3600u) * 1000000u;
        unsigned count = 0;
        for (unsigned k = 0; k < 500; k++) {
            char line[32];
            snprintf(line, sizeof line, "get key:%u\r\n", k);
            struct plan plan = play_resolve(&play, line);
            ck_assert_int_eq(plan.outcome, PLAN_SEND);
            bool at_new = plan.pool->name[0] == 'b';
            ck_assert_msg(at_new || !moved[k], "a key has come back");
            moved[k] = at_new;
            count += at_new;
        }
        ck_assert_uint_ge(count, before);
        ck_assert_uint_ge(count, hour * 5 > 60 ? hour * 5 - 60 : 0);
        ck_assert_uint_le(count, hour * 5 + 60);
        before = count;
    }
    ck_assert_uint_eq(before, 500);
    play_close(&play);
}
END_TEST

int main(void)
{
    int count = (int)(sizeof scenes / sizeof scenes[0]);
    TCase *tcase = tcase_create("nodes");
    tcase_add_loop_test(tcase, nodes_play_their_scenes, 0, count);
    tcase_add_loop_test(tcase, the_fast_way_agrees_with_the_full_one, 0, count);
    tcase_add_test(tcase, reads_by_turns);
    tcase_add_test(tcase, a_budget_is_earned);
    tcase_add_test(tcase, a_limit_lets_its_rate_through);
    tcase_add_test(tcase, keys_migrate_one_by_one);
    return suite_run("nodes", tcase);
}
