/*
 * Tests of config/bind_route.c: every kind of node with every field and every default; every error with its line, its
 * column and its words; the bounds; and the words of summary and diff for a route.
 */
#include "config/bind.h"
#include "config/diff.h"
#include "config/summary.h"
#include "tests/config/support.h"

#define POOLS "pools: {main: {servers: [a]}, gutter: {servers: [b]}, third: {servers: [c]}}\n"

static struct config *parse_route(const char *route)
{
    struct text text;
    text_init(&text);
    text_appendf(&text, POOLS "route: %s\n", route);
    struct config *config = parse_good(text.data, NULL);
    text_fini(&text);
    return config;
}

/* Fails unless the node has these branches, all of them pools: name, pool, name, pool … NULL. */
static void expect_pools(const struct route_spec *spec, const char *const *expected)
{
    static const char *const pools[] = {"main", "gutter", "third"};
    for (size_t i = 0; i < spec->branch_count; i++) {
        const struct route_branch *branch = &spec->branches[i];
        ck_assert_ptr_nonnull(expected[2 * i]);
        ck_assert_str_eq(branch->name, expected[2 * i]);
        ck_assert_int_eq(branch->to->kind, ROUTE_POOL);
        ck_assert_uint_eq(branch->to->branch_count, 0);
        ck_assert_str_eq(pools[branch->to->pool], expected[2 * i + 1]);
    }
    ck_assert_ptr_null(expected[2 * spec->branch_count]);
}

/* ---- fields ---- */

