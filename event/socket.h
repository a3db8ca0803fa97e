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

/*
 * How long it takes of late until what is sent is acknowledged, in microseconds (TCP_INFO: tcpi_rtt); or SOCKET_RTT_UNKNOWN. A peer's
 * acknowledgement often waits for its answer, so that its own time is a part of it.
 */
uint32_t socket_rtt_us(int fd);

#endif
