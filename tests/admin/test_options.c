/*
 * Tests of admin/options: every option in every way of writing it, what goes together and what does not, and what
 * --help and --version print. Standard output and error are read back.
 */
#include "admin/options.h"

#include "admin/commands.h"
#include "tests/support/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX 12
#define SAID_MAX 8192

/* A stream that goes into a file for a while. */
struct capture {
    FILE *stream;
    FILE *file;
    int saved;
};

static void capture_begin(struct capture *capture, FILE *stream)
{
    (void)fflush(stream);
    *capture = (struct capture){.stream = stream, .file = tmpfile(), .saved = dup(fileno(stream))};
    ck_assert(capture->file != NULL && capture->saved >= 0);
    ck_assert_int_ge(dup2(fileno(capture->file), fileno(stream)), 0);
}

static void capture_end(struct capture *capture, char said_out[SAID_MAX])
{
    (void)fflush(capture->stream);
    ck_assert_int_ge(dup2(capture->saved, fileno(capture->stream)), 0);
    close(capture->saved);
    rewind(capture->file);
    size_t len = fread(said_out, 1, SAID_MAX - 1, capture->file);
    said_out[len] = '\0';
    (void)fclose(capture->file);
}

/* A command line, parsed. */
struct line {
    char *argv[ARGS_MAX + 2];
    struct options options;
    int status;
    char said[SAID_MAX]; /* on standard error */
};

/* args: what stands behind the program's name; NULL ends them. */
static void parse(struct line *line, const char *const args[])
{
    struct capture capture;
    int argc = 0;
    line->argv[argc++] = (char *)(uintptr_t) "ringside";
    for (; args[argc - 1] != NULL; argc++) {
        ck_assert_int_le(argc, ARGS_MAX);
        line->argv[argc] = (char *)(uintptr_t)args[argc - 1];
    }
    line->argv[argc] = NULL;
    capture_begin(&capture, stderr);
    line->status = options_parse(&line->options, argc, line->argv);
    capture_end(&capture, line->said);
}

#define PARSE(line, ...) parse(line, (const char *const[]){__VA_ARGS__, NULL})

/* The same, and it is good: nothing is said. */
#define PARSE_GOOD(line, ...)                               \
    do {                                                    \
        PARSE(line, __VA_ARGS__);                           \
        ck_assert_str_eq((line)->said, "");                 \
        ck_assert_int_eq((line)->status, EXIT_STATUS_DONE); \
    } while (0)

