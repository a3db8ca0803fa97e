/* Tests of config/yaml: the tree's shape and places, aliases and merge keys, and the bounds. */
#include "config/errors.h"
#include "config/yaml.h"
#include "tests/config/support.h"

/* Appends the tree in one line: text in quotes unless plain, @LINE:COLUMN behind each node. */
static void print_node(const struct yaml_node *node, struct text *out)
{
    const char *separator = "";
    if (node->kind == YAML_KIND_SCALAR) {
        text_appendf(out, node->plain ? "%s" : "'%s'", node->text.data);
        ck_assert_uint_eq(strlen(node->text.data), node->text.len);
    } else {
        text_append_string(out, node->kind == YAML_KIND_LIST ? "[" : "{");
        size_t count = 0;
        for (const struct yaml_node *child = node->first; child != NULL; child = child->next, count++) {
            text_append_string(out, separator);
            separator = ", ";
            if (node->kind == YAML_KIND_MAPPING)
                text_appendf(out, "%s@%d:%d=", child->key->text.data, child->key->line, child->key->column);
            print_node(child, out);
        }
        ck_assert_uint_eq(count, node->count);
        text_append_string(out, node->kind == YAML_KIND_LIST ? "]" : "}");
    }
    text_appendf(out, "@%d:%d", node->line, node->column);
}

static void expect_tree(const char *input, const char *expected, const char *expected_errors)
{
    struct config_errors errors;
    struct text text;
    config_errors_init(&errors);
    text_init(&text);
    /* On its own in memory, without a NUL: a sanitizer sees a step over its end. */
    size_t len = strlen(input);
    char *copy = malloc(len + (len == 0));
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, input, len);
    struct yaml_tree *tree = yaml_tree_create(copy, len, &errors);
    free(copy);
    expect_errors(&errors, expected_errors);
    if (tree != NULL)
        print_node(yaml_tree_root(tree), &text);
    ck_assert_str_eq(tree == NULL ? "no tree" : text.data, expected);
    text_fini(&text);
    yaml_tree_destroy(&tree);
    ck_assert_ptr_null(tree);
}

START_TEST(nodes_have_their_places)
{
    expect_tree("a: 1\nlist:\n  - x\n  - {k: 'v v', \"q\": }\n",
                "{a@1:1=1@1:4, list@2:1=[x@3:5, {k@4:6='v v'@4:9, q@4:16=@4:21}@4:5]@3:3}@1:1", "");
    expect_tree("# comment\n\n---\n- [a, b]\n- |\n  text\n...\n", "[[a@4:4, b@4:7]@4:3, 'text\n'@5:3]@4:1", "");
    expect_tree("\xc3\xa9: \xc3\xa9\xc3\xa9", "{\xc3\xa9@1:1=\xc3\xa9\xc3\xa9@1:4}@1:1", "");
    expect_tree("a: 1\r\nb: 2\r\n", "{a@1:1=1@1:4, b@2:1=2@2:4}@1:1", "");
    expect_tree("[]", "[]@1:1", "");
    expect_tree("{}", "{}@1:1", "");
}
END_TEST

START_TEST(an_alias_has_its_own_place)
{
    expect_tree("a: &x 1\nb: *x\nc: &y [1, *x]\nd: *y",
                "{a@1:1=1@1:4, b@2:1=1@2:4, c@3:1=[1@3:8, 1@3:11]@3:4, d@4:1=[1@3:8, 1@3:11]@4:4}@1:1", "");
    expect_tree("a: &k key\n*k : 1", "{a@1:1=key@1:4, key@2:1=1@2:6}@1:1", "");
    /* The last anchor of a name counts. */
    expect_tree("- &x 1\n- &x 2\n- *x", "[1@1:3, 2@2:3, 2@3:3]@1:1", "");
}
END_TEST

START_TEST(an_alias_needs_an_anchor_before_it)
{
    expect_tree("a: *x", "no tree", "1:4: alias `x`: no anchor of that name ends before it\n");
    expect_tree("a: &x [1, *x]", "no tree", "1:11: alias `x`: no anchor of that name ends before it\n");
}
END_TEST

