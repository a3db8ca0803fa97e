/*
 * Tests of the example configurations (etc/), and of what becomes of them when they are damaged: whatever the damage, a
 * configuration that keeps its promises comes out, or errors with a place in the file; nothing leaks, nothing crashes.
 *
 * The damage comes from a fixed sequence of numbers, so that every run is the same.
 */
#include "config/diff.h"
#include "config/model.h"
#include "config/summary.h"
#include "tests/config/support.h"

#include <glob.h>
#include <stdint.h>
#include <stdio.h>

#define ROUNDS 400

/* The examples' paths, from where `make check` or a person runs the tests. */
static void find_examples(glob_t *found_out)
{
    const char *source = getenv("srcdir");
    char pattern[4096];
    (void)snprintf(pattern, sizeof pattern, "%s/etc/*.yaml", source == NULL ? "." : source);
    ck_assert_msg(glob(pattern, 0, NULL, found_out) == 0, "no example matches %s", pattern);
    ck_assert_uint_ge(found_out->gl_pathc, 5);
}

START_TEST(every_example_is_good)
{
    glob_t found;
    find_examples(&found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct config_errors errors;
        struct config *config = config_load(found.gl_pathv[i], &errors);
        expect_errors(&errors, "");
        ck_assert_ptr_nonnull(config);
        config_destroy(&config);
    }
    globfree(&found);
}
END_TEST

/* The example that shows every setting shows it with its default. */
START_TEST(the_full_example_says_the_defaults)
{
    glob_t found;
    find_examples(&found);
    const char *servers = "{servers: [10.0.0.1, 10.0.0.2, {address: 10.0.0.3, name: cache-3, weight: 2}]}";
    struct text least, change;
    text_init(&least);
    text_init(&change);
    text_appendf(&least, "pools: {main: %s}", servers);
    struct config *config = parse_good(least.data, NULL);
    bool seen = false;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (strstr(found.gl_pathv[i], "/ringside.yaml") == NULL)
            continue;
        struct config_errors errors;
        struct config *example = config_load(found.gl_pathv[i], &errors);
        expect_errors(&errors, "");
        (void)config_diff(config, example, &change);
        ck_assert_str_eq(change.data, "no change");
        config_destroy(&example);
        seen = true;
    }
    ck_assert(seen);
    config_destroy(&config);
    text_fini(&least);
    text_fini(&change);
    globfree(&found);
}
END_TEST

/* ---- damage ---- */

