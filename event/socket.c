/* Owns what is asked of the kernel about TCP sockets: see socket.h. <linux/tcp.h> has what the C library's header lacks. */
#include "event/socket.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

bool socket_set_nagle(int fd, bool on)
{
    int no_delay = !on;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay) == 0;
}

uint32_t socket_min_rtt_us(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_min_rtt) + sizeof info.tcpi_min_rtt)
        return SOCKET_RTT_UNKNOWN;
    /* No sample yet: all bits are set. */
    return info.tcpi_min_rtt;
}