START_TEST(a_merge_key_takes_over_what_is_not_said)
{
    expect_tree("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a, z: 4}",
                "{a@1:1={x@1:8=1@1:11, y@1:14=2@1:17}@1:4, b@2:1={y@2:5=3@2:8, z@2:19=4@2:22, x@1:8=1@1:11}@2:4}@1:1",
                "");
    expect_tree("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}",
                "{a@1:1={x@1:8=1@1:11}@1:4, b@2:1={x@2:8=2@2:11, y@2:14=2@2:17}@2:4, "
                "c@3:1={x@1:8=1@1:11, y@2:14=2@2:17}@3:4}@1:1",
                "");
    /* In quotes it is a key as any other. */
    expect_tree("'<<': 1", "{<<@1:1=1@1:7}@1:1", "");
    expect_tree("a: 1\n<<: 1", "{a@1:1=1@1:4}@1:1", "2:5: `<<`: found text; write an alias of a mapping\n");
    expect_tree("<<: [{a: 1}, []]", "{a@1:7=1@1:10}@1:1", "1:14: `<<`: found a list; write an alias of a mapping\n");
}
END_TEST

START_TEST(duplicate_keys_are_errors_and_the_first_stays)
{
    expect_tree("a: 1\nb: 2\n'a': 3\na: 4\n", "{a@1:1=1@1:4, b@2:1=2@2:4}@1:1",
                "3:1: duplicate key `a`; the first is at line 1, column 1\n"
                "4:1: duplicate key `a`; the first is at line 1, column 1\n");
    expect_tree("a: {b: 1, b: 2}", "{a@1:1={b@1:5=1@1:8}@1:4}@1:1",
                "1:11: duplicate key `b`; the first is at line 1, column 5\n");
}
END_TEST

START_TEST(what_spoils_a_node_does_not_stop_the_reading)
{
    expect_tree("? [a]\n: 1\nb: 2", "{b@3:1=2@3:4}@1:1", "1:3: found a list as a key; a key is text\n");
    expect_tree("? {a: b}\n: 1\nb: 2", "{b@3:1=2@3:4}@1:1", "1:3: found a mapping as a key; a key is text\n");
    expect_tree("a: !x 1\nb: !!map {c: 1}\nd: ! [1]", "{a@1:1=1@1:4, b@2:1={c@2:11=1@2:14}@2:4, d@3:1=[1@3:7]@3:4}@1:1",
                "1:4: tag `!x`: tags have no meaning here; leave it out\n"
                "2:4: tag `tag:yaml.org,2002:map`: tags have no meaning here; leave it out\n"
                "3:4: tag `!`: tags have no meaning here; leave it out\n");
}
END_TEST

static const struct {
    const char *input;
    const char *error;
} broken[] = {
    {"", "1:1: the file is empty; it needs `pools` at least\n"},
    {"# nothing\n\n", "1:1: the file is empty; it needs `pools` at least\n"},
    {"a: 1\n---\nb: 2\n", "2:1: a second document starts here; a configuration is one document\n"},
    {"a: 1\n...\n---\n", "3:1: a second document starts here; a configuration is one document\n"},
    {"a: [1",
     "2:1: not valid YAML: did not find expected ',' or ']' (while parsing a flow sequence, from line 1, column 4)\n"},
    {"a: b: c", "1:5: not valid YAML: mapping values are not allowed in this context\n"},
    {"a:\n\tb: 1", "2:1: not valid YAML: found character that cannot start any token (while scanning for the next "
                   "token, from line 2, "
                   "column 1); indent with spaces, not with tabs\n"},
    {"a:\n - [::1]:11211",
     "2:5: not valid YAML: did not find expected node content (while parsing a flow node, from line 2, column 5); put "
     "quotes around an IPv6 address: `\"[::1]:11211\"`\n"},
    {"a:\n - [2001:db8::1]:11211\n",
     "2:17: not valid YAML: did not find expected '-' indicator (while parsing a block collection, from line 2, column "
     "2); put quotes around an IPv6 address: `\"[::1]:11211\"`\n"},
    {"a: \"[::1]:1\": [::1, x", "1:13: not valid YAML: mapping values are not allowed in this context\n"},
    {"a:\n  [ \n  ",
     "4:1: not valid YAML: did not find expected node content (while parsing a flow node, from line 4, column 1)\n"},
    {"a: 1\nb: \xff", "2:4: not valid YAML: invalid leading UTF-8 octet\n"},
    {"\xc3\xa9: \x01", "1:4: not valid YAML: control characters are not allowed\n"},
    {"a: \"x\\0y\"", "1:4: text with a NUL character in it\n"},
    {"%YAML 1.3\n---\na: b", "1:1: not valid YAML: found incompatible YAML document\n"},
};

START_TEST(what_is_no_document_is_refused_at_its_place)
{
    expect_tree(broken[_i].input, "no tree", broken[_i].error);
}
END_TEST

/* ---- bounds ---- */

static struct text repeat(const char *head, const char *body, size_t times)
{
    struct text text;
    text_init(&text);
    text_append_string(&text, head);
    for (size_t i = 0; i < times; i++)
        text_append_string(&text, body);
    ck_assert(!text.failed);
    return text;
}

