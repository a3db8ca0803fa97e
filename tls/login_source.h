/*
 * Where a login comes from, for fair turns at the password check: what a client cannot choose freely.
 *
 *      Unix socket           the uid of the peer
 *      this machine by TCP   all of it is one: 127.0.0.0/8 and ::1 have more addresses than anybody needs
 *      IPv4                  the address, also where it comes as IPv6 (::ffff:0:0/96)
 *      IPv6                  its first 64 bits: a single host has the rest
 */
#ifndef RINGSIDE_TLS_LOGIN_SOURCE_H
#define RINGSIDE_TLS_LOGIN_SOURCE_H

#include <stdint.h>
#include <sys/socket.h>

/* Two from the same place have the same number. Of a connected socket; 0: it cannot be told. */
uint64_t login_source_of(int fd);

/* The same of an address alone; of one that is neither IPv4 nor IPv6 0. */
uint64_t login_source_of_address(const struct sockaddr *address);

#endif
