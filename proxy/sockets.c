/*
 * Owns bind and listen, and what can be said when they fail. Accepting is listener.c's.
 *
 * TCP sockets share their address by SO_REUSEPORT, so that the kernel spreads connections over the workers. That would
 * let a second Ringside join in unnoticed: so a first socket without the option tries the address. Unix sockets cannot
 * be bound twice: the workers share one, by duplicates of its descriptor.
 */
#include "proxy/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096

static void close_all(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static const char *advice(int error)
{
    switch (error) {
    case EADDRINUSE:
        return ": another process listens there; stop it, or choose another address";
    case EACCES:
        return ": not allowed for this user; choose a port above 1023 or another path";
    case EADDRNOTAVAIL:
        return ": this machine has no such address";
    case EMFILE:
    case ENFILE:
        return ": raise the limit of open files (ulimit -n)";
    case ENOENT:
        return ": the directory does not exist";
    case EEXIST:
        return ": what stands there is no socket; remove it, or choose another path";
    default:
        return "";
    }
}

static int report(struct text *error_out, const struct config_listen *config, int error)
{
    text_appendf(error_out, "cannot listen on %s: %s%s", config->label, strerror(error), advice(error));
    return -1;
}

/* ---- Unix sockets ---- */

static socklen_t unix_address(const struct config_listen *config, struct sockaddr_un *address)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    size_t len = strlen(config->address.host);
    if (len >= sizeof address->sun_path)
        return 0;
    memcpy(address->sun_path, config->address.host, len + 1);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

/* 0: nobody answers on the socket's path. Else an errno value: somebody does, or it cannot be found out. */
static int probe_unix(const struct sockaddr_un *address, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    bool refused = connect(fd, (const struct sockaddr *)address, len) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused ? 0 : EADDRINUSE;
}

static int bind_unix(const struct config_listen *config, int fd, const struct sockaddr_un *address, socklen_t len)
{
    struct stat there;
    if (lstat(address->sun_path, &there) == 0) {
        errno = S_ISSOCK(there.st_mode) ? probe_unix(address, len) : EEXIST;
        if (errno != 0)
            return -1;
        unlink(address->sun_path);
    }
    /* The mode is right from the first moment on: nobody gets in between bind and chmod. */
    mode_t before = umask(0777 & ~config->mode);
    int bound = bind(fd, (const struct sockaddr *)address, len);
    umask(before);
    return bound;
}

static int open_unix(const struct config_listen *config, int *fds_out, unsigned count, struct text *bound_out,
                     struct text *error_out)
{
    struct sockaddr_un address;
    socklen_t len = unix_address(config, &address);
    if (len == 0)
        return report(error_out, config, ENAMETOOLONG);
    fds_out[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool bound = fds_out[0] >= 0 && bind_unix(config, fds_out[0], &address, len) == 0;
    if (!bound || listen(fds_out[0], BACKLOG) != 0)
        goto failed;
    for (unsigned i = 1; i < count; i++) {
        fds_out[i] = fcntl(fds_out[0], F_DUPFD_CLOEXEC, 0);
        if (fds_out[i] < 0)
            goto failed;
    }
    if (bound_out != NULL)
        text_append_string(bound_out, config->label);
    return 0;

failed:;
    int error = errno;
    if (bound)
        unlink(address.sun_path);
    close_all(fds_out, count);
    return report(error_out, config, error);
}

/* ---- TCP ---- */

/* The address to bind; a name is looked up. 0, or -1 with the reason in *error_out. */
static int tcp_address(const struct config_listen *config, struct sockaddr_storage *address_out, socklen_t *len_out,
                       struct text *error_out)
{
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)config->address.port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(config->address.host, port, &hints, &found);
    if (error != 0) {
        text_appendf(error_out, "cannot listen on %s: %s", config->label, gai_strerror(error));
        return -1;
    }
    memcpy(address_out, found->ai_addr, found->ai_addrlen);
    *len_out = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int bind_tcp(const struct sockaddr_storage *address, socklen_t len, bool shared)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)address, len) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void append_bound(const struct sockaddr_storage *address, struct text *bound_out)
{
    char host[INET6_ADDRSTRLEN];
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        text_appendf(bound_out, "[%s]:%u", inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host),
                     (unsigned)ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        text_appendf(bound_out, "%s:%u", inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host),
                     (unsigned)ntohs(v4->sin_port));
    }
}

/* Whether the address is free: without SO_REUSEPORT, so that another Ringside's sockets stand in the way. */
static bool is_free(const struct sockaddr_storage *address, socklen_t len)
{
    int fd = bind_tcp(address, len, false);
    if (fd < 0)
        return false;
    bool listens = listen(fd, 1) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return listens;
}

static int open_tcp(const struct config_listen *config, int *fds_out, unsigned count, struct text *bound_out,
                    struct text *error_out)
{
    struct sockaddr_storage address;
    socklen_t len;
    if (tcp_address(config, &address, &len, error_out) != 0)
        return -1;
    if (config->address.port != 0 && !is_free(&address, len))
        return report(error_out, config, errno);
    for (unsigned i = 0; i < count; i++) {
        fds_out[i] = bind_tcp(&address, len, true);
        /* The first one may have been given a port by the kernel: the others share it. */
        if (fds_out[i] < 0 || getsockname(fds_out[i], (struct sockaddr *)&address, &len) != 0)
            goto failed;
    }
    for (unsigned i = 0; i < count; i++) {
        if (listen(fds_out[i], BACKLOG) != 0)
            goto failed;
    }
    if (bound_out != NULL)
        append_bound(&address, bound_out);
    return 0;

failed:;
    int error = errno;
    close_all(fds_out, count);
    return report(error_out, config, error);
}

int sockets_open(const struct config_listen *config, int *fds_out, unsigned count, struct text *bound_out,
                 struct text *error_out)
{
    for (unsigned i = 0; i < count; i++)
        fds_out[i] = -1;
    if (config->address.is_unix)
        return open_unix(config, fds_out, count, bound_out, error_out);
    return open_tcp(config, fds_out, count, bound_out, error_out);
}

/*
 * The file is held before it is looked at: whoever may write to the directory cannot put another one in its place, and
 * have that given away.
 */
int sockets_give(const struct config_listen *config, uid_t uid, gid_t gid, struct text *error_out)
{
    if (!config->address.is_unix)
        return 0;
    struct stat there;
    int fd = open(config->address.host, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int error = fd < 0 || fstat(fd, &there) != 0 ? errno : 0;
    if (error == 0 && (!S_ISSOCK(there.st_mode) || there.st_nlink != 1 || there.st_uid != geteuid()))
        error = EEXIST;
    if (error == 0 && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) != 0)
        error = errno;
    if (fd >= 0)
        close(fd);
    return error == 0 ? 0 : report(error_out, config, error);
}

void sockets_remove(const struct config_listen *config)
{
    if (config->address.is_unix)
        unlink(config->address.host);
}
