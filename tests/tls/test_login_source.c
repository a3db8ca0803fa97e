/* Tests of tls/login_source: who is the same to the password check, whatever addresses it takes. */
#include "tls/login_source.h"

#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <unistd.h>

static uint64_t source_of(const char *text)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(1234)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(4321)};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return login_source_of_address((struct sockaddr *)&v4);
    ck_assert_int_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return login_source_of_address((struct sockaddr *)&v6);
}

START_TEST(addresses)
{
    static const struct {
        const char *one, *other;
        bool same;
    } rows[] = {
        {"10.0.0.1", "10.0.0.1", true},
        {"10.0.0.1", "10.0.0.2", false},
        {"10.0.0.1", "::ffff:10.0.0.1", true},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.255.3.9", true},
        {"127.0.0.1", "::1", true},
        {"127.0.0.1", "::ffff:127.1.2.3", true},
        {"127.0.0.1", "128.0.0.1", false},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"fe80::1", "fe80::2", true},
        {"fd00::1", "10.0.0.1", false},
        {"::1", "::2", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg((source_of(rows[i].one) == source_of(rows[i].other)) == rows[i].same, "row %zu", i);
    ck_assert_uint_eq(login_source_of_address(&(struct sockaddr){.sa_family = AF_UNIX}), 0);
}
END_TEST

START_TEST(sockets)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    uint64_t own = login_source_of(ends[0]);
    ck_assert_uint_ne(own, 0);
    ck_assert_uint_eq(own, login_source_of(ends[1]));
    ck_assert_uint_eq(own & 0xffffffff, getuid());
    ck_assert_uint_ne(own, source_of("127.0.0.1"));
    close(ends[0]);
    close(ends[1]);
    ck_assert_uint_eq(login_source_of(-1), 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("login_source");
    tcase_add_test(tcase, addresses);
    tcase_add_test(tcase, sockets);
    return suite_run("login_source", tcase);
}