/* One kind of node: the fields that it has, as numbers. */
static const struct {
    const char *route;
    struct route_spec spec;
    const char *branches[9];
} nodes[] = {
    {"third", {.kind = ROUTE_POOL, .pool = 2}, {NULL}},
    {"miss", {.kind = ROUTE_MISS}, {NULL}},
    {"{error: closed for repairs}", {.kind = ROUTE_ERROR, .text = (char *)"closed for repairs"}, {NULL}},
    {"{prefix: {\"a:\": main, \"*\": gutter, b: third}}",
     {.kind = ROUTE_PREFIX},
     {"a:", "main", "", "gutter", "b", "third", NULL}},
    {"{command: {get: main, touch: gutter, arithmetic: third, \"*\": main}}",
     {.kind = ROUTE_COMMAND},
     {"get", "main", "touch", "gutter", "arithmetic", "third", "*", "main", NULL}},
    {"{failover: {to: [main, gutter, third]}}",
     {.kind = ROUTE_FAILOVER,
      .on = ROUTE_ON_DOWN | ROUTE_ON_TIMEOUT | ROUTE_ON_ERROR,
      .expiry_ms = 10000,
      .budget_percent = 100},
     {"to", "main", "to", "gutter", "to", "third", NULL}},
    {"{failover: {budget: 20%, expiry: 0s, on: [miss, down], to: [gutter, main]}}",
     {.kind = ROUTE_FAILOVER, .on = ROUTE_ON_DOWN | ROUTE_ON_MISS, .expiry_ms = 0, .budget_percent = 20},
     {"to", "gutter", "to", "main", NULL}},
    {"{replicate: {to: [main]}}",
     {.kind = ROUTE_REPLICATE, .write = ROUTE_WRITE_ALL, .read = ROUTE_READ_FIRST},
     {"to", "main", NULL}},
    {"{replicate: {to: [main, gutter], write: majority, read: round_robin}}",
     {.kind = ROUTE_REPLICATE, .write = ROUTE_WRITE_MAJORITY, .read = ROUTE_READ_ROUND_ROBIN},
     {"to", "main", "to", "gutter", NULL}},
    {"{replicate: {to: [main], write: first, read: least_connections}}",
     {.kind = ROUTE_REPLICATE, .write = ROUTE_WRITE_FIRST, .read = ROUTE_READ_LEAST_CONNECTIONS},
     {"to", "main", NULL}},
    {"{replicate: {to: [main], write: async, read: fastest}}",
     {.kind = ROUTE_REPLICATE, .write = ROUTE_WRITE_ASYNC, .read = ROUTE_READ_FASTEST},
     {"to", "main", NULL}},
    {"{warm: {warm: main, cold: gutter}}", {.kind = ROUTE_WARM}, {"cold", "gutter", "warm", "main", NULL}},
    {"{warm: {cold: main, warm: gutter, expiry: 1h}}",
     {.kind = ROUTE_WARM, .expiry_ms = 3600000},
     {"cold", "main", "warm", "gutter", NULL}},
    {"{migrate: {over: 90m, start: 2026-11-21T10:00:00Z, to: main, from: gutter}}",
     {.kind = ROUTE_MIGRATE, .start_unix_s = 1795255200, .over_ms = 5400000, .hold_percent = 100},
     {"from", "gutter", "to", "main", NULL}},
    {"{migrate: {from: main, to: gutter, start: 2026-11-21, over: 1ms, hold: 0%}}",
     {.kind = ROUTE_MIGRATE, .start_unix_s = 1795219200, .over_ms = 1, .hold_percent = 0},
     {"from", "main", "to", "gutter", NULL}},
    {"{shadow: {copy: main, to: gutter}}",
     {.kind = ROUTE_SHADOW, .sample_percent = 100},
     {"to", "gutter", "copy", "main", NULL}},
    {"{shadow: {to: main, copy: gutter, sample: 3%}}",
     {.kind = ROUTE_SHADOW, .sample_percent = 3},
     {"to", "main", "copy", "gutter", NULL}},
    {"{limit: {to: main, rate: 1000/s}}",
     {.kind = ROUTE_LIMIT, .rate_per_s = 1000, .burst = 100},
     {"to", "main", NULL}},
    {"{limit: {to: main, rate: 9/s}}", {.kind = ROUTE_LIMIT, .rate_per_s = 9, .burst = 1}, {"to", "main", NULL}},
    {"{limit: {to: main, rate: 1/s, burst: 7}}",
     {.kind = ROUTE_LIMIT, .rate_per_s = 1, .burst = 7},
     {"to", "main", NULL}},
    {"{rewrite: {to: main, add: \"p:\"}}", {.kind = ROUTE_REWRITE, .add = (char *)"p:"}, {"to", "main", NULL}},
    {"{rewrite: {to: main, add: \"p:\", strip: é}}",
     {.kind = ROUTE_REWRITE, .add = (char *)"p:", .strip = (char *)"é"},
     {"to", "main", NULL}},
    {"{ttl: {to: main, max: 1h}}", {.kind = ROUTE_TTL, .max_ms = 3600000}, {"to", "main", NULL}},
    {"{ttl: {to: main, jitter: 10%}}", {.kind = ROUTE_TTL, .jitter_percent = 10}, {"to", "main", NULL}},
};

static void expect_text(const char *found, const char *expected)
{
    ck_assert((found == NULL) == (expected == NULL));
    if (expected != NULL)
        ck_assert_str_eq(found, expected);
}

START_TEST(every_field_arrives)
{
    struct config *config = parse_route(nodes[_i].route);
    const struct route_spec *found = config->route, *due = &nodes[_i].spec;
    ck_assert_int_eq(found->kind, due->kind);
    ck_assert_int_eq(found->line, 2);
    ck_assert_int_eq(found->column, 8);
    ck_assert_uint_eq(found->pool, due->pool);
    ck_assert_uint_eq(found->on, due->on);
    ck_assert_uint_eq(found->expiry_ms, due->expiry_ms);
    ck_assert_uint_eq(found->budget_percent, due->budget_percent);
    ck_assert_int_eq(found->write, due->write);
    ck_assert_int_eq(found->read, due->read);
    ck_assert_int_eq(found->start_unix_s, due->start_unix_s);
    ck_assert_uint_eq(found->over_ms, due->over_ms);
    ck_assert_uint_eq(found->hold_percent, due->hold_percent);
    ck_assert_uint_eq(found->sample_percent, due->sample_percent);
    ck_assert_uint_eq(found->rate_per_s, due->rate_per_s);
    ck_assert_uint_eq(found->burst, due->burst);
    ck_assert_uint_eq(found->max_ms, due->max_ms);
    ck_assert_uint_eq(found->jitter_percent, due->jitter_percent);
    expect_text(found->add, due->add);
    expect_text(found->strip, due->strip);
    expect_text(found->text, due->text);
    expect_pools(found, nodes[_i].branches);
    config_destroy(&config);
}
END_TEST

