/*
 * A preload that counts reads and writes of sockets, by loop turn: a turn is what happens between two calls of
 * epoll_wait in a thread.
 *
 *     epoll_wait | read 7  writev 9  read 8  writev 7 | epoll_wait | ...
 *                `-- one turn: no descriptor may have more than one of each --'
 *
 * COUNTIO_FILE is mapped, shared: struct page below. Only threads that have called epoll_wait are looked at, and only
 * descriptors above standard error and below DESCRIPTORS. A write is worth counting only if it was not the rest of one
 * that was cut short: such are told apart by `short_writes`. Every call goes on to glibc.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 4096

struct page {
    _Atomic uint64_t turns;
    _Atomic uint64_t reads, empty_reads; /* empty: EAGAIN */
    _Atomic uint64_t writes, short_writes;
    _Atomic uint64_t doubled_reads, doubled_writes; /* the second and further ones in a turn */
    _Atomic uint64_t max_reads, max_writes;         /* the most on one descriptor in one turn */
    _Atomic uint64_t doubled_reads_after_full;      /* of doubled_reads: the one before had filled its buffer */
};

struct tally {
    uint64_t turn;
    uint16_t reads, writes;
    uint8_t last_read_full;
};

static struct page *page;
static _Thread_local uint64_t turn;
static _Thread_local struct tally tallies[DESCRIPTORS];

#define REAL(function)                 \
    static __typeof__(function) *real; \
    if (!real)                         \
    real = (__typeof__(function) *)dlsym(RTLD_NEXT, #function)

__attribute__((constructor)) static void open_page(void)
{
    const char *path = getenv("COUNTIO_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        page = map;
}

static struct tally *tally_of(int fd)
{
    if (!page || !turn || fd <= STDERR_FILENO || fd >= DESCRIPTORS)
        return NULL;
    struct tally *tally = &tallies[fd];
    if (tally->turn != turn)
        *tally = (struct tally){.turn = turn};
    return tally;
}

static void raise_to(_Atomic uint64_t *maximum, uint64_t value)
{
    uint64_t seen = atomic_load(maximum);
    while (seen < value && !atomic_compare_exchange_weak(maximum, &seen, value))
        ;
}

static ssize_t count_read(int fd, ssize_t result, size_t asked)
{
    int saved = errno;
    struct tally *tally = tally_of(fd);
    if (tally) {
        atomic_fetch_add(&page->reads, 1);
        if (result < 0 && saved == EAGAIN)
            atomic_fetch_add(&page->empty_reads, 1);
        if (++tally->reads > 1) {
            atomic_fetch_add(&page->doubled_reads, 1);
            if (tally->last_read_full)
                atomic_fetch_add(&page->doubled_reads_after_full, 1);
        }
        tally->last_read_full = result >= 0 && (size_t)result == asked;
        raise_to(&page->max_reads, tally->reads);
    }
    errno = saved;
    return result;
}

static ssize_t count_write(int fd, ssize_t result, size_t asked)
{
    int saved = errno;
    struct tally *tally = tally_of(fd);
    if (tally) {
        atomic_fetch_add(&page->writes, 1);
        if (result < 0 || (size_t)result < asked)
            atomic_fetch_add(&page->short_writes, 1);
        if (++tally->writes > 1)
            atomic_fetch_add(&page->doubled_writes, 1);
        raise_to(&page->max_writes, tally->writes);
    }
    errno = saved;
    return result;
}

static size_t iov_bytes(const struct iovec *iov, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += iov[i].iov_len;
    return sum;
}

int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    REAL(epoll_wait);
    turn++;
    if (page)
        atomic_fetch_add(&page->turns, 1);
    return real(epfd, events, max, timeout);
}

int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout, const sigset_t *mask)
{
    REAL(epoll_pwait2);
    turn++;
    if (page)
        atomic_fetch_add(&page->turns, 1);
    return real(epfd, events, max, timeout, mask);
}

ssize_t read(int fd, void *data, size_t len)
{
    REAL(read);
    return count_read(fd, real(fd, data, len), len);
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    REAL(readv);
    return count_read(fd, real(fd, iov, count), iov_bytes(iov, (size_t)count));
}

ssize_t recv(int fd, void *data, size_t len, int flags)
{
    REAL(recv);
    return count_read(fd, real(fd, data, len, flags), len);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(recvmsg);
    return count_read(fd, real(fd, message, flags), iov_bytes(message->msg_iov, message->msg_iovlen));
}

extern ssize_t __read_chk(int fd, void *data, size_t len, size_t room);
ssize_t __read_chk(int fd, void *data, size_t len, size_t room)
{
    REAL(__read_chk);
    return count_read(fd, real(fd, data, len, room), len);
}

extern ssize_t __recv_chk(int fd, void *data, size_t len, size_t room, int flags);
ssize_t __recv_chk(int fd, void *data, size_t len, size_t room, int flags)
{
    REAL(__recv_chk);
    return count_read(fd, real(fd, data, len, room, flags), len);
}

ssize_t write(int fd, const void *data, size_t len)
{
    REAL(write);
    return count_write(fd, real(fd, data, len), len);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    REAL(writev);
    return count_write(fd, real(fd, iov, count), iov_bytes(iov, (size_t)count));
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    REAL(send);
    return count_write(fd, real(fd, data, len, flags), len);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    return count_write(fd, real(fd, message, flags), iov_bytes(message->msg_iov, message->msg_iovlen));
}
