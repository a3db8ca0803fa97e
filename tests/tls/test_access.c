/* Tests of tls/access: rules as a table, the words for commands, what is refused when rules are compiled. */
#include "tls/access.h"

#include "tests/support/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define MAX 8

static const char *const listeners[] = {"127.0.0.1:11211", "unix:/run/x.sock"};

/* Words in one string, between spaces. */
struct words {
    char text[512];
    const char *items[MAX];
    size_t count;
};

static void split(struct words *words, const char *text)
{
    words->count = 0;
    snprintf(words->text, sizeof words->text, "%s", text);
    for (char *word = strtok(words->text, " "); word != NULL; word = strtok(NULL, " "))
        words->items[words->count++] = word;
}

/* A rule as it is written in these tests. */
struct line {
    const char *user, *keys, *commands, *listeners;
};

struct errors {
    size_t count;
    size_t rule, item;
    enum access_field field;
    char text[256];
};

static void on_error(void *context, size_t rule, enum access_field field, size_t item, const char *text)
{
    struct errors *errors = context;
    errors->count++;
    errors->rule = rule;
    errors->field = field;
    errors->item = item;
    snprintf(errors->text, sizeof errors->text, "%s", text);
}

static struct access *compile(const struct line *lines, size_t count, struct errors *errors)
{
    static struct words keys[MAX], commands[MAX], places[MAX];
    struct access_rule_spec rules[MAX];
    for (size_t i = 0; i < count; i++) {
        split(&keys[i], lines[i].keys != NULL ? lines[i].keys : "");
        split(&commands[i], lines[i].commands);
        split(&places[i], lines[i].listeners != NULL ? lines[i].listeners : "");
        rules[i] = (struct access_rule_spec){lines[i].user,     keys[i].items,   keys[i].count,  commands[i].items,
                                             commands[i].count, places[i].items, places[i].count};
    }
    struct access_spec spec = {rules, count, listeners, 2};
    *errors = (struct errors){0};
    struct access *access = access_compile(&spec, on_error, errors);
    /* Nothing of the words is needed any more. */
    memset(keys, 'x', sizeof keys);
    memset(commands, 'x', sizeof commands);
    memset(places, 'x', sizeof places);
    return access;
}

static struct slice of(const char *string)
{
    return slice_make(string, strlen(string));
}

struct question {
    const char *user;
    size_t listener;
    enum verb verb;
    const char *key;
    bool allowed;
};

static void expect(const struct line *lines, size_t count, const struct question *questions, size_t question_count)
{
    struct errors errors;
    struct access *access = compile(lines, count, &errors);
    ck_assert_msg(access != NULL, "rule %zu: %s", errors.rule, errors.text);
    for (size_t i = 0; i < question_count; i++) {
        const struct question *q = &questions[i];
        const struct access_view *view = access_for_user(access, of(q->user));
        ck_assert_ptr_nonnull(view);
        ck_assert_msg(access_check(view, q->listener, q->verb, of(q->key)) == q->allowed, "question %zu: %s %s %s", i,
                      q->user, verb_name(q->verb).data, q->key);
    }
    access_destroy(&access);
    ck_assert_ptr_null(access);
}

#define EXPECT(lines, questions) \
    expect(lines, sizeof(lines) / sizeof(lines)[0], questions, sizeof(questions) / sizeof(questions)[0])

START_TEST(without_rules_everything_is_allowed)
{
    static const struct question questions[] = {
        {"app", 0, VERB_GET, "a", true},
        {"", 1, VERB_FLUSH_ALL, "", true},
    };
    expect(NULL, 0, questions, 2);
}
END_TEST

START_TEST(what_no_rule_allows_is_denied)
{
    static const struct line lines[] = {{"app", "app:*", "read write", NULL}};
    static const struct question questions[] = {
        {"app", 0, VERB_GET, "app:1", true},    {"app", 1, VERB_SET, "app:", true},
        {"app", 0, VERB_MG, "app:x", true},     {"app", 0, VERB_GET, "ap", false},
        {"app", 0, VERB_GET, "bpp:1", false},   {"app", 0, VERB_INCR, "app:1", false},
        {"app", 0, VERB_TOUCH, "app:1", false}, {"app", 0, VERB_GAT, "app:1", false},
        {"app", 0, VERB_FLUSH_ALL, "", false},  {"app", 0, VERB_STATS, "", false},
        {"app", 0, VERB_VERBOSITY, "", false},  {"app", 0, VERB_VERSION, "", true},
        {"app", 0, VERB_MN, "", true},          {"app", 0, VERB_QUIT, "", true},
        {"bob", 0, VERB_GET, "app:1", false},   {"", 0, VERB_GET, "app:1", false},
        {"ap", 0, VERB_GET, "app:1", false},    {"appp", 0, VERB_GET, "app:1", false},
        {"bob", 0, VERB_VERSION, "", false},    {"bob", 0, VERB_QUIT, "", true},
        {"*", 0, VERB_GET, "app:1", false},
    };
    EXPECT(lines, questions);
}
END_TEST

