/* Tests of event/socket: what is set is what the kernel has, and what it knows of a connection. */
#include "event/socket.h"

#include "tests/support/peer.h"
#include "tests/support/suite.h"

#include <netinet/tcp.h>

static bool has_nagle(int fd)
{
    int no_delay = 0;
    socklen_t len = sizeof no_delay;
    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
    return no_delay == 0;
}

START_TEST(nagle_is_turned_off_and_on)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert(socket_set_nagle(fd, false));
    ck_assert(!has_nagle(fd));
    ck_assert(socket_set_nagle(fd, true));
    ck_assert(has_nagle(fd));
    close(fd);
    ck_assert(!socket_set_nagle(fd, true));
}
END_TEST

START_TEST(the_way_to_a_peer_is_known_once_there_is_a_connection)
{
    uint16_t port;
    int listener = peer_listen(&port), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq(socket_rtt_us(fd), SOCKET_RTT_UNKNOWN);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    ck_assert_uint_ne(socket_rtt_us(fd), SOCKET_RTT_UNKNOWN);
    close(fd);
    close(listener);
}
END_TEST

START_TEST(a_unix_socket_has_no_way)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ck_assert_uint_eq(socket_rtt_us(ends[0]), SOCKET_RTT_UNKNOWN);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("socket");
    tcase_add_test(tcase, nagle_is_turned_off_and_on);
    tcase_add_test(tcase, the_way_to_a_peer_is_known_once_there_is_a_connection);
    tcase_add_test(tcase, a_unix_socket_has_no_way);
    return suite_run("event/socket", tcase);
}
