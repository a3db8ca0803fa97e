/* Owns what is asked of the kernel about TCP sockets: see socket.h. */
#include "event/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

bool socket_set_nagle(int fd, bool on)
{
    int no_delay = !on;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay) == 0;
}

uint32_t socket_rtt_us(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || info.tcpi_rtt == 0)
        return SOCKET_RTT_UNKNOWN;
    return info.tcpi_rtt;
}