START_TEST(the_first_match_decides_and_others_are_passed_over)
{
    static const struct line lines[] = {
        {"app", "app:secret:* app:one", "none", NULL},
        {"app", "app:*", "all", NULL},
        {"*", "public:*", "read", NULL},
        {"bob", NULL, "get set", NULL},
        {"app", "*", "admin", NULL},
    };
    static const struct question questions[] = {
        {"app", 0, VERB_GET, "app:1", true},
        {"app", 0, VERB_GET, "app:secret:1", false}, /* refused before it is allowed */
        {"app", 0, VERB_GET, "app:one", false},
        {"app", 0, VERB_GET, "app:one:", true}, /* a key is not a prefix */
        {"app", 0, VERB_GET, "app:on", true},
        {"app", 0, VERB_INCR, "app:1", true},
        {"app", 0, VERB_GET, "public:1", true}, /* a rule for everybody, behind rules for other keys */
        {"app", 0, VERB_SET, "public:1", false},
        {"bob", 0, VERB_GET, "public:1", true},
        {"bob", 0, VERB_SET, "public:1", true}, /* a rule for other commands is passed over */
        {"bob", 0, VERB_ADD, "public:1", false},
        {"bob", 0, VERB_VERSION, "", true},
        {"", 0, VERB_GET, "public:1", true},
        {"", 0, VERB_GET, "app:1", false},
        {"zed", 0, VERB_GET, "public:1", true},
        {"zed", 0, VERB_GET, "x", false},
        {"app", 0, VERB_VERSION, "", true}, /* a refusal for some keys takes nothing without a key */
        {"app", 0, VERB_STATS, "", true},
        {"app", 0, VERB_FLUSH_ALL, "", false}, /* but this, which would remove them */
    };
    EXPECT(lines, questions);
}
END_TEST

START_TEST(none_takes_all_from_those_behind)
{
    static const struct line lines[] = {
        {"root", NULL, "all", NULL}, {"*", NULL, "none", NULL}, {"late", "*", "all", NULL}, {"*", "*", "all", NULL}};
    static const struct question questions[] = {
        {"root", 0, VERB_FLUSH_ALL, "", true}, {"late", 0, VERB_GET, "a", false}, {"late", 0, VERB_VERSION, "", false},
        {"", 0, VERB_GET, "a", false},         {"", 0, VERB_MN, "", false},       {"", 0, VERB_QUIT, "", true},
    };
    EXPECT(lines, questions);
}
END_TEST

START_TEST(listeners_narrow_a_rule)
{
    static const struct line lines[] = {{"*", NULL, "all", "unix:/run/x.sock"},
                                        {"app", NULL, "read", "127.0.0.1:11211 unix:/run/x.sock"}};
    static const struct question questions[] = {
        {"", 0, VERB_GET, "a", false},    {"", 1, VERB_GET, "a", true},    {"app", 0, VERB_GET, "a", true},
        {"app", 0, VERB_SET, "a", false}, {"app", 1, VERB_SET, "a", true},
    };
    EXPECT(lines, questions);
}
END_TEST

START_TEST(many_users_each_have_their_own)
{
    enum { COUNT = 300 };
    static char names[COUNT][16], keys[COUNT][16];
    static const char *items[COUNT], *const get[] = {"get"};
    static struct access_rule_spec rules[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "u%d", i * 7919 % COUNT);
        snprintf(keys[i], sizeof keys[i], "ku%d", i * 7919 % COUNT);
        items[i] = keys[i];
        rules[i] = (struct access_rule_spec){
            .user = names[i], .keys = &items[i], .key_count = 1, .commands = get, .command_count = 1};
    }
    struct errors errors = {0};
    struct access_spec spec = {rules, COUNT, NULL, 0};
    struct access *access = access_compile(&spec, on_error, &errors);
    ck_assert_ptr_nonnull(access);
    for (int i = 0; i < COUNT; i++) {
        const struct access_view *view = access_for_user(access, of(names[i]));
        ck_assert(access_check(view, 0, VERB_GET, of(keys[i])));
        ck_assert(!access_check(view, 0, VERB_GET, of(keys[(i + 1) % COUNT])));
    }
    access_destroy(&access);
}
END_TEST

