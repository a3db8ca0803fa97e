/* Tests of config/address: every shape of an address, good and bad, printed again and told apart. */
#include "config/address.h"
#include "tests/config/support.h"

#include <errno.h>

struct good {
    const char *text;
    const char *host;
    uint16_t port;
    bool is_unix;
    const char *printed;
};

static const struct good goods[] = {
    {"10.0.0.1:11311", "10.0.0.1", 11311, false, "10.0.0.1:11311"},
    {"10.0.0.1", "10.0.0.1", 11211, false, "10.0.0.1:11211"},
    {"cache_1.prod-eu.internal.:1", "cache_1.prod-eu.internal.", 1, false, "cache_1.prod-eu.internal.:1"},
    {"localhost", "localhost", 11211, false, "localhost:11211"},
    {"x:65535", "x", 65535, false, "x:65535"},
    {"x:00080", "x", 80, false, "x:80"},
    {"1.2.3.4.example:5", "1.2.3.4.example", 5, false, "1.2.3.4.example:5"},
    {"[::1]", "::1", 11211, false, "[::1]:11211"},
    {"[::1]:5", "::1", 5, false, "[::1]:5"},
    {"[2001:DB8::1]:5", "2001:DB8::1", 5, false, "[2001:DB8::1]:5"},
    {"[fe80::1%eth0.1]:5", "fe80::1%eth0.1", 5, false, "[fe80::1%eth0.1]:5"},
    {"[::ffff:10.0.0.1]:5", "::ffff:10.0.0.1", 5, false, "[::ffff:10.0.0.1]:5"},
    {"unix:/run/x.sock", "/run/x.sock", 0, true, "unix:/run/x.sock"},
    {"unix:x", "x", 0, true, "unix:x"},
    {"unix:/a b:c", "/a b:c", 0, true, "unix:/a b:c"},
};

START_TEST(a_good_address_is_read_and_printed)
{
    const struct good *good = &goods[_i];
    struct config_address address;
    const char *error = NULL;
    ck_assert_int_eq(config_address_parse(good->text, 11211, false, &address, &error), 0);
    ck_assert_str_eq(address.host, good->host);
    ck_assert_uint_eq(address.port, good->port);
    ck_assert(address.is_unix == good->is_unix);
    struct text text;
    text_init(&text);
    config_address_print(&address, &text);
    ck_assert_str_eq(text.data, good->printed);
    text_fini(&text);
    config_address_fini(&address);
    ck_assert_ptr_null(address.host);
}
END_TEST

#define SHAPE "is no address; write `HOST:PORT`, `[V6]:PORT` or `unix:PATH`"
#define NO_HOST "has no host; write `HOST:PORT`, `[V6]:PORT` or `unix:PATH`"
#define PORT "has no valid port; a port is a number from 1 to 65535"
#define BRACKETS "is an IPv6 address without brackets; write `[V6]:PORT`"
#define IPV4 "is no IPv4 address; it has four numbers from 0 to 255"
#define CHARACTER "has a character in its host name that no host name has"
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct {
    const char *text;
    const char *error;
} bads[] = {
    {"", NO_HOST},
    {":11211", NO_HOST},
    {"x:", PORT},
    {"x:0", PORT},
    {"x:65536", PORT},
    {"x:18446744073709551617", PORT},
    {"x:-1", PORT},
    {"x:+1", PORT},
    {"x: 1", PORT},
    {"x:11211 ", PORT},
    {"x:0x10", PORT},
    {"x:memcached", PORT},
    {"[::1]:", PORT},
    {"[::1]:0", PORT},
    {"[::1]11211", SHAPE},
    {"[::1", "has no `]` behind its IPv6 address"},
    {"[]:5", "has no IPv6 address within its brackets"},
    {"[10.0.0.1]:5", "has no IPv6 address within its brackets"},
    {"[::1::]:5", "has no IPv6 address within its brackets"},
    {"[fe80::1%]:5", "has no IPv6 address within its brackets"},
    {"[fe80::1%a/b]:5", "has no IPv6 address within its brackets"},
    {"[" HUNDRED "]:5", "has no IPv6 address within its brackets"},
    {"::1", BRACKETS},
    {"2001:db8::1:11211", BRACKETS},
    {"2001:db8:0:0:0:0:0:1:11211", BRACKETS},
    {"tcp://10.0.0.1:11211", SHAPE},
    {"10.0.0.1:11211:1", SHAPE},
    {"10.0.0.256", IPV4},
    {"10.0.0", IPV4},
    {"11211", IPV4},
    {"10.0.0.1.:5", IPV4},
    {"*:11211", CHARACTER},
    {"a b:1", CHARACTER},
    {"caf\xc3\xa9", CHARACTER},
    {"/run/x.sock", CHARACTER},
    {"a..b", "has an empty part in its host name"},
    {".a", "has an empty part in its host name"},
    {"-a:1", "has a host name that starts with a hyphen"},
    {HUNDRED, "is no IPv4 address; it has four numbers from 0 to 255"},
    {"a" HUNDRED, "has a part of more than 63 bytes in its host name"},
    {"a." TEN TEN TEN ".a" TEN TEN TEN TEN TEN ".a" TEN TEN TEN TEN TEN ".a" TEN TEN TEN TEN TEN
     ".a" TEN TEN TEN TEN TEN ".a" TEN TEN,
     "has a host name of more than 253 bytes"},
    {"unix:", "has no path; write `unix:PATH`"},
    {"unix", "has no path; write `unix:PATH`"},
    {"Unix:11211", "has no path; write `unix:PATH`"},
    {"unix:/a\nb", "has a control character in its path"},
    {"unix:/" HUNDRED "1234567", "has a path of more than 107 bytes, which is the most that a Unix socket can have"},
};

