/*
 * Tests of proxy/sockets: addresses of every kind, sockets that share one, and what is said of one that cannot be had.
 */
#include "proxy/sockets.h"

#include "tests/support/folder.h"
#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SHARED 3

/* A listener's address, with room for its texts. */
struct place {
    struct config_listen listen;
    char host[FOLDER_PATH_MAX];
    char label[FOLDER_PATH_MAX + 16];
};

static void place_tcp(struct place *place, const char *host, uint16_t port)
{
    (void)snprintf(place->host, sizeof place->host, "%s", host);
    (void)snprintf(place->label, sizeof place->label, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host,
                   (unsigned)port);
    place->listen = (struct config_listen){.address = {.host = place->host, .port = port}, .label = place->label};
}

/* A Unix socket of that name in the folder. */
static void place_unix(struct place *place, const char *name, mode_t mode)
{
    folder_join(name, place->host);
    (void)snprintf(place->label, sizeof place->label, "unix:%s", place->host);
    place->listen =
        (struct config_listen){.address = {.host = place->host, .is_unix = true}, .label = place->label, .mode = mode};
}

/* Opens `count` sockets, which has to work; the address that was bound. */
static void expect_open(const struct place *place, int *fds, unsigned count, char bound_out[FOLDER_PATH_MAX])
{
    struct text bound, error;
    text_init(&bound);
    text_init(&error);
    int result = sockets_open(&place->listen, fds, count, &bound, &error);
    ck_assert_msg(result == 0, "%s", error.data);
    ck_assert_uint_eq(error.len, 0);
    (void)snprintf(bound_out, FOLDER_PATH_MAX, "%s", bound.data);
    text_fini(&bound);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_int_ge(fds[i], 0);
        ck_assert_int_eq(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        ck_assert_int_eq(fcntl(fds[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    }
}

/* Opening has to fail, with exactly this sentence behind "cannot listen on LABEL: ". */
static void expect_refused(const struct place *place, unsigned count, const char *why)
{
    struct text bound, error;
    char expected[FOLDER_PATH_MAX + 256];
    int fds[SHARED];
    memset(fds, 0x55, sizeof fds);
    text_init(&bound);
    text_init(&error);
    ck_assert_int_eq(sockets_open(&place->listen, fds, count, &bound, &error), -1);
    (void)snprintf(expected, sizeof expected, "cannot listen on %s: %s", place->label, why);
    ck_assert_str_eq(error.data, expected);
    ck_assert_uint_eq(bound.len, 0);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(fds[i], -1);
    text_fini(&error);
    text_fini(&bound);
}

static void close_all(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

/* A client of the socket: connects to the address that fd is bound to. */
static int connect_to(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    int client = socket(address.ss_family, SOCK_STREAM, 0);
    ck_assert_int_ge(client, 0);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&address, len), 0);
    return client;
}

/* Some clients connect, and each is accepted by one of the sockets. */
static void expect_serving(const int *fds, unsigned count)
{
    for (int i = 0; i < 20; i++) {
        struct pollfd ready[SHARED];
        int client = connect_to(fds[0]), accepted = -1;
        for (unsigned s = 0; s < count; s++)
            ready[s] = (struct pollfd){.fd = fds[s], .events = POLLIN};
        ck_assert_int_ge(poll(ready, count, SUITE_TIMEOUT_SECONDS * 1000), 1);
        for (unsigned s = 0; s < count && accepted < 0; s++)
            accepted = accept(fds[s], NULL, NULL);
        ck_assert_int_ge(accepted, 0);
        close(accepted);
        close(client);
    }
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return bound;
}

/* ---- TCP ---- */

START_TEST(sockets_share_a_port_that_the_kernel_chose)
{
    struct place place;
    int fds[SHARED];
    char bound[FOLDER_PATH_MAX], expected[64];
    place_tcp(&place, "127.0.0.1", 0);
    expect_open(&place, fds, SHARED, bound);
    uint16_t port = port_of(fds[0]);
    ck_assert_uint_gt(port, 0);
    for (unsigned i = 1; i < SHARED; i++)
        ck_assert_uint_eq(port_of(fds[i]), port);
    (void)snprintf(expected, sizeof expected, "127.0.0.1:%u", (unsigned)port);
    ck_assert_str_eq(bound, expected);
    expect_serving(fds, SHARED);
    close_all(fds, SHARED);
}
END_TEST

START_TEST(ipv6_stands_in_brackets_and_takes_no_ipv4)
{
    struct place place;
    int fds[SHARED], alone = 0;
    socklen_t len = sizeof alone;
    char bound[FOLDER_PATH_MAX], expected[64];
    if (!has_ipv6())
        return;
    place_tcp(&place, "::1", 0);
    expect_open(&place, fds, SHARED, bound);
    (void)snprintf(expected, sizeof expected, "[::1]:%u", (unsigned)port_of(fds[SHARED - 1]));
    ck_assert_str_eq(bound, expected);
    expect_serving(fds, SHARED);
    close_all(fds, SHARED);
    place_tcp(&place, "::", 0);
    expect_open(&place, fds, 1, bound);
    ck_assert_int_eq(getsockopt(fds[0], IPPROTO_IPV6, IPV6_V6ONLY, &alone, &len), 0);
    ck_assert_int_eq(alone, 1);
    close_all(fds, 1);
}
END_TEST

START_TEST(a_port_is_had_again_once_it_is_free)
{
    struct place place;
    int fds[SHARED];
    char bound[FOLDER_PATH_MAX], again[FOLDER_PATH_MAX];
    place_tcp(&place, "127.0.0.1", 0);
    expect_open(&place, fds, 1, bound);
    /* A connection that this side closes first leaves the port in TIME_WAIT. */
    int client = connect_to(fds[0]), accepted = accept(fds[0], NULL, NULL);
    place_tcp(&place, "127.0.0.1", port_of(fds[0]));
    close_all(fds, 1);
    close(accepted);
    close(client);
    expect_open(&place, fds, SHARED, again);
    ck_assert_str_eq(again, bound);
    expect_serving(fds, SHARED);
    close_all(fds, SHARED);
}
END_TEST

START_TEST(a_port_that_somebody_has_is_refused)
{
    static const char taken[] =
        "Address already in use: another process listens there; stop it, or choose another address";
    struct place place;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[SHARED], one = 1;
    char bound[FOLDER_PATH_MAX];
    int other = socket(AF_INET, SOCK_STREAM, 0);
    /* It shares: as another Ringside would. */
    ck_assert_int_eq(setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
    ck_assert_int_eq(bind(other, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(other, 1), 0);
    place_tcp(&place, "127.0.0.1", port_of(other));
    expect_refused(&place, SHARED, taken);
    close(other);
    place_tcp(&place, "127.0.0.1", 0);
    expect_open(&place, fds, SHARED, bound);
    place_tcp(&place, "127.0.0.1", port_of(fds[0]));
    expect_refused(&place, 1, taken);
    expect_serving(fds, SHARED);
    close_all(fds, SHARED);
}
END_TEST

START_TEST(an_address_of_another_machine_is_refused)
{
    struct place place;
    place_tcp(&place, "192.0.2.1", 0);
    expect_refused(&place, SHARED, "Cannot assign requested address: this machine has no such address");
}
END_TEST

START_TEST(a_name_that_cannot_be_looked_up_is_refused)
{
    struct place place;
    struct text error;
    int fds[SHARED];
    char name[80], start[128];
    /* No name server need be asked: a part of a name is at most 63 bytes long. */
    memset(name, 'x', 70);
    name[70] = '\0';
    place_tcp(&place, name, 0);
    text_init(&error);
    ck_assert_int_eq(sockets_open(&place.listen, fds, SHARED, NULL, &error), -1);
    int len = snprintf(start, sizeof start, "cannot listen on %s:0: ", name);
    ck_assert_uint_gt(error.len, (size_t)len);
    ck_assert_int_eq(strncmp(error.data, start, (size_t)len), 0);
    for (unsigned i = 0; i < SHARED; i++)
        ck_assert_int_eq(fds[i], -1);
    text_fini(&error);
}
END_TEST

/* ---- Unix sockets ---- */

START_TEST(a_unix_socket_is_shared_and_has_its_mode)
{
    static const mode_t modes[] = {0700, 0600, 0777, 0660, 0007};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct place place;
        struct stat there;
        int fds[SHARED];
        char bound[FOLDER_PATH_MAX + 16];
        place_unix(&place, "mode", modes[i]);
        mode_t before = umask(0027);
        expect_open(&place, fds, SHARED, bound);
        ck_assert_uint_eq(umask(before), 0027);
        ck_assert_str_eq(bound, place.label);
        ck_assert_int_eq(lstat(place.host, &there), 0);
        ck_assert(S_ISSOCK(there.st_mode));
        ck_assert_uint_eq(there.st_mode & 07777, modes[i]);
        expect_serving(fds, SHARED);
        close_all(fds, SHARED);
        sockets_remove(&place.listen);
        ck_assert_int_eq(lstat(place.host, &there), -1);
    }
}
END_TEST

START_TEST(a_unix_socket_left_behind_is_replaced)
{
    struct place place;
    struct stat there;
    int fds[SHARED];
    char bound[FOLDER_PATH_MAX];
    place_unix(&place, "left", 0700);
    expect_open(&place, fds, 1, bound);
    close_all(fds, 1);
    ck_assert_int_eq(lstat(place.host, &there), 0);
    place.listen.mode = 0600;
    expect_open(&place, fds, SHARED, bound);
    ck_assert_int_eq(lstat(place.host, &there), 0);
    ck_assert_uint_eq(there.st_mode & 0777, 0600);
    expect_serving(fds, SHARED);
    close_all(fds, SHARED);
}
END_TEST

START_TEST(a_unix_socket_in_use_is_refused)
{
    struct place place;
    int fds[SHARED];
    char bound[FOLDER_PATH_MAX];
    place_unix(&place, "live", 0700);
    expect_open(&place, fds, SHARED, bound);
    expect_refused(&place, SHARED,
                   "Address already in use: another process listens there; stop it, or choose another address");
    /* To find that out a client came, and left. */
    int caller = accept(fds[0], NULL, NULL);
    ck_assert_int_ge(caller, 0);
    close(caller);
    expect_serving(fds, SHARED);
    close_all(fds, SHARED);
}
END_TEST

START_TEST(a_queue_that_is_full_is_in_use)
{
    struct place place;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    place_unix(&place, "full", 0700);
    strcpy(address.sun_path, place.host);
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(other, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(other, 0), 0);
    int waiting = connect_to(other);
    expect_refused(&place, 1,
                   "Address already in use: another process listens there; stop it, or choose another address");
    close(waiting);
    close(other);
}
END_TEST

START_TEST(what_is_no_socket_is_left_alone)
{
    static const char why[] = "File exists: what stands there is no socket; remove it, or choose another path";
    struct place file, folder, link;
    struct stat there;
    place_unix(&file, "precious", 0700);
    folder_write(file.host, "data", 4);
    expect_refused(&file, SHARED, why);
    ck_assert_int_eq(lstat(file.host, &there), 0);
    ck_assert(S_ISREG(there.st_mode) && there.st_size == 4);
    place_unix(&folder, "folder", 0700);
    ck_assert_int_eq(mkdir(folder.host, 0700), 0);
    expect_refused(&folder, SHARED, why);
    ck_assert_int_eq(lstat(folder.host, &there), 0);
    place_unix(&link, "link", 0700);
    ck_assert_int_eq(symlink("nowhere", link.host), 0);
    expect_refused(&link, SHARED, why);
    ck_assert_int_eq(lstat(link.host, &there), 0);
}
END_TEST

START_TEST(the_length_of_a_path_is_bounded)
{
    struct place place;
    int fds[SHARED];
    char name[128], bound[FOLDER_PATH_MAX];
    size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path - strlen(folder_path) - 1;
    memset(name, 'n', sizeof name);
    name[room] = '\0';
    place_unix(&place, name, 0700);
    expect_refused(&place, SHARED, "File name too long");
    name[room - 1] = '\0';
    place_unix(&place, name, 0700);
    expect_open(&place, fds, SHARED, bound);
    expect_serving(fds, SHARED);
    close_all(fds, SHARED);
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_told)
{
    struct place place;
    place_unix(&place, "absent/socket", 0700);
    expect_refused(&place, SHARED, "No such file or directory: the directory does not exist");
}
END_TEST

/* ---- both ---- */

/* From here on there is room for so many descriptors more; `next` is the lowest free one. 0 and 0: as before. */
static void narrow_descriptors(int next, unsigned room)
{
    static rlim_t before;
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (next > 0)
        before = limit.rlim_cur;
    limit.rlim_cur = next > 0 ? (rlim_t)next + room : before;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* There is room for fewer sockets than are wanted: none stays open, and no file is left that was not there. */
START_TEST(descriptors_run_out)
{
    static const char why[] = "Too many open files: raise the limit of open files (ulimit -n)";
    struct place tcp, local, left;
    struct stat there;
    int next, fds[1];
    char bound[FOLDER_PATH_MAX];
    place_tcp(&tcp, "127.0.0.1", 0);
    place_unix(&local, "few", 0700);
    place_unix(&left, "few left", 0700);
    expect_open(&left, fds, 1, bound);
    close_all(fds, 1);
    next = fds[0];
    for (unsigned room = 0; room < SHARED; room++) {
        narrow_descriptors(next, room);
        expect_refused(&tcp, SHARED, why);
        expect_refused(&local, SHARED, why);
        ck_assert_int_eq(lstat(local.host, &there), -1);
        /* with two it is found out that nobody is there, and it is replaced */
        expect_refused(&left, SHARED, why);
        ck_assert_int_eq(lstat(left.host, &there), room < 2 ? 0 : -1);
        narrow_descriptors(0, 0);
        ck_assert_int_eq(dup(STDIN_FILENO), next);
        close(next);
    }
}
END_TEST

START_TEST(remove_is_for_unix_sockets)
{
    struct place place;
    struct stat there;
    place_unix(&place, "gone", 0700);
    sockets_remove(&place.listen); /* nothing there */
    folder_write(place.host, "data", 4);
    /* The same text as a TCP listener's host is no path. */
    place.listen.address.is_unix = false;
    sockets_remove(&place.listen);
    ck_assert_int_eq(lstat(place.host, &there), 0);
}
END_TEST

/* As root, a Unix socket is given away, and nothing that somebody put in its place. */
START_TEST(a_unix_socket_is_given_to_a_user)
{
    struct place place, tcp;
    struct stat there;
    struct text error;
    int fds[1];
    char bound[FOLDER_PATH_MAX], twin[FOLDER_PATH_MAX];
    if (geteuid() != 0)
        return;
    text_init(&error);
    place_tcp(&tcp, "127.0.0.1", 0);
    ck_assert_int_eq(sockets_give(&tcp.listen, 12345, 54321, &error), 0);
    place_unix(&place, "given", 0750);
    expect_open(&place, fds, 1, bound);
    ck_assert_int_eq(sockets_give(&place.listen, 12345, 54321, &error), 0);
    ck_assert_uint_eq(error.len, 0);
    ck_assert_int_eq(lstat(place.host, &there), 0);
    ck_assert(there.st_uid == 12345 && there.st_gid == 54321 && (there.st_mode & 07777) == 0750);
    /* not root's */
    ck_assert_int_eq(sockets_give(&place.listen, 0, 0, &error), -1);
    /* not there alone */
    folder_join("twin", twin);
    ck_assert_int_eq(lchown(place.host, 0, 0) | link(place.host, twin), 0);
    ck_assert_int_eq(sockets_give(&place.listen, 12345, 54321, &error), -1);
    /* no socket */
    ck_assert_int_eq(unlink(place.host) | symlink(twin, place.host), 0);
    ck_assert_int_eq(sockets_give(&place.listen, 12345, 54321, &error), -1);
    ck_assert_int_eq(lstat(twin, &there), 0);
    ck_assert_uint_eq(there.st_uid, 0);
    ck_assert_ptr_nonnull(strstr(error.data, "what stands there is no socket"));
    text_fini(&error);
    close_all(fds, 1);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("sockets");
    folder_use(tcase);
    tcase_add_test(tcase, sockets_share_a_port_that_the_kernel_chose);
    tcase_add_test(tcase, ipv6_stands_in_brackets_and_takes_no_ipv4);
    tcase_add_test(tcase, a_port_is_had_again_once_it_is_free);
    tcase_add_test(tcase, a_port_that_somebody_has_is_refused);
    tcase_add_test(tcase, an_address_of_another_machine_is_refused);
    tcase_add_test(tcase, a_name_that_cannot_be_looked_up_is_refused);
    tcase_add_test(tcase, a_unix_socket_is_shared_and_has_its_mode);
    tcase_add_test(tcase, a_unix_socket_left_behind_is_replaced);
    tcase_add_test(tcase, a_unix_socket_in_use_is_refused);
    tcase_add_test(tcase, a_queue_that_is_full_is_in_use);
    tcase_add_test(tcase, what_is_no_socket_is_left_alone);
    tcase_add_test(tcase, the_length_of_a_path_is_bounded);
    tcase_add_test(tcase, a_folder_that_is_not_there_is_told);
    tcase_add_test(tcase, descriptors_run_out);
    tcase_add_test(tcase, remove_is_for_unix_sockets);
    tcase_add_test(tcase, a_unix_socket_is_given_to_a_user);
    return suite_run("proxy/sockets", tcase);
}