static void expect_keys(const struct options *options, const char *const *keys, size_t count)
{
    ck_assert_uint_eq(options->key_count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(options->keys[i], keys[i]);
}

/* ---- what is good ---- */

START_TEST(the_configuration_in_every_way)
{
    static const char *const ways[][2] = {{"-c", "x.yaml"}, {"--config", "x.yaml"}, {"--config=x.yaml", NULL}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct line line;
        PARSE_GOOD(&line, ways[i][0], ways[i][1]);
        ck_assert_ptr_eq(line.options.command->run, commands_serve);
        ck_assert_str_eq(line.options.config_path, "x.yaml");
        ck_assert(line.options.server_count == 0 && line.options.listen_count == 0 && line.options.key_count == 0);
        ck_assert_ptr_null(line.options.keys_path);
        options_fini(&line.options);
    }
}
END_TEST

START_TEST(servers_and_listeners_in_order)
{
    struct line line;
    PARSE_GOOD(&line, "-s", "a:1", "--listen=unix:/x", "--server", "b:2", "-l", "127.0.0.1:0", "--server=c=d",
               "--listen", "[::1]:0");
    ck_assert_ptr_eq(line.options.command->run, commands_serve);
    ck_assert_ptr_null(line.options.config_path);
    ck_assert_uint_eq(line.options.server_count, 3);
    ck_assert_str_eq(line.options.servers[0], "a:1");
    ck_assert_str_eq(line.options.servers[1], "b:2");
    ck_assert_str_eq(line.options.servers[2], "c=d");
    ck_assert_uint_eq(line.options.listen_count, 3);
    ck_assert_str_eq(line.options.listens[0], "unix:/x");
    ck_assert_str_eq(line.options.listens[1], "127.0.0.1:0");
    ck_assert_str_eq(line.options.listens[2], "[::1]:0");
    /* The strings are argv's. */
    ck_assert_ptr_eq(line.options.servers[0], line.argv[2]);
    options_fini(&line.options);
}
END_TEST

START_TEST(a_user_in_every_way)
{
    static const char *const ways[][2] = {{"-u", "nobody"}, {"--user", "nobody"}, {"--user=nobody", NULL}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct line line;
        PARSE_GOOD(&line, "--server", "a", ways[i][0], ways[i][1]);
        ck_assert_str_eq(line.options.user, "nobody");
        options_fini(&line.options);
    }
}
END_TEST

START_TEST(commands_by_name)
{
    static const struct {
        const char *args[6];
        int (*run)(const struct options *options);
    } rows[] = {
        {{"check", "-c", "x"}, commands_check},
        {{"route", "-c", "x", "k"}, commands_route},
        {{"route", "k", "--config=x"}, commands_route},
        {{"route", "--server", "a", "k"}, commands_route},
        {{"plan", "old", "new"}, commands_plan},
        {{"plan", "old", "-k", "f", "new"}, commands_plan},
        {{"--help"}, options_help},
        {{"-h"}, options_help},
        {{"--version"}, options_version},
        {{"-V"}, options_version},
        {{"--server", "check"}, commands_serve},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct line line;
        parse(&line, rows[i].args);
        ck_assert_str_eq(line.said, "");
        ck_assert_int_eq(line.status, 0);
        ck_assert_ptr_eq(line.options.command->run, rows[i].run);
        options_fini(&line.options);
    }
}
END_TEST

START_TEST(keys_stand_before_and_behind_the_options)
{
    struct line line;
    PARSE_GOOD(&line, "route", "one", "-c", "x", "two", "-", "");
    expect_keys(&line.options, (const char *[]){"one", "two", "-", ""}, 4);
    options_fini(&line.options);
}
END_TEST

START_TEST(behind_two_dashes_all_are_keys)
{
    struct line line;
    PARSE_GOOD(&line, "route", "-c", "x", "--", "-c", "--help", "--server=a", "--", "check");
    ck_assert_str_eq(line.options.config_path, "x");
    ck_assert_uint_eq(line.options.server_count, 0);
    expect_keys(&line.options, (const char *[]){"-c", "--help", "--server=a", "--", "check"}, 5);
    options_fini(&line.options);
    PARSE_GOOD(&line, "plan", "--keys=f", "--", "-old", "-k");
    ck_assert_str_eq(line.options.keys_path, "f");
    expect_keys(&line.options, (const char *[]){"-old", "-k"}, 2);
    options_fini(&line.options);
}
END_TEST

START_TEST(a_value_may_look_like_an_option)
{
    struct line line;
    PARSE_GOOD(&line, "-c", "--server");
    ck_assert_str_eq(line.options.config_path, "--server");
    options_fini(&line.options);
    PARSE_GOOD(&line, "check", "-c", "--");
    ck_assert_str_eq(line.options.config_path, "--");
    options_fini(&line.options);
    /* A value is there, if empty: what it means is not said here. */
    PARSE_GOOD(&line, "--config=");
    ck_assert_str_eq(line.options.config_path, "");
    options_fini(&line.options);
    PARSE_GOOD(&line, "--server", "");
    ck_assert_uint_eq(line.options.server_count, 1);
    options_fini(&line.options);
}
END_TEST

/* ---- what is wrong ---- */

START_TEST(wrong_lines_are_told)
{
    static const struct {
        const char *args[8];
        const char *said; /* between "ringside: " and "; see `ringside --help`\n" */
    } rows[] = {
        {{NULL}, "nothing to do"},
        {{"-c"}, "a value is missing behind `-c`"},
        {{"--config"}, "a value is missing behind `--config`"},
        {{"--server", "a", "--server"}, "a value is missing behind `--server`"},
        {{"-s"}, "a value is missing behind `-s`"},
        {{"-l"}, "a value is missing behind `-l`"},
        {{"--listen"}, "a value is missing behind `--listen`"},
        {{"plan", "a", "b", "-k"}, "a value is missing behind `-k`"},
        {{"plan", "a", "b", "--keys"}, "a value is missing behind `--keys`"},
        {{"-c", "x", "-u"}, "a value is missing behind `-u`"},
        {{"-c", "x", "--user="}, "a value is missing behind `--user`"},
        {{"--nonsense"}, "unknown option `--nonsense`"},
        {{"-x"}, "unknown option `-x`"},
        {{"-cx.yaml"}, "unknown option `-cx.yaml`"},
        {{"-c=x.yaml"}, "unknown option `-c=x.yaml`"},
        {{"--conf", "x"}, "unknown option `--conf`"},
        {{"--configs=x"}, "unknown option `--configs=x`"},
        {{"--server-name", "x"}, "unknown option `--server-name`"},
        {{"check", "-c", "x", "--verbose"}, "unknown option `--verbose`"},
        {{"--help", "--nonsense"}, "unknown option `--nonsense`"},
        {{"frobnicate"}, "unknown command `frobnicate`"},
        {{"frobnicate", "-c", "x"}, "unknown command `frobnicate`"},
        {{"-c", "x", "check"}, "unknown command `check`"},
        {{"-c", "x", "--", "-h"}, "unknown command `-h`"},
        {{"--listen", "127.0.0.1:0"}, "-c FILE or --server H:P is missing"},
        {{"-c", "x", "--config=y"}, "-c is given twice"},
        {{"plan", "a", "b", "-k", "c", "--keys=d"}, "--keys is given twice"},
        {{"-c", "x", "--server", "a"}, "-c goes without --server and --listen"},
        {{"-c", "x", "-l", "a"}, "-c goes without --server and --listen"},
        {{"route", "-c", "x", "--server", "a", "k"}, "-c goes without --server and --listen"},
        {{"-c", "x", "-u", "a", "--user=b"}, "--user is given twice"},
        {{"check", "-c", "x", "-u", "a"}, "--user goes with serving alone"},
        {{"plan", "a", "b", "--user", "c"}, "--user goes with serving alone"},
        {{"-c", "x", "--keys", "f"}, "--keys goes with plan alone"},
        {{"route", "-c", "x", "k", "--keys", "f"}, "--keys goes with plan alone"},
        {{"check"}, "-c FILE is missing"},
        {{"check", "x.yaml"}, "-c FILE is missing"},
        {{"check", "--server", "a"}, "-c FILE is missing"},
        {{"check", "-c", "x", "more"}, "check takes -c FILE and nothing more, not `more`"},
        {{"route"}, "-c FILE is missing"},
        {{"route", "k"}, "-c FILE is missing"},
        {{"route", "--listen", "a", "k"}, "-c FILE is missing"},
        {{"route", "-c", "x"}, "a KEY is missing"},
        {{"route", "-c", "x", "--"}, "a KEY is missing"},
        {{"route", "--server", "a"}, "a KEY is missing"},
        {{"plan"}, "OLD or NEW is missing"},
        {{"plan", "old"}, "OLD or NEW is missing"},
        {{"plan", "old", "new", "newer"}, "nothing goes behind `new`"},
        {{"plan", "old", "-c", "new"}, "plan takes two files, without -c, --server and --listen"},
        {{"plan", "old", "new", "-s", "a"}, "plan takes two files, without -c, --server and --listen"},
        {{"plan", "old", "new", "-l", "a"}, "plan takes two files, without -c, --server and --listen"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct line line;
        char expected[256];
        parse(&line, rows[i].args);
        (void)snprintf(expected, sizeof expected, "ringside: %s; see `ringside --help`\n", rows[i].said);
        ck_assert_str_eq(line.said, expected);
        ck_assert_int_eq(line.status, EXIT_STATUS_USAGE);
        options_fini(&line.options);
    }
}
END_TEST

START_TEST(a_program_without_a_name_has_nothing_to_do)
{
    struct capture capture;
    struct options options;
    char said[SAID_MAX], *argv[] = {NULL};
    capture_begin(&capture, stderr);
    int status = options_parse(&options, 0, argv);
    capture_end(&capture, said);
    ck_assert_int_eq(status, EXIT_STATUS_USAGE);
    options_fini(&options);
}
END_TEST

/* As many as may be: every one finds its place. */
START_TEST(many_servers)
{
    enum { SERVERS = 3000 };
    static char *argv[1 + SERVERS];
    static char texts[SERVERS][32];
    struct options options;
    argv[0] = texts[0];
    for (int i = 0; i < SERVERS; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "--server=10.0.0.1:%d", i + 1);
        argv[i + 1] = texts[i];
    }
    ck_assert_int_eq(options_parse(&options, 1 + SERVERS, argv), 0);
    ck_assert_uint_eq(options.server_count, SERVERS);
    for (int i = 0; i < SERVERS; i++)
        ck_assert_str_eq(options.servers[i], texts[i] + strlen("--server="));
    options_fini(&options);
}
END_TEST

/* ---- --help and --version ---- */

static void run_captured(int (*run)(const struct options *options), char said_out[SAID_MAX])
{
    struct capture capture;
    const struct options options = {.command = NULL};
    capture_begin(&capture, stdout);
    int status = run(&options);
    capture_end(&capture, said_out);
    ck_assert_int_eq(status, EXIT_STATUS_DONE);
}

START_TEST(help_tells_all)
{
    static const char *const words[] = {
        "Usage:\n",
        "\nOptions:\n",
        "  ringside -c FILE | --server H:P",
        "  ringside check -c FILE\n",
        "  ringside route -c FILE KEY...\n",
        "  ringside plan OLD NEW [--keys FILE]\n",
        "  ringside --help\n",
        "  ringside --version\n",
        "  -c, --config FILE\n",
        "  -s, --server H:P\n",
        "  -l, --listen ADDRESS\n",
        "  -u, --user NAME\n",
        "  -k, --keys FILE\n",
        "Signals: HUP",
        "Exit status: 0",
        "ringside(1)",
    };
    char said[SAID_MAX];
    run_captured(options_help, said);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        ck_assert_msg(strstr(said, words[i]) != NULL, "no %s in:\n%s", words[i], said);
    ck_assert_int_eq(said[strlen(said) - 1], '\n');
}
END_TEST

START_TEST(version_tells_what_was_built_in)
{
    char said[SAID_MAX];
    static const char first[] = "ringside " RINGSIDE_VERSION "\nbuilt with libevent 2.";
    run_captured(options_version, said);
    ck_assert_msg(strncmp(said, first, strlen(first)) == 0, "%s", said);
    ck_assert(strstr(said, ", libyaml ") != NULL && strstr(said, ", xxHash ") != NULL);
    ck_assert_int_eq(said[strlen(said) - 1], '\n');
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("options");
    tcase_add_test(tcase, the_configuration_in_every_way);
    tcase_add_test(tcase, servers_and_listeners_in_order);
    tcase_add_test(tcase, a_user_in_every_way);
    tcase_add_test(tcase, commands_by_name);
    tcase_add_test(tcase, keys_stand_before_and_behind_the_options);
    tcase_add_test(tcase, behind_two_dashes_all_are_keys);
    tcase_add_test(tcase, a_value_may_look_like_an_option);
    tcase_add_test(tcase, wrong_lines_are_told);
    tcase_add_test(tcase, a_program_without_a_name_has_nothing_to_do);
    tcase_add_test(tcase, many_servers);
    tcase_add_test(tcase, help_tells_all);
    tcase_add_test(tcase, version_tells_what_was_built_in);
    return suite_run("admin/options", tcase);
}