/* Every command is in exactly one group but for those that are everywhere, and `quit`. */
START_TEST(groups)
{
    static const char *const names[] = {"read", "write", "arithmetic", "touch", "admin"};
    const uint32_t everywhere = UINT32_C(1) << VERB_VERSION | UINT32_C(1) << VERB_MN;
    uint32_t seen = 0, verbs;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert(access_commands_by_name(of(names[i]), &verbs));
        ck_assert_uint_eq(verbs & everywhere, everywhere);
        ck_assert_uint_eq(seen & verbs & ~everywhere, 0);
        seen |= verbs;
    }
    ck_assert_uint_eq(seen | UINT32_C(1) << VERB_QUIT, (UINT32_C(1) << VERB_COUNT) - 1);
    ck_assert(access_commands_by_name(of("all"), &verbs));
    ck_assert_uint_eq(verbs, (UINT32_C(1) << VERB_COUNT) - 1);
    ck_assert(access_commands_by_name(of("none"), &verbs));
    ck_assert_uint_eq(verbs, 0);
    ck_assert(access_commands_by_name(of("incr"), &verbs));
    ck_assert_uint_eq(verbs, UINT32_C(1) << VERB_INCR);
    ck_assert(!access_commands_by_name(of("local"), &verbs));
    ck_assert(!access_commands_by_name(of("GET"), &verbs));
    ck_assert(!access_commands_by_name(of(""), &verbs));
}
END_TEST

#define FIFTY "01234567890123456789012345678901234567890123456789"
#define KEY_250 FIFTY FIFTY FIFTY FIFTY FIFTY

START_TEST(rules_that_are_wrong)
{
    static const struct {
        struct line line;
        enum access_field field;
        size_t item;
        const char *said;
    } rows[] = {
        {{"app", NULL, "read gett", NULL}, ACCESS_FIELD_COMMANDS, 1, "no command is named so"},
        {{"app", NULL, "", NULL}, ACCESS_FIELD_COMMANDS, 0, "a rule names commands"},
        {{"app", NULL, "get none", NULL}, ACCESS_FIELD_COMMANDS, 1, "`none` stands alone"},
        {{"app", "ok a*b", "get", NULL}, ACCESS_FIELD_KEYS, 1, "at the end of a key only"},
        {{"app", "**", "get", NULL}, ACCESS_FIELD_KEYS, 0, "at the end of a key only"},
        {{"app", "a\tb", "get", NULL}, ACCESS_FIELD_KEYS, 0, "no control characters"},
        {{"app", KEY_250 "x", "get", NULL}, ACCESS_FIELD_KEYS, 0, "at most 250"},
        {{"app", KEY_250 "x*", "get", NULL}, ACCESS_FIELD_KEYS, 0, "at most 250"},
        {{"", NULL, "get", NULL}, ACCESS_FIELD_USER, 0, "names a user"},
        {{NULL, NULL, "get", NULL}, ACCESS_FIELD_USER, 0, "names a user"},
        {{"app", NULL, "get", "127.0.0.1:11212"}, ACCESS_FIELD_LISTENERS, 0, "no such listener"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct errors errors;
        struct line lines[2] = {{"bob", KEY_250 "* " KEY_250, "none", NULL}, rows[i].line};
        ck_assert_ptr_null(compile(lines, 2, &errors));
        ck_assert_uint_eq(errors.count, 1);
        ck_assert_uint_eq(errors.rule, 1);
        ck_assert_int_eq(errors.field, rows[i].field);
        ck_assert_uint_eq(errors.item, rows[i].item);
        ck_assert_msg(strstr(errors.text, rows[i].said) != NULL, "%zu: %s", i, errors.text);
    }
    struct errors errors;
    static const struct line all[] = {{"", "a b**", "x none", "y"}, {"app", NULL, "", NULL}};
    ck_assert_ptr_null(compile(all, 2, &errors));
    ck_assert_uint_eq(errors.count, 6);
}
END_TEST

START_TEST(an_empty_key_is_an_error)
{
    static const char *const keys[] = {""}, *const get[] = {"get"};
    struct access_rule_spec rule = {.user = "a", .keys = keys, .key_count = 1, .commands = get, .command_count = 1};
    struct access_spec spec = {&rule, 1, NULL, 0};
    struct errors errors = {0};
    ck_assert_ptr_null(access_compile(&spec, on_error, &errors));
    ck_assert_uint_eq(errors.count, 1);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("access");
    tcase_add_test(tcase, without_rules_everything_is_allowed);
    tcase_add_test(tcase, what_no_rule_allows_is_denied);
    tcase_add_test(tcase, the_first_match_decides_and_others_are_passed_over);
    tcase_add_test(tcase, none_takes_all_from_those_behind);
    tcase_add_test(tcase, listeners_narrow_a_rule);
    tcase_add_test(tcase, many_users_each_have_their_own);
    tcase_add_test(tcase, groups);
    tcase_add_test(tcase, rules_that_are_wrong);
    tcase_add_test(tcase, an_empty_key_is_an_error);
    return suite_run("access", tcase);
}