static uint32_t next_number(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static struct text read_file(const char *path)
{
    struct text text;
    char buffer[4096];
    size_t count;
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    text_init(&text);
    while ((count = fread(buffer, 1, sizeof buffer, file)) > 0)
        text_append(&text, buffer, count);
    (void)fclose(file);
    ck_assert(!text.failed && text.len > 0);
    return text;
}

/* Cuts a piece out of text and puts something into its place: a byte, a word of the language, or another piece. */
static void damage(struct text *text, uint64_t *random)
{
    static const char *const words[] = {"",
                                        "[",
                                        "]",
                                        "{",
                                        "}",
                                        ": ",
                                        ",",
                                        "\n",
                                        "- ",
                                        "&a ",
                                        "*a",
                                        "<<",
                                        "~",
                                        "\"",
                                        "'",
                                        "#",
                                        "\t",
                                        "servers",
                                        "10.0.0.1:11211",
                                        "unix:",
                                        "0",
                                        "250ms",
                                        "1MiB",
                                        "101%",
                                        "!x ",
                                        "---\n",
                                        "\xff",
                                        "\x01",
                                        "\\0",
                                        "tls",
                                        "auth: required",
                                        "peers: {1: a}",
                                        "{user: a, commands: [read]}",
                                        "yes",
                                        "| \n",
                                        "99999999999999999999",
                                        "main",
                                        "miss",
                                        "failover",
                                        "to",
                                        "*",
                                        "[main, east]",
                                        "{failover: {to: [main]}}",
                                        "1000/s",
                                        "2026-02-30",
                                        "[::1]:1"};
    size_t from = next_number(random) % (text->len + 1);
    size_t cut = next_number(random) % 3 == 0 ? next_number(random) % 40 : next_number(random) % 2;
    if (cut > text->len - from)
        cut = text->len - from;
    struct text damaged;
    text_init(&damaged);
    text_append(&damaged, text->data, from);
    if (next_number(random) % 4 == 0) {
        size_t piece = next_number(random) % (text->len + 1), len = next_number(random) % 60;
        text_append(&damaged, text->data + piece, len > text->len - piece ? text->len - piece : len);
    } else {
        text_append_string(&damaged, words[next_number(random) % (sizeof words / sizeof words[0])]);
    }
    text_append(&damaged, text->data + from + cut, text->len - from - cut);
    text_fini(text);
    *text = damaged;
}

static int count_lines(const struct text *text)
{
    int lines = 1;
    for (size_t i = 0; i < text->len; i++)
        lines += text->data[i] == '\n';
    return lines;
}

/* What a route promises to those who make nodes of it. */
static void expect_whole_route(const struct config *config, const struct route_spec *spec, int depth)
{
    ck_assert_ptr_nonnull(spec);
    ck_assert_int_le(depth, ROUTE_DEPTH_MAX);
    ck_assert_uint_le(spec->branch_count, ROUTE_BRANCHES_MAX);
    bool is_leaf = spec->kind == ROUTE_POOL || spec->kind == ROUTE_ERROR || spec->kind == ROUTE_MISS;
    ck_assert(is_leaf == (spec->branch_count == 0));
    ck_assert(spec->kind != ROUTE_POOL || spec->pool < config->pool_count);
    ck_assert(spec->kind != ROUTE_ERROR || spec->text != NULL);
    ck_assert(spec->kind != ROUTE_FAILOVER || (spec->on != 0 && spec->budget_percent > 0));
    ck_assert(spec->kind != ROUTE_LIMIT || (spec->rate_per_s > 0 && spec->burst > 0));
    ck_assert(spec->kind != ROUTE_MIGRATE || (spec->over_ms > 0 && spec->start_unix_s >= 0));
    ck_assert(spec->expiry_ms % 1000 == 0 && spec->max_ms % 1000 == 0);
    for (size_t i = 0; i < spec->branch_count; i++) {
        ck_assert_ptr_nonnull(spec->branches[i].name);
        expect_whole_route(config, spec->branches[i].to, depth + 1);
    }
}

static void expect_whole_listen(const struct config_listen *listen)
{
    const struct tls_server_spec *tls = &listen->tls;
    ck_assert_ptr_nonnull(listen->label);
    ck_assert(listen->has_tls == (tls->identity.certificate != NULL && tls->identity.key != NULL));
    for (size_t i = 0; i < tls->further_count; i++)
        ck_assert(tls->further[i].certificate != NULL && tls->further[i].key != NULL);
    ck_assert(tls->client_ca != NULL || tls->client_certificate == TLS_CLIENT_CERTIFICATE_NONE);
    for (size_t i = 0; i < listen->peer_count; i++)
        ck_assert(listen->peers[i].name != NULL && listen->peers[i].user != NULL);
    for (size_t i = 0; i < listen->tls_files.count; i++)
        ck_assert(listen->tls_files.items[i].path != NULL && listen->tls_files.items[i].line > 0);
}

/* What a configuration promises to those who use it. */
static void expect_whole(const struct config *config)
{
    ck_assert_uint_gt(config->pool_count, 0);
    expect_whole_route(config, config->route, 1);
    ck_assert_uint_gt(config->listen_count, 0);
    for (size_t i = 0; i < config->listen_count; i++)
        expect_whole_listen(&config->listens[i]);
    for (size_t i = 0; i < config->access_count; i++)
        ck_assert(config->access[i].user != NULL && config->access[i].commands.count > 0);
    for (size_t i = 0; i < config->pool_count; i++) {
        const struct config_pool *pool = &config->pools[i];
        ck_assert(pool->name != NULL && pool->distribution != NULL && pool->hash != NULL);
        ck_assert(pool->timeout_ms > 0 && pool->connect_timeout_ms > 0 && pool->connections > 0);
        ck_assert_uint_le(pool->health_probe_ms, pool->health_probe_max_ms);
        ck_assert_uint_gt(pool->server_count, 0);
        ck_assert((pool->tls.identity.certificate == NULL) == (pool->tls.identity.key == NULL));
        ck_assert(pool->auth.user == NULL || (pool->auth.password_file == NULL) != (pool->auth.password_env == NULL));
        for (size_t j = 0; j < pool->server_count; j++)
            ck_assert(pool->servers[j].label != NULL && pool->servers[j].address.host != NULL &&
                      pool->servers[j].weight > 0);
    }
    struct text text;
    text_init(&text);
    config_summary(config, &text);
    ck_assert_uint_gt(text.len, 0);
    text_clear(&text);
    ck_assert(!config_diff(config, config, &text));
    text_fini(&text);
}

static void expect_config_or_errors(const struct text *text)
{
    struct config_errors errors;
    struct config *config = config_parse(text_slice(text).data, text->len, "etc/x.yaml", &errors);
    ck_assert((config == NULL) == (errors.count > 0));
    ck_assert_int_eq(errors.system_error, 0);
    int lines = count_lines(text);
    for (size_t i = 0; i < errors.count; i++) {
        const struct config_error *error = &errors.items[i];
        /* A file without its last line's end goes on to one line more. */
        ck_assert_msg(error->line >= 1 && error->line <= lines + 1 && error->column >= 1, "%d:%d: %s in:\n%s",
                      error->line, error->column, error->text, text->data);
        ck_assert_uint_gt(strlen(error->text), 0);
    }
    if (config != NULL)
        expect_whole(config);
    config_errors_fini(&errors);
    config_destroy(&config);
}

START_TEST(a_damaged_example_is_good_or_has_errors)
{
    glob_t found;
    find_examples(&found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct text original = read_file(found.gl_pathv[i]);
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint64_t random = round * UINT64_C(2654435761) + i;
            struct text text;
            text_init(&text);
            text_append(&text, original.data, original.len);
            for (uint32_t wounds = 1 + next_number(&random) % 4; wounds > 0; wounds--)
                damage(&text, &random);
            expect_config_or_errors(&text);
            text_fini(&text);
        }
        text_fini(&original);
    }
    globfree(&found);
}
END_TEST

/* A file that lost its end, as when it is read while an editor writes it. */
START_TEST(an_example_cut_short_is_good_or_has_errors)
{
    glob_t found;
    find_examples(&found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct text original = read_file(found.gl_pathv[i]);
        for (size_t len = 0; len < original.len; len++) {
            struct text text;
            text_init(&text);
            text_append(&text, original.data, len);
            expect_config_or_errors(&text);
            text_fini(&text);
        }
        text_fini(&original);
    }
    globfree(&found);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("examples");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_example_is_good);
    tcase_add_test(tcase, the_full_example_says_the_defaults);
    tcase_add_test(tcase, a_damaged_example_is_good_or_has_errors);
    tcase_add_test(tcase, an_example_cut_short_is_good_or_has_errors);
    return run_suite("config/examples", tcase);
}
