/* Owns nothing: numbers made of addresses and users; see login_source.h. The highest byte keeps the kinds apart. */
#include "tls/login_source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define KIND_USER ((uint64_t)1 << 56)
#define KIND_LOCAL ((uint64_t)2 << 56)
#define KIND_IPV4 ((uint64_t)3 << 56)
/* IPv6 fills all bits: its unicast addresses begin with 0x20 and above (RFC 4291, 2.4), the loopback apart. */

static uint64_t of_ipv4(uint32_t address)
{
    return address >> 24 == IN_LOOPBACKNET ? KIND_LOCAL : KIND_IPV4 | address;
}

static uint64_t of_ipv6(const struct in6_addr *address)
{
    uint32_t last;
    memcpy(&last, address->s6_addr + 12, sizeof last);
    if (IN6_IS_ADDR_LOOPBACK(address))
        return KIND_LOCAL;
    if (IN6_IS_ADDR_V4MAPPED(address))
        return of_ipv4(ntohl(last));
    uint64_t network = 0;
    for (int i = 0; i < 8; i++)
        network = network << 8 | address->s6_addr[i];
    return network;
}

uint64_t login_source_of_address(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return of_ipv4(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return of_ipv6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    return 0;
}

static uint64_t of_user(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 ? KIND_USER | peer.uid : 0;
}

uint64_t login_source_of(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof address;
    if (getpeername(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    return address.ss_family == AF_UNIX ? of_user(fd) : login_source_of_address((const struct sockaddr *)&address);
}