/* A pool's name goes before the word. */
START_TEST(a_pool_may_be_called_miss)
{
    struct config *config = parse_good("pools: {a: {servers: [a]}, miss: {servers: [b]}}\nroute: miss\n", NULL);
    ck_assert_int_eq(config->route->kind, ROUTE_POOL);
    ck_assert_uint_eq(config->route->pool, 1);
    config_destroy(&config);
}
END_TEST

START_TEST(the_only_pool_needs_no_route)
{
    struct config *config = parse_good("pools: {a: {servers: [a]}}\n", NULL);
    ck_assert_int_eq(config->route->kind, ROUTE_POOL);
    ck_assert_uint_eq(config->route->pool, 0);
    config_destroy(&config);
}
END_TEST

START_TEST(nodes_nest)
{
    struct config *config = parse_route("{prefix: {\"a:\": {failover: {to: [{rewrite: {to: main, add: x}}, miss]}}}}");
    const struct route_spec *failover = config->route->branches[0].to;
    ck_assert_int_eq(failover->kind, ROUTE_FAILOVER);
    ck_assert_int_eq(failover->column, 24);
    ck_assert_int_eq(failover->branches[0].to->kind, ROUTE_REWRITE);
    ck_assert_int_eq(failover->branches[0].to->branches[0].to->kind, ROUTE_POOL);
    ck_assert_int_eq(failover->branches[1].to->kind, ROUTE_MISS);
    config_destroy(&config);
}
END_TEST

/* ---- errors ---- */

#define ADVICE "write a pool's name, or a node such as `{failover: {to: [main, gutter]}}`"
#define TIME_ADVICE "; write a time such as `2026-11-21T10:00:00Z`"