START_TEST(a_bad_address_is_refused_with_its_reason)
{
    struct config_address address = {NULL, 7, true};
    const char *error = NULL;
    errno = 0;
    ck_assert_int_eq(config_address_parse(bads[_i].text, 11211, false, &address, &error), -1);
    ck_assert_msg(strcmp(error, bads[_i].error) == 0, "%s: %s", bads[_i].text, error);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(address.host);
    ck_assert_uint_eq(address.port, 7);
}
END_TEST

START_TEST(the_longest_path_is_107_bytes)
{
    struct config_address address;
    const char *error = NULL;
    ck_assert_int_eq(config_address_parse("unix:/" HUNDRED "123456", 1, false, &address, &error), 0);
    ck_assert_uint_eq(strlen(address.host), 107);
    config_address_fini(&address);
}
END_TEST

START_TEST(port_zero_is_for_listeners)
{
    struct config_address address;
    const char *error = NULL;
    ck_assert_int_eq(config_address_parse("127.0.0.1:0", 11211, true, &address, &error), 0);
    ck_assert_uint_eq(address.port, 0);
    ck_assert(!address.is_unix);
    config_address_fini(&address);
}
END_TEST

START_TEST(a_relative_path_is_put_below_the_directory)
{
    struct config_address address;
    const char *error = NULL;
    ck_assert_int_eq(config_address_parse("unix:a/b", 1, false, &address, &error), 0);
    ck_assert_int_eq(config_address_resolve(&address, "", &error), 0);
    ck_assert_str_eq(address.host, "a/b");
    ck_assert_int_eq(config_address_resolve(&address, "/etc/ringside/", &error), 0);
    ck_assert_str_eq(address.host, "/etc/ringside/a/b");
    ck_assert_int_eq(config_address_resolve(&address, "/other/", &error), 0);
    ck_assert_str_eq(address.host, "/etc/ringside/a/b");
    config_address_fini(&address);

    ck_assert_int_eq(config_address_parse("unix:" TEN, 1, false, &address, &error), 0);
    ck_assert_int_eq(config_address_resolve(&address, "/" HUNDRED "/", &error), -1);
    ck_assert_str_eq(error, "has a path of more than 107 bytes, which is the most that a Unix socket can have");
    ck_assert_str_eq(address.host, TEN);
    config_address_fini(&address);

    ck_assert_int_eq(config_address_parse("x", 1, false, &address, &error), 0);
    ck_assert_int_eq(config_address_resolve(&address, "/etc/", &error), 0);
    ck_assert_str_eq(address.host, "x");
    config_address_fini(&address);
}
END_TEST

/* Pairs of spellings, and whether they are one address. */
static const struct {
    const char *left, *right;
    bool same;
} spellings[] = {
    {"cache", "CACHE:11211", true},
    {"cache:1", "cache:2", false},
    {"[::1]", "[0:0:0:0:0:0:0:1]", true},
    {"[2001:DB8::a]:5", "[2001:db8:0::A]:5", true},
    {"[::1]", "[::2]", false},
    {"[fe80::1%a]", "[fe80::1%b]", false},
    {"unix:/A", "unix:/a", false},
    {"unix:/a", "unix:/a", true},
    {"10.0.0.1", "10.0.0.1:11211", true},
};

START_TEST(an_address_has_one_identity_in_all_spellings)
{
    struct text texts[2];
    const char *both[2] = {spellings[_i].left, spellings[_i].right};
    for (int side = 0; side < 2; side++) {
        struct config_address address;
        const char *error = NULL;
        ck_assert_int_eq(config_address_parse(both[side], 11211, false, &address, &error), 0);
        text_init(&texts[side]);
        config_address_identify(&address, &texts[side]);
        config_address_fini(&address);
    }
    ck_assert_msg((strcmp(texts[0].data, texts[1].data) == 0) == spellings[_i].same, "%s and %s", texts[0].data,
                  texts[1].data);
    text_fini(&texts[0]);
    text_fini(&texts[1]);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("address");
    tcase_add_loop_test(tcase, a_good_address_is_read_and_printed, 0, sizeof goods / sizeof goods[0]);
    tcase_add_loop_test(tcase, a_bad_address_is_refused_with_its_reason, 0, sizeof bads / sizeof bads[0]);
    tcase_add_test(tcase, the_longest_path_is_107_bytes);
    tcase_add_test(tcase, port_zero_is_for_listeners);
    tcase_add_test(tcase, a_relative_path_is_put_below_the_directory);
    tcase_add_loop_test(tcase, an_address_has_one_identity_in_all_spellings, 0, sizeof spellings / sizeof spellings[0]);
    return run_suite("config/address", tcase);
}