START_TEST(depth_is_bounded)
{
    struct text text = repeat("", "[", YAML_DEPTH_MAX);
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        text_append_string(&text, "]");
    struct config_errors errors;
    config_errors_init(&errors);
    struct yaml_tree *tree = yaml_tree_create(text.data, text.len, &errors);
    ck_assert_ptr_nonnull(tree);
    yaml_tree_destroy(&tree);
    text_fini(&text);
    expect_errors(&errors, "");

    text = repeat("", "[", 100000);
    expect_tree(text.data, "no tree", "1:65: nested more than 64 levels deep\n");
    text_fini(&text);
}
END_TEST

START_TEST(aliases_cannot_multiply_without_end)
{
    struct text text = repeat("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n", "", 0);
    for (int i = 1; i < 12; i++) {
        text_appendf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            text_appendf(&text, "*a%d,", i - 1);
        text_append_string(&text, "]\n");
    }
    expect_tree(text.data, "no tree",
                "6:14: the file holds more than 250000 values, every alias counted as what it stands for\n");
    text_fini(&text);
}
END_TEST

START_TEST(merge_keys_cannot_multiply_without_end)
{
    struct text text = repeat("m: &m {", "", 0);
    for (int i = 0; i < 1000; i++)
        text_appendf(&text, "k%d: 1, ", i);
    text_append_string(&text, "}\nl:\n");
    for (int i = 0; i < 1000; i++)
        text_append_string(&text, "  - {<<: *m}\n");
    struct config_errors errors;
    config_errors_init(&errors);
    ck_assert_ptr_null(yaml_tree_create(text.data, text.len, &errors));
    ck_assert_uint_eq(errors.count, 1);
    ck_assert_ptr_nonnull(strstr(errors.items[0].text, "more than 250000 values"));
    config_errors_fini(&errors);
    text_fini(&text);
}
END_TEST

START_TEST(anchors_are_bounded)
{
    struct text text = repeat("", "", 0);
    for (int i = 0; i <= YAML_ANCHORS_MAX; i++)
        text_appendf(&text, "- &a%d x\n", i);
    expect_tree(text.data, "no tree", "257:3: the file holds more than 256 anchors\n");
    text_fini(&text);
}
END_TEST

START_TEST(values_are_bounded)
{
    struct text text = repeat("[", "x,", YAML_NODES_MAX);
    text_append_string(&text, "]");
    expect_tree(text.data, "no tree",
                "1:500000: the file holds more than 250000 values, every alias counted as what it stands for\n");
    text_fini(&text);
}
END_TEST

START_TEST(keys_are_found)
{
    struct config_errors errors;
    config_errors_init(&errors);
    const char *input = "{a: 1, b: null, c: ~, d: 'null', e: }";
    struct yaml_tree *tree = yaml_tree_create(input, strlen(input), &errors);
    const struct yaml_node *root = yaml_tree_root(tree);
    ck_assert_str_eq(yaml_find(root, "a")->text.data, "1");
    ck_assert_ptr_null(yaml_find(root, "x"));
    ck_assert_ptr_null(yaml_find(yaml_find(root, "a"), "a"));
    const char *kinds[] = {"a", "text", "b", "nothing", "c", "nothing", "d", "text", "e", "nothing"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i += 2)
        ck_assert_str_eq(yaml_kind_name(yaml_find(root, kinds[i])), kinds[i + 1]);
    ck_assert_str_eq(yaml_kind_name(root), "a mapping");
    yaml_tree_destroy(&tree);
    config_errors_fini(&errors);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("yaml");
    tcase_add_test(tcase, nodes_have_their_places);
    tcase_add_test(tcase, an_alias_has_its_own_place);
    tcase_add_test(tcase, an_alias_needs_an_anchor_before_it);
    tcase_add_test(tcase, a_merge_key_takes_over_what_is_not_said);
    tcase_add_test(tcase, duplicate_keys_are_errors_and_the_first_stays);
    tcase_add_test(tcase, what_spoils_a_node_does_not_stop_the_reading);
    tcase_add_loop_test(tcase, what_is_no_document_is_refused_at_its_place, 0, sizeof broken / sizeof broken[0]);
    tcase_add_test(tcase, depth_is_bounded);
    tcase_add_test(tcase, aliases_cannot_multiply_without_end);
    tcase_add_test(tcase, merge_keys_cannot_multiply_without_end);
    tcase_add_test(tcase, anchors_are_bounded);
    tcase_add_test(tcase, values_are_bounded);
    tcase_add_test(tcase, keys_are_found);
    return run_suite("config/yaml", tcase);
}