/* The route stands on line 2 from column 8 on. */
static const struct {
    const char *route;
    const char *errors;
} bad[] = {
    {"mian", "2:8: `route`: no pool is named `mian`; did you mean `main`?\n"},
    {"elsewhere", "2:8: `route`: no pool is named `elsewhere`\n"},
    {"[main]", "2:8: `route`: found a list; " ADVICE "\n"},
    {"~", "2:8: `route`: found nothing; " ADVICE "\n"},
    {"{}", "2:8: `route`: found a mapping with 0 keys; a node has one, its kind\n"},
    {"{prefix: {\"*\": main}, command: {\"*\": main}}",
     "2:8: `route`: found a mapping with 2 keys; a node has one, its kind\n"},
    {"failover",
     "2:8: `route`: `failover` is a node; write `failover:` and a mapping such as `{to: [main, gutter]}`\n"},
    {"error", "2:8: `route`: `error` is a node; write `error:` and a text such as `\"closed for repairs\"`\n"},
    {"{failovr: {to: [main]}}", "2:9: unknown route node `failovr`; did you mean `failover`?\n"},
    {"{pool: main}",
     "2:9: unknown route node `pool`; the nodes are `prefix`, `command`, `failover`, `replicate`, `warm`, `migrate`, "
     "`shadow`, `limit`, `rewrite`, `ttl`, `error`, `miss`\n"},
    {"{miss: {}}", "2:9: `miss` is a word alone; write `miss` without a colon\n"},
    /* What stands behind the kind. */
    {"{prefix: main}",
     "2:17: `prefix`: found `main`; write a mapping such as `{\"session:\": sessions, \"*\": main}`\n"},
    {"{command: [main]}", "2:18: `command`: found a list; write a mapping such as `{read: replica, \"*\": main}`\n"},
    {"{failover: [main, gutter]}", "2:19: `failover`: found a list; write a mapping such as `{to: [main, gutter]}`\n"},
    {"{replicate: }", "2:20: `replicate`: found nothing; write a mapping such as `{to: [a, b]}`\n"},
    {"{warm: main}", "2:15: `warm`: found `main`; write a mapping such as `{cold: new, warm: old}`\n"},
    {"{migrate: 1}",
     "2:18: `migrate`: found `1`; write a mapping such as `{from: old, to: new, start: 2026-11-21T10:00:00Z, over: "
     "1h}`\n"},
    {"{shadow: []}", "2:17: `shadow`: found a list; write a mapping such as `{to: main, copy: test, sample: 10%}`\n"},
    {"{limit: 5/s}", "2:16: `limit`: found `5/s`; write a mapping such as `{to: main, rate: 1000/s}`\n"},
    {"{rewrite: x}", "2:18: `rewrite`: found `x`; write a mapping such as `{to: main, add: \"p:\"}`\n"},
    {"{ttl: 1h}", "2:14: `ttl`: found `1h`; write a mapping such as `{to: main, max: 1h}`\n"},
    {"{error: }", "2:16: `error`: found nothing; write a text such as `\"closed for repairs\"`\n"},
    {"{error: {a: b}}", "2:16: `error`: found a mapping; write a text such as `\"closed for repairs\"`\n"},
    /* What is missing. */
    {"{failover: {}}", "2:9: `failover` has no `to`\n"},
    {"{replicate: {}}", "2:9: `replicate` has no `to`\n"},
    {"{warm: {expiry: 1s}}", "2:9: `warm` has no `cold`\n2:9: `warm` has no `warm`\n"},
    {"{migrate: {}}", "2:9: `migrate` has no `from`\n2:9: `migrate` has no `over`\n2:9: `migrate` has no `start`\n"
                      "2:9: `migrate` has no `to`\n"},
    {"{shadow: {}}", "2:9: `shadow` has no `copy`\n2:9: `shadow` has no `to`\n"},
    {"{limit: {burst: 1}}", "2:9: `limit` has no `rate`\n2:9: `limit` has no `to`\n"},
    {"{rewrite: {to: main}}", "2:9: `rewrite` has neither `add` nor `strip`\n"},
    {"{ttl: {to: main}}", "2:9: `ttl` has neither `max` nor `jitter`\n"},
    {"{rewrite: {add: x}}", "2:9: `rewrite` has no `to`\n"},
    {"{ttl: {max: 1s}}", "2:9: `ttl` has no `to`\n"},
    /* Unknown keys. */
    {"{failover: {to: [main], onn: [down], retries: 2}}",
     "2:32: unknown key `onn`; did you mean `on`?\n"
     "2:45: unknown key `retries`; the keys of `failover` are `to`, `on`, `expiry`, `budget`\n"},
    {"{replicate: {to: [main], reads: first, x: 1}}",
     "2:33: unknown key `reads`; did you mean `read`?\n"
     "2:47: unknown key `x`; the keys of `replicate` are `to`, `write`, `read`\n"},
    {"{migrate: {from: main, to: main, start: 2026-11-21, over: 1h, holt: 1%}}",
     "2:70: unknown key `holt`; did you mean `hold`?\n"},
    /* Targets. */
    {"{failover: {to: main}}", "2:24: `to`: found `main`; write a list of routes such as `[main, gutter]`\n"},
    {"{replicate: {to: {a: main}}}", "2:25: `to`: found a mapping; write a list of routes such as `[a, b]`\n"},
    {"{failover: {to: []}}", "2:24: `to`: found an empty list; write at least one route\n"},
    {"{failover: {to: [main, gutta, [third]]}}",
     "2:31: `route`: no pool is named `gutta`; did you mean `gutter`?\n2:38: `route`: found a list; " ADVICE "\n"},
    {"{warm: {cold: [main], warm: }}",
     "2:22: `route`: found a list; " ADVICE "\n2:36: `route`: found nothing; " ADVICE "\n"},
    {"{shadow: {to: man, copy: {failover: {}}}}",
     "2:22: `route`: no pool is named `man`; did you mean `main`?\n2:34: `failover` has no `to`\n"},
    /* Values. */
    {"{failover: {to: [main], on: down}}",
     "2:36: `on`: found `down`; write a list of `down`, `timeout`, `error` or `miss`\n"},
    {"{failover: {to: [main], on: []}}",
     "2:36: `on`: found an empty list; write a list of `down`, `timeout`, `error` or `miss`\n"},
    {"{failover: {to: [main], on: }}",
     "2:36: `on`: found nothing; write a list of `down`, `timeout`, `error` or `miss`\n"},
    {"{failover: {to: [main], on: [down, slow, down, [miss]]}}",
     "2:43: `on`: found `slow`; write `down`, `timeout`, `error` or `miss`\n"
     "2:49: `on`: `down` stands twice\n"
     "2:55: `on`: found a list; write `down`, `timeout`, `error` or `miss`\n"},
    {"{failover: {to: [main], expiry: 10, budget: 0%}}",
     "2:40: `expiry`: `10` has no unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "2:52: `budget`: `0%` is out of range; write a share from 1% to 100%\n"},
    {"{failover: {to: [main], expiry: 1500ms}}", "2:40: `expiry`: `1500ms` is not a whole multiple of 1s\n"},
    {"{failover: {to: [main], expiry: 721h, budget: 5}}",
     "2:40: `expiry`: `721h` is out of range; write a duration from 0s to 720h\n"
     "2:54: `budget`: `5` has no unit; write a share from `0%` to `100%`\n"},
    {"{replicate: {to: [main], write: some, read: [first]}}",
     "2:40: `write`: found `some`; write `all`, `majority`, `first` or `async`\n"
     "2:52: `read`: found a list; write `first`, `round_robin`, `least_connections` or `fastest`\n"},
    {"{migrate: {from: main, to: main, start: soon, over: 0s}}",
     "2:48: `start`: `soon` is not a time" TIME_ADVICE "\n"
     "2:60: `over`: `0s` is out of range; write a duration from 1ms to 1000h\n"},
    {"{migrate: {from: main, to: main, start: \"2026-11-21T10:00:00\", over: 1001h, hold: 101%}}",
     "2:48: `start`: `2026-11-21T10:00:00` has no time zone" TIME_ADVICE "\n"
     "2:77: `over`: `1001h` is out of range; write a duration from 1ms to 1000h\n"
     "2:90: `hold`: `101%` is more than the whole; write a share from `0%` to `100%`\n"},
    {"{migrate: {from: main, to: main, start: [1], over: 1h}}",
     "2:48: `start`: found a list; write a time such as `2026-11-21T10:00:00Z`\n"},
    {"{shadow: {to: main, copy: main, sample: 0.1}}",
     "2:48: `sample`: `0.1` is not a whole number with a unit; write a share from `0%` to `100%`\n"},
    {"{limit: {to: main, rate: 1000, burst: 0}}",
     "2:33: `rate`: `1000` has no unit; write a rate such as `1000/s`\n"
     "2:46: `burst`: `0` is out of range; write a number from 1 to 10000000\n"},
    {"{limit: {to: main, rate: 1000/m, burst: x}}",
     "2:33: `rate`: `1000/m` has an unknown unit; write a rate such as `1000/s`\n"
     "2:48: `burst`: found `x`; write a number from 1 to 10000000\n"},
    {"{limit: {to: main, rate: fast}}",
     "2:33: `rate`: `fast` does not start with a number; write a rate such as `1000/s`\n"},
    {"{limit: {to: main, rate: 0/s}}", "2:33: `rate`: `0/s` is out of range; write a rate from 1/s to 10000000/s\n"},
    {"{limit: {to: main, rate: 99999999999999999999/s}}",
     "2:33: `rate`: `99999999999999999999/s` is too large; write a rate such as `1000/s`\n"},
    {"{limit: {to: main, rate: [1]}}", "2:33: `rate`: found a list; write a rate from 1/s to 10000000/s\n"},
    {"{rewrite: {to: main, add: \"\", strip: \"a b\"}}",
     "2:34: `add`: `` is empty\n2:45: `strip`: `a b` has a space or a control character in it, as no key has\n"},
    {"{rewrite: {to: main, add: [x]}}", "2:34: `add`: found a list; write a prefix such as `\"p:\"`\n"},
    {"{ttl: {to: main, max: 1ms, jitter: lots}}",
     "2:30: `max`: `1ms` is not a whole multiple of 1s\n"
     "2:43: `jitter`: `lots` does not start with a number; write a share from `0%` to `100%`\n"},
    {"{error: \"\"}", "2:16: `error`: `` is empty\n"},
    {"{error: \"a\\r\\nVALUE\"}", "2:16: `error`: `a\\x0d\\x0aVALUE` has a control character in it\n"},
    /* Cases. */
    {"{prefix: {}}",
     "2:17: `prefix`: found an empty mapping; write a mapping such as `{\"session:\": sessions, \"*\": main}`\n"},
    {"{command: {}}",
     "2:18: `command`: found an empty mapping; write a mapping such as `{read: replica, \"*\": main}`\n"},
    {"{prefix: {\"\": main, \"a*\": main, \"a b\": main, \"x\": [main]}}",
     "2:18: `prefix`: `` is empty; write `\"*\"` for what no prefix matches\n"
     "2:28: `prefix`: `a*` ends with `*`; write the prefix alone\n"
     "2:40: `prefix`: `a b` has a space or a control character in it, as no key has\n"
     "2:58: `route`: found a list; " ADVICE "\n"},
    {"{prefix: {a: main, b: main, a: gutter}}", "2:36: duplicate key `a`; the first is at line 2, column 18\n"},
    {"{command: {gett: main, rad: main, frobnicate: main}}",
     "2:19: `command`: no command or group is named `gett`; did you mean `get`?\n"
     "2:31: `command`: no command or group is named `rad`; did you mean `read`?\n"
     "2:42: `command`: no command or group is named `frobnicate`; the groups are `read`, `write`, `arithmetic`, "
     "`touch`, and `\"*\"` is all others\n"},
    {"{command: {flush_all: main, stats: main, mn: main}}",
     "2:19: `command`: `flush_all` has no key, and does not go through the route\n"
     "2:36: `command`: `stats` has no key, and does not go through the route\n"
     "2:49: `command`: `mn` has no key, and does not go through the route\n"},
};

/* The errors of a route. */
static void expect_route_errors(const char *route, const char *expected)
{
    struct text text;
    struct config_errors errors;
    text_init(&text);
    text_appendf(&text, POOLS "route: %s\n", route);
    struct config *config = config_parse(text.data, text.len, NULL, &errors);
    ck_assert_msg(config == NULL, "%s: passed", route);
    expect_errors(&errors, expected);
    text_fini(&text);
}

START_TEST(every_error_is_told)
{
    expect_route_errors(bad[_i].route, bad[_i].errors);
}
END_TEST

START_TEST(nothing_is_warmed_from_a_pool_that_speaks_binary)
{
    static const char text[] = "pools: {text: {servers: [a]}, old: {servers: [b], protocol: binary}}\n"
                               "route: {prefix: {a: {warm: {cold: old, warm: text}}, '*':\n"
                               "  {warm: {cold: text, warm: {failover: {to: [text, old]}}}}}}\n";
    struct config_errors errors;
    struct config *config = config_parse(text, sizeof text - 1, NULL, &errors);
    ck_assert_ptr_null(config);
    expect_errors(&errors, "3:52: `warm`: pool `old` speaks binary, which does not tell how long an item lives; write "
                           "`protocol: text` there\n");
}
END_TEST

/* ---- bounds ---- */

/* `levels` nodes on top of each other, a pool among them. */
static struct text tower(int levels)
{
    struct text text;
    text_init(&text);
    for (int i = 1; i < levels; i++)
        text_append_string(&text, "{failover: {to: [");
    text_append_string(&text, "main");
    for (int i = 1; i < levels; i++)
        text_append_string(&text, "]}}");
    return text;
}

START_TEST(depth_is_bounded)
{
    struct text good = tower(ROUTE_DEPTH_MAX), high = tower(ROUTE_DEPTH_MAX + 1);
    struct config *config = parse_route(good.data);
    config_destroy(&config);
    expect_route_errors(high.data, "2:280: `route`: more than 16 nodes on top of each other\n");
    text_fini(&good);
    text_fini(&high);
}
END_TEST

static struct text wide_prefix(int count)
{
    struct text text;
    text_init(&text);
    text_append_string(&text, "{prefix: {");
    for (int i = 0; i < count; i++)
        text_appendf(&text, "%sp%d: main", i == 0 ? "" : ", ", i);
    text_append_string(&text, "}}");
    return text;
}

static struct text wide_failover(int count)
{
    struct text text;
    text_init(&text);
    text_append_string(&text, "{failover: {to: [");
    for (int i = 0; i < count; i++)
        text_append_string(&text, i == 0 ? "main" : ", main");
    text_append_string(&text, "]}}");
    return text;
}

START_TEST(branches_are_bounded)
{
    struct text good = wide_prefix(ROUTE_BRANCHES_MAX), many = wide_prefix(ROUTE_BRANCHES_MAX + 1);
    struct text list = wide_failover(ROUTE_BRANCHES_MAX + 1);
    struct config *config = parse_route(good.data);
    ck_assert_uint_eq(config->route->branch_count, ROUTE_BRANCHES_MAX);
    config_destroy(&config);
    expect_route_errors(many.data, "2:17: `prefix` has 65 routes; a node has at most 64\n");
    expect_route_errors(list.data, "2:24: `to` has 65 routes; a node has at most 64\n");
    text_fini(&good);
    text_fini(&many);
    text_fini(&list);
}
END_TEST

/* Aliases make much of little. */
START_TEST(nodes_are_bounded)
{
    const char *route =
        "{failover: {to: [&a {failover: {to: [&b {failover: {to: [&c {failover: {to: [main, main, main, "
        "main, main, main, main, main]}}, *c, *c, *c, *c, *c, *c, *c]}}, *b, *b, *b, *b, *b, *b, "
        "*b]}}, *a, *a, *a, *a, *a, *a, *a]}}";
    struct text text;
    struct config_errors errors;
    text_init(&text);
    text_appendf(&text, POOLS "route: %s\n", route);
    ck_assert_ptr_null(config_parse(text.data, text.len, NULL, &errors));
    ck_assert_uint_eq(errors.count, 1);
    ck_assert_str_eq(errors.items[0].text, "`route`: more than 4096 nodes in all");
    config_errors_fini(&errors);
    text_fini(&text);
}
END_TEST

/* ---- words ---- */

START_TEST(the_summary_draws_the_tree)
{
    struct config *config = parse_route(
        "{prefix: {\"a:\": {failover: {to: [main, {error: gone}], on: [down]}}, \"b:\": {migrate: {from: main, "
        "to: {limit: {to: main, rate: 50/s}}, start: 2026-11-21, over: 1h}}, \"*\": {rewrite: {to: miss, add: "
        "x}}}}");
    struct text text;
    text_init(&text);
    config_summary(config, &text);
    ck_assert_str_eq(strstr(text.data, "\nroute"),
                     "\nroute\n"
                     "  prefix\n"
                     "    \"a:\": failover: on [down], expiry 10s, budget 100%\n"
                     "      to: pool main\n"
                     "      to: error: gone\n"
                     "    \"b:\": migrate: start 2026-11-21T00:00:00Z, over 1h, hold 100%\n"
                     "      from: pool main\n"
                     "      to: limit: rate 50/s, burst 5\n"
                     "        to: pool main\n"
                     "    \"*\": rewrite: add x, strip none\n"
                     "      to: miss\n"
                     "warning: no request reaches pool gutter: the route does not name it\n"
                     "warning: no request reaches pool third: the route does not name it\n");
    text_fini(&text);
    config_destroy(&config);
}
END_TEST

static const struct {
    const char *old, *new, *change;
} changes[] = {
    {"main", "main", "no change"},
    {"main", "gutter", "route main -> gutter"},
    {"main", "miss", "route main -> miss"},
    {"main", "{failover: {to: [main, gutter]}}", "route main -> failover"},
    {"{failover: {to: [main, gutter]}}", "{failover: {to: [main, gutter], on: [down, error, timeout], expiry: 10s}}",
     "no change"},
    {"{failover: {to: [main, gutter]}}", "{failover: {to: [main, third], on: [down], expiry: 1m, budget: 5%}}",
     "route failover.on [down, timeout, error] -> [down]; route failover.expiry 10s -> 1m; "
     "route failover.budget 100% -> 5%; route failover.to[1] gutter -> third"},
    {"{failover: {to: [main]}}", "{failover: {to: [main, gutter]}}", "route failover.to[1] added: gutter"},
    {"{replicate: {to: [main, gutter]}}", "{replicate: {to: [main], read: fastest}}",
     "route replicate.read first -> fastest; route replicate.to[1] removed: gutter"},
    {"{prefix: {\"a:\": main, \"b:\": gutter, \"*\": main}}", "{prefix: {\"*\": third, \"a:\": main, \"c:\": miss}}",
     "route prefix[b:] removed: gutter; route prefix[*] main -> third; route prefix[c:] added: miss"},
    {"{command: {get: {migrate: {from: main, to: gutter, start: 2026-11-21, over: 1h}}}}",
     "{command: {get: {migrate: {from: main, to: {ttl: {to: gutter, max: 1h}}, start: 2026-11-22, over: 1h}}}}",
     "route command[get] migrate.start 2026-11-21T00:00:00Z -> 2026-11-22T00:00:00Z; "
     "route command[get].migrate.to gutter -> ttl"},
    {"{rewrite: {to: main, add: a}}", "{rewrite: {to: main, strip: a}}",
     "route rewrite.add a -> none; route rewrite.strip none -> a"},
    {"{error: x}", "{error: y}", "route error x -> y"},
};

START_TEST(a_change_is_told)
{
    struct config *old = parse_route(changes[_i].old), *new = parse_route(changes[_i].new);
    struct text text;
    text_init(&text);
    bool any = config_diff(old, new, &text);
    ck_assert_str_eq(text.data, changes[_i].change);
    ck_assert(any == (strcmp(changes[_i].change, "no change") != 0));
    text_clear(&text);
    ck_assert(config_diff_route(old, new, &text) == any);
    text_clear(&text);
    ck_assert(!config_diff(new, new, &text));
    text_fini(&text);
    config_destroy(&old);
    config_destroy(&new);
}
END_TEST

/* The number of a pool is not what it is: its name is. */
START_TEST(another_order_of_pools_is_no_change)
{
    struct config *old =
        parse_good("pools: {a: {servers: [a]}, b: {servers: [b]}}\nroute: {failover: {to: [a, b]}}", NULL);
    struct config *new =
        parse_good("pools: {b: {servers: [b]}, a: {servers: [a]}}\nroute: {failover: {to: [a, b]}}", NULL);
    struct text text;
    text_init(&text);
    ck_assert(!config_diff(old, new, &text));
    text_fini(&text);
    config_destroy(&old);
    config_destroy(&new);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("route");
    tcase_add_loop_test(tcase, every_field_arrives, 0, sizeof nodes / sizeof nodes[0]);
    tcase_add_test(tcase, a_pool_may_be_called_miss);
    tcase_add_test(tcase, the_only_pool_needs_no_route);
    tcase_add_test(tcase, nodes_nest);
    tcase_add_loop_test(tcase, every_error_is_told, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tcase, nothing_is_warmed_from_a_pool_that_speaks_binary);
    tcase_add_test(tcase, depth_is_bounded);
    tcase_add_test(tcase, branches_are_bounded);
    tcase_add_test(tcase, nodes_are_bounded);
    tcase_add_test(tcase, the_summary_draws_the_tree);
    tcase_add_loop_test(tcase, a_change_is_told, 0, sizeof changes / sizeof changes[0]);
    tcase_add_test(tcase, another_order_of_pools_is_no_change);
    return run_suite("config/route", tcase);
}
