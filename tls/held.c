/* Owns the bytes between OpenSSL, which has made them, and a socket that is full; see the picture in held.h. */
#include "tls/held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ROOM_MIN ((size_t)4096)

static bool reserve(struct held *held, size_t len)
{
    size_t wanted = held->room < ROOM_MIN ? ROOM_MIN : held->room;
    while (wanted < len)
        wanted *= 2;
    if (wanted == held->room)
        return true;
    char *larger = realloc(held->data, wanted);
    if (larger == NULL)
        return false;
    held->data = larger;
    held->room = wanted;
    return true;
}

int held_append(struct held *held, const char *data, size_t len)
{
    size_t bytes = held->end - held->start;
    if (bytes + len > HELD_MAX) {
        errno = ENOBUFS;
        return -1;
    }
    if (held->start > 0) {
        memmove(held->data, held->data + held->start, bytes);
        held->start = 0;
        held->end = bytes;
    }
    if (!reserve(held, bytes + len)) {
        errno = ENOMEM;
        return -1;
    }
    memcpy(held->data + held->end, data, len);
    held->end += len;
    return 0;
}

ssize_t held_send_now(int fd, const char *data, size_t len)
{
    ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    return n;
}

int held_send(struct held *held, int fd)
{
    if (held_is_empty(held))
        return 0;
    ssize_t n = held_send_now(fd, held->data + held->start, held->end - held->start);
    if (n < 0)
        return -1;
    held->start += (size_t)n;
    if (held_is_empty(held))
        held_fini(held);
    return 0;
}

void held_fini(struct held *held)
{
    free(held->data);
    *held = (struct held){0};
}
