/*
 * Options of a TCP socket, and what the kernel knows of its way to the peer.
 */
#ifndef RINGSIDE_EVENT_SOCKET_H
#define RINGSIDE_EVENT_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

/* The kernel does not know it. */
#define SOCKET_RTT_UNKNOWN UINT32_MAX

/*
 * Nagle's algorithm (RFC 896): on, the kernel holds a small segment back while an earlier one is unacknowledged. Turning it off
 * sends what is held. false: the system refuses.
 */
bool socket_set_nagle(int fd, bool on);

/* The shortest round trip seen in the last minutes, in microseconds (TCP_INFO: tcpi_min_rtt); or SOCKET_RTT_UNKNOWN. */
uint32_t socket_min_rtt_us(int fd);

#endif
